//! `bench list`: what can be measured, and who takes part.

use crate::contenders::CONTENDERS;
use crate::scenarios::SCENARIOS;
use crate::tasks;
use std::io::{self, Write};

/// Prints both tables of this program.
///
/// # Errors
/// Standard output is closed or full.
pub fn print() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "scenarios:")?;
    for scenario in SCENARIOS {
        writeln!(stdout, "  {:<18}{}", scenario.name, scenario.title)?;
    }
    writeln!(stdout, "  {:<18}{}", tasks::NAME, tasks::TITLE)?;
    writeln!(stdout, "\ncontenders:")?;
    for contender in CONTENDERS {
        writeln!(stdout, "  {:<18}{}", contender.name, contender.about)?;
    }
    Ok(())
}

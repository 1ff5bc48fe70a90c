//! `bench list`: what can be measured, and who takes part.

use crate::contenders::CONTENDERS;
use crate::scenarios::SCENARIOS;

/// Prints both tables of this program.
pub fn print() {
    println!("scenarios:");
    for scenario in SCENARIOS {
        println!("  {:<18}{}", scenario.name, scenario.title);
    }
    println!("\ncontenders:");
    for contender in CONTENDERS {
        println!("  {:<18}{}", contender.name, contender.about);
    }
}

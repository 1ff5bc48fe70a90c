//! Notes with generated parts: text between two markers belongs to a program, the rest to a person.
//!
//! ```text
//! <!-- generated: states -->
//! … replaced …
//! <!-- end generated -->
//! ```

#![forbid(unsafe_code)]

use anyhow::{Result, bail};

const BEGIN: &str = "<!-- generated: ";
const BEGIN_END: &str = " -->";
const END: &str = "<!-- end generated -->";

/// Returns `note` with every generated part replaced by what `part` gives for its name.
///
/// # Errors
/// A part that does not end, an end without a beginning, or a name that `part` does not know
/// (`Ok(None)`); with the line. Whatever `part` itself fails with.
pub fn refresh(note: &str, part: impl Fn(&str) -> Result<Option<String>>) -> Result<String> {
    let mut out = String::with_capacity(note.len());
    let mut open: Option<usize> = None;
    for (number, line) in (1..).zip(note.split_inclusive('\n')) {
        let text = line.trim_end();
        let begins = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(BEGIN_END));
        match (begins, open) {
            (Some(_), Some(start)) => bail!("line {number}: the part of line {start} has no end"),
            (Some(name), None) => {
                let Some(content) = part(name)? else {
                    bail!("line {number}: nothing is called {name:?}");
                };
                out.push_str(line);
                out.push('\n');
                out.push_str(content.trim_matches('\n'));
                out.push_str("\n\n");
                open = Some(number);
            }
            (None, Some(_)) if text == END => {
                out.push_str(line);
                open = None;
            }
            (None, None) if text == END => bail!("line {number}: an end without a beginning"),
            (None, Some(_)) => {}
            (None, None) => out.push_str(line),
        }
    }
    match open {
        Some(start) => bail!("line {start}: this part has no end ({END})"),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shout(name: &str) -> Result<Option<String>> {
        Ok((name != "unknown").then(|| name.to_uppercase()))
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let note = "a\n<!-- generated: one -->\nold\nolder\n<!-- end generated -->\nb\n";
        let fresh = "a\n<!-- generated: one -->\n\nONE\n\n<!-- end generated -->\nb\n";
        assert_eq!(refresh(note, shout).unwrap(), fresh);
        assert_eq!(refresh(fresh, shout).unwrap(), fresh, "a second time changes nothing");
    }

    #[test]
    fn a_note_without_markers_stays_as_it_is() {
        assert_eq!(refresh("a\n\nb", shout).unwrap(), "a\n\nb");
    }

    #[test]
    fn broken_markers_are_errors_with_their_line() {
        for (note, says) in [
            ("x\n<!-- generated: one -->\n", "line 2: this part has no end"),
            ("<!-- end generated -->\n", "line 1: an end without a beginning"),
            ("<!-- generated: a -->\n<!-- generated: b -->\n", "line 2: the part of line 1"),
            ("<!-- generated: unknown -->\n<!-- end generated -->", "line 1: nothing is called"),
        ] {
            let error = refresh(note, shout).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}

//! Choosing cases by id or by a part of their path.

use crate::case::Case;
use anyhow::{Result, bail};

/// Keeps the cases that any selector names; all cases when there is no selector.
///
/// A selector is a case's id (`PR01`, in any case) or any part of its path.
///
/// # Errors
/// A selector that names no case at all: a typing error must not look like a green run.
pub fn select(
    cases: impl IntoIterator<Item = &'static Case>,
    selectors: &[String],
) -> Result<Vec<&'static Case>> {
    let cases: Vec<&'static Case> = cases.into_iter().collect();
    if let Some(wrong) = selectors.iter().find(|s| !cases.iter().any(|case| names(s, case))) {
        bail!("no case is named by `{wrong}`; `harness list` shows every id and path");
    }
    let chosen =
        |case: &&'static Case| selectors.is_empty() || selectors.iter().any(|s| names(s, case));
    Ok(cases.into_iter().filter(chosen).collect())
}

fn names(selector: &str, case: &Case) -> bool {
    !selector.is_empty() && (case.id.eq_ignore_ascii_case(selector) || case.path.contains(selector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Rung;

    static CASES: [Case; 2] = [
        Case::new("AA01", "first/echo", Rung::Day2, |_| Ok(())),
        Case::new("AA02", "second/burn", Rung::Day2, |_| Ok(())),
    ];

    fn ids(selectors: &[&str]) -> Result<Vec<&'static str>> {
        let selectors: Vec<String> = selectors.iter().map(ToString::to_string).collect();
        Ok(select(&CASES, &selectors)?.iter().map(|case| case.id).collect())
    }

    #[test]
    fn ids_and_parts_of_paths_select() {
        assert_eq!(ids(&[]).unwrap(), ["AA01", "AA02"]);
        assert_eq!(ids(&["aa02"]).unwrap(), ["AA02"]);
        assert_eq!(ids(&["first/"]).unwrap(), ["AA01"]);
        assert_eq!(ids(&["echo", "AA02"]).unwrap(), ["AA01", "AA02"]);
    }

    #[test]
    fn a_selector_that_names_nothing_is_an_error() {
        assert!(ids(&["echo", "nonsense"]).unwrap_err().to_string().contains("`nonsense`"));
        assert!(ids(&[""]).is_err());
    }
}

//! What a run of cases says about an exhibit: whether it was caught, and by whom.

use super::Bug;
use crate::report::{CaseReport, Verdict};
use crate::verdict::Class;
use std::fmt;

/// How a bug fared. The ids are in the order in which the cases were run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// Cases of its `caught_by` that failed.
    pub caught_by: Vec<&'static str>,
    /// Cases of its `also` that failed.
    pub also: Vec<&'static str>,
    /// Cases of its `caught_by` that did not fail.
    pub missed_by: Vec<String>,
    /// Cases of its `caught_by` that could not be judged here and now.
    pub skipped: Vec<&'static str>,
    /// Cases that failed and are in neither list.
    pub false_alarms: Vec<&'static str>,
    /// Cases in neither list that failed and, run again, passed: a busy machine, or chance.
    pub unsteady: Vec<&'static str>,
    /// Cases that said nothing about the server, because the harness could not do its work.
    pub faults: Vec<&'static str>,
}

impl Finding {
    /// Compares what failed with what the catalogue says. For a server without a bug, `bug` is `None`.
    #[must_use]
    pub fn new(bug: Option<&Bug>, reports: &[CaseReport]) -> Self {
        let caught_by = bug.map(|bug| bug.caught_by.as_slice()).unwrap_or_default();
        let mut finding = Self::default();
        for report in reports {
            let must_fail = bug.is_some_and(|bug| bug.is_caught_by(report.id));
            if must_fail && matches!(report.verdict, Verdict::Skip { .. }) {
                finding.skipped.push(report.id);
            }
            let Some(class) = failure(report) else { continue };
            let list = if class == Class::HarnessFault {
                &mut finding.faults
            } else if must_fail {
                &mut finding.caught_by
            } else if bug.is_some_and(|bug| bug.may_fail(report.id)) {
                &mut finding.also
            } else {
                &mut finding.false_alarms
            };
            list.push(report.id);
        }
        let is_missed = |id: &&String| {
            let id = id.as_str();
            !finding.caught_by.contains(&id) && !finding.skipped.contains(&id)
        };
        finding.missed_by = caught_by.iter().filter(is_missed).cloned().collect();
        finding
    }

    /// Takes those of the false alarms back that passed when the case was run again, and says so.
    pub fn confirm(&mut self, again: &[CaseReport]) {
        let passed = |id: &str| again.iter().any(|new| new.id == id && failure(new).is_none());
        self.unsteady.extend(self.false_alarms.extract_if(.., |id| passed(id)));
    }

    /// Whether the run was as the catalogue says.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.missed_by.is_empty() && self.false_alarms.is_empty() && self.faults.is_empty()
    }

    /// One word for the table, the worst one that applies.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self { faults, .. } if !faults.is_empty() => "FAULT",
            Self { false_alarms, .. } if !false_alarms.is_empty() => "FALSE ALARM",
            Self { missed_by, .. } if missed_by.is_empty() => "as expected",
            Self { caught_by, .. } if caught_by.is_empty() => "SURVIVED",
            _ => "MISSED",
        }
    }
}

/// The lists that are not empty, each with its name.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |ids: &[&str]| ids.join(" ");
        let lists = [
            ("caught by", own(&self.caught_by)),
            ("also", own(&self.also)),
            ("NOT CAUGHT BY", self.missed_by.join(" ")),
            ("not judged by", own(&self.skipped)),
            ("FALSE ALARM", own(&self.false_alarms)),
            ("once but not again", own(&self.unsteady)),
            ("FAULT OF THE HARNESS", own(&self.faults)),
        ];
        let told: Vec<String> = lists
            .into_iter()
            .filter(|(_, ids)| !ids.is_empty())
            .map(|(name, ids)| format!("{name} {ids}"))
            .collect();
        f.write_str(&told.join("; "))
    }
}

fn failure(report: &CaseReport) -> Option<Class> {
    match &report.verdict {
        Verdict::Fail { failure } => Some(failure.class),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bug;
    use super::*;
    use crate::cases;
    use crate::verdict::Failure;

    fn report(id: &str, ends: Option<Class>) -> CaseReport {
        let case = cases::all().find(|case| case.id == id).unwrap();
        let verdict = match ends {
            None => Verdict::Pass,
            Some(class) => Verdict::Fail { failure: Box::new(Failure::new(class, "a", "b")) },
        };
        CaseReport::new(case, verdict, 0, String::new())
    }

    fn finding(ends: &[(&str, Option<Class>)]) -> Finding {
        let reports: Vec<CaseReport> = ends.iter().map(|(id, ends)| report(id, *ends)).collect();
        Finding::new(Some(&bug(&["BU01", "BU02"], &["CL01"])), &reports)
    }

    const BROKEN: Option<Class> = Some(Class::BrokenRule);

    #[test]
    fn a_bug_is_caught_when_its_cases_fail_and_no_others() {
        let finding = finding(&[
            ("PR01", None),
            ("BU01", BROKEN),
            ("BU02", Some(Class::ServerCrash)),
            ("CL01", BROKEN),
        ]);
        assert!(finding.is_as_expected());
        assert_eq!(finding.to_string(), "caught by BU01 BU02; also CL01");
    }

    #[test]
    fn a_case_that_may_fail_need_not() {
        assert!(finding(&[("BU01", BROKEN), ("BU02", BROKEN), ("CL01", None)]).is_as_expected());
    }

    #[test]
    fn each_way_to_be_wrong_has_its_word() {
        let fault = Some(Class::HarnessFault);
        for (ends, word) in [
            (vec![("BU01", None), ("BU02", None), ("CL01", BROKEN)], "SURVIVED"),
            (vec![("BU01", BROKEN), ("BU02", None)], "MISSED"),
            (vec![("BU01", BROKEN)], "MISSED"),
            (vec![], "SURVIVED"),
            (vec![("BU01", BROKEN), ("BU02", BROKEN), ("PR01", BROKEN)], "FALSE ALARM"),
            (vec![("BU01", BROKEN), ("BU02", BROKEN), ("PR01", fault)], "FAULT"),
            (vec![("BU01", BROKEN), ("BU02", fault)], "FAULT"),
        ] {
            let finding = finding(&ends);
            assert_eq!(finding.word(), word, "{finding}");
            assert!(!finding.is_as_expected(), "{finding}");
        }
    }

    #[test]
    fn a_case_that_is_skipped_says_nothing_and_that_is_told() {
        let skip = Verdict::Skip { reason: "this machine stood still".into() };
        let skipped = CaseReport { verdict: skip, ..report("BU02", None) };
        let bug = bug(&["BU01", "BU02"], &[]);
        let finding = Finding::new(Some(&bug), &[report("BU01", BROKEN), skipped]);
        assert!(finding.is_as_expected());
        assert_eq!(finding.to_string(), "caught by BU01; not judged by BU02");
    }

    #[test]
    fn a_false_alarm_is_one_that_comes_again() {
        let ends = [("BU01", BROKEN), ("BU02", BROKEN), ("PR01", BROKEN), ("PR02", BROKEN)];
        let mut finding = finding(&ends);
        finding.confirm(&[report("PR01", None), report("PR02", BROKEN)]);
        assert_eq!(finding.false_alarms, ["PR02"]);
        assert_eq!(finding.word(), "FALSE ALARM");
        finding.confirm(&[report("PR02", None)]);
        assert!(finding.is_as_expected());
        assert!(finding.to_string().ends_with("once but not again PR01 PR02"), "{finding}");
    }

    #[test]
    fn without_a_bug_every_failure_is_a_false_alarm() {
        let finding = Finding::new(None, &[report("PR01", BROKEN), report("BU01", None)]);
        assert_eq!(finding.false_alarms, ["PR01"]);
        assert!(Finding::new(None, &[report("BU01", None)]).is_as_expected());
    }
}

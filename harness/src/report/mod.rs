//! The result of a run, and the four ways to print it.

pub mod human;
pub mod json;
pub mod junit;
pub mod tap;

use crate::case::{Case, Rung};
use crate::rows::RowNames;
use crate::verdict::{Class, Failure};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// The result of a run over one target.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// What was judged.
    pub target: String,
    /// Whose expectations applied.
    pub rung: Rung,
    /// Brings the random cases back.
    pub seed: u64,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// How many of each verdict.
    pub counts: Counts,
    /// One result per case, in the order of the list.
    pub cases: Vec<CaseReport>,
}

/// The result of one case, over all its runs.
#[derive(Debug, Clone, Serialize)]
pub struct CaseReport {
    /// The case's id.
    pub id: &'static str,
    /// The case's path.
    pub path: &'static str,
    /// The rule it checks.
    pub rule: &'static str,
    /// Where the rule is written.
    pub source: &'static str,
    /// What to fix if it fails.
    pub hint: &'static str,
    /// The seed of the run that is described.
    pub seed: u64,
    /// How long that run took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// How often the case ran.
    pub runs: u32,
    /// How many of those runs were not as expected.
    pub failures: u32,
    /// How it ended; of several runs the first that was not as expected.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The command that runs just this again.
    pub replay: String,
    /// The rows of the transition table that its servers took, if they were asked for.
    #[serde(skip_serializing_if = "RowNames::is_empty")]
    pub rows: RowNames,
}

/// How a case ended, measured by what the table expects.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The rule was kept.
    Pass,
    /// Something is wrong.
    Fail {
        /// What, and whose fault it is.
        failure: Box<Failure>,
    },
    /// Nothing can be said.
    Skip {
        /// Why.
        reason: String,
    },
    /// The rule was broken, as the table says of this rung.
    ExpectedFailure {
        /// Why the table says so.
        reason: &'static str,
        /// What was seen.
        failure: Box<Failure>,
    },
    /// The rule was kept although the table says that this rung breaks it: the table is wrong.
    UnexpectedPass {
        /// Why the table said so.
        reason: &'static str,
    },
    /// The rule says nothing about this rung.
    NotApplicable {
        /// The rungs it is about.
        reason: String,
    },
}

impl Verdict {
    /// Whether this makes the run fail.
    #[must_use]
    pub fn is_unexpected(&self) -> bool {
        matches!(self, Self::Fail { .. } | Self::UnexpectedPass { .. })
    }
}

/// How many cases ended in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Kept rules.
    pub passed: u32,
    /// Broken rules, crashes, faults, and wrong entries in the table.
    pub failed: u32,
    /// Cases that could not be judged.
    pub skipped: u32,
    /// Broken rules that the table expects of this rung.
    pub expected_failures: u32,
    /// Cases that say nothing about this rung.
    pub not_applicable: u32,
}

impl CaseReport {
    /// A result without any run yet.
    #[must_use]
    pub fn new(case: &'static Case, verdict: Verdict, seed: u64, replay: String) -> Self {
        let failures = u32::from(verdict.is_unexpected());
        Self {
            id: case.id,
            path: case.path,
            rule: case.rule,
            source: case.source,
            hint: case.hint,
            seed,
            duration: Duration::ZERO,
            runs: 1,
            failures,
            verdict,
            replay,
            rows: RowNames::new(),
        }
    }

    /// Whether some runs were as expected and some were not.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.failures > 0 && self.failures < self.runs
    }

    /// Adds a further run of the same case. The first run that was not as expected is kept.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let (runs, failures) = (self.runs + later.runs, self.failures + later.failures);
        let keep_first = self.failures > 0 || later.failures == 0;
        let kept = if keep_first { self } else { later };
        Self { runs, failures, ..kept }
    }
}

impl RunReport {
    /// Counts the verdicts.
    #[must_use]
    pub fn new(
        target: &str,
        rung: Rung,
        seed: u64,
        duration: Duration,
        cases: Vec<CaseReport>,
    ) -> Self {
        let mut counts = Counts::default();
        for case in &cases {
            *match case.verdict {
                Verdict::Pass => &mut counts.passed,
                Verdict::Fail { .. } | Verdict::UnexpectedPass { .. } => &mut counts.failed,
                Verdict::Skip { .. } => &mut counts.skipped,
                Verdict::ExpectedFailure { .. } => &mut counts.expected_failures,
                Verdict::NotApplicable { .. } => &mut counts.not_applicable,
            } += 1;
        }
        Self { target: target.to_owned(), rung, seed, duration, counts, cases }
    }

    /// 0: all as expected; 1: a rule was broken; 2: nothing but faults of the harness, or of its
    /// table.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let ours = |case: &CaseReport| match &case.verdict {
            Verdict::Fail { failure } => failure.class == Class::HarnessFault,
            _ => true,
        };
        let unexpected: Vec<&CaseReport> =
            self.cases.iter().filter(|case| case.verdict.is_unexpected()).collect();
        match unexpected.as_slice() {
            [] => 0,
            all if all.iter().all(|case| ours(case)) => 2,
            _ => 1,
        }
    }
}

pub(crate) fn seconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    static CASES: [Case; 6] = [
        example("AA01", "group/passes"),
        example("AA02", "group/breaks"),
        example("AA03", "group/is_skipped"),
        example("AA04", "group/fails_as_expected"),
        example("AA05", "group/passes_unexpectedly"),
        example("AA06", "group/does_not_apply"),
    ];

    const fn example(id: &'static str, path: &'static str) -> Case {
        Case::new(id, path, Rung::Day2, |_| Ok(()))
            .rule("a <rule> with \"quotes\" & more", "contract section 1")
            .hint("fix it")
    }

    /// A report with every verdict in it.
    pub(crate) fn example_report() -> RunReport {
        let failure =
            || Box::new(Failure::new(Class::BrokenRule, "\"a\"", "\"b\"\n ^ byte 0 differs"));
        let verdicts = [
            Verdict::Pass,
            Verdict::Fail { failure: failure() },
            Verdict::Skip { reason: "no pid".into() },
            Verdict::ExpectedFailure { reason: "not yet", failure: failure() },
            Verdict::UnexpectedPass { reason: "not yet" },
            Verdict::NotApplicable { reason: "only until day3".into() },
        ];
        let cases = CASES.iter().zip(verdicts).map(|(case, verdict)| {
            CaseReport::new(case, verdict, 7, format!("harness check {}", case.id))
        });
        RunReport::new("t", Rung::Day2, 7, Duration::from_millis(1500), cases.collect())
    }

    fn only(index: usize) -> RunReport {
        let mut report = example_report();
        report.cases = vec![report.cases.remove(index)];
        report
    }

    #[test]
    fn verdicts_are_counted() {
        let counts = example_report().counts;
        let expected =
            Counts { passed: 1, failed: 2, skipped: 1, expected_failures: 1, not_applicable: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn the_exit_status_tells_broken_rules_from_faults() {
        assert_eq!(example_report().exit_status(), 1);
        for index in [0, 2, 3, 5] {
            assert_eq!(only(index).exit_status(), 0);
        }
        assert_eq!(only(1).exit_status(), 1);
        assert_eq!(only(4).exit_status(), 2);
        let mut fault = only(1);
        let failure = Box::new(Failure::new(Class::HarnessFault, "a", "b"));
        fault.cases[0].verdict = Verdict::Fail { failure };
        assert_eq!(fault.exit_status(), 2);
    }

    #[test]
    fn a_case_that_fails_in_one_of_several_runs_is_flaky_and_stays_failed() {
        let [pass, fail] = [0, 1].map(|index| only(index).cases.remove(0));
        let merged = pass.clone().and(fail.clone()).and(pass);
        assert!(merged.is_flaky() && merged.verdict.is_unexpected());
        assert_eq!((merged.runs, merged.failures), (3, 1));
        assert!(!fail.clone().and(fail).is_flaky());
    }
}

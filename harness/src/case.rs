//! What a case is: data that says which rule it checks, and one function that checks it.

use crate::judge::Judge;
use crate::verdict::CaseResult;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A step of the ladder, in the order of contract section 5. The number is the one that a
/// server's `[package.metadata.lab] rung` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// `select(2)`, unbounded write queues.
    Day2 = 2,
    /// `select(2)`, bounded write queues.
    Day3 = 3,
    /// `poll(2)`.
    Day4 = 4,
    /// `epoll(7)`.
    W04 = 5,
    /// `epoll(7)`, `eventfd(2)` and worker threads.
    W05 = 6,
    /// The same with an event loop on each of several threads.
    Async = 7,
}

impl Rung {
    /// Every rung, in order.
    pub const ALL: [Self; 6] =
        [Self::Day2, Self::Day3, Self::Day4, Self::W04, Self::W05, Self::Async];

    /// The rung with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| *rung as u64 == number)
    }

    /// The short name, as `--as` takes it: `day2`, `w04`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day2 => "day2",
            Self::Day3 => "day3",
            Self::Day4 => "day4",
            Self::W04 => "w04",
            Self::W05 => "w05",
            Self::Async => "async",
        }
    }

    /// What `stats` calls the mechanism of this rung (contract section 5).
    #[must_use]
    pub const fn mechanism(self) -> &'static str {
        match self {
            Self::Day2 | Self::Day3 => "select",
            Self::Day4 => "poll",
            Self::W04 | Self::W05 | Self::Async => "epoll",
        }
    }

    /// The system calls that a loop's thread may sleep in (contract section 3).
    #[must_use]
    pub const fn wait_calls(self) -> &'static [&'static str] {
        match self {
            Self::Day2 | Self::Day3 => &["select", "pselect6"],
            Self::Day4 => &["poll", "ppoll"],
            Self::W04 | Self::W05 | Self::Async => &["epoll_wait", "epoll_pwait", "epoll_pwait2"],
        }
    }

    /// Whether more than one thread runs a loop.
    #[must_use]
    pub fn has_several_loops(self) -> bool {
        self >= Self::Async
    }

    /// The option for the number of threads that run tasks. Cases are written in the words of week 5;
    /// where there are several loops, `--workers` is about those.
    #[must_use]
    pub fn pool_option(self) -> &'static str {
        if self.has_several_loops() { "--blocking-threads" } else { "--workers" }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A capability that a case needs; a target without it makes the case a skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// The server's process id is known, so that `/proc/PID` can be read.
    Pid,
    /// The server takes the command line of contract section 2.
    Flags,
    /// The harness starts and ends the server itself, so that the process is fresh and signals
    /// may be sent.
    Restart,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pid => "pid",
            Self::Flags => "flags",
            Self::Restart => "restart",
        })
    }
}

/// One rule and the function that checks it.
///
/// Write one with [`Case::new`] and add what differs from the defaults:
///
/// ```
/// use harness::case::{Case, Rung};
/// use harness::judge::Judge;
/// use harness::verdict::CaseResult;
///
/// const FENCE: Case = Case::new("PR90", "protocol/fence", Rung::Day2, fence)
///     .rule("`mn` is answered with `MN`", "contract section 1, requests")
///     .hint("`mn` is missing from the table of verbs");
///
/// fn fence(judge: &Judge) -> CaseResult {
///     let server = judge.server(&[])?;
///     let mut client = server.client()?;
///     client.ask("mn\r\n", "MN\r\n")
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Stable and opaque: two capital letters and two digits. Never used again once retired.
    pub id: &'static str,
    /// Readable name: `group/what_is_true`.
    pub path: &'static str,
    /// The rule in one sentence.
    pub rule: &'static str,
    /// Page and section the rule comes from.
    pub source: &'static str,
    /// First rung that must pass.
    pub since: Rung,
    /// Last rung the rule is about; `None` for all that follow.
    pub until: Option<Rung>,
    /// Capabilities the target must have.
    pub needs: &'static [Need],
    /// Why rungs before `since` must be seen to fail; `None`: the case does not apply to them.
    pub xfail: Option<&'static str>,
    /// The likely cause of a failure, and what to fix.
    pub hint: &'static str,
    /// Limit for the whole case.
    pub timeout: Duration,
    /// Checks the rule.
    pub run: fn(&Judge) -> CaseResult,
}

impl Case {
    /// A case with the defaults: no special needs, at most 10 s.
    #[must_use]
    pub const fn new(
        id: &'static str,
        path: &'static str,
        since: Rung,
        run: fn(&Judge) -> CaseResult,
    ) -> Self {
        Self {
            id,
            path,
            rule: "",
            source: "",
            since,
            until: None,
            needs: &[],
            xfail: None,
            hint: "",
            timeout: Duration::from_secs(10),
            run,
        }
    }

    /// The rule in one sentence, and the page and section it comes from.
    #[must_use]
    pub const fn rule(mut self, rule: &'static str, source: &'static str) -> Self {
        self.rule = rule;
        self.source = source;
        self
    }

    /// The likely cause of a failure, and what to fix.
    #[must_use]
    pub const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// Capabilities that the target must have.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Last rung that the rule is about.
    #[must_use]
    pub const fn until(mut self, until: Rung) -> Self {
        self.until = Some(until);
        self
    }

    /// Rungs before `since` run the case too and must be seen to fail, for this reason.
    #[must_use]
    pub const fn fails_before(mut self, reason: &'static str) -> Self {
        self.xfail = Some(reason);
        self
    }

    /// Limit for the whole case, in seconds.
    #[must_use]
    pub const fn timeout_s(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// Whether the rule has ended before this rung.
    #[must_use]
    pub fn is_over_at(&self, rung: Rung) -> bool {
        self.until.is_some_and(|last| rung > last)
    }

    /// What a server of this rung is expected to do.
    #[must_use]
    pub fn expectation(&self, rung: Rung) -> Expectation {
        if self.is_over_at(rung) {
            return Expectation::NotApplicable;
        }
        match self.xfail {
            _ if rung >= self.since => Expectation::Pass,
            Some(reason) => Expectation::Fail(reason),
            None => Expectation::NotApplicable,
        }
    }
}

/// What the table says about a case on one rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The rule must be kept.
    Pass,
    /// The rule must be seen to be broken, for this reason.
    Fail(&'static str),
    /// The rule says nothing about this rung.
    NotApplicable,
}

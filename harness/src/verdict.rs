//! How a case ends, and how a failure is described.

use crate::autopsy::ServerAutopsy;
use crate::transcript::TranscriptText;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What a case function returns. `?` passes every early end on.
pub type CaseResult<T = ()> = Result<T, Stop>;

/// Why a case function ended before its last line.
#[derive(Debug)]
pub enum Stop {
    /// Nothing can be said, for this reason.
    Skip(String),
    /// Something is wrong, and with whom.
    Fail(Box<Failure>),
}

/// Whose fault a failure is. Each kind has a headline of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The server's package does not compile.
    BuildFailure,
    /// The process was started and did not listen in time, or ended first.
    DidNotStart,
    /// The server ended while it should have served.
    ServerCrash,
    /// The server works, and breaks the rule of the case.
    BrokenRule,
    /// The harness itself could not do its work.
    HarnessFault,
}

impl Class {
    /// The words in capitals that open the report.
    #[must_use]
    pub const fn headline(self) -> &'static str {
        match self {
            Self::BuildFailure => "BUILD FAILURE",
            Self::DidNotStart => "SERVER DID NOT START",
            Self::ServerCrash => "SERVER CRASH",
            Self::BrokenRule => "BROKEN RULE",
            Self::HarnessFault => "HARNESS FAULT",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.headline())
    }
}

/// Everything that is known about one failure.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Whose fault it is.
    pub class: Class,
    /// What the rule asked for.
    pub expected: String,
    /// What came instead: one or more lines.
    pub actual: String,
    /// The client that saw it.
    pub client: Option<String>,
    /// The limits that were running.
    pub times: Option<Times>,
    /// The last exchange of each client.
    pub transcripts: Vec<TranscriptText>,
    /// The state of each server at that moment.
    pub autopsies: Vec<ServerAutopsy>,
}

impl Failure {
    /// A failure with nothing but its words.
    #[must_use]
    pub fn new(class: Class, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Self {
            class,
            expected: expected.to_string(),
            actual: actual.to_string(),
            client: None,
            times: None,
            transcripts: Vec::new(),
            autopsies: Vec::new(),
        }
    }
}

/// The nested limits at the moment of a failure: a wait, inside a case, inside a run.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    /// How long the client waited, and its limit; `None` if it was not waiting.
    pub wait: Option<(Duration, Duration)>,
    /// How long the case had run.
    pub case_elapsed: Duration,
    /// The limit of the case.
    pub case_limit: Duration,
    /// How long the whole run had taken.
    pub run_elapsed: Duration,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((waited, limit)) = self.wait {
            write!(f, "waited {waited:.1?} of at most {limit:.1?}; ")?;
        }
        write!(
            f,
            "case {:.1?} of at most {:.1?}; run {:.1?}",
            self.case_elapsed, self.case_limit, self.run_elapsed
        )
    }
}

impl Stop {
    /// Nothing can be said, for this reason.
    #[must_use]
    pub fn skip(reason: impl fmt::Display) -> Self {
        Self::Skip(reason.to_string())
    }

    /// A fault of the harness or of this machine, not of the server.
    #[must_use]
    pub fn fault(doing: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Failure::new(Class::HarnessFault, doing, problem).into()
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fail(Box::new(failure))
    }
}

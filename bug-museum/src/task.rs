//! A task: CPU work that a client asked for, and what came of it.

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use std::panic::{catch_unwind, resume_unwind};
use std::time::Duration;

/// The work, with all that it needs: whoever runs it never looks at a connection.
#[derive(Debug)]
pub(crate) enum Task {
    Compute(Vec<u8>),
    /// Milliseconds of CPU time.
    Burn(u64),
    Fail(Vec<u8>),
    Panic(Vec<u8>),
}

/// What came of a task. Whatever goes wrong in it is an answer to its own client.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Done(Vec<u8>),
    Failed(Vec<u8>),
    Panicked(Vec<u8>),
}

impl Task {
    pub(crate) fn run(self) -> Outcome {
        catch_unwind(|| self.run_uncaught()).unwrap_or_else(|payload| {
            Outcome::Panicked(
                payload.downcast::<Vec<u8>>().map_or_else(|_| Vec::new(), |text| *text),
            )
        })
    }

    /// Panics if that is what the client asked for.
    pub(crate) fn run_uncaught(self) -> Outcome {
        match self {
            Self::Compute(text) => Outcome::Done(hexadecimal(&Sha256::digest(text))),
            Self::Burn(ms) => Outcome::Done(burn(ms)),
            Self::Fail(message) => Outcome::Failed(message),
            // As a panic, but without the message on standard error: this one was asked for.
            Self::Panic(message) => resume_unwind(Box::new(message)),
        }
    }
}

impl Outcome {
    /// The line that answers the client.
    pub(crate) fn reply(&self) -> Vec<u8> {
        let (before, text): (&[u8], _) = match self {
            Self::Done(result) => (b"result: ", result),
            Self::Failed(message) => (b"SERVER_ERROR ", message),
            Self::Panicked(message) => (b"SERVER_ERROR task panicked: ", message),
        };
        [before, text, b"\r\n"].concat()
    }
}

fn burn(ms: u64) -> Vec<u8> {
    // The thread's own CPU time: time in which another thread or process ran does not count.
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let end = used() + Duration::from_millis(ms);
    while used() < end {
        std::hint::spin_loop();
    }
    format!("burned {ms}").into_bytes()
}

fn hexadecimal(digest: &[u8]) -> Vec<u8> {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()
}

//! The requests that use a CPU.

use rustix::time::{ClockId, Timespec, clock_gettime};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

/// CPU work on behalf of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work<'a> {
    /// Hash the text.
    Compute(Cow<'a, [u8]>),
    /// Use so many milliseconds of CPU time.
    Burn(u64),
}

impl Work<'_> {
    /// The same work with a text of its own: it can go to another thread.
    #[must_use]
    pub fn into_owned(self) -> Work<'static> {
        match self {
            Self::Compute(text) => Work::Compute(Cow::Owned(text.into_owned())),
            Self::Burn(ms) => Work::Burn(ms),
        }
    }

    /// Does the work on this thread, and returns the reply.
    #[must_use]
    pub fn reply(&self) -> Vec<u8> {
        let mut reply = Vec::with_capacity(RESULT_LEN);
        self.run(&mut reply);
        reply
    }

    /// Does the work on this thread, and appends the reply to `replies`.
    pub fn run(&self, replies: &mut Vec<u8>) {
        match self {
            Self::Compute(text) => {
                replies.extend_from_slice(b"result: ");
                for byte in Sha256::digest(text) {
                    replies.push(HEX[usize::from(byte >> 4)]);
                    replies.push(HEX[usize::from(byte & 15)]);
                }
                replies.extend_from_slice(b"\r\n");
            }
            Self::Burn(ms) => {
                burn(Duration::from_millis(*ms));
                write!(replies, "result: burned {ms}\r\n").expect("a Vec takes what it is given");
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The longest reply: a digest.
const RESULT_LEN: usize = "result: \r\n".len() + 64;

/// Spins until this thread has used so much more CPU time.
fn burn(time: Duration) {
    let cpu_time = || {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(tv_sec.unsigned_abs(), u32::try_from(tv_nsec).unwrap_or(0))
    };
    let end = cpu_time() + time;
    while cpu_time() < end {
        std::hint::spin_loop();
    }
}

//! What a request means, and where the work of it is done.
//!
//! Most requests are answered while the line is still warm. The four that use a CPU are [`Task`]s:
//! the connection hands them to an [`Executor`](crate::executor::Executor), and whoever runs them
//! uses [`Task::run`].

use crate::protocol::Command;
use crate::reply::Reply;
use sha2::{Digest, Sha256};
use std::any::Any;
use std::borrow::Cow;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// CPU work on behalf of a client. Borrows its input from the read buffer until it has to outlive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<'a> {
    /// Hash the text.
    Compute(Cow<'a, [u8]>),
    /// Use so many milliseconds of CPU time.
    Burn(u64),
    /// Return an error.
    Fail(Cow<'a, [u8]>),
    /// Panic.
    Panic(Cow<'a, [u8]>),
}

/// How a task ended. Whatever it is, it is the reply to exactly one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The SHA-256 of the text.
    Digest([u8; 32]),
    /// So many milliseconds were used.
    Burned(u64),
    /// The task returned an error.
    Failed(Vec<u8>),
    /// The task panicked.
    Panicked(Vec<u8>),
    /// There was no room for the task.
    Busy,
    /// The task was not waited for to its end.
    TimedOut,
}

/// The payload of the panic that `panic <message>` asks for. A server's panic hook knows by it
/// that this one is part of the protocol and not a bug of the server.
#[derive(Debug)]
pub struct RequestedPanic(Vec<u8>);

impl Task<'_> {
    /// The same task, with an input of its own: it can go to another thread.
    #[must_use]
    pub fn into_owned(self) -> Task<'static> {
        let owned = |input: Cow<'_, [u8]>| Cow::Owned(input.into_owned());
        match self {
            Self::Compute(text) => Task::Compute(owned(text)),
            Self::Burn(ms) => Task::Burn(ms),
            Self::Fail(message) => Task::Fail(owned(message)),
            Self::Panic(message) => Task::Panic(owned(message)),
        }
    }

    /// Runs the task to its end on this thread; a panic in it ends here.
    ///
    /// `cpu_time` returns how much CPU time this thread has used so far (`CLOCK_THREAD_CPUTIME_ID`
    /// in clock_gettime(2)).
    pub fn run(&self, cpu_time: impl Fn() -> Duration) -> Outcome {
        // The task borrows only its own input, so nothing half-changed can be seen afterwards.
        panic::catch_unwind(AssertUnwindSafe(|| self.work(cpu_time)))
            .unwrap_or_else(|payload| Outcome::Panicked(panic_message(payload)))
    }

    fn work(&self, cpu_time: impl Fn() -> Duration) -> Outcome {
        match self {
            Self::Compute(text) => Outcome::Digest(Sha256::digest(text).into()),
            Self::Burn(ms) => {
                let end = cpu_time() + Duration::from_millis(*ms);
                while cpu_time() < end {
                    std::hint::spin_loop();
                }
                Outcome::Burned(*ms)
            }
            Self::Fail(message) => Outcome::Failed(message.to_vec()),
            Self::Panic(message) => panic::panic_any(RequestedPanic(message.to_vec())),
        }
    }
}

fn panic_message(payload: Box<dyn Any + Send>) -> Vec<u8> {
    let payload = match payload.downcast::<RequestedPanic>() {
        Ok(requested) => return requested.0,
        Err(other) => other,
    };
    if let Some(message) = payload.downcast_ref::<&str>() {
        message.as_bytes().to_vec()
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message.clone().into_bytes()
    } else {
        b"no message".to_vec()
    }
}

impl Outcome {
    /// The reply that tells the client.
    #[must_use]
    pub fn reply(&self) -> Reply<'_> {
        match self {
            Self::Digest(digest) => Reply::Digest(digest),
            Self::Burned(ms) => Reply::Burned(*ms),
            Self::Failed(message) => Reply::ServerError(message),
            Self::Panicked(message) => Reply::Panicked(message),
            Self::Busy => Reply::ServerError(b"busy"),
            Self::TimedOut => Reply::ServerError(b"task timed out"),
        }
    }
}

/// A command, sorted by who answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work<'a> {
    /// Answered at once with this.
    Reply(Reply<'a>),
    /// Answered at once with the server's figures.
    Stats,
    /// To be handed to the executor.
    Task(Task<'a>),
    /// No reply; the connection ends after what is queued.
    Quit,
}

/// Says what `command` means.
#[must_use]
pub fn work_of(command: Command<'_>) -> Work<'_> {
    match command {
        Command::Compute(text) => Work::Task(Task::Compute(text.into())),
        Command::Burn(ms) => Work::Task(Task::Burn(ms)),
        Command::Fail(message) => Work::Task(Task::Fail(message.into())),
        Command::Panic(message) => Work::Task(Task::Panic(message.into())),
        Command::Version => Work::Reply(Reply::Version(crate::stats::VERSION)),
        Command::MetaNoop => Work::Reply(Reply::MetaNoop),
        Command::Stats => Work::Stats,
        Command::Quit => Work::Quit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn reply_to(task: Task<'_>) -> String {
        let ticks = Cell::new(0);
        let clock = || {
            ticks.set(ticks.get() + 1);
            Duration::from_millis(ticks.get())
        };
        let mut out = Vec::new();
        task.run(clock).reply().write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn compute_hashes_the_text() {
        // The well-known digest of the empty text, and the one that a shell's sha256sum gives.
        assert_eq!(
            reply_to(Task::Compute(b"".into())),
            "result: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n"
        );
        assert_eq!(
            reply_to(Task::Compute(b"1".into())),
            "result: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\r\n"
        );
    }

    #[test]
    fn burn_ends_when_the_cpu_clock_says_so() {
        assert_eq!(reply_to(Task::Burn(5)), "result: burned 5\r\n");
        assert_eq!(reply_to(Task::Burn(0)), "result: burned 0\r\n");
    }

    #[test]
    fn an_error_and_a_panic_are_replies() {
        assert_eq!(reply_to(Task::Fail(b"no luck".into())), "SERVER_ERROR no luck\r\n");
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let reply = reply_to(Task::Panic(b"boom".into()));
        panic::set_hook(hook);
        assert_eq!(reply, "SERVER_ERROR task panicked: boom\r\n");
    }

    #[test]
    fn the_message_of_any_panic_is_found() {
        assert_eq!(panic_message(Box::new("a str")), b"a str");
        assert_eq!(panic_message(Box::new("a String".to_owned())), b"a String");
        assert_eq!(panic_message(Box::new(7)), b"no message");
    }
}

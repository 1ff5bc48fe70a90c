//! A single thread of the server that stands still, as if it were busy with something. A signal could
//! stop the whole process only; a tracer stops one thread (ptrace(2)).

use crate::inspect::Process;
use crate::verdict::{CaseResult, Stop};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// A thread that stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Frozen(Pid);

impl Frozen {
    /// Stops the thread with this id, and returns once it stands still.
    ///
    /// # Errors
    /// A skip where the harness may not trace the server.
    pub(crate) fn thread(process: &Process, tid: i32, within: Duration) -> CaseResult<Self> {
        let thread = Pid::from_raw(tid);
        match ptrace::seize(thread, Options::empty()) {
            Err(Errno::EPERM | Errno::ENOSYS) => {
                return Err(Stop::skip("may not trace the server"));
            }
            other => other.map_err(|error| Stop::fault("to trace a thread", error))?,
        }
        let frozen = Self(thread);
        ptrace::interrupt(thread).map_err(|error| Stop::fault("to stop a thread", error))?;
        let deadline = Instant::now() + within;
        // `t`: stopped by a tracer (proc(5)).
        while !process.threads()?.iter().any(|thread| thread.tid == tid && thread.state == 't') {
            if Instant::now() >= deadline {
                return Err(Stop::fault("a thread to stop for its tracer", "it still runs"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if ptrace::detach(self.0, None).is_err() {
            // It has ended meanwhile. Its tracer has to take note, or its process would never be gone.
            let _ = waitpid(self.0, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        }
    }
}

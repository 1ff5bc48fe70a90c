//! Starting child processes that cannot outlive the harness.

use crate::scene::lock;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;

type Request = (Command, Sender<io::Result<Child>>);

/// Starts the command in a process group of its own. The kernel kills the child when the harness
/// dies, and the child inherits no descriptor but its standard three.
///
/// `PR_SET_PDEATHSIG` acts when the *thread* that started the child ends (prctl(2)), therefore
/// one thread that lives as long as the harness starts all of them.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let requests = SPAWNER.get_or_init(|| {
        let (sender, receiver) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in receiver {
                // The one who asked may have been given up by the watchdog: then nobody owns the
                // child, and it must not stay.
                let child = while_nobody_forks(|| command.spawn());
                if let Err(unclaimed) = answer.send(child)
                    && let Ok(mut child) = unclaimed.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        sender
    });
    command.process_group(0);
    before_exec(&mut command);
    let (answer, child) = channel();
    requests.send((command, answer)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// Runs `work` at a time when no child is between fork and exec.
///
/// Such a child has a copy of every socket of the harness, close-on-exec or not, and so holds their
/// ports although the harness has closed them.
pub(crate) fn while_nobody_forks<T>(work: impl FnOnce() -> T) -> T {
    static FORKING: Mutex<()> = Mutex::new(());
    let _alone = lock(&FORKING);
    work()
}

#[expect(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
fn before_exec(command: &mut Command) {
    let prepare = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // Descriptors that the harness inherited itself would be taken for the server's own.
        // SAFETY: close_range(2) with this flag only marks descriptors; it touches no memory.
        match unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (fork(2)). The
    // closure makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

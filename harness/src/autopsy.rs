//! The state of a server at the moment of a failure, before anything is ended.

use crate::inspect::{Process, TcpState};
use crate::process::{OwnedProcess, describe};
use crate::verdict::Stop;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// Lines of the log that are shown.
const LOG_LINES: usize = 10;
/// Sockets that are shown one by one.
const SOCKETS: usize = 10;
/// Who had to wait this long for a CPU may be late for that reason alone.
const BUSY_MACHINE: Duration = Duration::from_secs(1);
/// How long a process that may be dying is given to be seen dead.
const DYING: Duration = Duration::from_millis(30);
/// How long one that has stopped listening is given.
const DEAF: Duration = Duration::from_secs(1);

/// What one server was doing.
#[derive(Debug, Clone, Serialize)]
pub struct ServerAutopsy {
    /// How it was started.
    pub command: String,
    /// Alive, or how it ended.
    pub state: String,
    /// One line per thread.
    pub threads: Vec<String>,
    /// The sockets that held bytes.
    pub sockets: Vec<String>,
    /// The last lines of its log (standard error).
    pub log: Vec<String>,
    /// Whether it has ended.
    pub ended: bool,
}

/// Examines a server: its pid if it is known, and its process if the harness started it.
pub(crate) fn examine(
    command: &str,
    pid: Option<i32>,
    process: Option<&OwnedProcess>,
) -> ServerAutopsy {
    let status = process.and_then(|process| {
        let seen = process.wait(DYING);
        seen.or_else(|| if pid.is_some_and(listens) { None } else { process.wait(DEAF) })
    });
    let mut autopsy = ServerAutopsy {
        command: command.to_owned(),
        state: String::new(),
        threads: Vec::new(),
        sockets: Vec::new(),
        log: Vec::new(),
        ended: status.is_some(),
    };
    match (status, pid) {
        (Some(status), _) => {
            if let Some(process) = process {
                process.stderr.wait_for_end(DYING);
            }
            autopsy.state = describe(status);
        }
        (None, None) => "its process id is not known".clone_into(&mut autopsy.state),
        (None, Some(pid)) => {
            autopsy.state = format!("alive, pid {pid}");
            if let Err(problem) = look_inside(pid, &mut autopsy) {
                autopsy.state = format!("{}; {problem}", autopsy.state);
            }
        }
    }
    if let Some(process) = process {
        autopsy.log = process.stderr.last_lines(LOG_LINES);
    }
    autopsy
}

/// Whether the process still has a listening socket. One that crashes closes it first.
fn listens(pid: i32) -> bool {
    let sockets = Process::new(pid).and_then(|process| process.sockets());
    sockets.is_ok_and(|all| all.iter().any(|socket| socket.state == TcpState::Listen))
}

fn look_inside(pid: i32, autopsy: &mut ServerAutopsy) -> Result<(), String> {
    let words = |stop: Stop| match stop {
        Stop::Skip(reason) => reason,
        Stop::Fail(failure) => failure.actual,
    };
    let process = Process::new(pid).map_err(words)?;
    for thread in process.threads().map_err(words)? {
        let doing = thread.call().map_or_else(words, |call| call.to_string());
        let mut line = format!(
            "{} ({}): {doing}, state {}, {:.2} s of CPU time",
            thread.tid,
            thread.name,
            thread.state,
            thread.cpu.as_secs_f64()
        );
        if thread.kept_waiting > BUSY_MACHINE {
            let waited = thread.kept_waiting.as_secs_f64();
            write!(line, "; this machine was busy: it waited {waited:.1} s for a CPU")
                .expect("a String takes all");
        }
        autopsy.threads.push(line);
    }
    let sockets = process.sockets().map_err(words)?;
    let holding: Vec<_> = sockets.iter().filter(|s| s.unread > 0 || s.unsent > 0).collect();
    autopsy.sockets = holding.iter().take(SOCKETS).map(ToString::to_string).collect();
    let connections = sockets.iter().filter(|s| s.state != TcpState::Listen).count();
    autopsy.sockets.push(format!(
        "{connections} connections; {} sockets hold bytes or unaccepted connections",
        holding.len()
    ));
    Ok(())
}

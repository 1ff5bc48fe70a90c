//! What the server's descriptors look like from outside (contract section 3).

use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::verdict::CaseResult;

/// The cases of this group.
pub const CASES: &[Case] = &[Case::new(
    "FD01",
    "descriptors/sockets_are_nonblocking_and_close_on_exec",
    Rung::Day2,
    sockets_are_nonblocking_and_close_on_exec,
)
.needs(&[Need::Pid])
.rule(
    "every socket is O_NONBLOCK and close-on-exec, the listener and each accepted one",
    "contract section 3",
)
.hint("accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC; accepted sockets do not inherit O_NONBLOCK")];

fn sockets_are_nonblocking_and_close_on_exec(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    // The reply proves that the connection has been accepted.
    client.fence()?;
    let descriptors = server.process()?.descriptors()?;
    let sockets: Vec<_> = descriptors.iter().filter(|d| d.is_socket()).collect();
    judge.ensure(
        sockets.len() >= 2,
        "a listener and a connection among the descriptors",
        || format!("{} sockets", sockets.len()),
    )?;
    for socket in sockets {
        judge.ensure(
            socket.is_nonblocking() && socket.is_close_on_exec(),
            "O_NONBLOCK and close-on-exec on every socket",
            || socket.to_string(),
        )?;
    }
    Ok(())
}

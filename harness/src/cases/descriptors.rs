//! What the server's descriptors look like from outside (notes/protocol.md section 3).

use super::support::served_clients;
use super::watch::{OUTSIDE, leave};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::inspect::{Descriptor, Process};
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

/// Clients of a round.
const ROUND: usize = 50;
/// How soon a descriptor must be closed when its connection is over.
const SOON: Duration = Duration::from_secs(2);
/// The same where nothing may linger, which would take 2 s.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new(
        "FD01",
        "descriptors/sockets_are_nonblocking_and_close_on_exec",
        Rung::Day2,
        sockets_are_nonblocking_and_close_on_exec,
    )
    .needs(&[Need::Pid])
    .rule(
        "every socket is O_NONBLOCK and close-on-exec, the listener and each accepted one",
        OUTSIDE,
    )
    .hint("accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC; accepted sockets do not inherit O_NONBLOCK"),
    Case::new(
        "FD02",
        "descriptors/everything_else_is_close_on_exec_too",
        Rung::Day2,
        everything_else_is_close_on_exec_too,
    )
    // A server that somebody else started may have inherited others.
    .needs(&[Need::Restart, Need::Pid])
    .rule(
        "every descriptor is close-on-exec, and every pipe, eventfd and signalfd is O_NONBLOCK",
        OUTSIDE,
    )
    .hint(
        "give the flags to the call that creates the descriptor: pipe2 with O_CLOEXEC | \
         O_NONBLOCK, epoll_create1, eventfd, signalfd with their _CLOEXEC and _NONBLOCK",
    ),
    Case::new("FD03", "descriptors/flags_are_there_from_creation_on", Rung::Day2, from_creation_on)
        .needs(&[Need::Restart, Need::Pid])
        .timeout_s(20)
        .rule("the flags are set by the call that creates the descriptor, not afterwards", OUTSIDE)
        .hint(
            "accept and then fcntl leaves a gap in which the socket blocks and another thread's \
             exec inherits it; use accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC",
        ),
    Case::new("FD04", "descriptors/a_close_gives_its_descriptor_back", Rung::Day2, after_closes)
        .needs(&[Need::Pid])
        .rule(
            "after 50 clients came and went the server has as many descriptors as before",
            OUTSIDE,
        )
        .hint("recv returned 0: the client is gone. Remove it from every list, then close its fd"),
    Case::new("FD05", "descriptors/a_reset_gives_its_descriptor_back", Rung::Day2, after_resets)
        .needs(&[Need::Pid])
        .rule("a reset connection is removed and its descriptor closed", OUTSIDE)
        .hint(
            "recv or send failed with ECONNRESET or EPIPE: close that connection, keep serving; poll \
             reports a reset as several events at once (POLLIN | POLLERR | POLLHUP), so test bits",
        ),
    Case::new(
        "FD06",
        "descriptors/a_time_out_gives_its_descriptor_back",
        Rung::Day2,
        after_timeouts,
    )
    .needs(&[Need::Pid, Need::Flags])
    .rule("a connection that ran into a time-out gives its descriptor back", OUTSIDE)
    .hint("shutdown(2) alone frees nothing: close(2) the descriptor after a time-out, too"),
    Case::new(
        "FD07",
        "descriptors/a_refusal_gives_its_descriptor_back",
        Rung::Day2,
        after_refusals,
    )
    .needs(&[Need::Pid, Need::Flags])
    .rule("a connection beyond --max-connections is closed at once", OUTSIDE)
    .hint(
        "the refused socket has been accepted, so it has to be closed like any other, and at once: \
         a refusal does not linger",
    ),
    Case::new("FD08", "descriptors/a_storm_leaves_nothing_behind", Rung::Day2, after_a_storm)
        .needs(&[Need::Pid])
        .rule("1,000 connections that end in every way leave no descriptor behind", OUTSIDE)
        .hint(
            "some way to end a connection skips the close: look at quit, an error that loses \
             framing, a half-sent request, a reset with replies waiting. One function should \
             close, and every path should go through it",
        ),
    Case::new("FD09", "descriptors/the_server_starts_no_child", Rung::Day2, no_children)
        .needs(&[Need::Pid])
        .rule("one process serves everybody", OUTSIDE)
        .hint("no fork per connection and no helper program: the lab is about one loop"),
];

fn sockets_are_nonblocking_and_close_on_exec(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let clients = served_clients(&server, 3)?;
    let descriptors = server.process()?.descriptors()?;
    let sockets: Vec<_> = descriptors.iter().filter(|d| d.is_socket()).collect();
    judge.ensure(
        sockets.len() > clients.len(),
        "a listener and three connections among the descriptors",
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

fn everything_else_is_close_on_exec_too(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let _clients = served_clients(&server, 1)?;
    let descriptors = server.process()?.descriptors()?;
    descriptors.iter().filter(|d| !d.is_socket()).try_for_each(|d| has_its_flags(judge, d))
}

/// Stops the server at a random moment of each of many accepts, so that a gap between two calls
/// has a good chance to be seen. A server without the gap can't fail.
fn from_creation_on(judge: &Judge) -> CaseResult {
    const CLIENTS: usize = 20;
    let server = judge.server(&[])?;
    let process = server.process()?;
    let mut rng = judge.rng();
    let mut known: Vec<String> = Vec::new();
    let mut latest_us = 400;
    for _ in 0..300 {
        // A busy machine does fewer rounds.
        if judge.remaining() < 3 * SOON {
            break;
        }
        server.pause()?;
        let clients = (0..CLIENTS).map(|_| server.client()).collect::<CaseResult<Vec<_>>>()?;
        server.resume()?;
        let moment = Instant::now() + Duration::from_micros(rng.u64(..latest_us));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        server.pause()?;
        let descriptors = process.descriptors()?;
        descriptors.iter().try_for_each(|d| has_its_flags(judge, d))?;
        // Aims at the middle of the accepts, however fast the server is and however busy the machine.
        let accepted = descriptors.iter().filter(|d| !known.contains(&d.target)).count();
        known = descriptors.into_iter().map(|d| d.target).collect();
        latest_us = match accepted {
            0 => (latest_us * 5 / 4).min(20_000),
            CLIENTS.. => (latest_us * 4 / 5).max(20),
            _ => latest_us,
        };
        leave(clients)?;
    }
    server.resume()
}

fn has_its_flags(judge: &Judge, descriptor: &Descriptor) -> CaseResult {
    const NONBLOCKING: [&str; 4] =
        ["socket:", "pipe:", "anon_inode:[eventfd]", "anon_inode:[signalfd]"];
    let can_block = NONBLOCKING.iter().any(|kind| descriptor.target.starts_with(kind));
    judge.ensure(descriptor.is_close_on_exec(), "close-on-exec on every descriptor", || {
        descriptor.to_string()
    })?;
    judge.ensure(
        descriptor.is_nonblocking() || !can_block,
        "O_NONBLOCK on every socket, pipe, eventfd and signalfd",
        || descriptor.to_string(),
    )
}

/// How many descriptors there are while one client, the witness, is connected.
struct Baseline {
    process: Process,
    count: usize,
    _witness: Vec<Client>,
}

impl Baseline {
    fn take(server: &Server) -> CaseResult<Self> {
        let witness = served_clients(server, 1)?;
        let process = server.process()?;
        let count = process.descriptors()?.len();
        Ok(Self { process, count, _witness: witness })
    }

    /// Waits until there are no more than at the beginning.
    fn wait(&self, judge: &Judge) -> CaseResult {
        self.wait_within(judge, SOON)
    }

    fn wait_within(&self, judge: &Judge, limit: Duration) -> CaseResult {
        let what = format!("{} descriptors, as before the clients came", self.count);
        judge.wait_until(&what, limit, || Ok(self.process.descriptors()?.len() <= self.count))
    }
}

fn after_closes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let baseline = Baseline::take(&server)?;
    drop(served_clients(&server, ROUND)?);
    baseline.wait(judge)
}

fn after_resets(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let baseline = Baseline::take(&server)?;
    leave(served_clients(&server, ROUND)?)?;
    baseline.wait(judge)
}

fn after_timeouts(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "400ms"])?;
    let baseline = Baseline::take(&server)?;
    // They stay open at their end: only the server can close.
    let _clients = served_clients(&server, ROUND)?;
    baseline.wait(judge)
}

fn after_refusals(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "1"])?;
    let baseline = Baseline::take(&server)?;
    let mut refused = Vec::new();
    for _ in 0..ROUND {
        refused.push(server.client()?);
    }
    for client in &mut refused {
        client.read_until_closed()?;
    }
    baseline.wait_within(judge, AT_ONCE)
}

fn after_a_storm(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let baseline = Baseline::take(&server)?;
    for _ in 0..1000 / ROUND {
        let clients = served_clients(&server, ROUND)?;
        for (number, mut client) in clients.into_iter().enumerate() {
            match number % 10 {
                0 => drop(client),
                1 => {
                    client.send("quit\r\n")?;
                    client.read_until_closed()?;
                }
                2 => client.send("echo 1\r\nno end of line")?,
                3 => client.reset()?,
                _ => {
                    client.send("version\r\nstats\r\necho 9\r\nhalf")?;
                    client.reset()?;
                }
            }
        }
    }
    baseline.wait(judge)
}

fn no_children(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = served_clients(&server, 5)?;
    clients[0].ask("burn 1\r\n", "result: burned 1\r\n")?;
    let family = Process::with_descendants(server.pid()?);
    judge.equal("processes", 1, family.len())
}

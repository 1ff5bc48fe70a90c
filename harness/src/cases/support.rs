//! What several groups need: a look at the counters, and clients that are in a certain state.

use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

/// How long the server may take over what it does at once, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// The least that must be measured where a server may close after `limit` and not before: a clock
/// in whole milliseconds, or `CLOCK_MONOTONIC_COARSE`, is some milliseconds off (clock_gettime(2)).
pub(super) fn not_early(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_millis(20))
}

/// A receive buffer that is full after a few KiB.
pub(super) const TINY: usize = 4096;

/// More bytes than the socket buffers between the server and a [`TINY`] client take.
pub(super) const BIG: usize = 8 << 20;

/// A client that does nothing but ask for `stats`, so that the asking changes nothing.
#[derive(Debug)]
pub(super) struct Watcher {
    client: Client,
}

impl Watcher {
    pub(super) fn new(server: &Server) -> CaseResult<Self> {
        Ok(Self { client: server.connect().named("watcher").open()? })
    }

    /// One number of `stats`.
    pub(super) fn number(&mut self, name: &str) -> CaseResult<u64> {
        self.client.stats()?.number(name)
    }

    /// How many connections the server has beside this one.
    pub(super) fn others(&mut self) -> CaseResult<u64> {
        Ok(self.number("curr_connections")?.saturating_sub(1))
    }

    /// Waits until a number of `stats` is this one. `expected` says so in the case's words.
    pub(super) fn wait_for(
        &mut self,
        judge: &Judge,
        expected: &str,
        name: &str,
        limit: Duration,
        is_right: impl Fn(u64) -> bool,
    ) -> CaseResult {
        let mut last = None;
        let waited = judge.wait_until(expected, limit, || {
            last = None;
            last = Some(self.number(name)?);
            Ok(last.is_some_and(&is_right))
        });
        match (waited, last) {
            // The limit ran out, not the connection: then the number says more.
            (Err(_), Some(number)) => {
                Err(judge.broken(expected, format!("{name} is {number} after {limit:.1?}")))
            }
            (waited, _) => waited,
        }
    }

    /// Waits until the server has so many connections beside this one.
    pub(super) fn wait_for_others(
        &mut self,
        judge: &Judge,
        count: usize,
        limit: Duration,
    ) -> CaseResult {
        let wanted = count as u64 + 1;
        let expected = format!("{count} connections and the one that asks (curr_connections)");
        self.wait_for(judge, &expected, "curr_connections", limit, |now| now == wanted)
    }
}

/// An `echo` request with this body, and its reply.
pub(super) fn echo(body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let with_header =
        |verb: &str| [format!("{verb} {}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
    (with_header("echo"), with_header("ECHO"))
}

/// An `echo` request for so many bytes, and its reply.
pub(super) fn echo_of(count: usize) -> (Vec<u8>, Vec<u8>) {
    echo(&vec![b'x'; count])
}

/// A client with a tiny receive buffer that has asked for an echo of [`BIG`] bytes and reads none
/// of it. The second value is a moment before the reply can have begun.
pub(super) fn stopped_reader(server: &Server) -> CaseResult<(Client, Instant)> {
    let mut client = server.connect().named("reader").receive_buffer(TINY).open()?;
    let (request, _) = echo_of(BIG);
    let (most, last_byte) = request.split_at(request.len() - 1);
    client.send(most)?;
    let before = Instant::now();
    client.send(last_byte)?;
    Ok((client, before))
}

/// A [`stopped_reader`] for which the server has bytes in its write queue.
pub(super) fn reader_with_queue(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
) -> CaseResult<Client> {
    let (client, _) = stopped_reader(server)?;
    watcher.wait_for(judge, "replies to be queued", "bytes_queued", SOON, |bytes| bytes > 0)?;
    Ok(client)
}

/// Numbered clients, each of which has been served once.
pub(super) fn served_clients(server: &Server, count: usize) -> CaseResult<Vec<Client>> {
    let mut clients = connected_clients(server, count)?;
    clients.iter_mut().try_for_each(|client| client.send("mn\r\n"))?;
    clients.iter_mut().try_for_each(|client| client.expect("MN\r\n"))?;
    Ok(clients)
}

/// Numbered clients that have said nothing yet.
pub(super) fn connected_clients(server: &Server, count: usize) -> CaseResult<Vec<Client>> {
    (1..=count).map(|number| server.connect().named(&format!("client {number}")).open()).collect()
}

//! What several groups need: a look at the counters, and clients that are in a certain state.

use crate::client::Client;
use crate::inspect::Process;
use crate::judge::Judge;
use crate::server::Server;
use crate::stats::Stats;
use crate::verdict::CaseResult;
use rustix::process::{Resource, getrlimit};
use std::time::{Duration, Instant};

/// How long the server may take over what it does at once, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// How long a busy machine may take over what no rule gives a time for: megabytes that a server in
/// a slow language reads, or writes.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The least that must be measured where a server may close after `limit` and not before: a clock
/// in whole milliseconds, or `CLOCK_MONOTONIC_COARSE`, is some milliseconds off (clock_gettime(2)).
pub(super) fn not_early(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_millis(20))
}

/// A receive buffer that is full after a few KiB.
pub(super) const TINY: usize = 4096;

/// More bytes than the socket buffers between the server and a [`TINY`] client take.
pub(super) const BIG: usize = 8 << 20;

/// What a client is told for whom there is no room.
pub(super) const REFUSAL: &str = "SERVER_ERROR too many connections\r\n";

/// A server that disconnects no slow reader before the case is over, however busy the machine is.
pub(super) fn patient_server(judge: &Judge, flags: &[&str]) -> CaseResult<Server> {
    judge.launch().flags(&["--slow-reader-timeout", "10m"]).flags(flags).start()
}

/// A client that does nothing but ask for `stats`, so that the asking changes nothing.
#[derive(Debug)]
pub(super) struct Watcher {
    client: Client,
    /// Bytes of the requests that it has sent itself, and of the replies that it has had.
    sent: u64,
    heard: u64,
}

/// What the server has done for the others, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Bytes that it has read.
    pub(super) read: u64,
    /// Bytes that wait in write queues.
    pub(super) queued: u64,
    /// Bytes of all replies it has made: written, or still in a queue.
    pub(super) replied: u64,
    /// How often it has paused a connection.
    pub(super) paused: u64,
}

impl Watcher {
    pub(super) fn new(server: &Server) -> CaseResult<Self> {
        Ok(Self { client: server.connect().named("watcher").open()?, sent: 0, heard: 0 })
    }

    fn stats(&mut self) -> CaseResult<Stats> {
        let stats = self.client.stats()?;
        self.sent += "stats\r\n".len() as u64;
        self.heard += stats.reply_length();
        Ok(stats)
    }

    /// One number of `stats`.
    pub(super) fn number(&mut self, name: &str) -> CaseResult<u64> {
        self.stats()?.number(name)
    }

    /// The length of a reply to `stats`.
    pub(super) fn reply_length(&mut self) -> CaseResult<u64> {
        Ok(self.stats()?.reply_length())
    }

    /// Bytes of all replies that the server has made for the others.
    pub(super) fn replies_made(&mut self) -> CaseResult<u64> {
        let heard = self.heard;
        let stats = self.stats()?;
        let made = stats.number("bytes_written")? + stats.number("bytes_queued")?;
        Ok(made.saturating_sub(heard))
    }

    /// What the server has done for the others: for cases in which it is a fresh one. Two answers that
    /// agree, where it stands still long enough: figures that several loops keep may change while one
    /// answer is made of them, and a byte be told of twice or not at all.
    pub(super) fn look(&mut self) -> CaseResult<Look> {
        const TRIES: usize = 50;
        let mut last = self.look_once()?;
        for _ in 0..TRIES {
            let now = self.look_once()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    fn look_once(&mut self) -> CaseResult<Look> {
        let heard = self.heard;
        let stats = self.stats()?;
        let read = stats.number("bytes_read")?.saturating_sub(self.sent);
        let queued = stats.number("bytes_queued")?;
        let written = stats.number("bytes_written")?.saturating_sub(heard);
        Ok(Look { read, queued, replied: written + queued, paused: stats.number("reads_paused")? })
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
    // Before the client is there: its clocks run from then on.
    let (request, _) = echo_of(BIG);
    let mut client = server.connect().named("reader").receive_buffer(TINY).open()?;
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

/// A client with a tiny receive buffer that has asked for an echo of [`BIG`] bytes but for the last
/// byte of its request, and the server has read all of it. The second value is that byte, the third
/// the reply.
pub(super) fn almost_asked(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
) -> CaseResult<(Client, Vec<u8>, Vec<u8>)> {
    let mut client = server.connect().named("paused").receive_buffer(TINY).open()?;
    let (mut request, reply) = echo_of(BIG);
    let last_byte = request.split_off(request.len() - 1);
    let all = watcher.look()?.read + request.len() as u64;
    client.send(request)?;
    judge.wait_until("the server to read a large request", PATIENCE, || {
        Ok(watcher.look()?.read >= all)
    })?;
    Ok((client, last_byte, reply))
}

/// A client that the server has paused, with `rest` behind its request. When the pause begins the
/// server has read all of that: it comes in one piece with the last byte of the request. The second
/// value is the reply that comes first.
pub(super) fn paused_with(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
    rest: impl AsRef<[u8]>,
) -> CaseResult<(Client, Vec<u8>)> {
    let (mut client, last_byte, reply) = almost_asked(judge, server, watcher)?;
    let before = watcher.look()?.paused;
    client.send([&last_byte, rest.as_ref()].concat())?;
    let expected = "a client with 8 MiB of replies to be paused (reads_paused)";
    watcher.wait_for(judge, expected, "reads_paused", PATIENCE, |paused| paused > before)?;
    Ok((client, reply))
}

/// Bytes that the client's kernel has not yet handed over to the server's.
pub(super) fn unacknowledged(client: &Client) -> CaseResult<usize> {
    let address = client.local_address()?;
    let sockets = Process::new(std::process::id() as i32)?.sockets_at(address)?;
    let own = sockets.iter().find(|socket| socket.local == address);
    Ok(own.map_or(0, |socket| socket.unsent as usize))
}

/// Waits until the server's kernel has taken all that the client sent.
pub(super) fn wait_until_arrived(judge: &Judge, client: &Client) -> CaseResult {
    let arrived = || Ok(unacknowledged(client)? == 0);
    let waited = judge.wait_until("the request to arrive", Duration::from_secs(1), arrived);
    if waited.is_err() && unacknowledged(client)? > 0 {
        return Err(judge.skip("a receive buffer here does not take the request (tcp_rmem)"));
    }
    waited
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

/// Each client asks at once, and is answered within the time.
pub(super) fn all_are_answered(
    judge: &Judge,
    clients: &mut [Client],
    within: Duration,
) -> CaseResult {
    let (asked_at, limit) = (Instant::now(), judge.scale(within));
    clients.iter_mut().try_for_each(|client| client.send("echo 2\r\nhi\r\n"))?;
    for client in clients.iter_mut().rev() {
        client.expect("ECHO 2\r\nhi\r\n")?;
        let waited = asked_at.elapsed();
        judge.ensure(waited < limit, format!("a reply within {limit:.1?}"), || {
            format!("{} waited for {waited:.1?}", client.name())
        })?;
    }
    Ok(())
}

/// A newcomer that says nothing is closed at once; what it is told is the refusal, if anything.
/// Returns whether it was told.
pub(super) fn expect_refusal(judge: &Judge, newcomer: &mut Client) -> CaseResult<bool> {
    let (told, _) = newcomer.read_until_closed()?;
    let told = String::from_utf8_lossy(&told).into_owned();
    judge.ensure(told.is_empty() || told == REFUSAL, format!("{REFUSAL:?} and the end"), || {
        format!("{told:?} and the end")
    })?;
    Ok(!told.is_empty())
}

/// So many clients, and the server has accepted all of them, if only to refuse them. They come a few
/// at a time, so that the backlog is never full.
pub(super) fn crowd(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
    count: usize,
) -> CaseResult<Vec<Client>> {
    let before = watcher.number("total_connections")?;
    let mut clients = Vec::new();
    while clients.len() < count {
        clients.extend(connected_clients(server, (count - clients.len()).min(200))?);
        let all = before + clients.len() as u64;
        let expected = format!("{all} connections to be accepted, or accepted and refused");
        watcher.wait_for(judge, &expected, "total_connections", SOON, |total| total >= all)?;
    }
    Ok(clients)
}

/// Waits until so many descriptors are open.
pub(super) fn expect_descriptors(
    judge: &Judge,
    process: &Process,
    count: usize,
    when: &str,
) -> CaseResult {
    let expected = format!("{count} open descriptors after {when}");
    let open = || Ok(process.descriptors()?.len());
    wait_for_count(judge, &expected, open, |now| now == count)
}

/// Waits for the right number of what a connection leaves behind: one thread may tell that it is gone
/// while another one closes it.
pub(super) fn wait_for_count(
    judge: &Judge,
    expected: &str,
    mut count: impl FnMut() -> CaseResult<usize>,
    is_right: impl Fn(usize) -> bool,
) -> CaseResult {
    let mut last = None;
    let waited = judge.wait_until(expected, SOON, || {
        last = None;
        last = Some(count()?);
        Ok(last.is_some_and(&is_right))
    });
    match (waited, last) {
        // The limit ran out: then the number says more.
        (Err(_), Some(number)) => Err(judge.broken(expected, format!("there are {number}"))),
        (waited, _) => waited,
    }
}

/// How many descriptors the server needs for so many clients, with some room. The harness needs as
/// many for them, and about as many for the cases that run beside this one.
pub(super) fn needs_descriptors(judge: &Judge, clients: usize) -> CaseResult<u64> {
    let needed = clients as u64 + 1000;
    let here = clients as u64 + 5000;
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < here => {
            Err(judge.skip(format!("{here} descriptors are needed, and {most} are allowed here")))
        }
        _ => Ok(needed),
    }
}

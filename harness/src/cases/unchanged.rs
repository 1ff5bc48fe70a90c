//! Another mechanism changes nothing that a client can tell: the same seeded workload, step by step,
//! on the server and on a reference, and everything that either said or did compared.
//!
//! One step at a time is done to both: a server that has taken it sleeps again before the next, so
//! that neither can see two things at once that the other sees in turn.

use super::support::TINY;
use super::watch::loops_sleep;
use crate::case::{Case, Need, Rung};
use crate::client::{Client, Ending};
use crate::inspect::Process;
use crate::judge::Judge;
use crate::server::{Server, Signal};
use crate::target::Origin;
use crate::transitions::Transition;
use crate::verdict::CaseResult;
use crate::workload::{FLAGS, PIPELINES, Step, Workload};
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The page and section of both rules.
const RUNGS: &str = "notes/protocol.md section 5, the rungs";

/// How long a step may take on a busy machine.
const STEP: Duration = Duration::from_secs(10);

/// What asking for `stats` adds to `bytes_read`.
const ASKING: u64 = "stats\r\n".len() as u64;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("UN01", "unchanged/transcripts_are_byte_identical", Rung::Day4, same_transcripts)
        .needs(&[Need::Restart, Need::Flags, Need::Pid])
        .timeout_s(60)
        .rule("the same workload gives the same replies, byte for byte, as on day 3", RUNGS)
        .hint(
            "only the wait call is new: compare the sequence of reads, replies and closes of the \
             client that is named with that of day 3",
        ),
    Case::new("UN02", "unchanged/transitions_are_the_same", Rung::Day4, same_transitions)
        .needs(&[Need::Restart, Need::Flags, Need::Pid])
        .timeout_s(60)
        .rule(
            "the same workload takes each connection through the same states, for the same reasons, \
             as on day 3",
            RUNGS,
        )
        .hint(
            "look at what the poller reports for this connection: an event too many or too few, or \
             another order of readable and writable",
        ),
];

fn same_transcripts(judge: &Judge) -> CaseResult {
    let (reference, judged) = run_both(judge)?;
    for ((name, expected), actual) in judged.names.iter().zip(&reference.heard).zip(&judged.heard) {
        if expected.bytes != actual.bytes {
            let note = format!("(expected is what {} said)", reference.name());
            let client = judged.client_name(name);
            let scene = &judged.judge.scene;
            return Err(scene.wrong_bytes(&expected.bytes, &actual.bytes, &note, &client, None));
        }
        judge.equal(&format!("how `{name}` ended"), expected.ending, actual.ending)?;
    }
    Ok(())
}

fn same_transitions(judge: &Judge) -> CaseResult {
    let (reference, judged) = run_both(judge)?;
    let (expected, actual) = (reference.server.log(), judged.server.log());
    let (expected, actual) = (transitions(&expected), transitions(&actual));
    if actual.is_empty() {
        return Err(judge.skip("its log has no lines about transitions, as ours have at `debug`"));
    }
    judge.equal("number of connections", expected.len(), actual.len())?;
    // The first is the one that asks for `stats`; how often it does varies.
    let connections = expected.values().zip(actual.values()).skip(1);
    for (client, (expected, actual)) in judged.accepted.iter().zip(connections) {
        let name = judged.names[*client];
        // With workers, what is behind a task and what is before it meet in an order of their own.
        if name == PIPELINES && judge.rung() >= Rung::W05 {
            continue;
        }
        let most = expected.len().max(actual.len());
        let Some(at) = (0..most).find(|at| expected.get(*at) != actual.get(*at)) else { continue };
        let told = |side: &Side, all: &[Transition<'_>]| {
            let same = all[..at].last().map(|last| format!("after {}, ", words(last)));
            let next = all.get(at).map_or_else(|| "nothing more".to_owned(), words);
            format!(
                "`{name}`, transition {}: {}{next} ({})",
                at + 1,
                same.unwrap_or_default(),
                side.name()
            )
        };
        return Err(judge.broken(told(&reference, expected), told(&judged, actual)));
    }
    Ok(())
}

/// The changes of state of each connection, in the order of accept.
fn transitions(log: &str) -> BTreeMap<u64, Vec<Transition<'_>>> {
    let mut all: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for transition in log.lines().filter_map(Transition::parse) {
        all.entry(transition.conn).or_default().push(transition);
    }
    all
}

fn words(transition: &Transition<'_>) -> String {
    let Transition { row, from, event, to, .. } = transition;
    format!("{from} -> {} on `{event}` (row {row})", to.unwrap_or(from))
}

/// Does the workload to the reference and to the judged server, and ends both.
fn run_both(judge: &Judge) -> CaseResult<(Side, Side)> {
    let workload = Workload::new(&mut judge.rng());
    let mut reference = Side::new(judge.reference()?, &workload)?;
    let mut judged = Side::new(judge.clone(), &workload)?;
    for (client, step) in workload.steps {
        reference.act(client, &step, 0)?;
        let heard = reference.heard_by(client);
        judged.act(client, &step, heard)?;
    }
    reference.finish()?;
    judged.finish()?;
    if !matches!(judge.target.origin, Origin::Program { .. }) {
        for heard in reference.heard.iter_mut().chain(&mut judged.heard) {
            heard.bytes = without_reasons(&heard.bytes);
        }
    }
    Ok((reference, judged))
}

/// What a client heard.
#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    /// `None`: the client left first.
    ending: Option<Ending>,
}

/// One of the two servers, and its clients.
struct Side {
    judge: Judge,
    server: Server,
    process: Process,
    /// Asks for `stats`, and so knows what the server has taken.
    watcher: Client,
    /// What `bytes_read` is without the bytes of the workload and of asking.
    read_before: u64,
    asked: u64,
    /// Bytes of the workload that the server is to take.
    sent: u64,
    /// Those that it leaves in the kernel for now.
    held_back: u64,
    names: Vec<&'static str>,
    clients: Vec<Option<Client>>,
    /// The clients in the order in which they connected.
    accepted: Vec<usize>,
    heard: Vec<Heard>,
    /// Clients that read nothing for now.
    stalled: Vec<bool>,
}

impl Side {
    fn new(judge: Judge, workload: &Workload) -> CaseResult<Self> {
        let server = judge.launch().flags(FLAGS).env("RUST_LOG", "debug").start()?;
        let mut watcher = server.connect().named("watcher").open()?;
        let read_before = watcher.stats()?.number("bytes_read")?;
        let count = workload.names.len();
        Ok(Self {
            process: server.process()?,
            judge,
            server,
            watcher,
            read_before,
            asked: 0,
            sent: 0,
            held_back: 0,
            names: workload.names.clone(),
            clients: (0..count).map(|_| None).collect(),
            accepted: Vec::new(),
            heard: (0..count).map(|_| Heard::default()).collect(),
            stalled: vec![false; count],
        })
    }

    fn name(&self) -> &str {
        self.judge.target_name()
    }

    fn client_name(&self, name: &str) -> String {
        format!("{name} ({})", self.name())
    }

    /// Lets a client do a step, and waits until the server has taken it and has told the client at
    /// least so many bytes.
    fn act(&mut self, number: usize, step: &Step, least: usize) -> CaseResult {
        if matches!(step, Step::Connect | Step::ConnectAndStall) {
            self.connect(number, *step == Step::ConnectAndStall)?;
            return self.settle(number, least);
        }
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        match step {
            Step::Connect | Step::ConnectAndStall => {}
            Step::Send(bytes) => {
                client.send(bytes)?;
                self.sent += bytes.len() as u64;
            }
            Step::SendHeldBack(bytes) => {
                client.send(bytes)?;
                self.held_back += bytes.len() as u64;
            }
            Step::Read(count) => {
                self.heard[number].bytes.extend(client.read_exact(*count)?);
                self.stalled[number] = false;
                self.sent += std::mem::take(&mut self.held_back);
            }
            Step::SendLast(bytes) => {
                client.send(bytes)?;
                self.sent += bytes.len() as u64;
                self.hear_the_end(number)?;
            }
            Step::HalfClose => {
                client.shutdown_write()?;
                self.hear_the_end(number)?;
            }
            Step::Reset => {
                if !self.stalled[number] {
                    self.heard[number].bytes.extend_from_slice(client.received());
                }
                if let Some(client) = self.clients[number].take() {
                    client.reset()?;
                }
            }
        }
        self.settle(number, least)
    }

    fn connect(&mut self, number: usize, stall: bool) -> CaseResult {
        let name = self.client_name(self.names[number]);
        let connect = self.server.connect().named(&name);
        let connect = if stall { connect.receive_buffer(TINY) } else { connect };
        self.clients[number] = Some(connect.open()?);
        self.stalled[number] = stall;
        self.accepted.push(number);
        Ok(())
    }

    fn hear_the_end(&mut self, number: usize) -> CaseResult {
        if let Some(mut client) = self.clients[number].take() {
            let (bytes, ending) = client.read_until_closed()?;
            self.heard[number].bytes.extend(bytes);
            self.heard[number].ending = Some(ending);
        }
        Ok(())
    }

    /// How many bytes the client has heard so far, without reasons of errors.
    fn heard_by(&mut self, number: usize) -> usize {
        let waiting = match &mut self.clients[number] {
            Some(client) if !self.stalled[number] => without_reasons(client.received()).len(),
            _ => 0,
        };
        without_reasons(&self.heard[number].bytes).len() + waiting
    }

    /// Waits until the server has read all it is to read, has closed what is to be closed, has said
    /// what is to be said, and its loop sleeps. `stats` is answered by the same loop, or else all loops
    /// sleep.
    fn settle(&mut self, number: usize, least: usize) -> CaseResult {
        let deadline = Instant::now() + self.judge.scale(STEP).min(self.judge.remaining());
        loop {
            let stats = self.watcher.stats()?;
            self.asked += 1;
            let wanted_bytes = self.read_before + self.sent + ASKING * self.asked;
            let wanted_connections = self.clients.iter().flatten().count() as u64 + 1;
            let bytes = stats.number("bytes_read")?;
            let connections = stats.number("curr_connections")?;
            let heard = self.heard_by(number);
            let done = bytes >= wanted_bytes && connections == wanted_connections;
            if done && heard >= least && loops_sleep(&self.judge, &self.process)? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let name = self.client_name(self.names[number]);
                return Err(self.judge.broken(
                    format!(
                        "after a step of `{name}`: bytes_read {wanted_bytes}, curr_connections \
                         {wanted_connections}, {least} bytes sent to it, and a loop that sleeps"
                    ),
                    format!(
                        "bytes_read {bytes}, curr_connections {connections}, {heard} bytes sent to it"
                    ),
                ));
            }
            // Each question is two lines of the log.
            sleep(Duration::from_millis(1));
        }
    }

    /// Stops the server; who is still there hears the end.
    fn finish(&mut self) -> CaseResult {
        self.server.wait_for_ready_line()?;
        self.server.signal(Signal::TERM)?;
        for number in 0..self.clients.len() {
            self.hear_the_end(number)?;
        }
        self.watcher.expect_eof()?;
        // Or the server would wait for the watcher to hear its last reply.
        self.watcher.shutdown_write()?;
        self.server.expect_clean_exit(STEP)?;
        Ok(())
    }
}

/// A server of another author gives other reasons for `CLIENT_ERROR`, which is its right.
fn without_reasons(bytes: &[u8]) -> Vec<u8> {
    const START: &[u8] = b"CLIENT_ERROR ";
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let short = lines.map(|line| if line.starts_with(START) { b"CLIENT_ERROR\r\n" } else { line });
    short.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reason_of_an_error_may_differ() {
        let replies = b"MN\r\nCLIENT_ERROR no such number\r\nERROR\r\nECHO 1\r\n";
        assert_eq!(without_reasons(replies), b"MN\r\nCLIENT_ERROR\r\nERROR\r\nECHO 1\r\n");
    }
}

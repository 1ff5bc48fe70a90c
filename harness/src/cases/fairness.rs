//! One client that always has input, and the others who want to be served meanwhile.

use super::support::{BIG, TINY, all_are_answered, connected_clients, echo_of};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::{CaseResult, Stop};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const FAIRNESS: &str = "notes/protocol.md section 1, fairness";

/// The others are answered within 1 s; what is above that is left to a busy machine.
const WITHIN: Duration = Duration::from_secs(2);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("FA01", "fairness/flood_of_small_requests", Rung::Day2, flood_of_small_requests)
        .rule("49 clients are answered within 1 s beside one that floods and reads", FAIRNESS)
        .hint(
            "don't recv from one client until EAGAIN, which may never come: in a turn take a \
             bounded number of bytes (one recv of 64 KiB) and of tasks, then serve the next",
        ),
    Case::new("FA02", "fairness/flood_that_never_reads", Rung::Day2, flood_that_never_reads)
        .rule("49 clients are answered within 1 s beside one that floods and never reads", FAIRNESS)
        .hint(
            "a send that would block must not be waited for: keep the rest in the write queue and \
             go on with the others",
        ),
    Case::new("FA03", "fairness/huge_bodies", Rung::Day2, huge_bodies)
        .rule("49 clients are answered within 1 s beside one that sends huge bodies", FAIRNESS)
        .hint(
            "don't stay with one client until its body is complete: note how many bytes are still \
             to come, and go on when the wait call reports more; don't copy the whole body for \
             every recv",
        ),
    Case::new("FA04", "fairness/many_tasks_in_a_row", Rung::Day2, many_tasks_in_a_row)
        .needs(&[Need::Pid])
        .rule("a client that pipelines many tasks lets the others be served between them", FAIRNESS)
        .hint(
            "after a task on the loop, serve the others before the next request of the same \
             client; its requests wait in the read buffer, so don't sleep in the wait call",
        ),
];

/// A client that sends the same bytes without pause, and reads the replies, until it is dropped.
pub(super) struct Flood {
    stream: TcpStream,
    sent: Arc<AtomicUsize>,
    threads: [Option<JoinHandle<()>>; 2],
}

impl Flood {
    pub(super) fn start(server: &Server, chunk: Vec<u8>) -> CaseResult<Self> {
        let fault = |error| Stop::fault("a client that floods", error);
        let stream = TcpStream::connect(server.address()).map_err(fault)?;
        let mut sender = stream.try_clone().map_err(fault)?;
        let mut receiver = stream.try_clone().map_err(fault)?;
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        // Both threads end by the shutdown in `drop`, or when the server closes.
        let sending = thread::spawn(move || {
            while sender.write_all(&chunk).is_ok() {
                counter.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        });
        let receiving = thread::spawn(move || {
            let mut replies = vec![0; 64 << 10];
            while receiver.read(&mut replies).is_ok_and(|count| count > 0) {}
        });
        Ok(Self { stream, sent, threads: [Some(sending), Some(receiving)] })
    }

    /// Waits until so many bytes are sent, so that the flood is under way.
    fn wait_for(&self, judge: &Judge, bytes: usize) -> CaseResult {
        judge.wait_until("the server to take what a flooding client sends", WITHIN * 2, || {
            Ok(self.sent.load(Ordering::Relaxed) >= bytes)
        })
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // Wakes both threads, whatever they are blocked in.
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            let _ = thread.join();
        }
    }
}

fn beside_a_flood(judge: &Judge, chunk: Vec<u8>) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = connected_clients(&server, 49)?;
    clients.iter_mut().try_for_each(Client::fence)?;
    let flood = Flood::start(&server, chunk)?;
    flood.wait_for(judge, 64 << 10)?;
    // Several times, because a flood may stand still for a moment.
    (0..20).try_for_each(|_| all_are_answered(judge, &mut clients, WITHIN))
}

fn flood_of_small_requests(judge: &Judge) -> CaseResult {
    beside_a_flood(judge, "mn\r\n".repeat(16 << 10).into_bytes())
}

fn flood_that_never_reads(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = connected_clients(&server, 49)?;
    clients.iter_mut().try_for_each(Client::fence)?;
    let mut flood = server.connect().named("never reads").receive_buffer(TINY).open()?;
    // A server without bounds takes and keeps all of it; one with bounds stops reading.
    flood.push_until_blocked(&echo_of(8 << 10).0, 2 * BIG)?;
    all_are_answered(judge, &mut clients, WITHIN)?;
    all_are_answered(judge, &mut clients, WITHIN)
}

fn huge_bodies(judge: &Judge) -> CaseResult {
    beside_a_flood(judge, echo_of(BIG).0)
}

fn many_tasks_in_a_row(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = connected_clients(&server, 10)?;
    clients.iter_mut().try_for_each(Client::fence)?;
    let mut worker = server.connect().named("working").open()?;
    let process = server.process()?;
    let before = process.cpu()?;
    worker.send("burn 20\r\n".repeat(200))?;
    judge.wait_until("the first task to run", WITHIN * 2, || {
        Ok(process.cpu()? >= before + Duration::from_millis(30))
    })?;
    all_are_answered(judge, &mut clients, WITHIN)?;
    // Ends the rest of its work.
    worker.reset()
}

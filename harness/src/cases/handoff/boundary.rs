//! What runs where, seen through `/proc`: tasks on the workers, sockets and waiting on the loop.

use super::super::support::{PATIENCE, Watcher, served_clients};
use super::super::tasks::{Busy, ENDLESS, Threads, patient_client, patient_clients};
use super::super::watch::{is_at_rest, stalled_reader};
use crate::case::Rung;
use crate::client::Client;
use crate::inspect::Watched;
use crate::judge::Judge;
use crate::server::{Server, Signal};
use crate::verdict::{CaseResult, Stop};
use std::time::Duration;

/// The workers of a server on its defaults.
const WORKERS: usize = 4;

pub(super) fn others_are_answered(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut others: Vec<Client> = (1..=5)
        .map(|number| server.connect().named(&format!("echo {number}")).read_limit(PATIENCE / 2))
        .map(|connect| connect.open())
        .collect::<CaseResult<_>>()?;
    others.iter_mut().try_for_each(Client::fence)?;
    if judge.rung() < Rung::W05 {
        return beside_one_burn(judge, &server, &mut others);
    }
    let watcher = Watcher::new(&server)?;
    let mut busy = Busy::keep(judge, server, watcher, WORKERS, ENDLESS)?;
    (0..5).try_for_each(|_| all_echo(&mut others))?;
    busy.runs_on(judge)?;
    for burn in &mut busy.burns {
        let heard = burn.received().to_vec();
        judge.ensure(heard.is_empty(), "echoes that are answered while all burns run", || {
            format!("{} is over: {}", burn.name(), String::from_utf8_lossy(&heard))
        })?;
    }
    busy.kill()
}

/// The same without a word of week 5: for servers that know no workers and no figures of them.
fn beside_one_burn(judge: &Judge, server: &Server, others: &mut [Client]) -> CaseResult {
    let process = server.process()?;
    let before = process.cpu()?;
    let mut burns = patient_client(server, "burns")?;
    burns.send(ENDLESS)?;
    judge.wait_until("the burn to run", PATIENCE, || {
        Ok(process.cpu()? >= before + Duration::from_millis(50))
    })?;
    all_echo(others)?;
    server.signal(Signal::KILL)
}

fn all_echo(clients: &mut [Client]) -> CaseResult {
    clients.iter_mut().try_for_each(|client| client.send("echo 2\r\nhi\r\n"))?;
    clients.iter_mut().rev().try_for_each(|client| client.expect("ECHO 2\r\nhi\r\n"))
}

pub(super) fn no_task_on_the_loop(judge: &Judge) -> CaseResult {
    const BURN: Duration = Duration::from_millis(100);
    let server = judge.server(&[])?;
    let mut clients = patient_clients(&server, WORKERS + 1)?;
    let threads = Threads::of(judge, &server)?;
    // One more than there are workers.
    clients.iter_mut().try_for_each(|client| client.send("burn 100\r\n"))?;
    clients.iter_mut().try_for_each(|client| client.expect("result: burned 100\r\n"))?;
    let used = threads.used_by_the_loop()?;
    judge.ensure(used < BURN / 2, "next to no CPU time of the loop's thread for tasks", || {
        format!("{used:.0?} of CPU for {} tasks of 100 ms each", WORKERS + 1)
    })
}

pub(super) fn no_socket(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let _stalled = stalled_reader(judge, &server)?;
    let mut clients = patient_clients(&server, 20)?;
    let threads = Threads::of(judge, &server)?;
    judge.ensure(!threads.others()?.is_empty(), "worker threads beside the loop's", || "none")?;
    let process = server.process()?;
    for _ in 0..20 {
        let words = "compute x\r\necho 3\r\nabc\r\nfail no\r\nburn 1\r\n";
        clients.iter_mut().try_for_each(|client| client.send(words))?;
        let sockets: Vec<i32> =
            process.descriptors()?.iter().filter(|d| d.is_socket()).map(|d| d.number).collect();
        for thread in threads.others()? {
            let Some((call, descriptor)) = thread.call_on()? else { continue };
            let on_a_socket = match call.as_str() {
                "read" | "readv" | "write" | "writev" => sockets.contains(&descriptor),
                other => ONLY_THE_LOOP.contains(&other),
            };
            let expected = "workers that sleep for tasks and locks only";
            judge.ensure(!on_a_socket, expected, || {
                format!("thread {} ({}) sleeps in {call}", thread.tid, thread.name)
            })?;
        }
        for client in &mut clients {
            client.expect(super::super::protocol::computed(b"x"))?;
            client.expect("ECHO 3\r\nabc\r\nSERVER_ERROR no\r\nresult: burned 1\r\n")?;
        }
    }
    bystanders.finish()
}

/// Calls that are about sockets, or about waiting for them.
const ONLY_THE_LOOP: &[&str] = &[
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "accept",
    "accept4",
    "select",
    "pselect6",
    "poll",
    "ppoll",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
];

pub(super) fn eventfd(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    server.client()?.fence()?;
    let process = server.process()?;
    let mut found = process.descriptors()?;
    found.retain(|descriptor| descriptor.target == "anon_inode:[eventfd]");
    judge.ensure(!found.is_empty(), "an eventfd among the server's descriptors", || "none")?;
    for descriptor in &found {
        let good = descriptor.is_nonblocking() && descriptor.is_close_on_exec();
        judge.ensure(good, "O_NONBLOCK and close-on-exec on it", || descriptor)?;
    }
    let sets = process.epoll_sets()?;
    let watched: Vec<_> = sets.iter().flat_map(|set| &set.watched).collect();
    if watched.is_empty() {
        return Err(Stop::skip("/proc/PID/fdinfo does not show here what epoll watches"));
    }
    let numbers: Vec<i32> = found.iter().map(|descriptor| descriptor.number).collect();
    let is_watched = |number: &i32| {
        watched.iter().any(|entry| entry.descriptor == *number && entry.wants_input())
    };
    judge.ensure(numbers.iter().any(is_watched), "an eventfd watched for EPOLLIN", || {
        format!("eventfds {numbers:?}, of which the epoll set watches none for input")
    })
}

pub(super) fn cleared(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = served_clients(&server, 10)?;
    for _ in 0..5 {
        clients.iter_mut().try_for_each(|client| client.send("compute x\r\nfail y\r\n"))?;
        for client in &mut clients {
            client.expect(super::super::protocol::computed(b"x"))?;
            client.expect("SERVER_ERROR y\r\n")?;
        }
    }
    let process = server.process()?;
    // A counter that is told of once, when it grows (EPOLLET), need not be read.
    let watched: Vec<_> = process.epoll_sets()?.into_iter().flat_map(|set| set.watched).collect();
    let is_told_of_once = |number: i32| {
        let mut entries = watched.iter().filter(|entry| entry.descriptor == number).peekable();
        entries.peek().is_some() && entries.all(Watched::is_edge_triggered)
    };
    let mut counts = Vec::new();
    let waited = judge.wait_until("", Duration::from_secs(2), || {
        counts = process.eventfd_counts()?;
        counts.retain(|(number, _)| !is_told_of_once(*number));
        Ok(counts.iter().all(|(_, count)| *count == 0))
    });
    if waited.is_err() {
        let shown =
            |(number, count): &(i32, u64)| format!("eventfd {number} has the count {count}");
        let shown: Vec<String> = counts.iter().map(shown).collect();
        return Err(judge.broken("every eventfd at 0 after the last result", shown.join(", ")));
    }
    is_at_rest(judge, &process, Duration::from_millis(1500))
}

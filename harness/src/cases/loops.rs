//! Several event loops: how many there are, and that the clients and their work are shared among them
//! (the async runtime).

use super::epoll::sets;
use super::fairness::Flood;
use super::support::{PATIENCE, SOON, served_clients};
use super::tasks::{Threads, patient_clients};
use super::watch::{OUTSIDE, leave, new_descriptors, wait_until_asleep};
use super::workers::threads_are;
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::freeze::Frozen;
use crate::inspect::{Descriptor, Process};
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::net::SocketAddr;

const ASYNC: &str = "notes/protocol.md section 5, async-runtime";
const RESTART_FLAGS_PID: &[Need] = &[Need::Restart, Need::Flags, Need::Pid];

/// Loops beside the main thread's, in the cases where it matters that there are several.
const LOOPS: usize = 3;
const THREE_LOOPS: &[&str] = &["--workers", "3"];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("LO01", "loops/as_many_as_workers", Rung::Async, as_many_as_workers)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(60)
        .rule(
            "the main thread and --workers others (by default as many as cores) sleep in epoll_wait, \
             --blocking-threads others wait for tasks",
            OUTSIDE,
        )
        .hint(
            "a loop for each worker, each with an epoll descriptor of its own: a worker that has \
             nothing to do sleeps in epoll_wait, and not on a condition variable",
        ),
    Case::new("LO02", "loops/each_client_has_one", Rung::Async, each_client_has_one)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(30)
        .rule("each client is watched by one loop, and each loop has some of many clients", ASYNC)
        .hint(
            "spread the accepted connections over the workers, and register each with the epoll \
             descriptor of the worker that got it: two that watch it would both wake for it",
        ),
    Case::new("LO03", "loops/several_work_at_a_time", Rung::Async, several_work)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(60)
        .rule("with many busy clients more than one loop does the work", ASYNC)
        .hint(
            "who reads, answers and writes must be the thread whose loop watches the socket: a \
             listener, a lock or a queue through which all requests pass leaves the others idle",
        ),
    Case::new("LO04", "loops/one_that_is_stuck_keeps_its_own_clients_only", Rung::Async, one_is_stuck)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(60)
        .rule("while one loop's thread stands still, the clients of the others are answered", ASYNC)
        .hint(
            "to answer a client nothing may be needed that another loop has: no hand-over of \
             requests between the loops, no figure that has to be asked of all of them",
        ),
];

fn as_many_as_workers(judge: &Judge) -> CaseResult {
    let (default, more) = (judge.loop_threads(), ["--workers", "3", "--blocking-threads", "2"]);
    for (arguments, loops, pool) in
        [(&[][..], default, 4), (&["--workers", "1"], 1 + 1, 4), (&more, 1 + LOOPS, 2)]
    {
        let server = judge.launch().arguments(arguments).start()?;
        server.wait_for_ready_line()?;
        threads_are(judge, &server, loops + pool, "before the first client")?;
        let mut clients = patient_clients(&server, 20)?;
        clients.iter_mut().try_for_each(|client| client.send("burn 1\r\n"))?;
        clients.iter_mut().try_for_each(|client| client.expect("result: burned 1\r\n"))?;
        threads_are(judge, &server, loops + pool, "after 20 tasks")?;
        let process = server.process()?;
        let asleep = wait_until_asleep(judge, &process)?;
        judge.equal("threads that sleep in epoll_wait", loops, asleep.len())?;
        let main = asleep.contains(&process.pid());
        judge.ensure(main, "the main thread among them", || format!("threads {asleep:?}"))?;
    }
    Ok(())
}

fn each_client_has_one(judge: &Judge) -> CaseResult {
    // So many that chance alone leaves no loop without a client.
    const CLIENTS: usize = 60;
    let server = judge.launch().arguments(THREE_LOOPS).start()?;
    let process = server.process()?;
    let before = process.descriptors()?;
    let clients = served_clients(&server, CLIENTS)?;
    let mut shares = Vec::new();
    let expected = "each of 60 clients to be watched by one epoll descriptor";
    judge.wait_until(expected, PATIENCE, || {
        let new = new_descriptors(&process, &before)?;
        let sets = sets(judge, &process)?;
        let watched = sets.iter().map(|set| {
            let clients = set.watched.iter().map(|entry| entry.descriptor);
            clients.filter(|number| new.contains(number)).collect()
        });
        let watched: Vec<Vec<i32>> = watched.collect();
        shares = watched.iter().map(Vec::len).collect();
        let once = |number| watched.iter().flatten().filter(|other| *other == number).count() == 1;
        Ok(new.len() == CLIENTS && new.iter().all(once))
    })?;
    let used = shares.iter().filter(|share| **share > 0).count();
    judge.ensure(used >= LOOPS, format!("clients in the epoll sets of {LOOPS} loops"), || {
        format!("the sets have {shares:?} of {CLIENTS} clients")
    })?;
    leave(clients)
}

fn several_work(judge: &Judge) -> CaseResult {
    let server = judge.launch().arguments(THREE_LOOPS).start()?;
    drop(served_clients(&server, 1)?);
    let threads = Threads::of(judge, &server)?;
    let requests = "mn\r\n".repeat(16 << 10).into_bytes();
    let floods = (0..4 * LOOPS).map(|_| Flood::start(&server, requests.clone()));
    let _floods = floods.collect::<CaseResult<Vec<_>>>()?;
    threads.wait_for_loops(judge, 2)
}

fn one_is_stuck(judge: &Judge) -> CaseResult {
    let server = judge.launch().arguments(THREE_LOOPS).start()?;
    let process = server.process()?;
    let mut clients = served_clients(&server, 4 * LOOPS)?;
    let threads = Threads::of(judge, &server)?;
    for thread in threads.loops()? {
        // The main thread has no clients of its own.
        let Some((_, epoll)) = thread.call_on()?.filter(|_| thread.tid != process.pid()) else {
            continue;
        };
        let own: Vec<SocketAddr> = clients_of(judge, &process, epoll)?;
        let _frozen = Frozen::thread(&process, thread.tid, judge.scale(SOON))?;
        for client in &mut clients {
            if !own.contains(&client.local_address()?) {
                client.ask("echo 2\r\nhi\r\n", "ECHO 2\r\nhi\r\n")?;
            }
        }
    }
    clients.iter_mut().try_for_each(Client::fence)
}

/// The clients that this epoll descriptor watches.
fn clients_of(judge: &Judge, process: &Process, epoll: i32) -> CaseResult<Vec<SocketAddr>> {
    let sets = sets(judge, process)?;
    let set = sets.iter().find(|set| set.descriptor.number == epoll);
    let watched: Vec<i32> =
        set.into_iter().flat_map(|set| &set.watched).map(|entry| entry.descriptor).collect();
    let descriptors = process.descriptors()?;
    let inodes: Vec<u64> = descriptors
        .iter()
        .filter(|descriptor| watched.contains(&descriptor.number))
        .filter_map(Descriptor::inode)
        .collect();
    let sockets = process.sockets()?;
    let own = sockets.iter().filter(|socket| inodes.contains(&socket.inode));
    Ok(own.map(|socket| socket.remote).collect())
}

//! Clients that leave, fall silent or go on talking while their task is out.

use super::super::protocol::computed;
use super::super::support::{PATIENCE, SOON, Watcher, echo_of};
use super::super::tasks::{Busy, ENDLESS, RESULTS, Threads, patient_client};
use super::super::watch::new_descriptors;
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::time::Duration;

/// How long the loop is watched.
const WATCHED: Duration = Duration::from_millis(400);

pub(super) fn noticed_at_once(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "2"])?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    let process = server.process()?;
    let before = process.descriptors()?;
    let mut busy = Busy::keep(judge, server, watcher, 1, ENDLESS)?;
    judge.equal("descriptors of one client", 1, new_descriptors(&process, &before)?.len())?;
    busy.burns.remove(0).reset()?;
    let expected = "the descriptor of a client that reset to be closed while its task runs";
    judge.wait_until(expected, SOON, || Ok(new_descriptors(&process, &before)?.is_empty()))?;
    busy.runs_on(judge)?;
    judge.equal("workers_busy", 1, busy.watcher.number("workers_busy")?)?;
    judge.equal("connections beside this one", 0, busy.watcher.others()?)?;
    // The other worker works.
    patient_client(&busy.server, "other")?.ask("compute x\r\n", computed(b"x"))?;
    busy.kill()
}

pub(super) fn nobody_elses(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "1"])?;
    let process = server.process()?;
    let mut in_time = 0;
    for round in 1..=4 {
        let mut watcher = Watcher::new(&server)?;
        watcher.wait_for_others(judge, 0, PATIENCE)?;
        let before = process.descriptors()?;
        let mut busy = Busy::keep(judge, server.clone(), watcher, 1, "burn 100\r\n")?;
        let done = busy.watcher.number("tasks_done")?;
        let old = new_descriptors(&process, &before)?;
        busy.burns.remove(0).reset()?;
        let expected = "the descriptor of a client that reset to be closed";
        judge.wait_until(expected, SOON, || Ok(new_descriptors(&process, &before)?.is_empty()))?;
        // It gets the lowest number that is free, which is that of the one who left.
        let mut newcomer = patient_client(&server, "newcomer")?;
        newcomer.fence()?;
        let same = new_descriptors(&process, &before)? == old;
        // A newcomer that waits for a result of its own is the easiest to mistake for the old one.
        let (request, reply) = match round % 2 {
            0 => (
                format!("compute newcomer {round}\r\n"),
                computed(format!("newcomer {round}").as_bytes()),
            ),
            _ => (String::new(), Vec::new()),
        };
        newcomer.send(request)?;
        in_time += u32::from(same && busy.still_runs(judge).is_ok());
        newcomer.expect(reply)?;
        let expected = "the task of the client that left to end (tasks_done)";
        busy.watcher.wait_for(judge, expected, "tasks_done", RESULTS, |now| now > done)?;
        // Whatever was sent for it would come before this.
        newcomer.fence()?;
    }
    if in_time == 0 {
        return Err(
            judge.skip("this machine was too slow: no newcomer came before the late result")
        );
    }
    Ok(())
}

pub(super) fn half_close(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "2"])?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    let threads = Threads::of(judge, &server)?;
    let mut busy = Busy::keep(judge, server, watcher, 1, ENDLESS)?;
    busy.burns[0].shutdown_write()?;
    let mut client = patient_client(&busy.server, "half-closes")?;
    client.send_last("burn 100\r\n")?;
    client.expect("result: burned 100\r\n")?;
    client.expect_eof()?;
    drop(client);
    threads.the_loop_sleeps(judge, WATCHED)?;
    busy.kill()
}

pub(super) fn bounded_input(judge: &Judge) -> CaseResult {
    const MOST: usize = 64 << 20;
    let server = judge.server(&["--workers", "2", "--idle-timeout", "10m"])?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    let threads = Threads::of(judge, &server)?;
    let mut busy = Busy::keep(judge, server, watcher, 1, ENDLESS)?;
    let (request, reply) = echo_of(4 << 10);
    let mut sent = 0;
    loop {
        sent += busy.burns[0].push_until_blocked(&request, MOST - sent)?.sent;
        judge.ensure(sent < MOST, "a server that stops reading behind a task", || {
            format!("it took {} MiB while the task runs", sent >> 20)
        })?;
        // Each look is answered in a turn in which there was more to be read.
        let looks = (0..6).map(|_| Ok(busy.watcher.look()?.read));
        let mut looks = looks.collect::<CaseResult<Vec<u64>>>()?;
        looks.dedup();
        if looks.len() == 1 {
            break;
        }
    }
    threads.the_loop_sleeps(judge, WATCHED)?;
    busy.runs_on(judge)?;
    // What comes behind a task that is over soon is answered.
    let mut client = patient_client(&busy.server, "behind a short task")?;
    client.send([b"burn 50\r\n".to_vec(), request.repeat(10)].concat())?;
    client.expect("result: burned 50\r\n")?;
    client.expect(reply.repeat(10))?;
    busy.kill()
}

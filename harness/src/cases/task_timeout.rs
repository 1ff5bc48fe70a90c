//! `--task-timeout`: who is told that a task took too long, and what becomes of its result (week 5).

use super::protocol::computed;
use super::support::{Watcher, not_early};
use super::tasks::{Busy, ENDLESS, RESULTS, at_once, patient_client};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

const OPTIONS: &str = "notes/protocol.md section 2, the command line";
const RESTART_FLAGS: &[Need] = &[Need::Restart, Need::Flags];

const TIMED_OUT: &str = "SERVER_ERROR task timed out\r\n";
const TIMEOUT: Duration = Duration::from_millis(500);
/// A second after it fell due; what is above that is left to a busy machine.
const LATEST: Duration = Duration::from_millis(500 + 1000 + 2500);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("TT01", "task_timeout/told_while_the_task_runs", Rung::W05, told)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("after --task-timeout the client is told, while the task runs on, and its connection goes on", OPTIONS)
        .hint(
            "the time-out is a clock of the connection, which starts with the submit and is part of \
             the wait call's timeout: a task that runs can't be stopped, and need not be",
        ),
    Case::new("TT02", "task_timeout/the_late_result_is_dropped", Rung::W05, late_result)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("the late result of a task that timed out is never sent, whatever its client waits for by then", OPTIONS)
        .hint(
            "the connection may be waiting for its next task when the result of the last one comes: \
             compare the id of the task, not only that of the connection",
        ),
    Case::new("TT03", "task_timeout/waiting_for_a_worker_counts", Rung::W05, waiting_counts)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("a task that waits for a worker, or for room in the queue, times out as well", OPTIONS)
        .hint("start the clock when the request is taken, not when a worker begins with the task"),
];

fn told(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "1", "--task-timeout", "500ms"])?;
    let watcher = Watcher::new(&server)?;
    let asked_at = Instant::now();
    let mut busy = Busy::keep(judge, server, watcher, 1, ENDLESS)?;
    let expected = "an answer while the task runs";
    judge.wait_until(expected, LATEST, || Ok(!busy.burns[0].received().is_empty()))?;
    busy.burns[0].expect(TIMED_OUT)?;
    let waited = asked_at.elapsed();
    judge.ensure(waited >= not_early(TIMEOUT), "the time-out after 500 ms", || {
        format!("told after {waited:.1?}")
    })?;
    judge.ensure(waited <= judge.scale(LATEST), format!("told within {LATEST:.1?}"), || {
        format!("told after {waited:.1?}")
    })?;
    busy.runs_on(judge)?;
    judge.equal("workers_busy", 1, busy.watcher.number("workers_busy")?)?;
    judge.equal("tasks_timed_out", 1, busy.watcher.number("tasks_timed_out")?)?;
    busy.burns[0].ask("echo 2\r\nhi\r\nmn\r\n", "ECHO 2\r\nhi\r\nMN\r\n")?;
    busy.kill()
}

fn late_result(judge: &Judge) -> CaseResult {
    const ROUNDS: u32 = 3;
    let server = judge.server(&["--workers", "1", "--task-timeout", "2s"])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = patient_client(&server, "asks again")?;
    let mut silent = patient_client(&server, "says no more")?;
    for _ in 0..ROUNDS {
        client.send("burn 400\r\n")?;
        silent.send("compute late\r\n")?;
        watcher.wait_for(judge, "the burn to run", "workers_busy", RESULTS, |busy| busy == 1)?;
        // Time passes and no CPU is used: when the server goes on, both are due, and soon done.
        at_once(&server, || {
            std::thread::sleep(Duration::from_millis(2100));
            Ok(())
        })?;
        let heard = [silent.expect_line()? + "\r\n", client.expect_line()? + "\r\n"];
        let results = [computed(b"late"), b"result: burned 400\r\n".to_vec()];
        if heard.iter().zip(&results).any(|(line, result)| line.as_bytes() == result) {
            // On a busy machine a task may be over before the server stands still.
            continue;
        }
        for line in &heard {
            judge.equal("an answer after 2 s", TIMED_OUT, line.as_str())?;
        }
        // Both late results come while this one is waited for, unless it is late as well.
        client.send("compute own\r\n")?;
        let line = client.expect_line()? + "\r\n";
        let own = line.as_bytes() == computed(b"own");
        judge.ensure(
            own || line == TIMED_OUT,
            "the result of `compute own`, or its time-out",
            || format!("{line:?}, which answers the task before it"),
        )?;
        let expected = "all tasks to be over (tasks_queued, workers_busy)";
        watcher.wait_for(judge, expected, "tasks_queued", RESULTS, |queued| queued == 0)?;
        watcher.wait_for(judge, expected, "workers_busy", RESULTS, |busy| busy == 0)?;
        silent.fence()?;
        client.fence()?;
        if own {
            return Ok(());
        }
    }
    Err(judge.skip(format!(
        "this machine was too slow: no task of {ROUNDS} rounds was late, or all were"
    )))
}

fn waiting_counts(judge: &Judge) -> CaseResult {
    let flags = ["--queue-depth", "1", "--task-timeout", "500ms"];
    // One in the queue, two for which there is no room.
    let (mut busy, mut clients) = Busy::one_worker(judge, &flags, 3, ENDLESS)?;
    clients.iter_mut().try_for_each(|client| client.send("compute x\r\n"))?;
    clients.iter_mut().try_for_each(|client| client.expect(TIMED_OUT))?;
    busy.burns[0].expect(TIMED_OUT)?;
    busy.runs_on(judge)?;
    judge.equal("tasks_timed_out", 4, busy.watcher.number("tasks_timed_out")?)?;
    clients.iter_mut().try_for_each(Client::fence)?;
    busy.kill()
}

//! The worker threads: how many there are, that all of them work, and what is told of them (week 5).

use super::protocol::computed;
use super::support::{PATIENCE, Watcher};
use super::tasks::{Busy, ENDLESS, RESULTS, Threads, at_once, patient_client, patient_clients};
use super::watch::{OUTSIDE, wait_until_asleep};
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use regex_lite::Regex;
use std::collections::HashSet;

const W05: &str = super::tasks::W05;
const STATS: &str = "notes/protocol.md section 4";
const LOGS: &str = "notes/protocol.md section 2, the command line";
const RESTART_FLAGS: &[Need] = &[Need::Restart, Need::Flags];
const RESTART_FLAGS_PID: &[Need] = &[Need::Restart, Need::Flags, Need::Pid];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("WK01", "workers/one_thread_each", Rung::W05, one_thread_each)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("from the start on there are as many threads as the pool's option says (4 by default), and the loop's", OUTSIDE)
        .hint(
            "start all workers before the ready line and keep them until the end: no thread for \
             each task, none when the first task comes, and no runtime that brings its own",
        ),
    Case::new("WK02", "workers/panics_and_failures_leave_all_of_them", Rung::W05, survive)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("tasks that fail or panic answer their own clients, and all workers go on", W05)
        .hint(
            "catch the panic inside the worker's loop, around the task alone (catch_unwind): a \
             thread that dies of it is missing for ever, and its client waits for ever",
        ),
    Case::new("WK03", "workers/all_work_at_the_same_time", Rung::W05, all_at_the_same_time)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(30)
        .rule("with as many tasks as workers all of them work, and one task more waits", W05)
        .hint(
            "a worker must not hold the queue's lock while it runs a task, and each push wakes a \
             worker (notify_one after each push)",
        ),
    Case::new("WK04", "workers/each_task_is_logged", Rung::W05, each_task_is_logged)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(30)
        .rule(
            "at RUST_LOG=debug there is one line `worker=<OS thread id> task=<id>` for each task",
            LOGS,
        )
        .hint(
            "log in the worker that runs the task, with gettid(2) (what `ps -T` shows as SPID) and \
             a number that counts all tasks of the server",
        ),
    Case::new("WK05", "workers/figures_of_tasks", Rung::W05, figures)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("`stats` counts tasks that are done, failed, panicked, queued, and busy workers", STATS)
        .hint(
            "`tasks_done` counts every result, whatever the outcome; failed and panicked ones are \
             among them; `tasks_queued` are those that no worker has taken yet",
        ),
    Case::new("WK06", "workers/at_most_one_wakeup_for_a_result", Rung::W05, wakeups)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("`wakeups` counts writes to the eventfd, of which no result needs more than one", STATS)
        .hint("write to the eventfd only if the completion list was empty, and count each write"),
];

fn one_thread_each(judge: &Judge) -> CaseResult {
    for (flags, workers) in [(&[][..], 4), (&["--workers", "1"], 1), (&["--workers", "7"], 7)] {
        let server = judge.server(flags)?;
        server.wait_for_ready_line()?;
        let threads = judge.loop_threads() + workers;
        threads_are(judge, &server, threads, "before the first client")?;
        let mut clients = patient_clients(&server, 50)?;
        clients.iter_mut().try_for_each(|client| client.send("compute x\r\nfail y\r\n"))?;
        clients.iter_mut().try_for_each(|client| {
            client.expect(computed(b"x"))?;
            client.expect("SERVER_ERROR y\r\n")
        })?;
        threads_are(judge, &server, threads, "with 50 clients, after 100 tasks")?;
        let told = clients[0].stats()?.number("threads")?;
        judge.equal("threads in `stats`", threads as u64, told)?;
    }
    Ok(())
}

pub(super) fn threads_are(judge: &Judge, server: &Server, count: usize, when: &str) -> CaseResult {
    let threads = server.process()?.threads()?;
    judge.ensure(threads.len() == count, format!("{count} threads {when}"), || {
        let names: Vec<String> =
            threads.iter().map(|t| format!("{} ({})", t.tid, t.name)).collect();
        format!("{}: {}", threads.len(), names.join(", "))
    })
}

fn survive(judge: &Judge) -> CaseResult {
    const WORKERS: usize = 2;
    let server = judge.server(&["--workers", "2"])?;
    let all = judge.loop_threads() + WORKERS;
    let mut clients = patient_clients(&server, 12)?;
    clients[0].ask("panic first\r\n", "SERVER_ERROR task panicked: first\r\n")?;
    clients[0].ask("compute x\r\n", computed(b"x"))?;
    threads_are(judge, &server, all, "after a panic")?;
    for round in 1..=3 {
        let dialogue = |number: usize| match number % 3 {
            0 => (
                format!("fail f{round}.{number}\r\n"),
                format!("SERVER_ERROR f{round}.{number}\r\n"),
            ),
            _ => (
                format!("panic p{round}.{number}\r\n"),
                format!("SERVER_ERROR task panicked: p{round}.{number}\r\n"),
            ),
        };
        let mut numbered = (1..).zip(&mut clients);
        numbered.try_for_each(|(number, client)| client.send(dialogue(number).0))?;
        let mut numbered = (1..).zip(&mut clients);
        numbered.try_for_each(|(number, client)| client.expect(dialogue(number).1))?;
    }
    clients.iter_mut().try_for_each(|client| client.ask("compute x\r\n", computed(b"x")))?;
    threads_are(judge, &server, all, "after 25 panics and 12 failures")?;
    drop(clients);
    let threads = Threads::of(judge, &server)?;
    let watcher = Watcher::new(&server)?;
    let busy = Busy::keep(judge, server, watcher, WORKERS, ENDLESS)?;
    threads.wait_for_workers(judge, WORKERS)?;
    busy.kill()
}

fn all_at_the_same_time(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "3"])?;
    let watcher = Watcher::new(&server)?;
    let threads = Threads::of(judge, &server)?;
    let mut busy = Busy::keep(judge, server, watcher, 3, ENDLESS)?;
    let mut one_more = patient_client(&busy.server, "one more")?;
    one_more.send("compute x\r\n")?;
    busy.wait_for_queued(judge, 1)?;
    threads.wait_for_workers(judge, 3)?;
    busy.runs_on(judge)?;
    busy.kill()
}

fn each_task_is_logged(judge: &Judge) -> CaseResult {
    const TASKS: usize = 40;
    let server = judge.launch().env("RUST_LOG", "debug").start()?;
    let mut clients = patient_clients(&server, 10)?;
    for (number, client) in (1..).zip(&mut clients) {
        client.send(format!("compute {number}\r\nfail f\r\npanic p\r\nburn 1\r\nmn\r\n"))?;
    }
    clients.iter_mut().try_for_each(|client| {
        client.expect_line_starting("result: ")?;
        client
            .expect("SERVER_ERROR f\r\nSERVER_ERROR task panicked: p\r\nresult: burned 1\r\nMN\r\n")
    })?;
    let process = server.process()?;
    let of_the_loops = wait_until_asleep(judge, &process)?;
    let threads: HashSet<i32> = process.threads()?.iter().map(|thread| thread.tid).collect();
    let pattern = Regex::new(r"\bworker=(\d+)\b.*\btask=(\d+)\b").expect("a valid pattern");
    let mut lines: Vec<(i32, u64)> = Vec::new();
    let parsed = |log: &str| -> Vec<(i32, u64)> {
        let found = pattern.captures_iter(log);
        found.filter_map(|found| Some((found[1].parse().ok()?, found[2].parse().ok()?))).collect()
    };
    let waited = judge.wait_until("", PATIENCE, || {
        lines = parsed(&server.log());
        Ok(lines.len() >= TASKS)
    });
    let count = lines.len();
    judge.ensure(
        waited.is_ok() && count == TASKS,
        format!("{TASKS} lines `worker=… task=…` for {TASKS} tasks"),
        || format!("{count} lines"),
    )?;
    let ids: HashSet<u64> = lines.iter().map(|(_, task)| *task).collect();
    judge.equal("different task ids", TASKS, ids.len())?;
    for (worker, task) in lines {
        judge.ensure(
            !of_the_loops.contains(&worker),
            "every task on another thread than the loop's",
            || format!("task {task} ran on thread {worker}, which runs the loop"),
        )?;
        judge.ensure(threads.contains(&worker), "OS thread ids (gettid) as `worker`", || {
            format!("worker={worker}; the threads are {threads:?}")
        })?;
    }
    Ok(())
}

fn figures(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "2"])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = patient_client(&server, "asks")?;
    let zeros = ["done", "failed", "panicked", "shed", "timed_out", "queued"];
    for name in zeros.map(|name| format!("tasks_{name}")) {
        judge.equal(&format!("{name} before the first task"), 0, watcher.number(&name)?)?;
    }
    client.send(
        "compute a\r\ncompute b\r\nfail c\r\npanic d\r\nfail e\r\necho 1\r\nf\r\nburn 1\r\n",
    )?;
    client.expect([computed(b"a"), computed(b"b")].concat())?;
    client.expect("SERVER_ERROR c\r\nSERVER_ERROR task panicked: d\r\nSERVER_ERROR e\r\n")?;
    client.expect("ECHO 1\r\nf\r\nresult: burned 1\r\n")?;
    for (name, count) in
        [("done", 6), ("failed", 2), ("panicked", 1), ("shed", 0), ("timed_out", 0), ("queued", 0)]
    {
        let name = format!("tasks_{name}");
        let expected = format!("{name} to be {count} after 3 results, 2 failures and a panic");
        watcher.wait_for(judge, &expected, &name, PATIENCE, |now| now == count)?;
    }
    let idle = "no worker busy after the last result (workers_busy)";
    watcher.wait_for(judge, idle, "workers_busy", PATIENCE, |busy| busy == 0)?;
    // Both workers are busy, and the rest waits.
    let mut busy = Busy::keep(judge, server, watcher, 2, ENDLESS)?;
    let mut waiting = patient_clients(&busy.server, 3)?;
    waiting.iter_mut().try_for_each(|client| client.send("compute x\r\n"))?;
    busy.wait_for_queued(judge, 3)?;
    let peak = busy.watcher.number("peak_tasks_queued")?;
    judge.ensure((3..=5).contains(&peak), "peak_tasks_queued from 3 to 5", || peak)?;
    judge.equal("workers_busy", 2, busy.watcher.number("workers_busy")?)?;
    judge.equal("tasks_done", 6, busy.watcher.number("tasks_done")?)?;
    busy.kill()
}

fn wakeups(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "2"])?;
    let mut clients = patient_clients(&server, 40)?;
    for _ in 0..5 {
        at_once(&server, || clients.iter_mut().try_for_each(|c| c.send("compute x\r\n")))?;
        clients.iter_mut().try_for_each(|client| client.expect(computed(b"x")))?;
    }
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for(judge, "200 tasks done", "tasks_done", RESULTS, |done| done == 200)?;
    let wakeups = watcher.number("wakeups")?;
    judge.ensure((1..=200).contains(&wakeups), "from 1 to 200 wake-ups for 200 results", || wakeups)
}

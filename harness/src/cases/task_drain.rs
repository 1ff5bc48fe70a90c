//! What a signal means for tasks that run, are queued, or wait for room (week 5).

use super::protocol::computed;
use super::support::{PATIENCE, not_early};
use super::tasks::{Busy, ENDLESS, at_once, patient_clients};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Signal;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

const SIGNALS: &str = "notes/protocol.md section 2, SIGTERM and SIGINT";
const RESTART_FLAGS: &[Need] = &[Need::Restart, Need::Flags];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("DR01", "task_drain/every_waiting_task_is_answered", Rung::W05, all_answered)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("tasks that are queued, wait for room, or are still unread at the signal are all answered", SIGNALS)
        .hint(
            "the drain ends when no connection is owed a reply: let the workers empty the queue, let \
             held tasks move up, and join the workers only after that",
        ),
    Case::new("DR02", "task_drain/a_long_burn_is_given_up", Rung::W05, given_up)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("after --drain-timeout the process exits with 0, whatever a worker still computes", SIGNALS)
        .hint(
            "a thread that computes can't be stopped, so don't join it without limit: at the \
             deadline leave by exit(0), which ends all threads",
        ),
    Case::new("DR03", "task_drain/idle_clients_leave_at_once", Rung::W05, idle_leave)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("idle clients are dropped at the signal, though others' tasks run on", SIGNALS)
        .hint("whoever is owed nothing is closed when the drain begins, not when it is over"),
    Case::new("DR04", "task_drain/idle_workers_hold_up_nobody", Rung::W05, idle_workers)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("with nothing to do, all workers end at the signal, and the process with them", SIGNALS)
        .hint(
            "close must wake every worker that waits for a task (notify_all): one notify_one wakes \
             one of them, and the join waits for the others for ever",
        ),
    Case::new("DR05", "task_drain/pipelined_tasks_are_answered", Rung::W05, pipelined)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("of one client's pipelined tasks all that had arrived whole are answered, in order", SIGNALS)
        .hint(
            "after a result, go through the read buffer again, also while draining: requests behind \
             a task have arrived and are owed an answer",
        ),
];

fn all_answered(judge: &Judge) -> CaseResult {
    const CLIENTS: usize = 200;
    let flags = ["--queue-depth", "4", "--drain-timeout", "1m"];
    let (mut busy, mut clients) = Busy::one_worker(judge, &flags, CLIENTS, "burn 300\r\n")?;
    busy.server.wait_for_ready_line()?;
    let ask = |(number, client): (usize, &mut Client)| client.send(format!("compute {number}\r\n"));
    let (early, late) = clients.split_at_mut(CLIENTS / 2);
    (1..).zip(early).try_for_each(ask)?;
    busy.wait_for_queued(judge, 4)?;
    // It finds the rest and the signal together.
    at_once(&busy.server, || {
        (CLIENTS / 2 + 1..).zip(late).try_for_each(ask)?;
        busy.server.signal(Signal::TERM)
    })?;
    for (number, client) in (1..).zip(&mut clients) {
        client.expect(computed(number.to_string().as_bytes()))?;
        client.expect_eof()?;
    }
    busy.burns[0].expect("result: burned 300\r\n")?;
    let server = busy.server.clone();
    drop((clients, busy));
    server.expect_clean_exit(PATIENCE)
}

fn given_up(judge: &Judge) -> CaseResult {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let (busy, _) = Busy::one_worker(judge, &["--drain-timeout", "1s"], 0, ENDLESS)?;
    busy.server.wait_for_ready_line()?;
    let signalled = Instant::now();
    busy.server.signal(Signal::TERM)?;
    // The burn takes ten seconds at least.
    busy.server.expect_clean_exit(Duration::from_secs(8))?;
    let waited = signalled.elapsed();
    judge.ensure(waited >= not_early(TIMEOUT), "a second for the task to end", || {
        format!("it ended after {waited:.1?}")
    })
}

fn idle_leave(judge: &Judge) -> CaseResult {
    let (mut busy, _) = Busy::one_worker(judge, &["--drain-timeout", "1m"], 0, ENDLESS)?;
    busy.server.wait_for_ready_line()?;
    let mut idle = Vec::new();
    for number in 1..=5 {
        let connect = busy.server.connect().named(&format!("idle {number}"));
        let mut client = connect.read_limit(PATIENCE / 2).open()?;
        client.fence()?;
        idle.push(client);
    }
    busy.server.signal(Signal::TERM)?;
    idle.iter_mut().try_for_each(|client| client.expect_closed().map(drop))?;
    if !busy.burns[0].received().is_empty() {
        return Err(judge.skip("this machine was too slow: the burn was over before the case was"));
    }
    busy.kill()
}

fn idle_workers(judge: &Judge) -> CaseResult {
    // A server that waits for a worker for ever would go on until its time is over.
    let server = judge.server(&["--workers", "8", "--drain-timeout", "1m"])?;
    server.wait_for_ready_line()?;
    let mut clients = patient_clients(&server, 8)?;
    clients.iter_mut().try_for_each(|client| client.send("burn 1\r\n"))?;
    clients.iter_mut().try_for_each(|client| client.expect("result: burned 1\r\n"))?;
    server.signal(Signal::TERM)?;
    server.expect_clean_exit(PATIENCE)
}

fn pipelined(judge: &Judge) -> CaseResult {
    let flags = ["--queue-depth", "1", "--drain-timeout", "1m"];
    let (mut busy, mut clients) = Busy::one_worker(judge, &flags, 3, "burn 200\r\n")?;
    busy.server.wait_for_ready_line()?;
    let requests = "compute x\r\nfail f\r\necho 2\r\nhi\r\npanic p\r\n".repeat(10);
    let replies = [
        computed(b"x"),
        b"SERVER_ERROR f\r\nECHO 2\r\nhi\r\nSERVER_ERROR task panicked: p\r\n".to_vec(),
    ];
    at_once(&busy.server, || {
        clients.iter_mut().try_for_each(|client| client.send(&requests))?;
        busy.server.signal(Signal::TERM)
    })?;
    for client in clients.iter_mut().rev() {
        client.expect(replies.concat().repeat(10))?;
        client.expect_eof()?;
    }
    busy.burns[0].expect("result: burned 200\r\n")?;
    let server = busy.server.clone();
    drop((clients, busy));
    server.expect_clean_exit(PATIENCE)
}

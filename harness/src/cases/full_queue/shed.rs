//! `--when-full shed`: a task that finds no room is refused.

use super::super::protocol::computed;
use super::super::support::Watcher;
use super::super::tasks::{Busy, at_once, patient_clients};
use crate::client::Client;
use crate::judge::Judge;
use crate::verdict::CaseResult;

const BUSY: &str = "SERVER_ERROR busy\r\n";

pub(super) fn busy_at_once(judge: &Judge) -> CaseResult {
    let flags = ["--queue-depth", "4", "--when-full", "shed"];
    let (mut busy, mut clients) = Busy::one_worker(judge, &flags, 20, "burn 400\r\n")?;
    let (queued, refused) = clients.split_at_mut(4);
    for (number, client) in (1..).zip(queued.iter_mut()) {
        client.send("compute queued\r\n")?;
        busy.wait_for_queued(judge, number)?;
    }
    for client in refused.iter_mut() {
        client.ask("compute refused\r\n", BUSY)?;
    }
    judge.equal("tasks_shed", 16, busy.watcher.number("tasks_shed")?)?;
    judge.equal("peak_tasks_queued", 4, busy.watcher.number("peak_tasks_queued")?)?;
    busy.still_runs(judge)?;
    refused.iter_mut().try_for_each(Client::fence)?;
    queued.iter_mut().try_for_each(|client| client.expect(computed(b"queued")))?;
    // There is room again.
    refused.iter_mut().try_for_each(|client| client.ask("compute x\r\n", computed(b"x")))?;
    judge.equal("tasks_shed", 16, busy.watcher.number("tasks_shed")?)
}

pub(super) fn two_hundred(judge: &Judge) -> CaseResult {
    const CLIENTS: usize = 200;
    let flags = ["--workers", "1", "--queue-depth", "4", "--when-full", "shed"];
    let server = judge.server(&flags)?;
    let mut clients = patient_clients(&server, CLIENTS)?;
    at_once(&server, || {
        let mut numbered = (1..).zip(&mut clients);
        numbered.try_for_each(|(number, client)| client.send(format!("compute {number}\r\n")))
    })?;
    let mut refused = 0;
    for (number, client) in (1..).zip(&mut clients) {
        let line = client.expect_line()? + "\r\n";
        let result = computed(number.to_string().as_bytes());
        let is_refused = line == BUSY;
        judge.ensure(
            is_refused || line.as_bytes() == result,
            "its own result, or `busy`",
            || format!("{}: {line:?}", client.name()),
        )?;
        refused += u64::from(is_refused);
        client.fence()?;
    }
    let mut watcher = Watcher::new(&server)?;
    judge.equal("tasks_shed", refused, watcher.number("tasks_shed")?)?;
    judge.equal("tasks_done", CLIENTS as u64 - refused, watcher.number("tasks_done")?)?;
    let peak = watcher.number("peak_tasks_queued")?;
    judge.ensure(peak <= 4, "at most 4 tasks in the queue at a time (peak_tasks_queued)", || peak)
}

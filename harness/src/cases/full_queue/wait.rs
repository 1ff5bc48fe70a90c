//! `--when-full wait`: a task that finds no room waits with its client.

use super::super::protocol::computed;
use super::super::support::{PATIENCE, SOON, TINY, Watcher, patient_server};
use super::super::tasks::{
    Busy, ENDLESS, RESULTS, Threads, at_once, patient_client, patient_clients,
};
use crate::client::Client;
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::time::Duration;

/// One worker, and room for four tasks.
const FOUR: &[&str] = &["--queue-depth", "4"];

fn text_of(number: usize) -> String {
    format!("client {number}")
}

fn task_of(number: usize) -> String {
    format!("compute {}\r\n", text_of(number))
}

fn result_of(number: usize) -> Vec<u8> {
    computed(text_of(number).as_bytes())
}

/// Sends a task on each connection, numbered from 1 on, and returns with the queue full.
fn fill(judge: &Judge, busy: &mut Busy, clients: &mut [Client]) -> CaseResult {
    for (number, client) in (1..).zip(clients.iter_mut()) {
        busy.send_and_wait(judge, client, &task_of(number))?;
    }
    busy.wait_for_queued(judge, 4)
}

pub(super) fn two_hundred(judge: &Judge) -> CaseResult {
    const CLIENTS: usize = 200;
    let server = judge.server(&["--workers", "1", "--queue-depth", "4"])?;
    let mut clients = patient_clients(&server, CLIENTS)?;
    at_once(&server, || {
        let mut numbered = (1..).zip(&mut clients);
        numbered.try_for_each(|(number, client)| client.send(task_of(number)))
    })?;
    let mut numbered = (1..).zip(&mut clients);
    numbered.try_for_each(|(number, client)| client.expect(result_of(number)))?;
    let mut watcher = Watcher::new(&server)?;
    let peak = watcher.number("peak_tasks_queued")?;
    judge.ensure(
        peak <= 4,
        "at most 4 tasks in the queue at a time (peak_tasks_queued)",
        || peak,
    )?;
    judge.equal("tasks_shed", 0, watcher.number("tasks_shed")?)?;
    judge.equal("tasks_done", CLIENTS as u64, watcher.number("tasks_done")?)
}

pub(super) fn others_go_on(judge: &Judge) -> CaseResult {
    let (mut busy, mut waiting) = Busy::one_worker(judge, FOUR, 20, ENDLESS)?;
    let mut others: Vec<Client> = (1..=3)
        .map(|number| busy.server.connect().named(&format!("other {number}")))
        .map(|connect| connect.read_limit(PATIENCE / 2).open())
        .collect::<CaseResult<_>>()?;
    others.iter_mut().try_for_each(Client::fence)?;
    for (number, client) in (1..).zip(&mut waiting) {
        client.send(task_of(number))?;
    }
    for other in &mut others {
        other.ask("echo 2\r\nhi\r\n", "ECHO 2\r\nhi\r\n")?;
    }
    busy.wait_for_queued(judge, 4)?;
    for other in &mut others {
        other.ask("echo 2\r\nhi\r\nmn\r\n", "ECHO 2\r\nhi\r\nMN\r\n")?;
    }
    judge.equal("tasks_queued", 4, busy.watcher.number("tasks_queued")?)?;
    judge.equal("peak_tasks_queued", 4, busy.watcher.number("peak_tasks_queued")?)?;
    judge.equal("tasks_shed", 0, busy.watcher.number("tasks_shed")?)?;
    busy.runs_on(judge)?;
    busy.kill()
}

pub(super) fn nothing_more_is_read(judge: &Judge) -> CaseResult {
    let (mut busy, mut clients) = Busy::one_worker(judge, FOUR, 5, "burn 400\r\n")?;
    fill(judge, &mut busy, &mut clients)?;
    let held = &mut clients[4];
    let before = busy.watcher.look()?.read;
    held.send("mn\r\nmn\r\nmn\r\n")?;
    // Each answer is that of a turn that began after the bytes were there.
    for _ in 0..5 {
        busy.settle(judge)?;
        let read = busy.watcher.look()?.read;
        judge.equal("bytes_read while a client waits for room", before, read)?;
    }
    let process = busy.server.process()?;
    let address = held.local_address()?;
    let unread = process.sockets()?.iter().find(|s| s.remote == address).map(|s| s.unread);
    busy.still_runs(judge)?;
    judge.equal("its bytes that wait in the kernel", Some(12), unread)?;
    for (number, client) in (1..).zip(&mut clients) {
        client.expect(result_of(number))?;
    }
    clients[4].expect("MN\r\nMN\r\nMN\r\n")
}

pub(super) fn in_order(judge: &Judge) -> CaseResult {
    const CLIENTS: usize = 12;
    const TASK: &str = "burn 30\r\n";
    let two = ["--queue-depth", "2"];
    let (mut busy, mut clients) = Busy::one_worker(judge, &two, CLIENTS + 1, "burn 300\r\n")?;
    // Who speaks first connected last, so that descriptors don't tell who was first.
    clients.reverse();
    // The server has read the one before the next one speaks.
    for client in &mut clients[..CLIENTS] {
        busy.send_and_wait(judge, client, TASK)?;
    }
    busy.still_runs(judge)?;
    let mut newcomer_spoke = false;
    loop {
        let seen = answered(&mut clients);
        // Whatever else the server sent in the turn of the one that was seen has come.
        busy.settle(judge)?;
        let now = answered(&mut clients);
        if let Some(last) = seen.last() {
            let overtaken: Vec<usize> = (1..*last).filter(|n| !now.contains(n)).collect();
            judge.ensure(
                overtaken.is_empty(),
                "results in the order in which the tasks came",
                || format!("task {last} was done before {overtaken:?}"),
            )?;
        }
        if !newcomer_spoke && !seen.is_empty() {
            // Most of the others still wait, and it must go behind them.
            clients[CLIENTS].send(TASK)?;
            newcomer_spoke = true;
        }
        if now.len() == CLIENTS + 1 {
            return clients.iter_mut().try_for_each(|c| c.expect("result: burned 30\r\n"));
        }
        if judge.remaining().is_zero() {
            let expected = format!("{} results", CLIENTS + 1);
            return Err(judge.broken(expected, format!("only those of clients {now:?}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The numbers of the clients that have their result.
fn answered(clients: &mut [Client]) -> Vec<usize> {
    let numbered = (1..).zip(clients.iter_mut());
    numbered.filter_map(|(n, client)| client.received().ends_with(b"\n").then_some(n)).collect()
}

pub(super) fn no_starving(judge: &Judge) -> CaseResult {
    const TASKS: usize = 60;
    let server = judge.server(&["--workers", "1", "--queue-depth", "2"])?;
    let mut greedy = patient_client(&server, "pipelines")?;
    let mut other = patient_client(&server, "other")?;
    other.fence()?;
    greedy.send("burn 20\r\n".repeat(TASKS))?;
    greedy.expect("result: burned 20\r\n")?;
    let mut before = 0;
    at_once(&server, || {
        before = 1 + greedy.received().iter().filter(|byte| **byte == b'\n').count() as u64;
        other.send("compute x\r\nstats\r\n")
    })?;
    other.expect(computed(b"x"))?;
    // Told right behind the result, in the same reply queue: nothing can come in between.
    let stats = other.expect_stats()?;
    let between = stats.number("tasks_done")?.saturating_sub(before + 1);
    judge.ensure(
        between <= 20,
        "another one's task done after a few of the 60 pipelined ones",
        || format!("{between} of them were done first"),
    )?;
    greedy.reset()
}

pub(super) fn leavers(judge: &Judge) -> CaseResult {
    let (mut busy, mut clients) = Busy::one_worker(judge, FOUR, 12, "burn 400\r\n")?;
    fill(judge, &mut busy, &mut clients)?;
    let process = busy.server.process()?;
    let before = process.descriptors()?.len();
    // 1 to 4 are in the queue, the others wait for room.
    let mut staying = Vec::new();
    for (number, client) in (1..).zip(clients) {
        match number {
            2 | 5..=8 | 12 => client.reset()?,
            _ => staying.push((number, client)),
        }
    }
    let left = before - (12 - staying.len());
    let expected = "the descriptors of clients that reset while they wait to be closed";
    judge.wait_until(expected, SOON, || Ok(process.descriptors()?.len() <= left))?;
    busy.still_runs(judge)?;
    for (number, client) in &mut staying {
        client.expect(result_of(*number))?;
        client.fence()?;
    }
    let mut newcomer = patient_client(&busy.server, "newcomer")?;
    newcomer.ask("compute x\r\n", computed(b"x"))
}

pub(super) fn half_close(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--workers", "1", "--queue-depth", "4"])?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    let threads = Threads::of(judge, &server)?;
    let mut clients = patient_clients(&server, 6)?;
    let mut busy = Busy::keep(judge, server, watcher, 1, "burn 600\r\n")?;
    fill(judge, &mut busy, &mut clients)?;
    // One that the queue has, and two for which there is no room.
    for number in [4, 5, 6] {
        clients[number - 1].shutdown_write()?;
    }
    threads.the_loop_sleeps(judge, Duration::from_millis(250))?;
    busy.still_runs(judge)?;
    for (number, client) in (1..).zip(&mut clients) {
        client.expect(result_of(number))?;
        if number >= 4 {
            client.expect_eof()?;
        }
    }
    Ok(())
}

pub(super) fn not_idle(judge: &Judge) -> CaseResult {
    let clocks = ["--idle-timeout", "500ms", "--request-timeout", "500ms"];
    let (mut busy, _) = Busy::one_worker(judge, &[FOUR, &clocks].concat(), 0, "burn 800\r\n")?;
    let mut clients = Vec::new();
    for number in 1..=8 {
        let mut client = patient_client(&busy.server, &format!("client {number}"))?;
        client.send(task_of(number))?;
        clients.push(client);
    }
    busy.wait_for_queued(judge, 4)?;
    busy.still_runs(judge)?;
    busy.burns[0].expect("result: burned 800\r\n")?;
    for (number, client) in (1..).zip(&mut clients) {
        client.expect(result_of(number))?;
    }
    Ok(())
}

pub(super) fn bounded_replies(judge: &Judge) -> CaseResult {
    const HIGH_WATER: u64 = 65_536;
    // A short hash and a long line: the reply is about as large as the request.
    let message = "m".repeat(8000);
    let (request, reply) = (format!("fail {message}\r\n"), format!("SERVER_ERROR {message}\r\n"));
    let server = patient_server(judge, &["--workers", "2", "--idle-timeout", "10m"])?;
    let connect = server.connect().named("never reads").receive_buffer(TINY);
    let mut client = connect.read_limit(RESULTS).open()?;
    let push = client.push_until_blocked(request.as_bytes(), 48 << 20)?;
    judge.ensure(
        push.blocked,
        "a server that takes no more from a client that never reads",
        || format!("it took {} MiB of tasks", push.sent >> 20),
    )?;
    let peak = Watcher::new(&server)?.number("peak_bytes_queued")?;
    let most = HIGH_WATER + reply.len() as u64;
    judge.ensure(
        peak <= most,
        format!("at most {most} bytes queued: high-water and a reply"),
        || format!("peak_bytes_queued is {peak}"),
    )?;
    let whole = push.sent / request.len();
    for _ in 0..whole {
        client.expect(&reply)?;
    }
    // The rest of the last request, if it was cut.
    if push.sent % request.len() > 0 {
        client.ask(&request[push.sent % request.len()..], &reply)?;
    }
    client.fence()
}

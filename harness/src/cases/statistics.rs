//! The figures of `stats`, and that they are true (notes/protocol.md section 4).

use super::support::{SOON, echo};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::stats::Stats;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

const SOURCE: &str = "notes/protocol.md section 4";

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("ST01", "statistics/every_figure_is_told", Rung::Day2, every_figure_is_told)
        .rule(
            "`stats` tells every figure of the page, and those that count are whole numbers",
            SOURCE,
        )
        .hint("names are exact, in lower case; values are digits without a unit"),
    Case::new("ST02", "statistics/slow_reader_figures_are_told", Rung::Day3, slow_reader_figures)
        .rule("from day 3 on `stats` tells `reads_paused` and `slow_reader_disconnects`", SOURCE)
        .hint("count each change from reading to paused, and each disconnection of a slow reader"),
    Case::new("ST03", "statistics/task_figures_are_told", Rung::W05, task_figures)
        .rule("from week 5 on `stats` tells the figures of the tasks and the workers", SOURCE)
        .hint("names are exact, in lower case; values are digits without a unit"),
    Case::new("ST04", "statistics/mechanism_is_the_rungs", Rung::Day2, mechanism_is_the_rungs)
        .rule("`mechanism` names what the loop waits with", SOURCE)
        .hint("`select`, `poll` or `epoll`; check the rung with `--as`"),
    Case::new("ST05", "statistics/threads_are_counted", Rung::Day2, threads_are_counted)
        .rule("`threads` is 1, and from week 5 on 1 and the workers", SOURCE)
        .hint("one thread runs the loop and everything else up to week 4: start no other"),
    Case::new("ST06", "statistics/pid_is_the_process", Rung::Day2, pid_is_the_process)
        .needs(&[Need::Pid])
        .rule("`pid` is the id of the process that listens", SOURCE)
        .hint("getpid(2), asked after any fork(2)"),
    Case::new("ST07", "statistics/uptime_is_in_seconds", Rung::Day2, uptime_is_in_seconds)
        .needs(&[Need::Restart])
        .rule("`uptime` is the server's age in whole seconds", SOURCE)
        .hint("seconds since the start by a monotonic clock, not milliseconds and not the date"),
    Case::new("ST08", "statistics/current_connections", Rung::Day2, current_connections)
        .needs(&[Need::Restart])
        .rule("`curr_connections` counts who is connected, the asker too", SOURCE)
        .hint("count at accept and at close; better, report the size of the registry"),
    Case::new("ST09", "statistics/total_and_rejected", Rung::Day2, total_and_rejected)
        .needs(&[Need::Flags])
        .rule(
            "`total_connections` counts all ever accepted, `rejected_connections` the refused",
            SOURCE,
        )
        .hint("count a refused connection in both, and a closed one still in the total"),
    Case::new("ST10", "statistics/bytes_read", Rung::Day2, bytes_read)
        .needs(&[Need::Flags])
        .rule("`bytes_read` counts every byte received, those thrown away too", SOURCE)
        .hint("add what recv(2) returned, at the one place where it is called"),
    Case::new("ST11", "statistics/bytes_written", Rung::Day2, bytes_written)
        .needs(&[Need::Restart])
        .rule("`bytes_written` counts every byte sent", SOURCE)
        .hint("add what send(2) returned, at the one place where it is called"),
    Case::new("ST12", "statistics/queued_bytes", Rung::Day2, queued_bytes)
        .timeout_s(20)
        .needs(&[Need::Restart])
        .rule("`bytes_queued` is what waits to be written, 0 again when all is read", SOURCE)
        .hint("add when a reply is queued, subtract what send(2) took; or sum up the queues"),
    Case::new("ST13", "statistics/queued_bytes_of_the_gone", Rung::Day2, queued_bytes_of_the_gone)
        .timeout_s(20)
        .needs(&[Need::Restart])
        .rule("`bytes_queued` forgets what waited for a client that is gone", SOURCE)
        .hint("if you keep a running sum, subtract the rest of the queue when a connection ends"),
    Case::new("ST14", "statistics/peak_is_of_one_queue", Rung::Day2, peak_is_of_one_queue)
        .timeout_s(20)
        .needs(&[Need::Restart])
        .rule("`peak_bytes_queued` is the largest write queue of any one connection, ever", SOURCE)
        .hint("keep the maximum over connections, not of their sum, and never lower it"),
    Case::new("ST15", "statistics/loop_iterations_grow", Rung::Day2, loop_iterations_grow)
        .rule("`loop_iterations` counts the turns of the loop", SOURCE)
        .hint("add one each time the wait call returns"),
    Case::new("ST16", "statistics/idle_timeouts_count", Rung::Day2, idle_timeouts_count)
        .needs(&[Need::Flags])
        .rule("an idle connection that is closed counts once in `timeouts`", SOURCE)
        .hint("count where the time-out closes, not where every connection closes"),
    Case::new("ST17", "statistics/slow_requests_count", Rung::Day2, slow_requests_count)
        .needs(&[Need::Flags])
        .rule("a slow request that is closed counts once in `timeouts`", SOURCE)
        .hint("`timeouts` is one figure for idle, slow request and stalled reader"),
    Case::new("ST18", "statistics/stalled_readers_count", Rung::Day2, stalled_readers_count)
        .timeout_s(20)
        .needs(&[Need::Flags])
        .rule("a stalled reader that is closed counts once in `timeouts`", SOURCE)
        .hint("replies wait and none was taken for --idle-timeout: close, and count it here"),
];

fn every_figure_is_told(judge: &Judge) -> CaseResult {
    const NUMBERS: [&str; 14] = [
        "pid",
        "uptime",
        "threads",
        "curr_connections",
        "total_connections",
        "rejected_connections",
        "bytes_read",
        "bytes_written",
        "bytes_queued",
        "peak_bytes_queued",
        "loop_iterations",
        "read_would_block",
        "write_would_block",
        "timeouts",
    ];
    let stats = expect_numbers(judge, &NUMBERS)?;
    for name in ["version", "mechanism"] {
        let text = stats.text(name)?;
        judge.ensure(!text.is_empty(), format!("a text as `{name}`"), || "nothing")?;
    }
    Ok(())
}

fn slow_reader_figures(judge: &Judge) -> CaseResult {
    expect_numbers(judge, &["reads_paused", "slow_reader_disconnects"]).map(drop)
}

fn task_figures(judge: &Judge) -> CaseResult {
    const NUMBERS: [&str; 9] = [
        "tasks_done",
        "tasks_failed",
        "tasks_panicked",
        "tasks_shed",
        "tasks_timed_out",
        "tasks_queued",
        "peak_tasks_queued",
        "workers_busy",
        "wakeups",
    ];
    expect_numbers(judge, &NUMBERS).map(drop)
}

fn expect_numbers(judge: &Judge, names: &[&str]) -> CaseResult<Stats> {
    let stats = judge.server(&[])?.stats()?;
    for name in names {
        stats.number(name)?;
    }
    Ok(stats)
}

/// Waits until the figure, as a client of its own sees it, is this.
fn wait_for_figure(judge: &Judge, server: &Server, name: &str, wanted: u64) -> CaseResult {
    let figure = || server.stats()?.number(name);
    let waited =
        judge.wait_until(&format!("`{name}` to become {wanted}"), SOON, || Ok(figure()? == wanted));
    if waited.is_err() {
        // Says which value it has instead.
        judge.equal(name, wanted, figure()?)?;
    }
    waited
}

fn mechanism_is_the_rungs(judge: &Judge) -> CaseResult {
    let stats = judge.server(&[])?.stats()?;
    judge.equal("mechanism", judge.rung().mechanism(), stats.text("mechanism")?)
}

fn threads_are_counted(judge: &Judge) -> CaseResult {
    let (flags, workers): (&[&str], usize) = match judge.rung() {
        Rung::W05 | Rung::Async => (&["--workers", "3"], 3),
        _ => (&[], 0),
    };
    let stats = judge.server(flags)?.stats()?;
    let threads = judge.loop_threads() + workers;
    judge.equal("threads", threads as u64, stats.number("threads")?)
}

fn pid_is_the_process(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let pid = server.stats()?.number("pid")?;
    judge.equal("pid", i64::from(server.pid()?).unsigned_abs(), pid)
}

fn uptime_is_in_seconds(judge: &Judge) -> CaseResult {
    let before = Instant::now();
    let server = judge.server(&[])?;
    let listening = Instant::now();
    let mut client = server.client()?;
    loop {
        // Rounded down or up, asked between these two moments, and with a second for a server that
        // counts from later than its start.
        let at_least = listening.elapsed().as_secs().saturating_sub(1);
        let uptime = client.stats()?.number("uptime")?;
        let at_most = before.elapsed().as_secs() + 1;
        let expected = format!("an `uptime` of {at_least} to {at_most} s");
        judge.ensure((at_least..=at_most).contains(&uptime), expected, || uptime)?;
        if at_least >= 1 {
            return Ok(());
        }
        // Time has to pass: 1 s is the smallest age that tells seconds from anything else.
        std::thread::sleep(Duration::from_secs(2).saturating_sub(listening.elapsed()));
    }
}

fn current_connections(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut asker = server.connect().named("asker").open()?;
    let mut current = || asker.stats()?.number("curr_connections");
    judge.equal("curr_connections of the asker alone", 1, current()?)?;
    let mut others = (0..3).map(|_| server.client()).collect::<CaseResult<Vec<_>>>()?;
    others.iter_mut().try_for_each(Client::fence)?;
    judge.equal("curr_connections with three more", 4, current()?)?;
    drop(others.pop());
    judge.wait_until("`curr_connections` to fall to 3 after a close", SOON, || {
        Ok(current()? == 3)
    })?;
    others.remove(0).reset()?;
    judge.wait_until("`curr_connections` to fall to 2 after a reset", SOON, || {
        Ok(current()? == 2)
    })?;
    others.iter_mut().try_for_each(Client::fence)
}

fn total_and_rejected(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "2"])?;
    let mut asker = server.connect().named("asker").open()?;
    let mut figures = |current, total, rejected| {
        let stats = asker.stats()?;
        judge.equal("curr_connections", current, stats.number("curr_connections")?)?;
        judge.equal("total_connections", total, stats.number("total_connections")?)?;
        judge.equal("rejected_connections", rejected, stats.number("rejected_connections")?)
    };
    figures(1, 1, 0)?;
    let mut second = server.client()?;
    second.fence()?;
    figures(2, 2, 0)?;
    for refused in 1..=2 {
        // The reply to a refused client is best effort; its end is certain.
        server.connect().named("refused").open()?.read_until_closed()?;
        figures(2, 2 + refused, refused)?;
    }
    second.send("quit\r\n")?;
    second.shutdown_write()?;
    second.expect_eof()?;
    judge.wait_until("`curr_connections` to fall to 1", SOON, || {
        Ok(asker.stats()?.number("curr_connections")? == 1)
    })?;
    judge.equal("total_connections after a close", 4, asker.stats()?.number("total_connections")?)
}

/// Asks for `stats` and returns one figure and the length of the whole reply.
fn figure_and_length(client: &mut Client, name: &str) -> CaseResult<(u64, u64)> {
    client.send("stats\r\n")?;
    let (mut value, mut length) = (None, 0);
    loop {
        let line = client.expect_line()?;
        length += line.len() as u64 + 2;
        if line == "END" {
            break;
        }
        let told = line.strip_prefix("STAT ").and_then(|rest| rest.strip_prefix(name));
        value = value.or_else(|| told?.strip_prefix(' ')?.parse().ok());
    }
    match value {
        Some(value) => Ok((value, length)),
        // Says what is wrong with it.
        None => client.stats()?.number(name).map(|value| (value, length)),
    }
}

fn bytes_read(judge: &Judge) -> CaseResult {
    const STATS: u64 = "stats\r\n".len() as u64;
    let server = judge.server(&["--max-body", "1000"])?;
    let mut client = server.client()?;
    let (first, _) = figure_and_length(&mut client, "bytes_read")?;
    judge.equal("bytes_read after `stats`", STATS, first)?;
    let (request, reply) = echo(&[b'k'; 1000]);
    client.ask(&request, reply)?;
    let (kept, _) = figure_and_length(&mut client, "bytes_read")?;
    judge.equal("bytes_read after an echo", first + request.len() as u64 + STATS, kept)?;
    let (request, _) = echo(&[b's'; 200_000]);
    client.ask(&request, "SERVER_ERROR object too large\r\n")?;
    client.ask("\r\n\n", "ERROR\r\nERROR\r\n")?;
    let (skipped, _) = figure_and_length(&mut client, "bytes_read")?;
    let sent = request.len() as u64 + 3 + STATS;
    judge.equal("bytes_read after a skipped body and bad lines", kept + sent, skipped)
}

fn bytes_written(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let (first, told) = figure_and_length(&mut client, "bytes_written")?;
    judge.equal("bytes_written before the first reply", 0, first)?;
    let (request, reply) = echo(&[b'w'; 300_000]);
    client.ask(request, &reply)?;
    client.ask("what\r\n", "ERROR\r\n")?;
    let (second, _) = figure_and_length(&mut client, "bytes_written")?;
    let written = told + reply.len() as u64 + "ERROR\r\n".len() as u64;
    judge.equal("bytes_written after three replies", written, second)
}

/// The largest body that is allowed without options.
const LARGEST: usize = 16 << 20;

/// A client with one reply that is too large for the buffers of the kernel, and not read: most of
/// it waits in the server.
fn stalled(server: &Server, name: &str) -> CaseResult<(Client, Vec<u8>)> {
    // Before the connection, whose clocks run from its first moment.
    let (request, reply) = echo(&vec![b'z'; LARGEST]);
    let mut client = server.connect().named(name).receive_buffer(16 << 10).open()?;
    client.send(request)?;
    Ok((client, reply))
}

fn wait_for_queue(judge: &Judge, server: &Server) -> CaseResult {
    judge.wait_until("`bytes_queued` to tell of the reply that waits", SOON, || {
        Ok(server.stats()?.number("bytes_queued")? > 0)
    })
}

fn queued_bytes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    judge.equal("bytes_queued at first", 0, server.stats()?.number("bytes_queued")?)?;
    let (mut client, reply) = stalled(&server, "stalled")?;
    wait_for_queue(judge, &server)?;
    let queued = server.stats()?.number("bytes_queued")?;
    let most = reply.len() as u64;
    judge.ensure(queued <= most, format!("at most the {most} bytes of the reply"), || queued)?;
    client.expect(reply)?;
    client.fence()?;
    wait_for_figure(judge, &server, "bytes_queued", 0)
}

fn queued_bytes_of_the_gone(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let (client, _) = stalled(&server, "gone")?;
    wait_for_queue(judge, &server)?;
    client.reset()?;
    wait_for_figure(judge, &server, "bytes_queued", 0)
}

fn peak_is_of_one_queue(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let peak = || server.stats()?.number("peak_bytes_queued");
    let (first, reply) = stalled(&server, "first")?;
    let (second, _) = stalled(&server, "second")?;
    // Both replies wait: together they are more than one can be.
    judge.wait_until("`bytes_queued` to tell of two replies", SOON, || {
        Ok(server.stats()?.number("bytes_queued")? > reply.len() as u64)
    })?;
    let (highest, most) = (peak()?, reply.len() as u64);
    // Two queues share the sum, so one of them is at least half of it.
    judge.ensure(
        (most / 2..=most).contains(&highest),
        format!("a peak of at most {most}"),
        || format!("`peak_bytes_queued` {highest}"),
    )?;
    first.reset()?;
    second.reset()?;
    wait_for_figure(judge, &server, "bytes_queued", 0)?;
    let later = peak()?;
    judge.ensure(later >= highest, "a peak that does not fall", || {
        format!("`peak_bytes_queued` was {highest} and is {later}")
    })
}

fn loop_iterations_grow(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let mut turns = || client.stats()?.number("loop_iterations");
    let mut last = turns()?;
    for _ in 0..3 {
        // Two requests in a row may be served in one turn, but not all of them.
        judge.wait_until("`loop_iterations` to grow with each request", SOON, || {
            Ok(turns()? > last)
        })?;
        last = turns()?;
    }
    Ok(())
}

fn idle_timeouts_count(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "1s"])?;
    let mut quits = server.connect().named("quits").open()?;
    quits.send("quit\r\n")?;
    quits.expect_eof()?;
    drop(quits);
    server.connect().named("leaves").open()?.fence()?;
    judge.equal("timeouts before any", 0, server.stats()?.number("timeouts")?)?;
    let mut silent = server.connect().named("silent").read_limit(Duration::from_secs(4)).open()?;
    silent.expect_closed()?;
    wait_for_figure(judge, &server, "timeouts", 1)
}

fn slow_requests_count(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", "400ms"])?;
    judge.equal("timeouts before any", 0, server.stats()?.number("timeouts")?)?;
    let mut slow = server.connect().named("slow").read_limit(Duration::from_secs(4)).open()?;
    slow.send("echo 5\r\nhe")?;
    slow.expect_closed()?;
    wait_for_figure(judge, &server, "timeouts", 1)
}

fn stalled_readers_count(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "1s"])?;
    let (_client, _) = stalled(&server, "stalled")?;
    wait_for_queue(judge, &server)?;
    judge.wait_until("the stalled reader to be closed", 2 * SOON, || {
        Ok(server.stats()?.number("bytes_queued")? == 0)
    })?;
    wait_for_figure(judge, &server, "timeouts", 1)
}

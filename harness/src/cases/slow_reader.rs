//! Who reads, but too slowly for too long, is disconnected (from day 3 on).
//!
//! The windows here are longer than the clients' pauses, so that a busy machine does not make a
//! moving client a slow one; where it does, the case says so and judges nothing.

use super::support::{
    BIG, PATIENCE, SOON, TINY, Watcher, almost_asked, echo_of, not_early, served_clients,
    stopped_reader, wait_until_arrived,
};
use super::timeouts::Pace;
use super::watch::new_descriptors;
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::thread;
use std::time::{Duration, Instant};

const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const FLAGS: &[Need] = &[Need::Flags, Need::Restart];

/// The window of the cases in which nobody reads.
const WINDOW: Duration = Duration::from_secs(1);
const ONE_SECOND: [&str; 2] = ["--slow-reader-timeout", "1s"];
/// At most 1 s late; what is above that is left to a busy machine.
const LATE: Duration = Duration::from_millis(1000 + 700);

/// The window of the cases in which somebody reads, and the pause between two of its steps.
const LONG_WINDOW: Duration = Duration::from_millis(1500);
const LONG_TEXT: &str = "1500ms";
const STEP: Duration = Duration::from_millis(700);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("SR01", "slow_reader/never_reads", Rung::Day3, never_reads)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("who takes nothing for --slow-reader-timeout is disconnected then, not before", LIFE)
        .hint(
            "note the time when the queue reaches 80 % of high-water, let that deadline bound the \
             wait call, and judge when it comes: a client that is stuck causes no event",
        ),
    Case::new("SR02", "slow_reader/is_counted", Rung::Day3, is_counted)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("it counts in `slow_reader_disconnects`, and not in `timeouts`", LIFE)
        .hint("two rules, two figures: an operator must be able to tell them apart"),
    Case::new("SR03", "slow_reader/is_logged", Rung::Day3, is_logged)
        .needs(&[Need::Flags, Need::Restart, Need::Pid])
        .timeout_s(30)
        .rule(
            "it is logged at `warn` with the reason slow_reader_sustained, the fd, the bytes queued",
            LIFE,
        )
        .hint(
            "log one line before the queue is dropped and the descriptor is closed; `warn` is seen \
             without RUST_LOG",
        ),
    Case::new("SR04", "slow_reader/a_slow_line_that_moves_survives", Rung::Day3, slow_line)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("a client that takes 64 KiB of a large reply in each window stays", LIFE)
        .hint(
            "what send(2) accepted says nothing here: a full socket buffer makes room in large \
             steps, many windows apart. Taken is what you sent less ioctl(fd, SIOCOUTQ) (tcp(7))",
        ),
    Case::new("SR05", "slow_reader/a_small_high_water_asks_for_less", Rung::Day3, small_high_water)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("with a high-water below 64 KiB it is enough to take high-water bytes", LIFE)
        .hint("the threshold is the smaller of 65536 and high-water"),
    Case::new("SR06", "slow_reader/every_window_counts", Rung::Day3, every_window_counts)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("a client that reads in the first window and not in the second is disconnected", LIFE)
        .hint(
            "at the end of a good window the next one begins: a new deadline, and what was taken \
             so far becomes the new start",
        ),
    Case::new("SR07", "slow_reader/a_queue_below_the_mark_is_not_judged", Rung::Day3, below_mark)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("with less than 80 % of high-water queued nobody is too slow", LIFE)
        .hint("the rule needs both: a queue above the mark for the whole window, and little taken"),
    Case::new("SR08", "slow_reader/the_window_begins_at_80_percent", Rung::Day3, above_mark)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("the window begins at 80 % of high-water, although nothing is paused yet", LIFE)
        .hint("the mark is 80 % of high-water, and it has nothing to do with the pause"),
    Case::new("SR09", "slow_reader/a_queue_that_was_empty_begins_anew", Rung::Day3, begins_anew)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("a window counts only if the queue was above the mark throughout", LIFE)
        .hint(
            "when the queue falls below the mark, forget the window, or note that it is a good \
             one: the client may not be judged by what was before",
        ),
    Case::new("SR10", "slow_reader/half_close_is_no_excuse", Rung::Day3, half_closed)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("a client that has half-closed and does not read is disconnected too", LIFE)
        .hint("the rule looks at the write queue: it holds in every state that has one"),
    Case::new("SR11", "slow_reader/the_stalled_reader_rule_still_holds", Rung::Day3, stalled_first)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("with --idle-timeout shorter than the window, it is a stalled reader's time-out", LIFE)
        .hint("both deadlines run side by side; the first one that strikes decides the figure"),
    Case::new("SR12", "slow_reader/the_others_stay", Rung::Day3, the_others_stay)
        .needs(FLAGS)
        .timeout_s(30)
        .rule("only the slow client is disconnected", LIFE)
        .hint("close the connection whose window has ended, and go on with the loop"),
];

/// Waits until the slow client is gone, which must be within this time.
fn wait_until_gone(judge: &Judge, watcher: &mut Watcher, limit: Duration) -> CaseResult {
    let expected = "a client that is too slow to be disconnected (slow_reader_disconnects)";
    watcher.wait_for(judge, expected, "slow_reader_disconnects", limit, |count| count == 1)
}

fn not_before(judge: &Judge, since: Instant, least: Duration) -> CaseResult {
    let passed = since.elapsed();
    judge.ensure(passed >= not_early(least), format!("connected for at least {least:?}"), || {
        format!("disconnected {passed:.2?} after its window can have begun")
    })
}

fn is_still_there(judge: &Judge, watcher: &mut Watcher, why: &str) -> CaseResult {
    let slow = watcher.number("slow_reader_disconnects")?;
    judge.ensure(slow == 0 && watcher.others()? == 1, why, || "it was disconnected")
}

/// A client that reads nothing of a reply that is queued by now, and a moment before its window can
/// have begun.
fn slow_client(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
) -> CaseResult<(Client, Instant)> {
    let reader = stopped_reader(server)?;
    watcher.wait_for(judge, "replies to be queued", "bytes_queued", PATIENCE, |bytes| bytes > 0)?;
    Ok(reader)
}

fn never_reads(judge: &Judge) -> CaseResult {
    let server = judge.server(&ONE_SECOND)?;
    let mut watcher = Watcher::new(&server)?;
    let (_client, before) = slow_client(judge, &server, &mut watcher)?;
    watcher.wait_for_others(judge, 0, WINDOW + LATE)?;
    not_before(judge, before, WINDOW)
}

fn is_counted(judge: &Judge) -> CaseResult {
    let server = judge.server(&ONE_SECOND)?;
    let mut watcher = Watcher::new(&server)?;
    let clients =
        [slow_client(judge, &server, &mut watcher)?, slow_client(judge, &server, &mut watcher)?];
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    judge.equal("slow_reader_disconnects", 2, watcher.number("slow_reader_disconnects")?)?;
    judge.equal("timeouts", 0, watcher.number("timeouts")?)?;
    judge.equal("bytes_queued", 0, watcher.number("bytes_queued")?)?;
    drop(clients);
    Ok(())
}

fn is_logged(judge: &Judge) -> CaseResult {
    let window = Duration::from_secs(2);
    let server = judge.server(&["--slow-reader-timeout", "2s"])?;
    let mut watcher = Watcher::new(&server)?;
    // With so many before it, its fd is no number that a date and a time have too.
    let _others = served_clients(&server, 64)?;
    let process = server.process()?;
    let before = process.descriptors()?;
    let (_client, since) = slow_client(judge, &server, &mut watcher)?;
    let descriptors = new_descriptors(&process, &before)?;
    let mut queued = vec![watcher.look()?.queued];
    if since.elapsed() >= window {
        return Err(judge.skip("this machine was too slow: the client may be disconnected already"));
    }
    judge.wait_until("a client that never reads to be disconnected", PATIENCE, || {
        queued.push(watcher.look()?.queued);
        queued.dedup();
        Ok(queued.ends_with(&[0]))
    })?;
    let mut line = None;
    judge.wait_until("a line with slow_reader_sustained on standard error", SOON, || {
        let log = server.log();
        line = log.lines().find(|line| line.contains("slow_reader_sustained")).map(str::to_owned);
        Ok(line.is_some())
    })?;
    let line = line.unwrap_or_default();
    let numbers: Vec<u64> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    let level = line.to_ascii_lowercase().contains("warn");
    judge.ensure(level, "the line to be logged at `warn`", || &line)?;
    judge.ensure(
        descriptors.iter().any(|number| numbers.contains(&number.unsigned_abs().into())),
        format!("the fd, {descriptors:?}, in the line"),
        || &line,
    )?;
    judge.ensure(
        queued.iter().any(|queued| *queued > 0 && numbers.contains(queued)),
        format!("the bytes queued, one of {queued:?}, in the line"),
        || &line,
    )
}

/// Takes so many bytes of the reply in each step.
fn read_steadily(
    judge: &Judge,
    client: &mut Client,
    reply: &[u8],
    step: usize,
    time: Duration,
) -> CaseResult {
    // In each window is at least one whole step.
    let mut pace = Pace::new(LONG_WINDOW);
    let started = Instant::now();
    let mut taken = 0;
    while started.elapsed() < time {
        let came = client.expect(&reply[taken..taken + step]);
        taken += step;
        thread::sleep(STEP);
        pace.check(judge)?;
        came?;
    }
    Ok(())
}

/// A client that takes this much in each step stays for three windows.
fn survives(judge: &Judge, flags: &[&str], step: usize) -> CaseResult {
    let server = judge.server(flags)?;
    let mut watcher = Watcher::new(&server)?;
    let mut pace = Pace::new(LONG_WINDOW);
    let mut client = stopped_reader(&server)?.0;
    pace.check(judge)?;
    read_steadily(judge, &mut client, &echo_of(BIG).1, step, 3 * LONG_WINDOW)?;
    is_still_there(judge, &mut watcher, "a client that keeps moving to stay connected")
}

fn slow_line(judge: &Judge) -> CaseResult {
    // Above 64 KiB by more than what a tiny receive buffer may hold back.
    survives(judge, &["--slow-reader-timeout", LONG_TEXT], 80_000)
}

fn small_high_water(judge: &Judge) -> CaseResult {
    // In no window three steps, so always less than 64 KiB.
    survives(judge, &["--slow-reader-timeout", LONG_TEXT, "--high-water", "8000"], 20_000)
}

fn every_window_counts(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--slow-reader-timeout", LONG_TEXT])?;
    let mut watcher = Watcher::new(&server)?;
    let mut pace = Pace::new(LONG_WINDOW);
    let (mut client, before) = stopped_reader(&server)?;
    thread::sleep(STEP);
    let came = client.expect(&echo_of(BIG).1[..200_000]);
    pace.check(judge)?;
    came?;
    wait_until_gone(judge, &mut watcher, 2 * LONG_WINDOW + LATE)?;
    not_before(judge, before, 2 * LONG_WINDOW)
}

const HIGH_WATER: u64 = 8 << 20;

/// A client that reads nothing, with so many percent of [`HIGH_WATER`] queued, and at most 4 more.
fn queue_of(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
    percent: u64,
) -> CaseResult<Client> {
    let mut client = server.connect().named("reader").receive_buffer(TINY).open()?;
    let (request, reply) = echo_of(256 << 10);
    let mut replied = 0;
    loop {
        let look = watcher.look()?;
        judge.equal("reads_paused below high-water", 0, look.paused)?;
        if look.queued >= HIGH_WATER * percent / 100 {
            return Ok(client);
        }
        client.send(&request)?;
        replied += reply.len() as u64;
        judge.wait_until("a request below high-water to be taken", PATIENCE, || {
            Ok(watcher.look()?.replied >= replied)
        })?;
    }
}

fn below_mark(judge: &Judge) -> CaseResult {
    let flags = ["--slow-reader-timeout", "300ms", "--high-water", "8388608"];
    let server = judge.server(&flags)?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = queue_of(judge, &server, &mut watcher, 74)?;
    // Several windows, and the second that each may be late.
    thread::sleep(Duration::from_millis(300 * 3 + 1000));
    is_still_there(judge, &mut watcher, "a client with less than 80 % of high-water to stay")?;
    client.send("quit\r\n")?;
    client.read_until_closed().map(drop)
}

fn above_mark(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--slow-reader-timeout", "1s", "--high-water", "8388608"])?;
    let mut watcher = Watcher::new(&server)?;
    let _client = queue_of(judge, &server, &mut watcher, 81)?;
    wait_until_gone(judge, &mut watcher, WINDOW + LATE)
}

fn begins_anew(judge: &Judge) -> CaseResult {
    let server = judge.server(&ONE_SECOND)?;
    let mut watcher = Watcher::new(&server)?;
    let (mut client, first) = stopped_reader(&server)?;
    client.expect(echo_of(BIG).1)?;
    let (request, _) = echo_of(BIG);
    let (most, last_byte) = request.split_at(request.len() - 1);
    client.send(most)?;
    // Nobody takes anything for a whole window. If windows went on and on since the first queue,
    // this would be the middle of one.
    let windows = first.elapsed().as_secs_f64() / WINDOW.as_secs_f64();
    let middle = first + WINDOW.mul_f64(windows.ceil() + 1.5);
    thread::sleep(middle.saturating_duration_since(Instant::now()));
    let before = Instant::now();
    client.send(last_byte)?;
    watcher.wait_for(judge, "replies to be queued", "bytes_queued", PATIENCE, |bytes| bytes > 0)?;
    // A server may let a window run to its end, and then judge the next one.
    wait_until_gone(judge, &mut watcher, 2 * WINDOW + LATE)?;
    not_before(judge, before, WINDOW)
}

fn half_closed(judge: &Judge) -> CaseResult {
    let server = judge.server(&ONE_SECOND)?;
    let mut watcher = Watcher::new(&server)?;
    let (mut client, last_byte, _) = almost_asked(judge, &server, &mut watcher)?;
    // The server finds the end of the input together with the end of the request.
    server.pause()?;
    let before = Instant::now();
    client.send(last_byte)?;
    client.shutdown_write()?;
    wait_until_arrived(judge, &client)?;
    server.resume()?;
    watcher.wait_for(judge, "replies to be queued", "bytes_queued", PATIENCE, |bytes| bytes > 0)?;
    wait_until_gone(judge, &mut watcher, WINDOW + LATE)?;
    not_before(judge, before, WINDOW)?;
    watcher.wait_for_others(judge, 0, SOON)
}

fn stalled_first(judge: &Judge) -> CaseResult {
    let flags = ["--slow-reader-timeout", "1m", "--idle-timeout", "1s"];
    let server = judge.server(&flags)?;
    let mut pace = Pace::new(Duration::from_secs(1));
    let stalled = stopped_reader(&server);
    pace.check(judge)?;
    let _client = stalled?;
    // It must not become idle while that request is sent.
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for(judge, "replies to be queued", "bytes_queued", PATIENCE, |bytes| bytes > 0)?;
    watcher.wait_for_others(judge, 0, WINDOW + LATE)?;
    judge.equal("timeouts", 1, watcher.number("timeouts")?)?;
    judge.equal("slow_reader_disconnects", 0, watcher.number("slow_reader_disconnects")?)
}

fn the_others_stay(judge: &Judge) -> CaseResult {
    let server = judge.server(&ONE_SECOND)?;
    let bystanders = server.bystanders()?;
    let mut watcher = Watcher::new(&server)?;
    let slow = slow_client(judge, &server, &mut watcher)?.0;
    // It is as large, and its client reads it.
    let mut quick = server.connect().named("quick").open()?;
    quick.ask(echo_of(BIG).0, echo_of(BIG).1)?;
    wait_until_gone(judge, &mut watcher, PATIENCE)?;
    drop(slow);
    quick.fence()?;
    bystanders.finish()
}

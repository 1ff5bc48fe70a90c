//! The clocks of a connection: idle, slow request, stalled reader. Never early, and at most 1 s
//! late.

use super::support::{BIG, SOON, TINY, Watcher, echo_of, not_early, stopped_reader};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::thread;
use std::time::{Duration, Instant};

const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const FLAGS: &[Need] = &[Need::Flags];

/// The time-out of most cases, and the same as an option's value.
const TIMEOUT: Duration = Duration::from_millis(600);
const TIMEOUT_TEXT: &str = "600ms";
/// An end is at most 1 s late; what is above that is left to a busy machine.
const LATEST: Duration = Duration::from_millis(600 + 1000 + 700);
/// A second of CPU time takes many seconds where other programs want the CPU too: for cases with
/// `burn`.
const PATIENCE: Duration = Duration::from_secs(50);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("TO01", "timeouts/idle_before_the_first_request", Rung::Day2, idle_at_first)
        .needs(FLAGS)
        .rule("a client that never says anything is closed after --idle-timeout", LIFE)
        .hint("start the idle clock at accept, and let the nearest deadline bound the wait call"),
    Case::new("TO02", "timeouts/idle_after_a_request", Rung::Day2, idle_after_a_request)
        .needs(FLAGS)
        .rule("a client that falls silent after its reply is closed after --idle-timeout", LIFE)
        .hint("the idle clock restarts when a byte moves, and it runs between requests too"),
    Case::new("TO03", "timeouts/activity_extends_idle", Rung::Day2, activity_extends_idle)
        .needs(FLAGS)
        .rule("each byte that moves starts the idle clock anew", LIFE)
        .hint("note the time at every recv and send that moved bytes, and count from there")
        .timeout_s(20),
    Case::new("TO04", "timeouts/work_is_not_idle", Rung::Day2, work_is_not_idle)
        .needs(FLAGS)
        .rule("a request that is worked on is not idle, and its reply starts the clock anew", LIFE)
        .hint(
            "no clock runs while a task runs; after it take the time again, for the one of the \
             beginning of the turn is stale",
        )
        .timeout_s(60),
    Case::new("TO05", "timeouts/slow_header", Rung::Day2, slow_header)
        .needs(FLAGS)
        .rule("a header that takes longer than --request-timeout ends the connection", LIFE)
        .hint("the clock starts with the first byte of the request; later bytes don't restart it"),
    Case::new("TO06", "timeouts/slow_body", Rung::Day2, slow_body)
        .needs(FLAGS)
        .rule("a body that takes longer than --request-timeout ends the connection", LIFE)
        .hint("the clock runs from the first byte of the header to the end of the body"),
    Case::new("TO07", "timeouts/slow_skipped_body", Rung::Day2, slow_skipped_body)
        .needs(FLAGS)
        .rule("a body that is thrown away must arrive within --request-timeout too", LIFE)
        .hint("the error reply doesn't end the request: its clock runs until the body is skipped"),
    Case::new("TO08", "timeouts/each_request_has_its_own_clock", Rung::Day2, own_clock)
        .needs(FLAGS)
        .rule("the request clock starts with the first byte of each request, not before", LIFE)
        .hint(
            "stop the clock when a request is complete and start it with the next one's first \
             byte, even if both come in one recv; no request, no clock",
        )
        .timeout_s(20),
    Case::new("TO09", "timeouts/clock_waits_for_earlier_work", Rung::Day2, clock_waits)
        .needs(FLAGS)
        .rule("the request clock doesn't run while an earlier request is worked on", LIFE)
        .hint(
            "start the clock when the server begins to wait for the rest of the request; after a \
             task on the loop take the time again",
        )
        .timeout_s(60),
    Case::new("TO10", "timeouts/stalled_reader", Rung::Day2, stalled_reader)
        .needs(FLAGS)
        .rule("a client that takes none of its replies for --idle-timeout is closed", LIFE)
        .hint(
            "a connection with replies queued needs a clock too: it restarts when SIOCOUTQ says \
             that the client took something",
        ),
    Case::new("TO11", "timeouts/slow_reader_that_moves_survives", Rung::Day2, moving_reader)
        .needs(FLAGS)
        .rule("a client that keeps taking a little of a long reply is not stalled", LIFE)
        .hint(
            "a full socket buffer makes room in large steps only, so ask what the client has \
             taken: bytes sent less ioctl(fd, SIOCOUTQ) (tcp(7)), looked at well within the \
             time-out",
        )
        .timeout_s(20),
    Case::new("TO12", "timeouts/stalled_reader_that_sends", Rung::Day2, stalled_reader_that_sends)
        .needs(FLAGS)
        .rule("sending does not excuse a client that takes none of its replies", LIFE)
        .hint("the stalled reader's clock is not the idle clock: bytes received don't restart it"),
    Case::new("TO13", "timeouts/no_reply_and_no_linger", Rung::Day2, no_reply_and_no_linger)
        .needs(FLAGS)
        .rule("a time-out sends no reply and does not linger", LIFE)
        .hint("a time-out is a plain close(2): no SERVER_ERROR, no waiting for the client's FIN"),
    Case::new("TO14", "timeouts/every_kind_is_counted", Rung::Day2, every_kind_is_counted)
        .needs(FLAGS)
        .rule(
            "`timeouts` counts idle clients, slow requests and stalled readers, and nothing else",
            "notes/protocol.md section 4",
        )
        .hint("count where a clock strikes, not where a connection ends"),
    Case::new("TO15", "timeouts/busy_loop_blames_nobody", Rung::Day2, busy_loop_blames_nobody)
        .needs(&[Need::Flags, Need::Pid])
        .rule("input that waits in the kernel is read before clocks are looked at", LIFE)
        .hint(
            "after a long task, clocks are late for everybody: before closing for a time-out look \
             for unread input (FIONREAD, or one more turn of the wait call)",
        )
        .timeout_s(60),
    Case::new("TO16", "timeouts/a_flood_is_no_excuse", Rung::Day2, flood_is_no_excuse)
        .needs(FLAGS)
        .rule("a request that never ends is closed in time, however fast its bytes come", LIFE)
        .hint("read once what waits when the clock runs out, then judge; not again and again"),
    Case::new("TO17", "timeouts/taking_a_reply_is_activity", Rung::Day2, taking_is_activity)
        .needs(FLAGS)
        .rule(
            "a client that keeps taking a reply is not idle, even if the kernel holds it all",
            LIFE,
        )
        .hint("bytes move while SIOCOUTQ falls: ask it before you call a client idle"),
    Case::new("TO18", "timeouts/a_newcomer_has_its_own_clocks", Rung::Day2, newcomers_clocks)
        .needs(FLAGS)
        .rule("the clocks of a client that left strike nobody else", LIFE)
        .hint(
            "closing a connection cancels its timer. The kernel gives the descriptor's number to the \
             next client, so a timer that is known by that number alone would strike the newcomer",
        ),
];

/// Pauses between two steps of a client that must not be slower than `most`. If this machine made
/// it slower, nothing can be said about the server.
pub(super) struct Pace {
    last: Instant,
    most: Duration,
}

impl Pace {
    pub(super) fn new(most: Duration) -> Self {
        Self { last: Instant::now(), most }
    }

    /// Call it after the step: it measures the step and the pause before it.
    pub(super) fn check(&mut self, judge: &Judge) -> CaseResult {
        let step = self.last.elapsed();
        self.last = Instant::now();
        if step >= self.most {
            return Err(judge.skip(format!("this machine was too slow: a pause of {step:.1?}")));
        }
        Ok(())
    }
}

fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn idle_at_first(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", TIMEOUT_TEXT])?;
    server.client()?.expect_closed_within(not_early(TIMEOUT), LATEST).map(drop)
}

fn idle_after_a_request(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", TIMEOUT_TEXT])?;
    let mut client = server.client()?;
    let mut pace = Pace::new(TIMEOUT);
    let asked = client.ask("echo 5\r\nhello\r\n", "ECHO 5\r\nhello\r\n");
    pace.check(judge)?;
    asked?;
    client.expect_closed_within(not_early(TIMEOUT), LATEST).map(drop)
}

fn activity_extends_idle(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "800ms"])?;
    let timeout = Duration::from_millis(800);
    let mut asking = server.connect().named("asking").open()?;
    let mut sending = server.connect().named("sending").open()?;
    let mut pace = Pace::new(timeout);
    sending.send("echo 6\r\n")?;
    for part in ["h", "e", "l", "l", "o", "!"] {
        pause(250);
        // Bytes of a request count as they arrive, and a reply counts when it leaves.
        let asked = asking.fence();
        let sent = sending.send(part);
        pace.check(judge)?;
        asked.and(sent)?;
    }
    let ended = sending.ask("\r\n", "ECHO 6\r\nhello!\r\n").and_then(|()| asking.fence());
    pace.check(judge)?;
    ended?;
    asking.expect_closed_within(not_early(timeout), timeout + Duration::from_millis(1700)).map(drop)
}

fn work_is_not_idle(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "800ms", "--request-timeout", "800ms"])?;
    let (work, idle) = (Duration::from_millis(1000), Duration::from_millis(800));
    let mut client = server.connect().read_limit(PATIENCE).open()?;
    let asked_at = Instant::now();
    client.ask("burn 1000\r\n", "result: burned 1000\r\n")?;
    client.expect_closed_within(not_early(idle), idle + Duration::from_millis(1700))?;
    let (lived, least) = (asked_at.elapsed(), work + idle);
    judge.ensure(
        lived >= not_early(least),
        format!("closed at least {least:?} after the request"),
        || format!("closed after {lived:.2?}"),
    )
}

/// Sends one byte every 50 ms until the connection is gone, which must be in time.
fn trickle_until_closed(judge: &Judge, client: &mut Client, since: Instant) -> CaseResult {
    let most = judge.scale(LATEST);
    while client.try_send("a").is_ok() {
        judge.ensure(since.elapsed() < most, format!("closed within {most:.1?}"), || {
            format!("still open {:.1?} after the first byte of the request", since.elapsed())
        })?;
        pause(50);
    }
    let lived = since.elapsed();
    judge.ensure(lived >= not_early(TIMEOUT), format!("open for at least {TIMEOUT:?}"), || {
        format!("closed {lived:.1?} after the first byte of the request")
    })?;
    client.expect_closed().map(drop)
}

fn slow_header(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT])?;
    let mut client = server.client()?;
    let since = Instant::now();
    client.send("compute ")?;
    trickle_until_closed(judge, &mut client, since)
}

fn slow_body(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT])?;
    let mut client = server.client()?;
    let since = Instant::now();
    client.send("echo 1000\r\n")?;
    trickle_until_closed(judge, &mut client, since)
}

fn slow_skipped_body(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT, "--max-body", "10"])?;
    let mut client = server.client()?;
    let since = Instant::now();
    client.ask("echo 1000\r\n", "SERVER_ERROR object too large\r\n")?;
    trickle_until_closed(judge, &mut client, since)
}

fn own_clock(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", "800ms"])?;
    let mut client = server.client()?;
    let mut apart = server.connect().named("one after the other").open()?;
    // No byte, no clock.
    pause(1000);
    client.fence()?;

    let mut pace = Pace::new(Duration::from_millis(800));
    client.send("echo 4\r\nab")?;
    apart.send("echo 4\r\nab")?;
    for _ in 0..4 {
        pause(300);
        // The end of one request and the beginning of the next in one segment.
        let overlapping = client.ask("cd\r\necho 4\r\nab", "ECHO 4\r\nabcd\r\n");
        let whole = apart.ask("cd\r\n", "ECHO 4\r\nabcd\r\n");
        pace.check(judge)?;
        overlapping.and(whole)?;
        apart.send("echo 4\r\nab")?;
    }
    client.ask("cd\r\n", "ECHO 4\r\nabcd\r\n")
}

fn clock_waits(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT])?;
    let mut client = server.connect().read_limit(PATIENCE).open()?;
    client.ask("burn 900\r\necho 4\r\nab", "result: burned 900\r\n")?;
    let mut pace = Pace::new(TIMEOUT);
    // A server whose clock had run during the work closes now.
    pause(200);
    let rest = client.ask("cd\r\n", "ECHO 4\r\nabcd\r\n");
    pace.check(judge)?;
    rest
}

/// A [`stopped_reader`], unless this machine stood still while it sent its request.
fn stopped_reader_in_time(judge: &Judge, server: &Server) -> CaseResult<(Client, Instant)> {
    let mut pace = Pace::new(TIMEOUT);
    let reader = stopped_reader(server);
    if reader.is_err() {
        pace.check(judge)?;
    }
    reader
}

fn stalled_reader(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", TIMEOUT_TEXT])?;
    let (_client, before) = stopped_reader_in_time(judge, &server)?;
    // It must not become idle while that request is sent.
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, LATEST)?;
    judge.ensure(
        before.elapsed() >= not_early(TIMEOUT),
        format!("closed after {TIMEOUT:?}"),
        || format!("closed {:.2?} after the reply was asked for", before.elapsed()),
    )?;
    judge.equal("timeouts", 1, watcher.number("timeouts")?)
}

fn moving_reader(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "800ms"])?;
    // Before the client is there: its clocks run from then on.
    let (request, reply) = echo_of(BIG);
    let mut client = server.connect().named("slow").receive_buffer(TINY).open()?;
    let mut pace = Pace::new(Duration::from_millis(800));
    let sent = client.send(request);
    pace.check(judge)?;
    sent?;
    let mut taken = 0;
    for _ in 0..20 {
        // What is there by now: a few KiB. The kernel then asks the server's for more.
        let some = client.expect(&reply[taken..taken + 1000]);
        pace.check(judge)?;
        some?;
        taken += 1000;
        pause(100);
    }
    client.expect(&reply[taken..])?;
    client.fence()
}

fn stalled_reader_that_sends(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", TIMEOUT_TEXT])?;
    let (mut client, before) = stopped_reader_in_time(judge, &server)?;
    let mut watcher = Watcher::new(&server)?;
    let latest = judge.scale(LATEST);
    while watcher.others()? > 0 {
        judge.ensure(before.elapsed() < latest, format!("closed within {latest:.1?}"), || {
            format!("still open {:.1?} after the client stopped reading", before.elapsed())
        })?;
        // It may be closed by now.
        let _ = client.try_send("mn\r\n");
        pause(50);
    }
    judge.ensure(
        before.elapsed() >= not_early(TIMEOUT),
        format!("closed after {TIMEOUT:?}"),
        || format!("closed {:.2?} after the reply was asked for", before.elapsed()),
    )
}

fn no_reply_and_no_linger(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.client()?;
    client.send("echo 5\r\nhe")?;
    client.expect_closed_within(not_early(TIMEOUT), LATEST)?;
    // The client is still there, so a server that lingers would wait for it for 2 s.
    watcher.wait_for_others(judge, 0, Duration::from_secs(1))
}

fn every_kind_is_counted(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", TIMEOUT_TEXT])?;
    let _stalled = stopped_reader_in_time(judge, &server)?;
    let _idle = server.connect().named("idle").open()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, LATEST)?;
    judge.equal("timeouts of an idle client and a stalled one", 2, watcher.number("timeouts")?)?;

    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT])?;
    let mut watcher = Watcher::new(&server)?;
    let mut slow = server.connect().named("slow").open()?;
    slow.send("echo 5\r\nhe")?;
    let mut polite = server.connect().named("polite").open()?;
    polite.ask("mn\r\nquit\r\n", "MN\r\n")?;
    polite.expect_eof()?;
    drop(polite);
    server.client()?.reset()?;
    watcher.wait_for_others(judge, 0, LATEST)?;
    judge.equal("timeouts of a slow request", 1, watcher.number("timeouts")?)
}

fn busy_loop_blames_nobody(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "800ms", "--request-timeout", "800ms"])?;
    let patient = |name: &str| server.connect().named(name).read_limit(PATIENCE).open();
    let (mut idle, mut half, mut busy) =
        (patient("idle")?, patient("half-sent")?, patient("busy")?);
    let mut pace = Pace::new(Duration::from_millis(600));
    let asked = idle.fence().and_then(|()| half.ask("mn\r\necho 4\r\nab", "MN\r\n"));
    pace.check(judge)?;
    asked?;
    let burning = start_burning(judge, &server, &mut busy);
    // On a rung without workers nobody reads this before the work is done.
    let sent = idle.send("mn\r\n").and_then(|()| half.send("cd\r\n"));
    pace.check(judge)?;
    burning.and(sent)?;
    idle.expect("MN\r\n")?;
    half.expect("ECHO 4\r\nabcd\r\n")?;
    busy.expect("result: burned 1300\r\n")
}

/// Returns when the server is busy with 1300 ms of work.
fn start_burning(judge: &Judge, server: &Server, client: &mut Client) -> CaseResult {
    let process = server.process()?;
    let before = process.cpu()?;
    client.send("burn 1300\r\n")?;
    judge.wait_until("the server to work on `burn`", SOON, || {
        Ok(process.cpu()?.saturating_sub(before) >= Duration::from_millis(30))
    })
}

fn flood_is_no_excuse(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--request-timeout", TIMEOUT_TEXT])?;
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect::<CaseResult<_>>()?;
    thread::scope(|scope| {
        let floods: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| flood(judge, client))).collect();
        // All of them end before the first problem is told.
        let ends: Vec<CaseResult> =
            floods.into_iter().map(|end| end.join().expect("a flood does not panic")).collect();
        ends.into_iter().collect()
    })
}

/// Sends a body that is skipped, as fast as the server takes it, until the connection is gone.
fn flood(judge: &Judge, client: &mut Client) -> CaseResult {
    let since = Instant::now();
    client.ask("echo 2147483647\r\n", "SERVER_ERROR object too large\r\n")?;
    let most = judge.scale(LATEST);
    while client.try_send([b'x'; 1 << 16]).is_ok() {
        judge.ensure(since.elapsed() < most, format!("closed within {most:.1?}"), || {
            format!("still open {:.1?} after the first byte of the request", since.elapsed())
        })?;
    }
    judge.ensure(
        since.elapsed() >= not_early(TIMEOUT),
        format!("open for at least {TIMEOUT:?}"),
        || format!("closed after {:.1?}", since.elapsed()),
    )
}

fn taking_is_activity(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--idle-timeout", "800ms"])?;
    let mut client = server.connect().named("slow").receive_buffer(TINY).open()?;
    // Little enough for the kernel to hold it, if it wants to.
    let (request, reply) = echo_of(200_000);
    let mut pace = Pace::new(Duration::from_millis(800));
    let sent = client.send(request);
    pace.check(judge)?;
    sent?;
    for part in reply.chunks(10_000) {
        pause(100);
        let came = client.expect(part);
        pace.check(judge)?;
        came?;
    }
    client.fence()
}

fn newcomers_clocks(judge: &Judge) -> CaseResult {
    let timeout = Duration::from_millis(1500);
    let server = judge.server(&["--idle-timeout", "1500ms", "--request-timeout", "1500ms"])?;
    let mut pace = Pace::new(timeout);
    let mut leaving = server.connect().named("leaving").open()?;
    let asked = leaving.ask("mn\r\necho 5\r\nhe", "MN\r\n");
    let mut watcher = Watcher::new(&server)?;
    let counted = watcher.wait_for_others(judge, 1, SOON);
    pause(1000);
    drop(leaving);
    let left = watcher.wait_for_others(judge, 0, SOON);
    // If its time was over before it left, nothing of it is left to strike.
    pace.check(judge)?;
    asked.and(counted).and(left)?;
    // It gets the lowest number that is free, which is that of the one who left.
    let mut newcomer = server.connect().named("newcomer").open()?;
    newcomer
        .expect_closed_within(not_early(timeout), timeout + Duration::from_millis(1700))
        .map(drop)
}

//! When a client is paused, when it goes on, and that nothing is lost in between (from day 3 on).

use super::script::{Script, send_while_reading};
use super::support::{
    BIG, PATIENCE, TINY, Watcher, almost_asked, echo_of, patient_server, paused_with,
    stopped_reader, wait_until_arrived,
};
use super::timeouts::Pace;
use super::watch::does_not_spin;
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::thread;
use std::time::Duration;

const DAY3: &str = "notes/protocol.md section 5, day3-backpressure";
const OPTIONS: &str = "notes/protocol.md section 2, the command line";
const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const FINE_PRINT: &str = "notes/protocol.md section 1, the fine print";
const STATS: &str = "notes/protocol.md section 4";

const RESTART_FLAGS: &[Need] = &[Need::Restart, Need::Flags];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("PA01", "pausing/what_was_read_before_is_answered_after", Rung::Day3, read_before)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("requests that were read before a pause are answered after it, unasked", DAY3)
        .hint(
            "no readiness event comes for bytes that are in your own buffer: at low-water go \
             through the read buffer first, and only then wait for more",
        ),
    Case::new("PA02", "pausing/a_pause_that_ends_at_once", Rung::Day3, ends_at_once)
        .needs(&[Need::Flags])
        .timeout_s(30)
        .rule("a pause that ends in the turn in which it began stops nothing", DAY3)
        .hint(
            "send may empty the queue in the same turn: look whether the pause is over after every \
             send, also when the socket was writable at once",
        ),
    Case::new("PA03", "pausing/half_close_during_a_pause", Rung::Day3, half_close)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("a client that half-closes while it is paused still gets every reply", LIFE)
        .hint(
            "the end of the input ends the reading, not the requests in the read buffer: close \
             when those are answered and the queue is empty",
        ),
    Case::new("PA04", "pausing/quit_during_a_pause", Rung::Day3, quit)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("`quit` behind a pause ends the connection after all replies before it", LIFE)
        .hint("requests behind a pause keep their order, and `quit` is one of them"),
    Case::new("PA05", "pausing/goes_on_at_low_water", Rung::Day3, at_low_water)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("a paused client's requests are taken again at --low-water, and not before", OPTIONS)
        .hint(
            "pause at `queued >= high`, go on at `queued <= low`, and remember in which of the two \
             you are: a single mark turns the pause on and off with every reply",
        ),
    Case::new("PA06", "pausing/low_water_is_half_by_default", Rung::Day3, half_by_default)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("without --low-water it is half of --high-water, whatever that is", OPTIONS)
        .hint("compute the default from the value of --high-water, after all options are read"),
    Case::new("PA07", "pausing/low_water_may_be_0", Rung::Day3, low_water_zero)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("with --low-water 0 requests are taken again when the queue is empty", OPTIONS)
        .hint("at or below: compare with `<=`; an empty queue must end every pause"),
    Case::new("PA08", "pausing/low_water_may_be_high_water", Rung::Day3, low_is_high)
        .needs(&[Need::Restart, Need::Flags, Need::Pid])
        .timeout_s(30)
        .rule("with both marks the same, a queue of just that size makes nobody spin", OPTIONS)
        .hint(
            "at this size the pause would end and begin again, for ever: end it only if a request \
             can be taken",
        ),
    Case::new("PA09", "pausing/each_pause_is_counted_once", Rung::Day3, counted_once)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("`reads_paused` counts how often a client was paused", STATS)
        .hint("count the change from reading to paused, not every turn that finds it paused"),
    Case::new("PA10", "pausing/one_pause_is_nobody_elses", Rung::Day3, nobody_elses)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("while one client is paused, others are served, paused, and go on", DAY3)
        .hint("marks and pause belong to the connection: look at its own queue, not at the sum"),
    Case::new("PA11", "pausing/the_request_clock_stands_still", Rung::Day3, clock_stands_still)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("while its client is paused, a half-received request does not time out", LIFE)
        .hint(
            "the request clock runs only while the server waits for bytes of this request: stop it \
             when the pause begins, start it when reading goes on",
        ),
    Case::new("PA12", "pausing/every_reply_in_order", Rung::Day3, every_reply)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("a client that was paused gets every reply, in order, byte for byte", FINE_PRINT)
        .hint(
            "a pause holds requests back; it must not drop, repeat or reorder one: leave the \
             unread rest in the read buffer and go on exactly there",
        ),
    Case::new("PA13", "pausing/random_marks_and_readers", Rung::Day3, random_marks)
        .needs(&[Need::Flags])
        .timeout_s(30)
        .rule("whatever the marks are, and however a client reads: every reply, in order", DAY3)
        .hint("`--seed` brings the marks and the streams back; try them with RUST_LOG=debug"),
    Case::new("PA14", "pausing/a_pause_does_not_make_it_spin", Rung::Day3, does_not_spin_paused)
        .needs(&[Need::Restart, Need::Flags, Need::Pid])
        .timeout_s(30)
        .rule(
            "input and the end of input that wait for a paused client leave the loop asleep",
            DAY3,
        )
        .hint(
            "while paused ask for no input, and not for POLLRDHUP or EPOLLRDHUP either: the wait \
             call would report what you don't want to read, at once and for ever",
        ),
];

fn read_before(judge: &Judge) -> CaseResult {
    // When this pause ends nothing is queued any more: no event comes for room to write either.
    let server = patient_server(judge, &["--low-water", "0"])?;
    let mut watcher = Watcher::new(&server)?;
    let requests = "mn\r\necho 3\r\nabc\r\n".repeat(50);
    let (mut client, reply) = paused_with(judge, &server, &mut watcher, requests)?;
    client.expect(reply)?;
    client.expect("MN\r\nECHO 3\r\nabc\r\n".repeat(50))?;
    client.fence()
}

fn ends_at_once(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &["--high-water", "100"])?;
    let mut client = server.client()?;
    let (request, reply) = echo_of(100);
    // Each reply reaches the mark, and the kernel takes all of them.
    client.ask(request.repeat(500), reply.repeat(500))?;
    client.fence()
}

fn half_close(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let requests = "mn\r\necho 3\r\nabc\r\n".repeat(50);
    let replies = "MN\r\nECHO 3\r\nabc\r\n".repeat(50);
    // The end comes while it is paused.
    let (mut client, reply) = paused_with(judge, &server, &mut watcher, &requests)?;
    client.send("mn\r\n")?;
    client.shutdown_write()?;
    wait_until_arrived(judge, &client)?;
    client.expect(reply)?;
    client.expect([&replies, "MN\r\n"].concat())?;
    client.expect_eof()?;

    // The server finds the end together with the request that lets the pause begin.
    let (mut client, last_byte, reply) = almost_asked(judge, &server, &mut watcher)?;
    server.pause()?;
    client.send([&last_byte, requests.as_bytes()].concat())?;
    client.shutdown_write()?;
    wait_until_arrived(judge, &client)?;
    server.resume()?;
    watcher
        .wait_for(judge, "the reply to be queued", "bytes_queued", PATIENCE, |bytes| bytes > 0)?;
    client.expect(reply)?;
    client.expect(replies)?;
    client.expect_eof()
}

fn quit(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let rest = "mn\r\necho 3\r\nabc\r\nquit\r\nmn\r\n";
    let (mut client, reply) = paused_with(judge, &server, &mut watcher, rest)?;
    client.expect(reply)?;
    client.expect("MN\r\nECHO 3\r\nabc\r\n")?;
    client.expect_eof()
}

fn at_low_water(judge: &Judge) -> CaseResult {
    goes_on_at(judge, &["--high-water", "8388608", "--low-water", "6291456"], 6 << 20)?;
    goes_on_at(judge, &["--high-water", "8388608", "--low-water", "2097152"], 2 << 20)
}

fn half_by_default(judge: &Judge) -> CaseResult {
    goes_on_at(judge, &["--high-water", "8388608"], 4 << 20)
}

/// Pauses a client and then reads its replies step by step. What it sends meanwhile must be taken
/// when `low` bytes are queued, and not before. The marks are far larger than the steps in which
/// the kernel takes bytes, so that the queue is seen on both sides of the mark.
fn goes_on_at(judge: &Judge, flags: &[&str], low: u64) -> CaseResult {
    const LAST: u64 = "MN\r\n".len() as u64;
    let server = patient_server(judge, flags)?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.connect().named("paused").receive_buffer(64 << 10).open()?;
    let (request, reply) = echo_of(1 << 20);
    let mut replied = 0;
    loop {
        // The server is between two turns and has sent what it can.
        let look = watcher.look()?;
        if look.paused > 0 && look.queued > low {
            break;
        }
        if replied > 64 << 20 {
            return Err(judge.skip("the kernel's buffers of one connection take more than 64 MiB"));
        }
        client.send(&request)?;
        replied += reply.len() as u64;
        let expected = "a request to be taken from a client that is not paused";
        judge.wait_until(expected, PATIENCE, || Ok(watcher.look()?.replied >= replied))?;
    }
    client.send("mn\r\n")?;
    let mut was_taken = false;
    for _ in 0..replied / reply.len() as u64 {
        for part in reply.chunks(64 << 10) {
            client.expect(part)?;
            let look = watcher.look()?;
            if was_taken {
                continue;
            }
            // What is taken at the mark itself may make the queue a little longer again.
            if look.queued > low + LAST {
                judge.ensure(
                    look.replied == replied,
                    format!("no request taken before {low} bytes are queued"),
                    || format!("one was taken with {} bytes queued", look.queued),
                )?;
                continue;
            }
            let expected = format!("a request taken with {} bytes queued, low-water", look.queued);
            judge.wait_until(&expected, PATIENCE, || Ok(watcher.look()?.replied > replied))?;
            was_taken = true;
        }
    }
    client.expect("MN\r\n")
}

fn low_water_zero(judge: &Judge) -> CaseResult {
    for high_water in ["1", "1000"] {
        let server = patient_server(judge, &["--high-water", high_water, "--low-water", "0"])?;
        let mut watcher = Watcher::new(&server)?;
        let (mut client, reply) = paused_with(judge, &server, &mut watcher, "mn\r\nmn\r\n")?;
        client.expect(reply)?;
        client.expect("MN\r\nMN\r\n")?;
        client.fence()?;
    }
    Ok(())
}

fn low_is_high(judge: &Judge) -> CaseResult {
    const MARK: u64 = 1 << 20;
    let server = patient_server(judge, &["--high-water", "1048576", "--low-water", "1048576"])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.connect().named("at the mark").receive_buffer(TINY).open()?;
    let mut replies = Vec::new();
    loop {
        let queued = watcher.look()?.queued;
        if queued == MARK {
            break;
        }
        // Until the kernel takes no more, and then exactly up to the mark. If the kernel takes some
        // more meanwhile, another reply fills the gap.
        let length = if queued > MARK / 4 { MARK.saturating_sub(queued) } else { 100_000 };
        let Some((request, reply)) = echo_with_a_reply_of(length as usize) else {
            return Err(judge.skip(format!("no reply is {length} bytes long, which are missing")));
        };
        client.send(request)?;
        replies.extend(reply);
        judge.wait_until("a request below the mark to be taken", PATIENCE, || {
            Ok(watcher.look()?.replied >= replies.len() as u64)
        })?;
    }
    does_not_spin(judge, &server.process()?, Duration::from_millis(700))?;
    client.send("mn\r\n")?;
    does_not_spin(judge, &server.process()?, Duration::from_millis(700))?;
    client.expect(replies)?;
    client.expect("MN\r\n")?;
    client.fence()
}

fn echo_with_a_reply_of(length: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let sizes = (1..8).filter_map(|digits| length.checked_sub(digits + "ECHO \r\n\r\n".len()));
    sizes.map(echo_of).find(|(_, reply)| reply.len() == length)
}

fn counted_once(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut busy = server.connect().named("busy").open()?;
    busy.fence()?;
    judge.equal("reads_paused before any", 0, watcher.number("reads_paused")?)?;
    let mut clients = Vec::new();
    for expected in 1..=3 {
        clients.push(stopped_reader(&server)?.0);
        let what = format!("`reads_paused` to be {expected}");
        watcher.wait_for(judge, &what, "reads_paused", PATIENCE, |paused| paused == expected)?;
        // Turns that find them paused.
        for _ in 0..20 {
            busy.fence()?;
        }
        judge.equal("reads_paused", expected, watcher.number("reads_paused")?)?;
    }
    let (_, reply) = echo_of(BIG);
    for client in &mut clients {
        client.expect(&reply)?;
        client.fence()?;
    }
    judge.equal("reads_paused when all have read", 3, watcher.number("reads_paused")?)
}

fn nobody_elses(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let (mut first, reply) = paused_with(judge, &server, &mut watcher, "mn\r\n")?;
    let mut other = server.connect().named("other").open()?;
    let (request, echoed) = echo_of(100_000);
    send_while_reading(judge, &mut other, &request.repeat(20))?;
    other.expect(echoed.repeat(20))?;
    let (mut second, _) = paused_with(judge, &server, &mut watcher, "mn\r\n")?;
    second.expect(&reply)?;
    second.expect("MN\r\n")?;
    other.fence()?;
    first.expect(&reply)?;
    first.expect("MN\r\n")?;
    second.fence()
}

fn clock_stands_still(judge: &Judge) -> CaseResult {
    let limit = Duration::from_secs(1);
    let server = patient_server(judge, &["--request-timeout", "1s"])?;
    let mut watcher = Watcher::new(&server)?;
    let mut pace = Pace::new(limit);
    let paused = paused_with(judge, &server, &mut watcher, "echo 4\r\nab");
    pace.check(judge)?;
    let (mut client, reply) = paused?;
    // The time-out, the second that it may be late, and a little.
    thread::sleep(limit + Duration::from_millis(1300));
    judge.equal("timeouts during a pause", 0, watcher.number("timeouts")?)?;
    // The rest is there when the pause ends.
    client.send("cd\r\n")?;
    client.expect(reply)?;
    client.expect("ECHO 4\r\nabcd\r\n")?;
    client.fence()
}

fn every_reply(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.connect().named("slow").receive_buffer(TINY).open()?;
    let script = Script::random(&mut judge.rng(), BIG);
    let push = client.push_until_blocked(&script.requests, script.requests.len())?;
    let paused = "a client that does not read 8 MiB of replies to be paused (reads_paused)";
    watcher.wait_for(judge, paused, "reads_paused", PATIENCE, |paused| paused > 0)?;
    // A byte at a time, then some more at a time, then whatever comes.
    let (first, rest) = script.replies.split_at(2_000);
    let (second, rest) = rest.split_at(50_000);
    client.expect_in_sips(first, 1)?;
    client.expect_in_sips(second, 100)?;
    send_while_reading(judge, &mut client, &script.requests[push.sent..])?;
    client.expect(rest)?;
    client.fence()
}

fn random_marks(judge: &Judge) -> CaseResult {
    let mut rng = judge.rng();
    for _ in 0..2 {
        let high_water = 1_usize << rng.usize(..18);
        let low_water = rng.usize(..=high_water);
        let (high, low) = (high_water.to_string(), low_water.to_string());
        let server = patient_server(judge, &["--high-water", &high, "--low-water", &low])?;
        let mut streams = Vec::new();
        for size in [BIG / 2, 200_000, 20_000] {
            let buffer = TINY << rng.usize(..5);
            let name = format!("high {high}, low {low}, receive buffer {buffer}");
            let mut client = server.connect().named(&name).receive_buffer(buffer).open()?;
            let script = Script::random(&mut rng, size);
            let push = client.push_until_blocked(&script.requests, script.requests.len())?;
            streams.push((client, script, push.sent));
        }
        rng.shuffle(&mut streams);
        for (mut client, script, sent) in streams {
            let (first, rest) = script.replies.split_at(rng.usize(..2_000));
            client.expect_in_sips(first, rng.usize(1..20))?;
            send_while_reading(judge, &mut client, &script.requests[sent..])?;
            client.expect(rest)?;
            client.fence()?;
        }
    }
    Ok(())
}

fn does_not_spin_paused(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let (mut waiting, _) = paused_with(judge, &server, &mut watcher, "mn\r\n")?;
    let (mut ended, _) = paused_with(judge, &server, &mut watcher, "mn\r\n")?;
    waiting.send("mn\r\n")?;
    ended.send("mn\r\n")?;
    ended.shutdown_write()?;
    wait_until_arrived(judge, &waiting)?;
    wait_until_arrived(judge, &ended)?;
    does_not_spin(judge, &server.process()?, Duration::from_millis(1500))
}

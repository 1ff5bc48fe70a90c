//! What is queued for a client that does not read, and what that costs (from day 3 on).

use super::support::{
    SOON, TINY, Watcher, all_are_answered, echo_of, expect_descriptors, patient_server,
    served_clients, stopped_reader,
};
use crate::case::{Case, Need, Rung};
use crate::client::{Client, Push};
use crate::inspect::Process;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::Duration;

const DAY3: &str = "notes/protocol.md section 5, day3-backpressure";
const OPTIONS: &str = "notes/protocol.md section 2, the command line";

/// The default of `--high-water`.
const HIGH_WATER: u64 = 65536;
const MIB: u64 = 1 << 20;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("BP01", "backpressure/queue_is_bounded", Rung::Day3, queue_is_bounded)
        // The peak is one of the server's whole life.
        .needs(&[Need::Restart])
        .fails_before("day 2 bounds nothing: that is day 3's subject")
        .timeout_s(30)
        .rule(
            "a client that sends and never reads has at most high-water and one reply queued",
            DAY3,
        )
        .hint(
            "at high-water bytes queued, take no further request from this client and stop \
             watching it for input; at low-water, go on with what is already in the read buffer",
        ),
    Case::new("BP02", "backpressure/the_option_sets_the_bound", Rung::Day3, option_sets_bound)
        .needs(&[Need::Restart, Need::Flags])
        .timeout_s(30)
        .rule("with --high-water N at most N bytes and one reply are queued for a client", OPTIONS)
        .hint(
            "look at the queue before each request that you take, not once for all that one recv \
             brought: 64 KiB of small requests are thousands of replies",
        ),
    Case::new(
        "BP03",
        "backpressure/a_reply_above_high_water_is_whole",
        Rung::Day3,
        large_reply_is_whole,
    )
    .needs(&[Need::Flags])
    .timeout_s(30)
    .rule("a reply that is larger than high-water is queued whole and delivered", DAY3)
    .hint(
        "high-water decides whether the next request is taken, never whether a reply fits: don't \
         cut it and don't disconnect for it",
    ),
    Case::new("BP04", "backpressure/memory_stays_flat", Rung::Day3, memory_stays_flat)
        .needs(&[Need::Restart, Need::Pid])
        .timeout_s(30)
        .fails_before("day 2 keeps every reply until its client reads: memory grows with them")
        .rule(
            "a client that asks for 200 MB of replies and reads none of them costs no memory",
            DAY3,
        )
        .hint(
            "short requests can have long replies (`stats`): what one recv brought must wait in \
             the read buffer while the write queue is at high-water",
        ),
    Case::new(
        "BP05",
        "backpressure/twenty_never_reading_clients_leave_nothing",
        Rung::Day3,
        twenty_leave_nothing,
    )
    .needs(&[Need::Restart, Need::Pid, Need::Flags])
    .timeout_s(30)
    .rule(
        "20 clients that never read cost little memory, are disconnected, and leave nothing",
        DAY3,
    )
    .hint(
        "disconnect: close the descriptor, drop both buffers, subtract the queue from \
         `bytes_queued`, and don't linger for a client that takes nothing",
    ),
    Case::new("BP06", "backpressure/the_others_do_not_feel_it", Rung::Day3, others_unaffected)
        .needs(&[Need::Flags])
        .timeout_s(30)
        .rule("beside 20 paused clients 49 others are answered within 1 s", DAY3)
        .hint(
            "a pause belongs to one connection: don't stop the loop, don't sleep, and don't count \
             all queues together",
        ),
    Case::new("BP07", "backpressure/the_queue_is_empty_in_the_end", Rung::Day3, empty_in_the_end)
        .needs(&[Need::Restart, Need::Flags])
        .timeout_s(30)
        .rule("when a paused client has read everything, `bytes_queued` is 0", DAY3)
        .hint(
            "what send(2) took leaves the queue and the figure; and the end of a pause adds none",
        ),
];

fn queue_is_bounded(judge: &Judge) -> CaseResult {
    stays_below(judge, &judge.server(&[])?, HIGH_WATER, 8 << 10).map(drop)
}

fn option_sets_bound(judge: &Judge) -> CaseResult {
    // Replies much smaller, as large, and much larger than the mark.
    for (high_water, size) in [(200_000_u64, 50), (3_000, 3_000), (1, 100_000)] {
        let mark = high_water.to_string();
        stays_below(judge, &patient_server(judge, &["--high-water", &mark])?, high_water, size)?;
    }
    Ok(())
}

/// A client sends until the server takes no more, and reads nothing. Returns the client, which is
/// then paused, and how much it sent.
fn stays_below(
    judge: &Judge,
    server: &Server,
    high_water: u64,
    size: usize,
) -> CaseResult<(Client, usize)> {
    const ROUND: usize = 4 << 20;
    let mut watcher = Watcher::new(server)?;
    let mut client = server.connect().named("never reads").receive_buffer(TINY).open()?;
    let (mut request, reply) = echo_of(size);
    let most = high_water + reply.len() as u64;
    let (mut sent, mut rounds_without_a_byte) = (0, 0);
    // A server without a bound is seen in the first rounds; one with a bound stops reading.
    while sent < 16 * ROUND {
        let push = push(judge, &mut client, &mut watcher, &request, ROUND)?;
        let peak = watcher.number("peak_bytes_queued")?;
        judge.ensure(peak <= most, format!("at most {most} bytes queued"), || {
            format!("peak_bytes_queued is {peak}")
        })?;
        sent += push.sent;
        // The watcher was answered meanwhile, so a server that still reads had the time to.
        rounds_without_a_byte = if push.sent == 0 { rounds_without_a_byte + 1 } else { 0 };
        if rounds_without_a_byte == 3 {
            return Ok((client, sent));
        }
        // The next round goes on where this one stopped.
        let at = push.sent % request.len();
        request.rotate_left(at);
    }
    Err(judge.broken("the server to stop reading", "it took 64 MiB of a client that never reads"))
}

/// Pushes, on a server that may disconnect slow readers: on a busy machine that is not too early.
fn push(
    judge: &Judge,
    client: &mut Client,
    watcher: &mut Watcher,
    bytes: &[u8],
    most: usize,
) -> CaseResult<Push> {
    let pushed = client.push_until_blocked(bytes, most);
    if pushed.is_err() && watcher.number("slow_reader_disconnects").is_ok_and(|count| count > 0) {
        return Err(judge.skip("this machine was too slow: the client was disconnected before"));
    }
    pushed
}

fn large_reply_is_whole(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &["--high-water", "1000"])?;
    let mut client = server.connect().named("slow").receive_buffer(TINY).open()?;
    let (request, reply) = echo_of(6 << 20);
    client.send(request)?;
    // In the way of the reply nobody else is served worse.
    server.client()?.fence()?;
    client.expect(reply)?;
    client.fence()
}

fn memory_stays_flat(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.connect().named("never reads").receive_buffer(TINY).open()?;
    let requests = requests_for(&mut watcher, 200 * MIB)?;
    let before = process.resident_bytes()?;
    let mut sent = 0;
    loop {
        // A server that reads has the time to while it answers the watcher.
        let rest = &requests[sent..];
        let push = push(judge, &mut client, &mut watcher, rest, rest.len())?;
        sent += push.sent;
        let was_busy = is_working(judge, &process, &mut watcher, before + 16 * MIB)?;
        if !was_busy && (push.sent == 0 || sent == requests.len()) {
            return Ok(());
        }
    }
}

/// So many `stats` that their replies are of this size in all.
fn requests_for(watcher: &mut Watcher, size: u64) -> CaseResult<Vec<u8>> {
    let length = watcher.reply_length()?;
    Ok("stats\r\n".repeat((size / length) as usize + 1).into_bytes())
}

/// Whether the server still makes replies, which must not make it larger than `most`.
fn is_working(
    judge: &Judge,
    process: &Process,
    watcher: &mut Watcher,
    most: u64,
) -> CaseResult<bool> {
    let made = |watcher: &mut Watcher| watcher.replies_made();
    let (first, mut was_busy) = (made(watcher)?, false);
    for _ in 0..5 {
        let resident = process.resident_bytes()?;
        judge.ensure(resident <= most, format!("at most {} MiB resident", most / MIB), || {
            format!("{} MiB", resident / MIB)
        })?;
        was_busy |= made(watcher)? != first;
    }
    Ok(was_busy)
}

/// Numbered clients that ask for much more than the kernel's buffers take, and read nothing. They go
/// on asking until the server takes no more: then it has paused them, with a full queue. One that was
/// disconnected as a slow reader before that has had its queue, too.
fn never_reading(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
    count: usize,
) -> CaseResult<Vec<Client>> {
    let mut clients = Vec::new();
    for number in 1..=count {
        let name = format!("never reads {number}");
        let mut client = server.connect().named(&name).receive_buffer(TINY).open()?;
        let mut request = echo_of(8 << 10).0;
        let disconnected = watcher.number("slow_reader_disconnects")?;
        let mut sent = 0;
        loop {
            let pushed = client.push_until_blocked(&request, 1000 * request.len());
            // Who was answered meanwhile was so by a server that had the time to read.
            let gone = watcher.number("slow_reader_disconnects")? > disconnected;
            match pushed {
                Ok(push) if push.sent == 0 => break,
                Ok(push) => {
                    sent += push.sent;
                    // The next round goes on where this one stopped.
                    let at = push.sent % request.len();
                    request.rotate_left(at);
                }
                Err(_) if gone => break,
                Err(stop) => return Err(stop),
            }
            judge.ensure(sent < 64 * MIB as usize, "the server to stop reading", || {
                format!("it took {} MiB of a client that never reads", sent >> 20)
            })?;
        }
        clients.push(client);
    }
    Ok(clients)
}

fn twenty_leave_nothing(judge: &Judge) -> CaseResult {
    // With a low-water above 80 % of high-water, a paused client is always above that mark.
    let server = judge.server(&["--slow-reader-timeout", "2s", "--low-water", "60000"])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, SOON)?;
    let (before, descriptors) = (process.resident_bytes()?, process.descriptors()?.len());
    // The first ones may be disconnected before the last ones have come.
    let _clients = never_reading(judge, &server, &mut watcher, 20)?;
    let expected = "20 clients that never read to be disconnected (slow_reader_disconnects)";
    judge.wait_until(expected, Duration::from_secs(12), || {
        is_working(judge, &process, &mut watcher, before + 32 * MIB)?;
        Ok(watcher.number("slow_reader_disconnects")? == 20)
    })?;
    watcher.wait_for_others(judge, 0, SOON)?;
    judge.equal("bytes_queued", 0, watcher.number("bytes_queued")?)?;
    expect_descriptors(judge, &process, descriptors, "20 that never read")?;
    judge.wait_until("at most 16 MiB above the memory of before", SOON, || {
        Ok(process.resident_bytes()? <= before + 16 * MIB)
    })
}

fn others_unaffected(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let bystanders = server.bystanders()?;
    let mut others = served_clients(&server, 49)?;
    let mut watcher = Watcher::new(&server)?;
    let _paused = never_reading(judge, &server, &mut watcher, 20)?;
    // A second, and what a busy machine adds to it.
    all_are_answered(judge, &mut others, SOON)?;
    all_are_answered(judge, &mut others, SOON)?;
    bystanders.finish()
}

fn empty_in_the_end(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let size = 8 << 10;
    let (mut client, sent) = stays_below(judge, &server, HIGH_WATER, size)?;
    let (request, reply) = echo_of(size);
    for _ in 0..sent / request.len() {
        client.expect(&reply)?;
    }
    let begun = sent % request.len();
    if begun > 0 {
        client.ask(&request[begun..], &reply)?;
    }
    client.fence()?;
    let (mut large, _) = stopped_reader(&server)?;
    large.expect(echo_of(super::support::BIG).1)?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for(judge, "nothing queued any more", "bytes_queued", SOON, |bytes| bytes == 0)
}

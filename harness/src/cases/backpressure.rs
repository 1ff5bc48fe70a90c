//! What is queued for a client that does not read (from day 3 on).

use super::support::{TINY, Watcher, echo_of};
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::verdict::CaseResult;

/// The default of `--high-water`.
const HIGH_WATER: u64 = 65536;
/// Bytes of each reply's body.
const REPLY: usize = 8 << 10;

/// The cases of this group.
pub const CASES: &[Case] =
    &[Case::new("BP01", "backpressure/queue_is_bounded", Rung::Day3, queue_is_bounded)
        // The peak is one of the server's whole life.
        .needs(&[Need::Restart])
        .fails_before("day 2 bounds nothing: that is day 3's subject")
        .rule(
            "a client that sends and never reads has at most high-water and one reply queued",
            "notes/protocol.md section 5, day3-backpressure",
        )
        .hint(
            "at high-water bytes queued, take no further request from this client and stop \
             watching it for input; at low-water, go on with what is already in the read buffer",
        )];

fn queue_is_bounded(judge: &Judge) -> CaseResult {
    const ROUND: usize = 4 << 20;
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.connect().named("never reads").receive_buffer(TINY).open()?;
    let mut request = echo_of(REPLY).0;
    let (mut sent, mut rounds_without_a_byte) = (0, 0);
    // A server without a bound is seen in the first rounds; one with a bound stops reading.
    while sent < 16 * ROUND {
        let push = client.push_until_blocked(&request, ROUND)?;
        let peak = watcher.number("peak_bytes_queued")?;
        let most = HIGH_WATER + REPLY as u64 + 20;
        judge.ensure(peak <= most, format!("at most {most} bytes queued"), || {
            format!("peak_bytes_queued is {peak}")
        })?;
        // The watcher was answered meanwhile, so a server that still reads had the time to.
        rounds_without_a_byte = if push.sent == 0 { rounds_without_a_byte + 1 } else { 0 };
        if rounds_without_a_byte == 3 {
            return Ok(());
        }
        sent += push.sent;
        // The next round goes on where this one stopped.
        let at = push.sent % request.len();
        request.rotate_left(at);
    }
    Err(judge.broken("the server to stop reading", "it took 64 MiB of a client that never reads"))
}

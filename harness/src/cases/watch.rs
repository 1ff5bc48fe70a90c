//! What several groups look at: the sleeping loop, its CPU time, and readers that stall.

use super::support::echo_of;
use crate::client::Client;
use crate::inspect::{Call, Descriptor, Process, Thread};
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The page and section that most of these rules come from.
pub(super) const OUTSIDE: &str = "notes/protocol.md section 3, what shows from outside";

/// Many clients leave with a reset: an ordinary close would leave a port in TIME_WAIT for each of
/// them, for a minute.
pub(super) fn leave(clients: Vec<Client>) -> CaseResult {
    clients.into_iter().try_for_each(Client::reset)
}

/// A client that asked for more than the kernel's buffers hold, and reads none of it: the server
/// is left with a queue.
pub(super) fn stalled_reader(judge: &Judge, server: &Server) -> CaseResult<Client> {
    let mut client = server.connect().named("stalled reader").receive_buffer(4096).open()?;
    let (mut request, _) = echo_of(64 << 10);
    let mut blocked = false;
    let mut asking = server.connect().named("stats").open()?;
    for _ in 0..8 {
        let push = client.push_until_blocked(&request, request.len() * 128)?;
        blocked = push.blocked;
        // A server that was only slow has no queue: then the next round pushes on.
        let patience = Duration::from_secs(u64::from(blocked));
        let mut queued = 0;
        let _ = judge.wait_until("a write queue at the server", patience, || {
            queued = asking.stats()?.number("bytes_queued")?;
            Ok(queued > 0)
        });
        if queued > 0 {
            return Ok(client);
        }
        // The next round goes on where this one stopped.
        let at = push.sent % request.len();
        request.rotate_left(at);
    }
    if blocked {
        let actual = "it takes no more, and bytes_queued is 0";
        return Err(judge.broken("a write queue at the server", actual));
    }
    Err(judge.skip("the kernel's buffers of one connection take more than 64 MiB"))
}

/// Which descriptors the server has opened since it had these, by their numbers. On a server that
/// has no other client they are those of the clients that came meanwhile. `/proc/PID/net/tcp` would
/// tell them one by one, but it leaves out lines while many connections come and go.
pub(super) fn new_descriptors(process: &Process, before: &[Descriptor]) -> CaseResult<Vec<i32>> {
    let old: Vec<i32> = before.iter().map(|descriptor| descriptor.number).collect();
    let now = process.descriptors()?.into_iter().map(|descriptor| descriptor.number);
    Ok(now.filter(|number| !old.contains(number)).collect())
}

/// Waits until the loop sleeps in the wait call of its rung, or all loops, where there are several;
/// returns their threads' ids.
pub(super) fn wait_until_asleep(judge: &Judge, process: &Process) -> CaseResult<Vec<i32>> {
    let deadline = Instant::now() + judge.scale(Duration::from_secs(2)).min(judge.remaining());
    let mut seen = String::new();
    loop {
        let calls: Vec<(i32, Call)> = calls_of(&process.threads()?)?;
        if let Some(loops) = sleeping_loops(judge, &calls) {
            return Ok(loops);
        }
        // Where it sleeps instead says more than that it happens to run.
        if calls.iter().any(|(_, call)| matches!(call, Call::In(_))) || seen.is_empty() {
            let calls = calls.iter().map(|(tid, call)| format!("thread {tid}: {call}"));
            seen = calls.collect::<Vec<_>>().join(", ");
        }
        if Instant::now() >= deadline {
            return Err(judge.broken(asleep(judge), seen));
        }
        sleep(Duration::from_millis(5));
    }
}

/// Whether the loops sleep at this moment, each in its wait call.
pub(super) fn loops_sleep(judge: &Judge, process: &Process) -> CaseResult<bool> {
    Ok(sleeping_loops(judge, &calls_of(&process.threads()?)?).is_some())
}

fn calls_of(threads: &[Thread]) -> CaseResult<Vec<(i32, Call)>> {
    threads.iter().map(|thread| Ok((thread.tid, thread.call()?))).collect()
}

/// The threads that run a loop, if all of them sleep in their wait call. Where there are several, nobody
/// tells how many: whoever sleeps elsewhere must be waiting for a task, and whoever runs may be a loop.
fn sleeping_loops(judge: &Judge, calls: &[(i32, Call)]) -> Option<Vec<i32>> {
    let (asleep, others): (Vec<_>, Vec<_>) =
        calls.iter().partition(|(_, call)| is_wait_call(judge, call));
    let mut loops: Vec<i32> = asleep.iter().map(|(tid, _)| *tid).collect();
    if judge.rung().has_several_loops() {
        let waits_for_a_task = |call: &Call| matches!(call, Call::In(name) if name == "futex");
        if !others.iter().all(|(_, call)| waits_for_a_task(call)) {
            return None;
        }
    } else {
        loops.truncate(1);
    }
    (!loops.is_empty()).then_some(loops)
}

/// Gives the loop the time to go to sleep in its wait call, so that what comes next must wake it. For
/// cases about something else: a loop that never sleeps there is for the group `mechanism` to judge.
pub(super) fn sleeps_if_it_can(judge: &Judge, server: &Server) {
    let _ = server.process().and_then(|process| wait_until_asleep(judge, &process));
}

/// Looks twenty times: whenever a loop's thread sleeps, it does so in its wait call.
pub(super) fn sleeps_nowhere_else(judge: &Judge, process: &Process) -> CaseResult {
    let loops = wait_until_asleep(judge, process)?;
    for _ in 0..20 {
        for thread in process.threads()?.iter().filter(|thread| loops.contains(&thread.tid)) {
            let call = thread.call()?;
            let elsewhere = matches!(call, Call::In(_)) && !is_wait_call(judge, &call);
            judge.ensure(!elsewhere, asleep(judge), || call)?;
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

pub(super) fn is_wait_call(judge: &Judge, call: &Call) -> bool {
    matches!(call, Call::In(name) if judge.rung().wait_calls().contains(&name.as_str()))
}

fn asleep(judge: &Judge) -> String {
    let calls = judge.rung().wait_calls().join(" or ");
    if judge.rung().has_several_loops() {
        return format!(
            "each loop's thread sleeps in {calls}, and the others in futex, for a task"
        );
    }
    format!("the loop's thread sleeps in {calls}")
}

/// At most two wake-ups a second of each loop, and less than 1 % of a core for all that the server does.
pub(super) fn is_at_rest(judge: &Judge, process: &Process, time: Duration) -> CaseResult {
    let loops = wait_until_asleep(judge, process)?;
    let sleeps = || -> CaseResult<Vec<u64>> {
        let threads = process.threads()?;
        let of_a_loop = threads.iter().filter(|thread| loops.contains(&thread.tid));
        Ok(of_a_loop.map(|thread| thread.voluntary_switches).collect())
    };
    let (started, cpu_before, sleeps_before) = (Instant::now(), process.cpu()?, sleeps()?);
    sleep(time);
    let wakeups = sleeps()?.into_iter().zip(sleeps_before).map(|(now, before)| now - before);
    let (wakeups, cpu) = (wakeups.max().unwrap_or(0), process.cpu()? - cpu_before);
    let elapsed = started.elapsed();
    // One more than the rule says, because the first may fall on the edge of the time watched.
    let most = (2.0 * elapsed.as_secs_f64()) as u64 + 1;
    judge.ensure(wakeups <= most, "at most 2 wake-ups a second at rest", || {
        format!("{wakeups} wake-ups in {elapsed:.2?}")
    })?;
    // 10 ms is the tick in which kernels without schedstat count.
    let most = elapsed.mul_f64(0.01) + Duration::from_millis(10);
    judge.ensure(cpu <= most, "under 1 % of a core at rest", || {
        format!("{cpu:.1?} of CPU in {elapsed:.2?}")
    })
}

/// Far less CPU than a loop that never sleeps uses. On a busy machine that one gets little of a core
/// too, but it is ready to run all the time.
pub(super) fn does_not_spin(judge: &Judge, process: &Process, time: Duration) -> CaseResult {
    let used = || -> CaseResult<(Duration, Duration)> {
        let threads = process.threads()?;
        let cpu: Duration = threads.iter().map(|thread| thread.cpu).sum();
        Ok((cpu, cpu + threads.iter().map(|thread| thread.kept_waiting).sum::<Duration>()))
    };
    let (started, (cpu_before, ready_before)) = (Instant::now(), used()?);
    sleep(time);
    let (cpu, ready) = used()?;
    let (cpu, ready) = (cpu.saturating_sub(cpu_before), ready.saturating_sub(ready_before));
    let elapsed = started.elapsed();
    let sleeps = cpu < elapsed / 10 && ready < elapsed.mul_f64(0.8);
    judge.ensure(sleeps, "a loop that sleeps (under 10 % of a core)", || {
        format!("it spins: {cpu:.1?} of CPU in {elapsed:.2?}, and ready to run for {ready:.2?}")
    })
}

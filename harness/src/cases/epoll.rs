//! What the epoll descriptor watches, read from its `/proc/PID/fdinfo/N`, and what idle connections
//! cost (from week 4 on).

use super::support::{
    BIG, PATIENCE, TINY, Watcher, crowd, echo_of, needs_descriptors, patient_server, paused_with,
    served_clients, stopped_reader, wait_for_count,
};
use super::watch::{OUTSIDE, leave, new_descriptors};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::inspect::{Descriptor, EpollSet, Process, Watched};
use crate::judge::Judge;
use crate::verdict::{CaseResult, Stop};
use std::time::Duration;

const W04: &str = "notes/protocol.md section 5, w04-epoll";
const PID: &[Need] = &[Need::Pid];
const FLAGS_PID: &[Need] = &[Need::Restart, Need::Flags, Need::Pid];
const RESTART_PID: &[Need] = &[Need::Restart, Need::Pid];

/// Idle clients of the case that measures what they cost.
const IDLE: usize = 2_000;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("EP01", "epoll/one_instance_watches_all", Rung::W04, one_instance)
        .needs(PID)
        .timeout_s(30)
        .until(Rung::W05)
        .rule("one epoll instance, close-on-exec, watches every client", W04)
        .hint(
            "epoll_create1(EPOLL_CLOEXEC) once, at the start; epoll_ctl(EPOLL_CTL_ADD) for the \
             listener and for each accepted socket",
        ),
    Case::new("EP02", "epoll/idle_clients_are_watched_for_input_only", Rung::W04, input_only)
        .needs(PID)
        .timeout_s(30)
        .rule("while nothing is queued, a client is watched for input and not for output", OUTSIDE)
        .hint(
            "an idle socket is always writable: add EPOLLOUT when send returned EAGAIN, and take \
             it back with EPOLL_CTL_MOD when the queue is empty",
        ),
    Case::new("EP03", "epoll/output_is_watched_while_queued", Rung::W04, output_while_queued)
        .needs(FLAGS_PID)
        .timeout_s(30)
        .rule("a client with replies queued is watched for output until they are sent", OUTSIDE)
        .hint(
            "EPOLL_CTL_MOD when the queue becomes non-empty and when it becomes empty again, both \
             from the one place that computes the interest",
        ),
    Case::new("EP04", "epoll/a_paused_client_is_not_watched_for_input", Rung::W04, paused)
        .needs(FLAGS_PID)
        .rule("a paused client is not watched for input, and after the pause it is again", OUTSIDE)
        .hint(
            "level-triggered input that you don't read is reported at once and for ever: \
             EPOLL_CTL_MOD without EPOLLIN when the pause begins, with it when it ends",
        ),
    Case::new("EP05", "epoll/an_entry_leaves_with_its_client", Rung::W04, entry_leaves)
        .needs(PID)
        .timeout_s(30)
        .rule("the entry of a connection is gone when the connection is", OUTSIDE)
        .hint(
            "close(2) takes the entry out only if no copy of the descriptor is open (dup, fork): \
             EPOLL_CTL_DEL before close, and the same in your own table",
        ),
    Case::new("EP06", "epoll/a_reused_descriptor_is_watched_anew", Rung::W04, reused_descriptor)
        .needs(RESTART_PID)
        .rule("a newcomer that gets the descriptor of one who just left is watched and served", W04)
        .hint(
            "what you remember about a descriptor ends with its connection: a table that still \
             says `registered` for this number skips the EPOLL_CTL_ADD of the next client",
        ),
    Case::new("EP07", "epoll/idle_connections_cost_nothing_per_turn", Rung::W04, idle_cost)
        .needs(RESTART_PID)
        .timeout_s(60)
        .fails_before(
            "select and poll are given the whole list in each turn, so each idle client costs time",
        )
        .rule("one client's requests cost the same CPU time with thousands of idle clients", W04)
        .hint(
            "per turn look only at what epoll_wait reported: no loop over all connections for \
             interests, for deadlines or for statistics",
        ),
];

/// Every epoll descriptor: one for each loop.
pub(super) fn sets(judge: &Judge, process: &Process) -> CaseResult<Vec<EpollSet>> {
    let sets = process.epoll_sets()?;
    judge.ensure(!sets.is_empty(), "an epoll descriptor", || "none")?;
    if sets.iter().all(|set| set.watched.is_empty()) {
        return Err(Stop::skip("/proc/PID/fdinfo does not show here what epoll watches"));
    }
    Ok(sets)
}

/// What all of them watch.
fn entries(judge: &Judge, process: &Process) -> CaseResult<Vec<Watched>> {
    Ok(sets(judge, process)?.into_iter().flat_map(|set| set.watched).collect())
}

/// Interest is for level-triggered entries. Whoever is told of changes only asks for everything once.
fn needs_level_triggered(entries: &[Watched]) -> CaseResult {
    if entries.iter().any(Watched::is_edge_triggered) {
        return Err(Stop::skip("edge-triggered (EPOLLET): this rule is about level-triggered"));
    }
    Ok(())
}

/// The entries of the clients that came while the server was brought into a state.
fn entries_since(
    judge: &Judge,
    process: &Process,
    before: &[Descriptor],
) -> CaseResult<Vec<Watched>> {
    let new = new_descriptors(process, before)?;
    let mut entries = entries(judge, process)?;
    entries.retain(|entry| new.contains(&entry.descriptor));
    Ok(entries)
}

/// Waits until this many clients that came since are watched, all of them so.
fn wait_for_entries(
    judge: &Judge,
    process: &Process,
    before: &[Descriptor],
    count: usize,
    expected: &str,
    is_right: impl Fn(&Watched) -> bool,
) -> CaseResult {
    let mut last = Vec::new();
    let waited = judge.wait_until(expected, PATIENCE, || {
        last = entries_since(judge, process, before)?;
        needs_level_triggered(&last)?;
        Ok(last.len() == count && last.iter().all(&is_right))
    });
    if let Err(Stop::Fail(_)) = waited {
        let wrong = last.iter().find(|entry| !is_right(entry));
        return Err(match wrong {
            Some(entry) => judge.broken(expected, entry),
            None => judge.broken(expected, format!("{} of {count} are in the set", last.len())),
        });
    }
    waited
}

fn one_instance(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let before = process.descriptors()?;
    let clients = served_clients(&server, 5)?;
    let sets = sets(judge, &process)?;
    judge.equal("epoll descriptors", 1, sets.len())?;
    let set = &sets[0];
    judge.ensure(set.descriptor.is_close_on_exec(), "close-on-exec on it", || &set.descriptor)?;
    let expected = "each of 5 clients in the epoll set";
    judge.wait_until(expected, PATIENCE, || {
        Ok(entries_since(judge, &process, &before)?.len() == clients.len())
    })
}

fn input_only(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let before = process.descriptors()?;
    let _silent = server.connect().named("silent").open()?;
    let _served = served_clients(&server, 5)?;
    let expected = "each of 6 idle clients watched for EPOLLIN and not for EPOLLOUT";
    wait_for_entries(judge, &process, &before, 6, expected, |entry| {
        entry.wants_input() && !entry.wants_output()
    })
}

fn output_while_queued(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let process = server.process()?;
    let before = process.descriptors()?;
    let mut client = stopped_reader(&server)?.0;
    let expected = "a client with replies queued watched for EPOLLOUT";
    wait_for_entries(judge, &process, &before, 1, expected, Watched::wants_output)?;
    client.expect(echo_of(BIG).1)?;
    client.fence()?;
    let expected = "a client with nothing queued any more not watched for EPOLLOUT";
    wait_for_entries(judge, &process, &before, 1, expected, |entry| {
        entry.wants_input() && !entry.wants_output()
    })
}

fn paused(judge: &Judge) -> CaseResult {
    let server = patient_server(judge, &[])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    let before = process.descriptors()?;
    let (mut client, reply) = paused_with(judge, &server, &mut watcher, "mn\r\n")?;
    let expected = "a paused client watched for EPOLLOUT and not for EPOLLIN";
    wait_for_entries(judge, &process, &before, 1, expected, |entry| {
        entry.wants_output() && !entry.wants_input()
    })?;
    client.expect(reply)?;
    client.expect("MN\r\n")?;
    let expected = "a client whose pause is over watched for EPOLLIN again";
    wait_for_entries(judge, &process, &before, 1, expected, Watched::wants_input)
}

fn entry_leaves(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, PATIENCE)?;
    let before = entries(judge, &process)?.len();
    for way in ["a close", "a reset", "a reset with replies queued", "quit"] {
        let mut client = server.connect().named(way).receive_buffer(TINY).open()?;
        client.fence()?;
        match way {
            "a close" => drop(client),
            "quit" => {
                client.send("quit\r\n")?;
                client.expect_eof()?;
                drop(client);
            }
            "a reset with replies queued" => {
                client.reset()?;
                stopped_reader(&server)?.0.reset()?;
            }
            _ => client.reset()?,
        }
        watcher.wait_for_others(judge, 0, PATIENCE)?;
        let expected = format!("{before} entries after {way}");
        let watched = || Ok(entries(judge, &process)?.len());
        wait_for_count(judge, &expected, watched, |now| now <= before)?;
    }
    Ok(())
}

fn reused_descriptor(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut leaving = served_clients(&server, 1)?.remove(0);
    for _ in 0..10 {
        // The server finds the end of the one and the other's connect in the same turn. Whichever
        // it looks at first: the number of the one is the next that the kernel gives out.
        server.pause()?;
        leaving.reset()?;
        let mut next = server.connect().named("next").open()?;
        next.send("mn\r\n")?;
        server.resume()?;
        next.expect("MN\r\n")?;
        leaving = next;
    }
    bystanders.finish()
}

fn idle_cost(judge: &Judge) -> CaseResult {
    // A server on select refuses those above 1023, so it is judged with as many as it takes.
    let idle = match judge.rung() {
        Rung::Day2 | Rung::Day3 => 900,
        _ => IDLE,
    };
    let descriptors = needs_descriptors(judge, idle)?;
    let server = judge.launch().descriptor_limit(descriptors).start()?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.connect().named("active").open()?;
    let alone = cost_of_requests(&process, &mut client)?;
    let crowd = crowd(judge, &server, &mut watcher, idle)?;
    let among_many = cost_of_requests(&process, &mut client)?;
    leave(crowd)?;
    let most = alone.mul_f64(2.5);
    judge.ensure(
        among_many <= most,
        format!("at most {most:.1?} of CPU time for 500 requests: {alone:.1?} without idle clients, times 2.5"),
        || format!("{among_many:.1?} with {idle} idle clients"),
    )
}

/// The CPU time that 500 requests cost the server, one at a time: the least of several rounds, since other work on this machine can only add to it.
fn cost_of_requests(process: &Process, client: &mut Client) -> CaseResult<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..5 {
        let before = process.cpu()?;
        for _ in 0..500 {
            client.fence()?;
        }
        least = least.min(process.cpu()?.saturating_sub(before));
    }
    Ok(least)
}

//! How many connections there may be, and who is refused.

use super::support::{
    REFUSAL, SOON, Watcher, connected_clients, expect_refusal, needs_descriptors, served_clients,
};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

const ERRORS: &str = "notes/protocol.md section 1, when the client is wrong";
const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const FLAGS: &[Need] = &[Need::Flags];

/// Clients of the case that goes beyond an fd_set.
const MORE_THAN_A_SET: usize = 1060;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("LI01", "limits/newcomer_is_refused_politely", Rung::Day2, refused_politely)
        .needs(FLAGS)
        .rule("a connection beyond --max-connections is told so and closed at once", ERRORS)
        .hint(
            "accept the newcomer, send `SERVER_ERROR too many connections`, close it: without the \
             accept it would hang in the backlog without a word",
        ),
    Case::new("LI02", "limits/existing_connections_are_unharmed", Rung::Day2, unharmed)
        .needs(FLAGS)
        .rule("refusing a newcomer changes nothing for those who are connected", ERRORS)
        .hint("the newcomer's descriptor never enters the registry; only that one is closed"),
    Case::new("LI03", "limits/freed_place_is_used_again", Rung::Day2, freed_place)
        .needs(FLAGS)
        .rule("when a client leaves, the next one has its place", ERRORS)
        .hint("compare with the number of connections there are, not of those there ever were"),
    Case::new("LI04", "limits/refusals_are_counted", Rung::Day2, refusals_are_counted)
        .needs(FLAGS)
        .rule(
            "`rejected_connections` counts the refused, and so does `total_connections`",
            "notes/protocol.md section 4",
        )
        .hint("count at accept, before the decision, and count each refusal once"),
    Case::new("LI05", "limits/lingering_connection_keeps_its_place", Rung::Day2, lingering)
        .needs(FLAGS)
        .rule("a connection that lingers still counts towards --max-connections", LIFE)
        .hint("a place is free when the descriptor is closed, not when the last reply is sent"),
    Case::new("LI06", "limits/descriptors_beyond_fd_setsize_are_refused", Rung::Day2, fd_setsize)
        .until(Rung::Day3)
        .needs(&[Need::Flags, Need::Restart])
        .rule(
            "a connection whose descriptor select cannot watch is refused, and the others go on",
            ERRORS,
        )
        .hint(
            "FD_SET with a descriptor of FD_SETSIZE (1024) or more writes past the set, which is \
             undefined behaviour: compare before, refuse and close (select(2), BUGS)",
        )
        .timeout_s(20),
];

fn newcomer(server: &Server) -> CaseResult<Client> {
    server.connect().named("newcomer").open()
}

fn refused_politely(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "3"])?;
    let _clients = served_clients(&server, 3)?;
    let mut told = 0;
    for _ in 0..5 {
        told += u32::from(expect_refusal(judge, &mut newcomer(&server)?)?);
    }
    // Best effort, but nothing stands in its way for five silent clients in turn.
    judge.ensure(
        told > 0,
        format!("{REFUSAL:?} before the end"),
        || "five newcomers were closed without a word",
    )
}

fn unharmed(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "5"])?;
    let bystanders = server.bystanders()?;
    let mut clients = served_clients(&server, 3)?;
    for _ in 0..10 {
        expect_refusal(judge, &mut newcomer(&server)?)?;
        clients.iter_mut().try_for_each(Client::fence)?;
    }
    bystanders.finish()
}

fn freed_place(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "4"])?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = served_clients(&server, 3)?;
    for _ in 0..3 {
        expect_refusal(judge, &mut newcomer(&server)?)?;
        drop(clients.remove(0));
        watcher.wait_for_others(judge, 2, SOON)?;
        let mut next = server.connect().named("next").open()?;
        next.fence()?;
        clients.push(next);
    }
    expect_refusal(judge, &mut newcomer(&server)?)?;
    clients.iter_mut().try_for_each(Client::fence)
}

fn refusals_are_counted(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "3"])?;
    let mut watcher = Watcher::new(&server)?;
    let _clients = served_clients(&server, 2)?;
    judge.equal("rejected_connections", 0, watcher.number("rejected_connections")?)?;
    for _ in 0..4 {
        expect_refusal(judge, &mut newcomer(&server)?)?;
    }
    judge.equal("rejected_connections", 4, watcher.number("rejected_connections")?)?;
    judge.equal("total_connections", 7, watcher.number("total_connections")?)?;
    judge.equal("curr_connections", 3, watcher.number("curr_connections")?)
}

fn lingering(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-connections", "2"])?;
    let mut watcher = Watcher::new(&server)?;
    let mut leaving = server.connect().named("leaving").open()?;
    let since = Instant::now();
    leaving.send("quit\r\n")?;
    leaving.expect_eof()?;
    // Less patience than a linger lasts, so that no place becomes free meanwhile.
    let mut refused =
        server.connect().named("newcomer").read_limit(Duration::from_secs(1)).open()?;
    let result = expect_refusal(judge, &mut refused);
    if since.elapsed() >= Duration::from_secs(2) {
        return Err(judge.skip("this machine was too slow: the linger may be over"));
    }
    result?;
    drop(leaving);
    watcher.wait_for_others(judge, 0, SOON)?;
    server.connect().named("next").open()?.fence()
}

fn fd_setsize(judge: &Judge) -> CaseResult {
    let descriptors = needs_descriptors(judge, MORE_THAN_A_SET)?;
    let server = judge
        .launch()
        .flags(&["--max-connections", "5000"])
        .descriptor_limit(descriptors)
        .start()?;
    let mut watcher = Watcher::new(&server)?;
    let bystanders = server.bystanders()?;
    let mut clients = Vec::new();
    while clients.len() < MORE_THAN_A_SET {
        clients.extend(connected_clients(&server, 106)?);
        let all = clients.len() as u64 + 3;
        let expected = format!("{all} connections to be accepted, or accepted and refused");
        watcher.wait_for(judge, &expected, "total_connections", SOON, |total| total >= all)?;
    }
    // The kernel gives out the lowest free descriptor, so the first ones have those below 1024.
    let refused = watcher.number("rejected_connections")? as usize;
    let served = clients.len().saturating_sub(refused);
    judge.ensure(
        (900..1024).contains(&served),
        "about 1000 clients served, and those with a descriptor above 1023 refused",
        || format!("{refused} of {} clients refused", clients.len()),
    )?;
    for client in &mut clients[served..] {
        expect_refusal(judge, client)?;
    }
    clients.truncate(served);
    clients.iter_mut().try_for_each(|client| client.send("echo 2\r\nhi\r\n"))?;
    clients.iter_mut().rev().try_for_each(|client| client.expect("ECHO 2\r\nhi\r\n"))?;
    bystanders.finish()
}

//! Beyond the 1,024 descriptors of an fd_set (from day 4 on).

use super::support::{SOON, Watcher, connected_clients, crowd, expect_refusal, needs_descriptors};
use super::watch::{OUTSIDE, is_at_rest, leave};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::Duration;

const DAY4: &str = "notes/protocol.md section 5, day4-poll";
const OPTIONS: &str = "notes/protocol.md section 2, the command line";
const SELECT_CANNOT: &str = "select cannot watch a descriptor above 1023, so this server refuses it: that is day 4's subject";

/// Clients of most cases: some dozens more than an fd_set has room for.
const CROWD: usize = 1100;
/// The default of `--max-connections`.
const DEFAULT: usize = 10_000;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("PO01", "poll/descriptors_above_1023_are_served", Rung::Day4, above_1023)
        .needs(&[Need::Restart])
        .timeout_s(20)
        .fails_before(SELECT_CANNOT)
        .rule("clients whose descriptor is above 1023 are served like any other", DAY4)
        .hint(
            "no fd_set, no FD_SETSIZE, no array of 1,024 entries: nothing may be left that \
             compares a descriptor with 1024",
        ),
    Case::new("PO02", "poll/high_descriptors_are_used_again", Rung::Day4, used_again)
        .needs(&[Need::Restart])
        .timeout_s(20)
        .fails_before(SELECT_CANNOT)
        .rule("a descriptor above 1023 that was closed serves the next client", DAY4)
        .hint(
            "the kernel gives out the lowest free number: take the old entry out of the pollfd \
             array or the epoll set when you close, and put the new one in",
        ),
    Case::new("PO03", "poll/max_connections_beyond_an_fd_set", Rung::Day4, max_connections)
        .needs(&[Need::Restart, Need::Flags])
        .timeout_s(20)
        .fails_before(SELECT_CANNOT)
        .rule("--max-connections may be above 1024, and only who is beyond it is refused", OPTIONS)
        .hint("compare the number of connections with the option, and with nothing else"),
    Case::new("PO04", "poll/ten_thousand_by_default", Rung::Day4, ten_thousand)
        .needs(&[Need::Restart])
        .timeout_s(60)
        .rule("without --max-connections 10,000 clients are served, and no more", OPTIONS)
        .hint(
            "raise the soft limit of descriptors to the hard one at the start (setrlimit(2)), and \
             let no table have a fixed size",
        ),
    Case::new("PO05", "poll/a_thousand_idle_clients_leave_it_at_rest", Rung::Day4, at_rest)
        .needs(&[Need::Restart, Need::Pid])
        .timeout_s(20)
        .rule(
            "with 1,100 idle clients it wakes at most twice a second, with under 1 % of a core",
            OUTSIDE,
        )
        .hint(
            "compute one deadline for the wait call from all connections; no timer per connection \
             and no look at all of them every few milliseconds. poll and epoll_wait take it in \
             milliseconds: a deadline in seconds must be multiplied by 1000 (poll(2))",
        ),
];

/// A server that may have the descriptors that the case needs.
fn server(judge: &Judge, clients: usize, flags: &[&str]) -> CaseResult<Server> {
    let descriptors = needs_descriptors(judge, clients)?;
    judge.launch().flags(flags).descriptor_limit(descriptors).start()
}

/// Each is answered, the last one first.
fn all_are_served(clients: &mut [Client]) -> CaseResult {
    clients.iter_mut().try_for_each(|client| client.send("echo 2\r\nhi\r\n"))?;
    clients.iter_mut().rev().try_for_each(|client| client.expect("ECHO 2\r\nhi\r\n"))
}

fn above_1023(judge: &Judge) -> CaseResult {
    let server = server(judge, CROWD, &[])?;
    let bystanders = server.bystanders()?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = crowd(judge, &server, &mut watcher, CROWD)?;
    all_are_served(&mut clients)?;
    all_are_served(&mut clients)?;
    leave(clients)?;
    bystanders.finish()
}

fn used_again(judge: &Judge) -> CaseResult {
    let server = server(judge, CROWD, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = crowd(judge, &server, &mut watcher, CROWD)?;
    for _ in 0..3 {
        // Those who came last have the highest descriptors.
        leave(clients.split_off(CROWD - 100))?;
        watcher.wait_for_others(judge, CROWD - 100, SOON)?;
        clients.extend(connected_clients(&server, 100)?);
        all_are_served(&mut clients[CROWD - 100..])?;
    }
    all_are_served(&mut clients)?;
    leave(clients)
}

fn max_connections(judge: &Judge) -> CaseResult {
    // The watcher is one of them.
    let most = (CROWD + 1).to_string();
    let server = server(judge, CROWD, &["--max-connections", &most])?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = crowd(judge, &server, &mut watcher, CROWD)?;
    judge.equal("rejected_connections", 0, watcher.number("rejected_connections")?)?;
    for _ in 0..3 {
        expect_refusal(judge, &mut server.connect().named("newcomer").open()?)?;
    }
    leave(clients.split_off(CROWD - 1))?;
    watcher.wait_for_others(judge, CROWD - 1, SOON)?;
    let mut next = server.connect().named("next").open()?;
    next.fence()?;
    all_are_served(&mut clients)?;
    leave(clients)
}

fn ten_thousand(judge: &Judge) -> CaseResult {
    let server = server(judge, DEFAULT, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = crowd(judge, &server, &mut watcher, DEFAULT - 1)?;
    judge.equal("rejected_connections", 0, watcher.number("rejected_connections")?)?;
    judge.equal("curr_connections", DEFAULT as u64, watcher.number("curr_connections")?)?;
    expect_refusal(judge, &mut server.connect().named("newcomer").open()?)?;
    all_are_served(&mut clients[DEFAULT - 1000..])?;
    leave(clients)
}

fn at_rest(judge: &Judge) -> CaseResult {
    let server = server(judge, CROWD, &[])?;
    let mut watcher = Watcher::new(&server)?;
    let clients = crowd(judge, &server, &mut watcher, CROWD)?;
    is_at_rest(judge, &server.process()?, Duration::from_secs(2))?;
    leave(clients)
}

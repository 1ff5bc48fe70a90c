//! Out of descriptors (notes/protocol.md section 3).

use super::support::served_clients;
use super::watch::{OUTSIDE, does_not_spin};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Descriptors that the server may have: soft and hard limit.
const LIMIT: u64 = 64;
/// More clients than that.
const FLOOD: usize = 90;
/// How soon it must accept again: 2 s, and three for a machine with other work.
const AGAIN: Duration = Duration::from_secs(5);
/// Clients that were there before.
const EARLY: usize = 10;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("EX01", "exhaustion/those_it_has_are_served", Rung::Day2, those_it_has_are_served)
        .needs(&[Need::Restart])
        .rule("out of descriptors, the server goes on serving the clients it has", OUTSIDE)
        .hint(
            "accept fails with EMFILE: that is the newcomer's problem. Don't exit, don't sleep, \
             go on with the turn",
        ),
    Case::new("EX02", "exhaustion/it_does_not_spin", Rung::Day2, it_does_not_spin)
        .needs(&[Need::Restart, Need::Pid])
        .rule("out of descriptors, the loop sleeps while newcomers wait in the backlog", OUTSIDE)
        .hint(
            "the listener stays readable while a newcomer waits: stop watching it for a moment \
             after EMFILE, or keep a spare descriptor to accept and close with",
        ),
    Case::new("EX03", "exhaustion/it_accepts_again", Rung::Day2, it_accepts_again)
        .needs(&[Need::Restart])
        .timeout_s(20)
        .rule("within 2 s of descriptors becoming free the server accepts again", OUTSIDE)
        .hint("watch the listener again when a connection closes, or after a short time"),
    Case::new("EX04", "exhaustion/no_newcomer_is_forgotten", Rung::Day2, no_newcomer_is_forgotten)
        .needs(&[Need::Restart])
        .rule("a newcomer waits until descriptors are free, or is closed: never neither", OUTSIDE)
        .hint("after EMFILE accept must be called again for those who still wait in the backlog"),
];

/// A server without a descriptor left: those it serves, and a flood of newcomers on top.
struct Crowd {
    server: Server,
    early: Vec<Client>,
    flood: Vec<Client>,
}

impl Crowd {
    fn gather(judge: &Judge) -> CaseResult<Self> {
        let server = judge.launch().descriptor_limit(LIMIT).start()?;
        let mut early = served_clients(&server, EARLY)?;
        let mut flood = Vec::new();
        for number in 0..FLOOD {
            let name = format!("newcomer {number}");
            let mut client = server.connect().named(&name).read_limit(AGAIN).open()?;
            // It may have been closed already.
            let _ = client.try_send("mn\r\n");
            flood.push(client);
        }
        // A reply from a turn in which all newcomers had knocked.
        early[0].fence()?;
        Ok(Self { server, early, flood })
    }
}

fn those_it_has_are_served(judge: &Judge) -> CaseResult {
    let mut crowd = Crowd::gather(judge)?;
    for client in crowd.early.iter_mut().rev() {
        client.ask("echo 3\r\nabc\r\n", "ECHO 3\r\nabc\r\n")?;
        client.fence()?;
    }
    Ok(())
}

fn it_does_not_spin(judge: &Judge) -> CaseResult {
    let mut crowd = Crowd::gather(judge)?;
    does_not_spin(judge, &crowd.server.process()?, Duration::from_millis(1500))?;
    crowd.early[0].fence()
}

fn it_accepts_again(judge: &Judge) -> CaseResult {
    let crowd = Crowd::gather(judge)?;
    drop(crowd.flood);
    drop(crowd.early);
    let deadline = Instant::now() + judge.scale(AGAIN).min(judge.remaining());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut client = crowd.server.connect().named("late").read_limit(left).open()?;
        let sent = client.try_send("mn\r\n");
        let problem = match client.expect("MN\r\n") {
            Ok(()) => return Ok(()),
            Err(stop) if sent.is_ok() => stop,
            // A server that closes newcomers may still close the first ones.
            Err(_) => judge.broken("a newcomer to be served", "the last to come was closed"),
        };
        sleep(Duration::from_millis(20));
        if Instant::now() >= deadline {
            return Err(problem);
        }
    }
}

fn no_newcomer_is_forgotten(judge: &Judge) -> CaseResult {
    let mut crowd = Crowd::gather(judge)?;
    // Those who were served leave, so that those who wait can take their places, one by one.
    crowd.early.truncate(1);
    crowd.flood.retain_mut(|client| !client.received().starts_with(b"MN\r\n"));
    for mut client in crowd.flood {
        if let Err(stop) = client.expect("MN\r\n")
            && client.read_until_closed().is_err()
        {
            return Err(stop);
        }
    }
    crowd.early[0].fence()
}

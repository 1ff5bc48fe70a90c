//! The fifty clients: what each kind does when its moment has come.

use super::link::{Act, After, Link, Reading};
use super::model::Request;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Replies that a client lets stand open at most: one that never gets any stops asking.
const MOST_OUTSTANDING: usize = 64;
/// The server's default limits (notes/protocol.md section 2).
const MAX_HEADER: usize = 8192;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much later than due a server may keep a limit (section 1).
const LATE: Duration = Duration::from_secs(1);
/// More than the server may take to give up on a client that reads nothing: 61 s, which begin up to
/// 12 s late if it comes while the server is out of descriptors or stopped.
const READS_NOTHING: Duration = Duration::from_secs(75);

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One request at a time, at a fixed pace.
    Steady,
    /// Many requests at once, then a pause.
    Bursty,
    /// Sends byte by byte; takes its replies little by little.
    Slow,
    /// Connects, asks a few requests, leaves.
    Churning,
    /// Breaks the rules.
    Hostile,
    /// Asks for `stats`, and is not one of the fifty.
    Observer,
}

impl Class {
    /// Every kind whose replies count as those of honest clients.
    pub const HONEST: [Self; 4] = [Self::Steady, Self::Bursty, Self::Slow, Self::Churning];

    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Bursty => "bursty",
            Self::Slow => "slow",
            Self::Churning => "churning",
            Self::Hostile => "hostile",
            Self::Observer => "observer",
        }
    }

    /// Whether its latency says something about the server: a slow client keeps itself waiting.
    #[must_use]
    pub const fn is_prompt(self) -> bool {
        matches!(self, Self::Steady | Self::Bursty | Self::Churning)
    }

    /// How many of the fifty are of this kind.
    pub(super) const fn count(self) -> usize {
        match self {
            Self::Steady => 15,
            Self::Bursty => 10,
            Self::Slow => 10,
            Self::Churning => 8,
            Self::Hostile => 7,
            Self::Observer => 1,
        }
    }

    /// Time between two actions.
    pub(super) const fn pace(self) -> Duration {
        Duration::from_millis(match self {
            Self::Steady => 200,
            Self::Bursty => 2_000,
            Self::Slow => 300,
            Self::Churning => 400,
            Self::Hostile => 1_000,
            Self::Observer => 1_000,
        })
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) class: Class,
    pub(super) number: usize,
    pub(super) link: Option<Link>,
    /// When it acts next.
    pub(super) next: Instant,
    /// What a hostile client is up to.
    pub(super) deed: &'static str,
}

impl Client {
    /// The receive buffer that its next connection wants, in bytes.
    pub(super) fn receive_buffer(&self) -> Option<usize> {
        match self.class {
            Class::Slow if self.number.is_multiple_of(2) => Some(4096),
            Class::Hostile if self.number == 0 => Some(4096),
            _ => None,
        }
    }

    /// Does what this client does at this moment.
    pub(super) fn act(&mut self, now: Instant, rng: &mut Rng) {
        let Some(link) = &mut self.link else { return };
        // Those with a fixed pace are measured from the moment that was meant, late or not.
        let paced = matches!(self.class, Class::Steady | Class::Bursty);
        let when = if paced { self.next } else { now };
        self.next = when + self.class.pace();
        match self.class {
            _ if link.outstanding() >= MOST_OUTSTANDING => {}
            Class::Steady if rng.u32(0..8) == 0 => {
                let request = Request::any(rng);
                let half = request.bytes.len() / 2 + 1;
                link.ask_in_pieces(when, request, half, Duration::from_millis(rng.u64(1..20)));
            }
            Class::Steady => link.ask(when, Request::any(rng)),
            Class::Bursty => {
                for _ in 0..rng.usize(8..48) {
                    link.ask(when, Request::any(rng));
                }
            }
            Class::Slow if link.outstanding() > 0 => {}
            Class::Slow if self.number.is_multiple_of(2) => {
                link.reading = Reading::Slowly(1024, Duration::from_millis(40));
                let length = rng.usize(4 << 10..24 << 10);
                link.ask(when, Request::echo(length, rng));
            }
            Class::Slow => {
                let request = Request::echo(rng.usize(1..40), rng);
                let size = rng.usize(1..4);
                link.ask_in_pieces(when, request, size, Duration::from_millis(40));
            }
            Class::Churning => churn(link, when, rng),
            Class::Hostile => self.deed = misbehave(self.number, link, when, rng),
            Class::Observer => link.ask(when, Request::stats()),
        }
    }

    /// Whether its connections are for one action only.
    pub(super) fn reconnects(&self) -> bool {
        matches!(self.class, Class::Churning | Class::Hostile)
    }
}

/// A few requests, and one of the ways to leave.
fn churn(link: &mut Link, when: Instant, rng: &mut Rng) {
    let mut when = when;
    for _ in 0..rng.usize(1..6) {
        link.ask(when, Request::any(rng));
        when += Duration::from_millis(rng.u64(0..100));
    }
    match rng.u32(0..4) {
        0 => {
            link.after = After::Ends(Duration::ZERO);
            link.plan(when, Act::HalfClose);
        }
        1 => quit(link, when),
        2 => link.plan(when, Act::CloseWhenAnswered),
        _ => link.plan(when, Act::ResetWhenAnswered),
    }
}

fn quit(link: &mut Link, when: Instant) {
    link.after = After::Ends(Duration::ZERO);
    link.plan(when, Act::Send(b"quit\r\n".to_vec()));
}

/// Breaks a rule; what the contract answers is expected all the same.
fn misbehave(number: usize, link: &mut Link, when: Instant, rng: &mut Rng) -> &'static str {
    // Two of them are busy for so long that they do nothing else.
    if number == 0 {
        for _ in 0..16 {
            link.ask(when, Request::echo(64 << 10, rng));
        }
        link.reading = Reading::From(when + READS_NOTHING);
        link.after = After::EndsAnywhere;
        return "reads nothing";
    }
    if number == 1 {
        link.plan(when, Act::Send(b"echo 10".to_vec()));
        link.after = After::Ends(REQUEST_TIMEOUT + LATE);
        return "stops in the middle of a header";
    }
    let ends = After::Ends(Duration::ZERO);
    match rng.u32(0..7) {
        0 => {
            for _ in 0..rng.usize(1..40) {
                link.ask(when, Request::garbage(rng));
            }
            link.after = ends;
            link.plan(when, Act::HalfClose);
            "sends garbage"
        }
        1 => {
            let line = vec![b'l'; MAX_HEADER + 2];
            link.ask(when, Request::new(line, "CLIENT_ERROR line too long\r\n"));
            link.after = ends;
            "sends a line that is too long"
        }
        2 => {
            let header = Request::new("echo 2147483647\r\n", "SERVER_ERROR object too large\r\n");
            link.ask(when, header);
            link.plan(when, Act::Send(vec![b'b'; rng.usize(1..100_000)]));
            link.plan(when, Act::ResetWhenAnswered);
            "announces too much, and resets in the middle of it"
        }
        3 => {
            let request = "echo 5\r\nhello, this is too long\r\nmn\r\n";
            link.ask(when, Request::new(request, "CLIENT_ERROR bad data chunk\r\n"));
            link.after = ends;
            "breaks a body"
        }
        4 => {
            link.plan(when, Act::Send(b"echo 1000\r\nnot a thousand".to_vec()));
            link.plan(when + Duration::from_millis(50), Act::Reset);
            "resets in the middle of a body"
        }
        5 => {
            for _ in 0..20 {
                link.ask(when, Request::any(rng));
            }
            link.plan(when + Duration::from_millis(rng.u64(0..3)), Act::Reset);
            "resets while it is answered"
        }
        _ => {
            link.ask(when, Request::any(rng));
            quit(link, when);
            link.plan(when, Act::Send(b"mn\r\nmn\r\n".to_vec()));
            "asks on after quit"
        }
    }
}

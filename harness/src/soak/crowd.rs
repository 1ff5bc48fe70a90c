//! The loop that all clients share: one thread, one `poll`.

use super::clients::{Class, Client};
use super::link::{End, Link};
use super::recovery::Recovery;
use super::tally::{Fault, Tally};
use crate::limits;
use crate::verdict::{CaseResult, Stop};
use fastrand::Rng;
use rustix::event::{PollFd, poll};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longest sleep, so that limits are looked at.
const NAP: Duration = Duration::from_millis(100);
/// Who came less than this before there was no more room may not have been let in yet.
const JUST_BEFORE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Crowd {
    address: SocketAddr,
    started: Instant,
    /// How long a reply may take.
    patience: Duration,
    clients: Vec<Client>,
    rng: Rng,
    pub(super) tally: Tally,
    /// Whether clients ask on; without it they only end what they have begun.
    pub(super) asks: bool,
    /// Time before this does not count as waiting.
    pub(super) patient_from: Instant,
    /// Since when, and until when, newcomers may be turned away.
    pub(super) no_room: Option<(Instant, Option<Instant>)>,
    pub(super) recovery: Option<Recovery>,
}

impl Crowd {
    /// The fifty clients and the observer; they connect one after the other within their pace.
    pub(super) fn new(
        address: SocketAddr,
        seed: u64,
        patience: Duration,
        started: Instant,
    ) -> CaseResult<Self> {
        let tally = Tally::new().map_err(|problem| Stop::fault("to count", problem))?;
        let mut crowd = Self {
            address,
            started,
            patience,
            clients: Vec::new(),
            rng: Rng::with_seed(seed),
            tally,
            asks: true,
            patient_from: started,
            no_room: None,
            recovery: None,
        };
        for class in Class::HONEST.into_iter().chain([Class::Hostile, Class::Observer]) {
            let count = class.count();
            for number in 0..count {
                let offset = class.pace().mul_f64(number as f64 / count as f64);
                crowd.clients.push(Client {
                    class,
                    number,
                    link: None,
                    next: started + offset,
                    deed: "",
                });
            }
        }
        Ok(crowd)
    }

    /// Adds a client with an open connection, which does what is planned on it.
    pub(super) fn add(&mut self, class: Class, link: Link) {
        let number = self.clients.len();
        let next = self.started;
        self.clients.push(Client { class, number, link: Some(link), next, deed: "" });
    }

    /// Connects to the server; `None` if it refuses.
    pub(super) fn open(&self, now: Instant) -> CaseResult<Option<Link>> {
        match Link::open(self.address, None, now) {
            Ok(link) => Ok(Some(link)),
            Err(error) if limits::exhausted(&error).is_some() => Err(fault(error)),
            Err(_) => Ok(None),
        }
    }

    /// Does something with every open connection; returns how many there are.
    pub(super) fn each_link(&mut self, mut act: impl FnMut(&mut Link)) -> usize {
        let links = self.clients.iter_mut().filter_map(|client| client.link.as_mut());
        links.map(&mut act).count()
    }

    /// Goes on until this moment.
    pub(super) fn run_until(&mut self, until: Instant) -> CaseResult {
        while Instant::now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    /// Goes on until the condition holds, or for so long; says whether it held.
    pub(super) fn run_while(
        &mut self,
        limit: Duration,
        goes_on: impl Fn(&Self) -> bool,
    ) -> CaseResult<bool> {
        let until = Instant::now() + limit;
        while goes_on(self) {
            if Instant::now() >= until {
                return Ok(false);
            }
            self.turn(until)?;
        }
        Ok(true)
    }

    /// Honest clients' replies that are still to come.
    pub(super) fn outstanding(&self) -> usize {
        let honest = self.clients.iter().filter(|client| client.class != Class::Hostile);
        honest.filter_map(|client| client.link.as_ref()).map(Link::outstanding).sum()
    }

    /// Whether a reply of an honest client is still to come, or the end of a connection that the server
    /// has to end at once.
    pub(super) fn is_owed(&self) -> bool {
        let links = self.clients.iter().filter_map(|client| client.link.as_ref());
        self.outstanding() > 0 || links.clone().any(Link::ends_at_once)
    }

    /// Whether everything that was planned has been sent.
    pub(super) fn all_sent(&self) -> bool {
        self.clients.iter().filter_map(|client| client.link.as_ref()).all(Link::is_sent)
    }

    /// Connections that are open.
    pub(super) fn connections(&self) -> usize {
        self.clients.iter().filter(|client| client.link.is_some()).count()
    }

    /// The numbers of the last reply to `stats`.
    pub(super) fn stats(&self) -> BTreeMap<String, u64> {
        let observer = self.clients.iter().find(|client| client.class == Class::Observer);
        let link = observer.and_then(|client| client.link.as_ref());
        link.map(|link| link.numbers.clone()).unwrap_or_default()
    }

    /// Everybody leaves; what hostile clients have under way is reset.
    pub(super) fn leave(&mut self) {
        for client in &mut self.clients {
            if let Some(link) = client.link.take()
                && client.class == Class::Hostile
            {
                link.reset();
            }
        }
    }

    fn turn(&mut self, until: Instant) -> CaseResult {
        let now = Instant::now();
        for index in 0..self.clients.len() {
            self.act(index, now)?;
        }
        let due = self.clients.iter().filter_map(|client| match &client.link {
            Some(link) if client.reconnects() || !self.asks => link.due(),
            Some(link) => link.due().into_iter().chain([client.next]).min(),
            None => self.asks.then_some(client.next),
        });
        let wake = due.min().unwrap_or(until).min(until).min(now + NAP);
        let wait = wake.saturating_duration_since(Instant::now());
        let (indexes, mut watched): (Vec<usize>, Vec<PollFd<'_>>) = (0..)
            .zip(&self.clients)
            .filter_map(|(index, client)| Some((index, client.link.as_ref()?)))
            .map(|(index, link)| (index, PollFd::new(link.stream(), link.interest())))
            .unzip();
        match poll(&mut watched, wait.try_into().ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(fault(error.into())),
        }
        let ready = indexes.into_iter().zip(watched.iter().map(|fd| !fd.revents().is_empty()));
        let ready: Vec<usize> = ready.filter_map(|(index, ready)| ready.then_some(index)).collect();
        drop(watched);
        for index in ready {
            self.receive(index, Instant::now())?;
        }
        Ok(())
    }

    /// What a client does without being asked: its next request, what it has planned, what a slow
    /// one reads.
    fn act(&mut self, index: usize, now: Instant) -> CaseResult {
        let client = &mut self.clients[index];
        if self.asks && client.next <= now {
            let reconnects = client.reconnects();
            if client.link.is_none() {
                match Link::open(self.address, client.receive_buffer(), now) {
                    Ok(link) => client.link = Some(link),
                    Err(error) if limits::exhausted(&error).is_some() => return Err(fault(error)),
                    Err(error) => {
                        client.next = now + client.class.pace();
                        return self.ended(index, End::TurnedAway(error.to_string()), now, now);
                    }
                }
                client.act(now, &mut self.rng);
            } else if !reconnects {
                client.act(now, &mut self.rng);
            }
        }
        let Some(link) = &mut client.link else { return Ok(()) };
        let opened = link.opened;
        if let Some(end) = link.send(now) {
            return self.ended(index, end, opened, now);
        }
        let is_overdue = link.overdue(now, self.patient_from, self.patience).is_some();
        // Without this a slow reader would never read: nobody watches its socket. And if it was the
        // harness that has not run for so long, the reply waits in the kernel.
        if is_overdue || link.due().is_some_and(|due| due <= now) {
            self.receive(index, now)?;
        }
        let Some(link) = &self.clients[index].link else { return Ok(()) };
        match link.overdue(now, self.patient_from, self.patience) {
            Some(end) => self.ended(index, end, opened, now),
            None => Ok(()),
        }
    }

    fn receive(&mut self, index: usize, now: Instant) -> CaseResult {
        let client = &mut self.clients[index];
        let Some(link) = &mut client.link else { return Ok(()) };
        let (class, opened) = (client.class, link.opened);
        let mut answered = Vec::new();
        let end = link.receive(now, &mut answered);
        for since in answered {
            let latency = now.saturating_duration_since(since);
            self.tally.answered(class, latency);
            if let Some(recovery) = &mut self.recovery
                && class.is_prompt()
            {
                recovery.answered(now, latency, opened);
            }
        }
        end.map_or(Ok(()), |end| self.ended(index, end, opened, now))
    }

    fn ended(&mut self, index: usize, end: End, opened: Instant, now: Instant) -> CaseResult {
        let room = !self.may_be_turned_away(opened, now);
        let client = &mut self.clients[index];
        let class = client.class;
        if let Some(link) = client.link.take()
            && !matches!(end, End::AsExpected | End::Left)
        {
            link.reset();
        }
        client.next = client.next.max(now);
        let who = match class {
            Class::Hostile => format!("hostile client {} that {}", client.number, client.deed),
            _ => format!("{} client {}", class.name(), client.number),
        };
        let (fault, what) = match end {
            End::AsExpected | End::Left => {
                match class {
                    Class::Hostile => {
                        *self.tally.deeds.entry(client.deed.to_owned()).or_default() += 1;
                    }
                    Class::Churning => self.tally.visits += 1,
                    _ => {}
                }
                return Ok(());
            }
            End::TurnedAway(_) if !room => {
                self.tally.turned_away(class);
                if let Some(recovery) = &mut self.recovery {
                    recovery.failed(now);
                }
                return Ok(());
            }
            End::TurnedAway(how) => (Fault::Refused, format!("a newcomer was not let in: {how}")),
            End::Wrong(what) => (Fault::Wrong, what),
            End::Lost(what) => (Fault::Lost, what),
        };
        self.tally.fault(class, fault, now - self.started, &who, &what);
        if let Some(recovery) = &mut self.recovery
            && class != Class::Hostile
        {
            recovery.failed(now);
        }
        Ok(())
    }

    fn may_be_turned_away(&self, opened: Instant, now: Instant) -> bool {
        self.no_room.is_some_and(|(since, until)| {
            opened + JUST_BEFORE >= since
                && until.is_none_or(|until| opened <= until)
                && now >= since
        })
    }
}

fn fault(error: io::Error) -> Stop {
    limits::exhausted(&error).map_or_else(|| Stop::fault("clients to connect", error), Stop::skip)
}

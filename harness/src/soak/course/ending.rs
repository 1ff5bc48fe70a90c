//! The end of a run: the server at rest, and its stop with requests under way.

use super::{Course, PATIENCE};
use crate::server::{Signal, describe_exit};
use crate::soak::clients::Class;
use crate::soak::crowd::Crowd;
use crate::soak::link::{Act, After, Link};
use crate::soak::model::Request;
use crate::soak::record::Stopping;
use crate::soak::report;
use crate::verdict::{CaseResult, Stop};
use std::time::{Duration, Instant};

/// The server's `--drain-timeout`.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a server that refuses connections may take to be seen to have ended.
const CRASH: Duration = Duration::from_secs(1);
/// Clients whose requests are under way when SIGTERM comes.
const AT_THE_END: usize = 12;

impl Course<'_> {
    /// The server without clients: what it still holds.
    pub(super) fn rest(&mut self) {
        let slope = report::slope_per_hour(&self.record.rows);
        let Some((rest, process)) = self.record.rest.as_mut().zip(self.process.as_ref()) else {
            return;
        };
        // It may still linger on some connections, for 2 s at most.
        let deadline = Instant::now() + self.plan.limits.scale(PATIENCE);
        loop {
            rest.descriptors_after = process.descriptor_count().ok();
            if rest.descriptors_after <= rest.descriptors_before || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        rest.resident_after = process.resident_bytes().ok();
        rest.slope_per_hour = slope;
        let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let text = format!(
            "at rest: {} descriptors ({} before the first client), {} resident",
            count(rest.descriptors_after),
            count(rest.descriptors_before),
            rest.resident_after.map_or_else(|| "?".to_owned(), report::mib)
        );
        self.log(text);
    }

    /// Whether the server turns out to have ended: it may still be about to.
    fn crashes_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.has_crashed() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// SIGTERM while a dozen clients have requests under way, one is silent and one stopped in the
    /// middle of a request.
    pub(super) fn stop_with_requests_under_way(&mut self) -> CaseResult {
        let (seed, patience) = (self.plan.seed, self.plan.limits.scale(PATIENCE));
        let mut rng = fastrand::Rng::with_seed(!seed);
        let mut crowd = Crowd::new(self.server.address(), seed, patience, self.started)?;
        crowd.asks = false;
        let now = Instant::now();
        for _ in 0..AT_THE_END {
            let Some(mut link) = crowd.open(now)? else { continue };
            link.ask(now, Request::new("mn\r\n", "MN\r\n"));
            crowd.add(Class::Steady, link);
        }
        crowd.run_while(patience, |crowd| crowd.outstanding() > 0)?;
        let served = crowd.tally.honest.real() == 0 && crowd.connections() == AT_THE_END;
        if !served && self.crashes_within(CRASH) {
            return Ok(());
        }
        let ends = |link: &mut Link| link.after = After::Ends(DRAIN);
        let now = Instant::now();
        let requests = crowd.each_link(|link| {
            ends(link);
            for request in
                [Request::echo(500, &mut rng), Request::burn(20), Request::compute(&mut rng)]
            {
                link.ask(now, request);
            }
        }) * 3;
        for text in ["", "echo 10\r\nhalf"] {
            let Some(mut link) = crowd.open(now)? else { continue };
            link.plan(now, Act::Send(text.as_bytes().to_vec()));
            ends(&mut link);
            crowd.add(Class::Steady, link);
        }
        crowd.run_while(patience, |crowd| !crowd.all_sent())?;
        self.log(format!("SIGTERM with {requests} requests under way"));
        let signalled = Instant::now();
        self.server.signal(Signal::TERM)?;
        crowd.run_while(DRAIN + patience * 2, |crowd| crowd.connections() > 0)?;
        let tally = &crowd.tally;
        let left = crowd.outstanding() as u64;
        let mut stopping = Stopping {
            requests: requests as u64,
            answered: (tally.totals()[&Class::Steady].replies).saturating_sub(AT_THE_END as u64),
            errors: tally.honest.real() + left + u64::from(!served),
            ..Stopping::default()
        };
        self.record.problems.extend(tally.problems.iter().cloned());
        match self.server.wait_exit(DRAIN + patience) {
            Ok(status) => {
                stopping.status = describe_exit(status);
                stopping.clean = status.success();
            }
            Err(Stop::Fail(_)) => "still ran".clone_into(&mut stopping.status),
            Err(skip) => return Err(skip),
        }
        stopping.seconds = signalled.elapsed().as_secs_f64();
        self.log(format!(
            "the server {}, {:.2} s after the signal; {} of {} requests were answered",
            stopping.status, stopping.seconds, stopping.answered, stopping.requests
        ));
        self.record.stopping = Some(stopping);
        Ok(())
    }
}

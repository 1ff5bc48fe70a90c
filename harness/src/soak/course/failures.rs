//! The two failures that are induced, and how the server comes back.

use super::{Course, PATIENCE, percent};
use crate::soak::record::{Induced, Row};
use crate::soak::recovery::Recovery;
use crate::soak::storm::Storm;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

/// How often a storm is looked after.
const LOOK: Duration = Duration::from_millis(100);
/// How soon after it has descriptors again a server must accept (notes/protocol.md section 3), and a
/// second for a machine with other work.
const ACCEPTS_AGAIN: Duration = Duration::from_secs(3);
/// A latency that counts as undisturbed, whatever it was before.
const UNDISTURBED: Duration = Duration::from_millis(50);

/// The moment before something is done to the server.
struct Before {
    moment: Instant,
    /// CPU time of the server until then.
    cpu: Option<Duration>,
}

impl Course<'_> {
    /// The first failure: more clients than the server has descriptors for.
    pub(super) fn storm(&mut self) -> CaseResult<bool> {
        self.take_row();
        self.phase = "storm";
        let before = self.begin_disturbance();
        self.crowd.no_room = Some((before.moment, None));
        let count = self.plan.storm;
        self.log(match self.record.descriptor_limit {
            Some(limit) => {
                format!(
                    "storm: {count} more clients at once; the server may open {limit} descriptors"
                )
            }
            None => format!("storm: {count} more clients at once"),
        });
        let mut storm = Storm::new(self.server.address(), count)?;
        let until = self.started.elapsed() + self.plan.storm_lasts();
        let mut most = None;
        while self.started.elapsed() < until {
            storm.look()?;
            let open = self.process.as_ref().and_then(|process| process.descriptor_count().ok());
            most = most.max(open);
            if !self.go(until.min(self.started.elapsed() + LOOK))? {
                return Ok(false);
            }
        }
        self.take_row();
        let storm = storm.end();
        let now = Instant::now();
        self.crowd.no_room =
            Some((before.moment, Some(now + self.plan.limits.scale(ACCEPTS_AGAIN))));
        self.log(format!(
            "the storm is over: {} of its clients were answered, {} turned away, the others waited",
            storm.answered, storm.turned_away
        ));
        let name = match self.record.descriptor_limit {
            Some(_) => "a storm of clients beyond the descriptor limit",
            None => "a storm of clients",
        };
        let mut induced = self.induced(name, &before, now);
        induced.most_descriptors = most;
        induced.storm = Some(storm);
        self.recover(induced, now)
    }

    /// The second failure: the server is stopped for some seconds.
    pub(super) fn pause(&mut self) -> CaseResult<bool> {
        self.finish_recovery();
        self.take_row();
        self.phase = "stopped";
        let before = self.begin_disturbance();
        self.log("SIGSTOP");
        self.server.pause()?;
        let until = self.started.elapsed() + self.plan.stop_lasts();
        // Nobody can be answered meanwhile, so nobody waits in vain.
        self.crowd.patient_from = self.started + until + PATIENCE;
        let lived = self.go(until)?;
        self.take_row();
        self.server.resume()?;
        let now = Instant::now();
        self.crowd.patient_from = now;
        self.log("SIGCONT");
        let induced = self.induced("the server stopped (SIGSTOP, SIGCONT)", &before, now);
        Ok(self.recover(induced, now)? && lived)
    }

    fn begin_disturbance(&mut self) -> Before {
        let tally = &mut self.crowd.tally;
        tally.is_calm = false;
        tally.standing.clear();
        tally.newcomers.clear();
        self.errors_before = tally.honest;
        Before { moment: Instant::now(), cpu: self.cpu().0 }
    }

    fn induced(&self, name: &str, before: &Before, now: Instant) -> Induced {
        Induced {
            name: name.to_owned(),
            began_s: (before.moment - self.started).as_secs_f64(),
            ended_s: (now - self.started).as_secs_f64(),
            before_p99_us: self.crowd.tally.calm.summary().p99_us,
            answered_meanwhile: self.crowd.tally.standing.summary().replies,
            before_cpu_percent: calm_cpu(&self.record.rows),
            server_cpu_percent: percent(before.cpu, self.cpu().0, now - before.moment),
            ..Induced::default()
        }
    }

    /// Watches the server come back.
    fn recover(&mut self, induced: Induced, from: Instant) -> CaseResult<bool> {
        self.phase = "recovery";
        self.crowd.recovery = Some(Recovery::new(from));
        self.crowd.patient_from = self.crowd.patient_from.max(from);
        self.record.induced.push(induced);
        let mut lived = self.go(self.started.elapsed() + self.plan.settles_in())?;
        // What comes next must not cut this short.
        let limit = from + self.plan.limits.scale(PATIENCE);
        while lived && !self.has_recovered() && Instant::now() < limit {
            lived = self.go(self.started.elapsed() + LOOK)?;
        }
        self.take_row();
        let tally = &mut self.crowd.tally;
        tally.is_calm = true;
        if let Some(induced) = self.record.induced.last_mut() {
            induced.standing = tally.standing.summary();
            induced.newcomers = tally.newcomers.summary();
        }
        self.phase = "steady";
        Ok(lived)
    }

    fn has_recovered(&self) -> bool {
        self.crowd.recovery.as_ref().is_none_or(|recovery| {
            recovery.newcomer_s().is_some() && recovery.errors_gone_s(Instant::now()).is_some()
        })
    }

    /// The times of the recovery that has been watched until now.
    pub(super) fn finish_recovery(&mut self) {
        let Some(recovery) = self.crowd.recovery.take() else { return };
        let Some(induced) = self.record.induced.last_mut() else { return };
        let limit = Duration::from_micros(induced.before_p99_us * 4).max(UNDISTURBED);
        let errors = self.crowd.tally.honest;
        induced.errors = errors.real() - self.errors_before.real();
        induced.turned_away = errors.turned_away - self.errors_before.turned_away;
        induced.newcomer_s = recovery.newcomer_s();
        induced.errors_gone_s = recovery.errors_gone_s(Instant::now());
        induced.latency_back_s = recovery.latency_back_s(limit);
        let told = |seconds: Option<f64>| {
            seconds.map_or_else(|| "not at all".to_owned(), |seconds| format!("{seconds:.2} s"))
        };
        let text = format!(
            "after {}: first newcomer served {}, last error {}, p99 back {}",
            induced.name,
            told(induced.newcomer_s),
            told(induced.errors_gone_s),
            told(induced.latency_back_s)
        );
        self.log(text);
    }
}

/// The server's CPU time for each second while nothing was induced, in percent of a core.
fn calm_cpu(rows: &[Row]) -> Option<f64> {
    let calm = rows.iter().filter(|row| row.phase == "steady");
    let parts: Vec<(f64, f64)> =
        calm.filter_map(|row| Some((row.server_cpu_percent?, row.length_s))).collect();
    let time: f64 = parts.iter().map(|(_, length)| length).sum();
    (time > 0.0).then(|| parts.iter().map(|(cpu, length)| cpu * length).sum::<f64>() / time)
}

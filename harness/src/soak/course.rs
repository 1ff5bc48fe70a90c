//! The run from start to end: load, storm, stop, load, rest, SIGTERM.

use super::clients::Class;
use super::crowd::Crowd;
use super::link::{After, Link};
use super::model::Request;
use super::record::{Errors, Induced, LogLine, Problem, Record, Rest, Row, Stopping};
use super::recovery::Recovery;
use super::storm::Storm;
use super::{Plan, criteria, report};
use crate::inspect::Process;
use crate::judge::Judge;
use crate::scene::Scene;
use crate::server::{Server, Signal, describe_exit};
use crate::target::{Origin, Target};
use crate::verdict::{CaseResult, Stop};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a reply may take at most, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a storm is looked after.
const LOOK: Duration = Duration::from_millis(100);
/// How soon after it has descriptors again a server must accept (notes/protocol.md section 3), and a
/// second for a machine with other work.
const ACCEPTS_AGAIN: Duration = Duration::from_secs(3);
/// How soon a crash is noticed.
const CRASH: Duration = Duration::from_millis(500);
/// A latency that counts as undisturbed, whatever it was before.
const UNDISTURBED: Duration = Duration::from_millis(50);
/// The server's `--drain-timeout`.
const DRAIN: Duration = Duration::from_secs(5);
/// Clients whose requests are under way when SIGTERM comes.
const AT_THE_END: usize = 12;
/// Lines of the log that go with a crash.
const LAST_LINES: usize = 10;

/// Soaks the server; `tell` hears each line of the log as it is written.
///
/// # Errors
/// The server did not start, or the harness could not go on. What the server does wrong is in the
/// record.
pub fn run(
    target: &Arc<Target>,
    plan: &Plan,
    tell: &mut dyn FnMut(&LogLine),
) -> CaseResult<Record> {
    let whole = plan.duration * 2 + Duration::from_secs(600);
    let scene = Arc::new(Scene::new(plan.limits, whole, Instant::now(), None));
    let judge = Judge::new(Arc::clone(target), Arc::clone(&scene), plan.seed, false);
    let result = soak(&judge, target, plan, tell);
    for server in scene.servers() {
        if let Some(survivor) = server.end()
            && result.is_ok()
        {
            return Err(scene.broken("nothing to survive the server's end", survivor, None, None));
        }
    }
    result
}

fn soak(
    judge: &Judge,
    target: &Target,
    plan: &Plan,
    tell: &mut dyn FnMut(&LogLine),
) -> CaseResult<Record> {
    let is_ours = !matches!(target.origin, Origin::Running { .. });
    let server = if is_ours {
        let server = judge.launch().descriptor_limit(plan.descriptor_limit).start()?;
        server.refuse_a_wrapper()?;
        server.wait_for_ready_line()?;
        server
    } else {
        judge.server(&[])?
    };
    let mut course = Course::new(judge, server, target, plan, is_ours, tell)?;
    course.work()?;
    if is_ours && course.record.crash.is_none() {
        course.stop_with_requests_under_way()?;
    }
    let mut record = course.record;
    record.criteria = criteria::judge(&record);
    Ok(record)
}

/// The moment before something is done to the server.
struct Before {
    moment: Instant,
    /// CPU time of the server until then.
    cpu: Option<Duration>,
}

struct Course<'a> {
    plan: &'a Plan,
    scene: Arc<Scene>,
    server: Server,
    process: Option<Process>,
    is_ours: bool,
    crowd: Crowd,
    record: Record,
    started: Instant,
    phase: &'static str,
    row_began: Instant,
    /// CPU times of the server and of the harness at that moment.
    row_cpu: (Option<Duration>, Option<Duration>),
    next_crash_look: Instant,
    errors_before: Errors,
    tell: &'a mut dyn FnMut(&LogLine),
}

impl<'a> Course<'a> {
    fn new(
        judge: &Judge,
        server: Server,
        target: &Target,
        plan: &'a Plan,
        is_ours: bool,
        tell: &'a mut dyn FnMut(&LogLine),
    ) -> CaseResult<Self> {
        // Without its id nothing can be said about memory and descriptors; the clients see the rest.
        let process = match server.process() {
            Ok(process) => Some(process),
            Err(Stop::Skip(_)) => None,
            Err(stop) => return Err(stop),
        };
        let started = Instant::now();
        let scene = Arc::clone(&judge.scene);
        let patience = plan.limits.scale(PATIENCE);
        let crowd = Crowd::new(server.address(), plan.seed, patience, started)?;
        let server_command = scene.servers().first().map(|s| s.autopsy().command);
        let record = Record {
            server: target.name.clone(),
            server_command: server_command.unwrap_or_default(),
            command: plan.command.clone(),
            machine: report::machine(),
            seed: plan.seed,
            patience_s: patience.as_secs_f64(),
            descriptor_limit: is_ours.then_some(plan.descriptor_limit),
            rest: process.as_ref().map(|process| Rest {
                descriptors_before: process.descriptor_count().ok(),
                ..Rest::default()
            }),
            ..Record::default()
        };
        let mut course = Self {
            plan,
            scene,
            server,
            process,
            is_ours,
            crowd,
            record,
            started,
            phase: "warm-up",
            row_began: started,
            row_cpu: (None, None),
            next_crash_look: started,
            errors_before: Errors::default(),
            tell,
        };
        course.row_cpu = course.cpu();
        let address = course.server.address();
        course.log(format!("{} listens on {address}; 50 clients begin to work", target.name));
        Ok(course)
    }

    fn log(&mut self, text: impl Into<String>) {
        let line = LogLine { at_s: self.started.elapsed().as_secs_f64(), text: text.into() };
        (self.tell)(&line);
        self.record.log.push(line);
    }

    fn cpu(&self) -> (Option<Duration>, Option<Duration>) {
        let own = Process::new(std::process::id().cast_signed()).and_then(|own| own.cpu());
        (self.process.as_ref().and_then(|process| process.cpu().ok()), own.ok())
    }

    /// The load with its two failures, until everybody has left. Ends early if the server does.
    fn work(&mut self) -> CaseResult {
        let (plan, cpu) = (self.plan, self.cpu());
        let ended = self.load()?;
        let (after, took) = (self.cpu(), self.started.elapsed());
        self.record.duration_s = took.as_secs_f64();
        self.record.server_cpu_percent = percent(cpu.0, after.0, took).unwrap_or_default();
        self.record.clients_cpu_percent = percent(cpu.1, after.1, took).unwrap_or_default();
        if ended {
            self.phase = "settling";
            self.crowd.asks = false;
            let patience = plan.limits.scale(PATIENCE) + ACCEPTS_AGAIN;
            self.crowd.run_while(patience, |crowd| crowd.outstanding() > 0)?;
            self.take_row();
            self.crowd.leave();
            self.log("the clients have left");
            self.rest();
        }
        let tally = &self.crowd.tally;
        self.record.totals = tally.totals();
        self.record.deeds = tally.deeds.clone();
        self.record.visits = tally.visits;
        self.record.honest = tally.honest;
        self.record.hostile = tally.hostile;
        self.record.problems.extend(tally.problems.iter().cloned());
        Ok(())
    }

    /// Whether the server lived to the end of it.
    fn load(&mut self) -> CaseResult<bool> {
        let plan = self.plan;
        if !self.go(plan.warm())? {
            return Ok(false);
        }
        self.take_row();
        let warm = self.process.as_ref().and_then(|process| process.resident_bytes().ok());
        if let Some(rest) = &mut self.record.rest {
            rest.resident_warm = warm;
        }
        self.log(format!(
            "warm{}",
            warm.map_or_else(String::new, |bytes| format!(": {} resident", report::mib(bytes)))
        ));
        self.phase = "steady";
        if !self.go(plan.storm_at())? || !self.storm()? || !self.go(plan.stop_at())? {
            return Ok(false);
        }
        if self.is_ours && !self.pause()? {
            return Ok(false);
        }
        let lived = self.go(plan.duration)?;
        self.finish_recovery();
        Ok(lived)
    }

    /// Lets the clients work until this moment of the run; false if the server has ended.
    fn go(&mut self, until: Duration) -> CaseResult<bool> {
        let until = self.started + until;
        loop {
            let now = Instant::now();
            if now >= self.next_crash_look {
                self.next_crash_look = now + CRASH;
                if self.has_crashed() {
                    self.take_row();
                    return Ok(false);
                }
            }
            if now >= until {
                return Ok(true);
            }
            let row_ends = self.row_began + self.plan.row();
            if now >= row_ends {
                self.take_row();
            }
            self.crowd.run_until(until.min(row_ends.max(now)).min(self.next_crash_look))?;
        }
    }

    fn has_crashed(&mut self) -> bool {
        let crash = self.scene.servers().iter().find_map(|server| server.crash());
        let is_gone = |process: &Process| Process::new(process.pid()).is_err();
        let gone = !self.is_ours && self.process.as_ref().is_some_and(is_gone);
        let Some(how) = crash.or_else(|| gone.then(|| "is gone".to_owned())) else { return false };
        self.log(format!("the server {how}"));
        let log = self.server.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        self.record.problems.insert(
            0,
            Problem {
                at_s: self.started.elapsed().as_secs_f64(),
                who: "the server".to_owned(),
                what: format!("{how}; the last lines of its log:\n{last}"),
            },
        );
        self.record.crash = Some(how);
        true
    }

    /// Ends the row of the time series that is being filled.
    fn take_row(&mut self) {
        let now = Instant::now();
        let length = now - self.row_began;
        if length < Duration::from_millis(50) {
            return;
        }
        let cpu = self.cpu();
        let (classes, prompt) = self.crowd.tally.take_row();
        let ask = |what: fn(&Process) -> CaseResult<u64>| {
            self.process.as_ref().and_then(|process| what(process).ok())
        };
        let row = Row {
            at_s: (now - self.started).as_secs_f64(),
            length_s: length.as_secs_f64(),
            phase: self.phase.to_owned(),
            prompt,
            classes,
            resident: ask(Process::resident_bytes),
            anonymous: ask(Process::anonymous_bytes),
            descriptors: ask(Process::descriptor_count),
            server_cpu_percent: percent(self.row_cpu.0, cpu.0, length),
            clients_cpu_percent: percent(self.row_cpu.1, cpu.1, length),
            stats: self.crowd.stats(),
        };
        self.record.rows.push(row);
        (self.row_began, self.row_cpu) = (now, cpu);
    }

    /// The first failure: more clients than the server has descriptors for.
    fn storm(&mut self) -> CaseResult<bool> {
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
    fn pause(&mut self) -> CaseResult<bool> {
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
    fn finish_recovery(&mut self) {
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

    /// The server without clients: what it still holds.
    fn rest(&mut self) {
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
        let text = format!(
            "at rest: {} descriptors ({} before the first client), {} resident",
            rest.descriptors_after.unwrap_or_default(),
            rest.descriptors_before.unwrap_or_default(),
            rest.resident_after.map_or_else(|| "?".to_owned(), report::mib)
        );
        self.log(text);
    }

    /// SIGTERM while a dozen clients have requests under way, one is silent and one stopped in the
    /// middle of a request.
    fn stop_with_requests_under_way(&mut self) -> CaseResult {
        let (seed, patience) = (self.plan.seed, self.plan.limits.scale(PATIENCE));
        let mut rng = fastrand::Rng::with_seed(!seed);
        let mut crowd = Crowd::new(self.server.address(), seed, patience, self.started)?;
        crowd.asks = false;
        let now = Instant::now();
        for _ in 0..AT_THE_END {
            let mut link = crowd.open(now)?;
            link.ask(now, Request::new("mn\r\n", "MN\r\n"));
            crowd.add(Class::Steady, link);
        }
        crowd.run_while(patience, |crowd| crowd.outstanding() > 0)?;
        let served = crowd.tally.honest.real() == 0;
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
            let mut link = crowd.open(now)?;
            link.plan(now, super::link::Act::Send(text.as_bytes().to_vec()));
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

/// The server's CPU time for each second while nothing was induced, in percent of a core.
fn calm_cpu(rows: &[Row]) -> Option<f64> {
    let calm = rows.iter().filter(|row| row.phase == "steady");
    let parts: Vec<(f64, f64)> =
        calm.filter_map(|row| Some((row.server_cpu_percent?, row.length_s))).collect();
    let time: f64 = parts.iter().map(|(_, length)| length).sum();
    (time > 0.0).then(|| parts.iter().map(|(cpu, length)| cpu * length).sum::<f64>() / time)
}

/// CPU time for each second, in percent of a core.
fn percent(before: Option<Duration>, after: Option<Duration>, time: Duration) -> Option<f64> {
    let used = after?.saturating_sub(before?);
    Some(100.0 * used.as_secs_f64() / time.as_secs_f64().max(0.001))
}

//! The run from start to end: load, storm, stop, load, rest, SIGTERM.

mod ending;
mod failures;

use super::crowd::Crowd;
use super::record::{Errors, LogLine, Problem, Record, Rest, Row};
use super::{Plan, criteria, report};
use crate::inspect::Process;
use crate::judge::Judge;
use crate::scene::Scene;
use crate::server::Server;
use crate::target::{Origin, Target};
use crate::verdict::{CaseResult, Stop};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a reply may take at most, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon a crash is noticed.
const CRASH: Duration = Duration::from_millis(500);
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
        let mut server_command =
            scene.servers().first().map(|s| s.autopsy().command).unwrap_or_default();
        // A report is read on other machines, where this path says nothing.
        if let Origin::Program { path, .. } = &target.origin
            && let Some(folder) = path.parent()
        {
            server_command = server_command.replace(&format!("{}/", folder.display()), "");
        }
        let record = Record {
            server: target.name.clone(),
            server_command,
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
            let patience = plan.limits.scale(PATIENCE) * 2;
            self.crowd.run_while(patience, Crowd::is_owed)?;
            self.take_row();
            self.crowd.leave();
            self.log("the clients have left");
            self.rest();
            self.has_crashed();
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
}

/// CPU time for each second, in percent of a core.
fn percent(before: Option<Duration>, after: Option<Duration>, time: Duration) -> Option<f64> {
    let used = after?.saturating_sub(before?);
    Some(100.0 * used.as_secs_f64() / time.as_secs_f64().max(0.001))
}

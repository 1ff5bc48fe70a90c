//! What the cases about tasks share: patient clients, workers that are kept busy, and the loop's
//! thread among the others.

use super::support::{PATIENCE, Watcher};
use super::watch::{is_wait_call, wait_until_asleep};
use crate::client::Client;
use crate::inspect::{Process, Thread};
use crate::judge::Judge;
use crate::server::{Server, Signal};
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

/// The page and section of what week 5 adds.
pub(super) const W05: &str = "notes/protocol.md section 5, w05-handoff";

/// How long a busy machine may take over some hundred tasks, or a second of CPU time.
pub(super) const RESULTS: Duration = Duration::from_secs(30);

/// A task that outlives every look at it. It needs as much CPU as one may ask for, so that at least
/// this time passes before it is over.
pub(super) const ENDLESS: &str = "burn 10000\r\n";
const ENDLESS_TAKES: Duration = Duration::from_secs(10);

/// Its connection waits for results as long as a busy machine takes over them.
pub(super) fn patient_client(server: &Server, name: &str) -> CaseResult<Client> {
    server.connect().named(name).read_limit(RESULTS).open()
}

/// Numbered patient clients, each of which has been served once.
pub(super) fn patient_clients(server: &Server, count: usize) -> CaseResult<Vec<Client>> {
    let named = |number: usize| patient_client(server, &format!("client {number}"));
    let mut clients: Vec<Client> = (1..=count).map(named).collect::<CaseResult<_>>()?;
    clients.iter_mut().try_for_each(Client::fence)?;
    Ok(clients)
}

/// Lets the server find what is said in here all at once: it stands still meanwhile.
pub(super) fn at_once(server: &Server, words: impl FnOnce() -> CaseResult) -> CaseResult {
    server.pause()?;
    words()?;
    server.resume()
}

/// A server, somebody who asks for its figures, and workers that are kept busy.
pub(super) struct Busy {
    pub(super) server: Server,
    pub(super) watcher: Watcher,
    /// Those whose tasks the workers run.
    pub(super) burns: Vec<Client>,
    /// Looked at where there are several loops.
    threads: Option<Threads>,
    done_before: u64,
    since: Instant,
}

impl Busy {
    /// Sends this task on so many connections, which must be as many as workers are free, and waits
    /// until all of them run.
    pub(super) fn keep(
        judge: &Judge,
        server: Server,
        mut watcher: Watcher,
        count: usize,
        task: &str,
    ) -> CaseResult<Self> {
        let done_before = watcher.number("tasks_done")?;
        let several = judge.rung().has_several_loops();
        let threads = several.then(|| Threads::of(judge, &server)).transpose()?;
        let since = Instant::now();
        let mut burns = Vec::new();
        for number in 1..=count {
            let mut client = patient_client(&server, &format!("burn {number}"))?;
            client.send(task)?;
            burns.push(client);
        }
        let expected = format!("{count} workers with a task (workers_busy)");
        watcher
            .wait_for(judge, &expected, "workers_busy", PATIENCE, |busy| busy == count as u64)?;
        Ok(Self { server, watcher, burns, threads, done_before, since })
    }

    /// A fresh server with these options, and so many clients for which its only worker has no time:
    /// it is kept busy with this task.
    pub(super) fn one_worker(
        judge: &Judge,
        flags: &[&str],
        clients: usize,
        task: &str,
    ) -> CaseResult<(Self, Vec<Client>)> {
        let server = judge.server(&[&["--workers", "1"], flags].concat())?;
        let clients = patient_clients(&server, clients)?;
        let watcher = Watcher::new(&server)?;
        Ok((Self::keep(judge, server, watcher, 1, task)?, clients))
    }

    /// None of the tasks is over yet. What was seen until now was seen while they ran.
    pub(super) fn still_runs(&mut self, judge: &Judge) -> CaseResult {
        if self.watcher.number("tasks_done")? == self.done_before {
            return Ok(());
        }
        Err(judge.skip("this machine was too slow: the burn was over before the case was"))
    }

    /// The same for [`ENDLESS`] tasks, which no server can have done this early.
    pub(super) fn runs_on(&mut self, judge: &Judge) -> CaseResult {
        let done = self.watcher.number("tasks_done")?;
        if self.since.elapsed() >= ENDLESS_TAKES {
            return Err(judge.skip("this machine was too slow: the burn may be over"));
        }
        judge.equal("tasks_done while `burn 10000` runs", self.done_before, done)
    }

    /// Waits until so many tasks wait for a worker.
    pub(super) fn wait_for_queued(&mut self, judge: &Judge, count: u64) -> CaseResult {
        let expected = format!("{count} tasks that wait for a worker (tasks_queued)");
        self.watcher.wait_for(judge, &expected, "tasks_queued", PATIENCE, |queued| queued == count)
    }

    /// The server has done what it can for all that it has read so far: tasks that had come are in the
    /// queue or wait for room, and results are sent. One loop does so between two answers; where there
    /// are several, each of them has gone to sleep.
    pub(super) fn settle(&mut self, judge: &Judge) -> CaseResult {
        for _ in 0..2 {
            self.watcher.number("tasks_done")?;
        }
        self.threads.as_ref().map_or(Ok(()), |threads| threads.wait_for_sleep(judge))
    }

    /// The client sends this, and the server has read it when this returns.
    pub(super) fn send_and_wait(
        &mut self,
        judge: &Judge,
        client: &mut Client,
        bytes: &str,
    ) -> CaseResult {
        let all = self.watcher.look()?.read + bytes.len() as u64;
        client.send(bytes)?;
        let expected = format!("{bytes:?} to be read (bytes_read)");
        judge.wait_until(&expected, PATIENCE, || Ok(self.watcher.look()?.read >= all))?;
        self.settle(judge)
    }

    /// Ends the server, whose tasks nobody needs to wait for.
    pub(super) fn kill(self) -> CaseResult {
        self.server.signal(Signal::KILL)
    }
}

/// The threads that run a loop, and how much CPU time each thread has used so far.
pub(super) struct Threads {
    process: Process,
    pub(super) of_the_loops: Vec<i32>,
    before: Vec<Thread>,
}

impl Threads {
    /// Looks at a server that is at rest.
    pub(super) fn of(judge: &Judge, server: &Server) -> CaseResult<Self> {
        let process = server.process()?;
        let of_the_loops = wait_until_asleep(judge, &process)?;
        let before = process.threads()?;
        Ok(Self { process, of_the_loops, before })
    }

    /// Those that run a loop.
    pub(super) fn loops(&self) -> CaseResult<Vec<Thread>> {
        self.threads(|tid| self.of_the_loops.contains(&tid))
    }

    /// All but the loop's.
    pub(super) fn others(&self) -> CaseResult<Vec<Thread>> {
        self.threads(|tid| !self.of_the_loops.contains(&tid))
    }

    fn threads(&self, is_meant: impl Fn(i32) -> bool) -> CaseResult<Vec<Thread>> {
        let mut threads = self.process.threads()?;
        threads.retain(|thread| is_meant(thread.tid));
        Ok(threads)
    }

    /// CPU time that the loop's thread has used since, or all loops' together.
    pub(super) fn used_by_the_loop(&self) -> CaseResult<Duration> {
        Ok(self.loops()?.iter().map(|thread| self.used_by(thread)).sum())
    }

    /// Waits until so many threads beside the loop's have worked.
    pub(super) fn wait_for_workers(&self, judge: &Judge, count: usize) -> CaseResult {
        self.wait_for_work(judge, || self.others(), count, "beside the loop's")
    }

    /// Waits until each of so many loops has worked.
    pub(super) fn wait_for_loops(&self, judge: &Judge, count: usize) -> CaseResult {
        self.wait_for_work(judge, || self.loops(), count, "each with a loop")
    }

    fn wait_for_work(
        &self,
        judge: &Judge,
        threads: impl Fn() -> CaseResult<Vec<Thread>>,
        count: usize,
        which: &str,
    ) -> CaseResult {
        // Ten times the tick in which kernels without schedstat count.
        const WORK: Duration = Duration::from_millis(100);
        let mut working = 0;
        let waited = judge.wait_until("", PATIENCE, || {
            working = threads()?.iter().filter(|thread| self.used_by(thread) >= WORK).count();
            Ok(working >= count)
        });
        waited.map_err(|_| {
            let expected = format!("{count} threads that work, {which}");
            judge.broken(expected, format!("{working} of them used {WORK:?} of CPU"))
        })
    }

    fn used_by(&self, now: &Thread) -> Duration {
        let before = self.before.iter().find(|thread| thread.tid == now.tid);
        now.cpu.saturating_sub(before.map_or(Duration::ZERO, |thread| thread.cpu))
    }

    /// Waits until each loop sleeps in its wait call: it has done what it had to do.
    pub(super) fn wait_for_sleep(&self, judge: &Judge) -> CaseResult {
        judge.wait_until("the loops to sleep in their wait call", PATIENCE, || {
            let mut calls = self.loops()?.into_iter().map(|thread| thread.call());
            calls.try_fold(true, |all, call| Ok(all && is_wait_call(judge, &call?)))
        })
    }

    /// While workers work, the loop sleeps: it has nothing to do.
    pub(super) fn the_loop_sleeps(&self, judge: &Judge, time: Duration) -> CaseResult {
        let (started, before) = (Instant::now(), self.used_by_the_loop()?);
        std::thread::sleep(time);
        let used = self.used_by_the_loop()?.saturating_sub(before);
        let elapsed = started.elapsed();
        let expected = "a loop that sleeps while a worker works (under 10 % of a core)";
        judge.ensure(used < elapsed / 10, expected, || {
            format!("it spins: its thread used {used:.1?} of CPU in {elapsed:.2?}")
        })
    }
}

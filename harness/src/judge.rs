//! What a case function is given: a way to start servers, the clock, and words for a verdict.

use crate::case::Rung;
use crate::launch::Launch;
use crate::scene::Scene;
use crate::server::Server;
use crate::target::Target;
use crate::verdict::{CaseResult, Stop};
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause between two looks in [`Judge::wait_until`].
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The hand that a case function works with.
///
/// ```no_run
/// # use harness::judge::Judge;
/// # use harness::verdict::CaseResult;
/// fn fifty_idle_clients_cost_one_thread(judge: &Judge) -> CaseResult {
///     let server = judge.server(&["--idle-timeout", "30s"])?;
///     let mut clients = Vec::new();
///     for number in 0..50 {
///         clients.push(server.connect().named(&format!("idle {number}")).open()?);
///     }
///     let threads = server.process()?.threads()?.len();
///     judge.equal("number of threads", 1, threads)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Judge {
    pub(crate) target: Arc<Target>,
    pub(crate) scene: Arc<Scene>,
    pub(crate) wait_for_enter: bool,
    seed: u64,
}

impl Judge {
    pub(crate) fn new(
        target: Arc<Target>,
        scene: Arc<Scene>,
        seed: u64,
        wait_for_enter: bool,
    ) -> Self {
        Self { target, scene, wait_for_enter, seed }
    }

    /// Starts a fresh server with these options and waits until it listens. It is ended when the
    /// case is over.
    ///
    /// # Errors
    /// The server did not start; a skip if options are given and the target takes none.
    pub fn server(&self, flags: &[&str]) -> CaseResult<Server> {
        self.launch().flags(flags).start()
    }

    /// The long form of [`Judge::server`]: environment, descriptor limit, port, or a start that is
    /// expected to end at once.
    pub fn launch(&self) -> Launch<'_> {
        Launch::new(self)
    }

    /// The same hand over a server that is known to be right, to compare the judged one with.
    ///
    /// # Errors
    /// A skip if there is none.
    pub fn reference(&self) -> CaseResult<Self> {
        let reference = self.target.reference.clone();
        let target = reference
            .ok_or_else(|| Stop::skip("needs a server to compare with (`--reference day3`)"))?;
        let scene = Arc::clone(&self.scene);
        Ok(Self { target, scene, wait_for_enter: self.wait_for_enter, seed: self.seed })
    }

    /// What the server is called: its rung, its command or its address.
    #[must_use]
    pub fn target_name(&self) -> &str {
        &self.target.name
    }

    /// The rung whose expectations apply.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.target.rung
    }

    /// How many threads a server without options of the case's own has beside its pool: one, or the
    /// main one and `--workers` that run loops, by default as many as it may use cores.
    #[must_use]
    pub fn loop_threads(&self) -> usize {
        if !self.rung().has_several_loops() {
            return 1;
        }
        let given = self.target.option("--workers").and_then(|count| count.parse().ok());
        1 + given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Random numbers that `--seed` brings back.
    #[must_use]
    pub fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    /// A limit, stretched by `--timeout-multiplier`. For waits that the judge or a client does
    /// this has already been applied.
    #[must_use]
    pub fn scale(&self, limit: Duration) -> Duration {
        self.scene.limits.scale(limit)
    }

    /// What is left of the time of this case.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.scene.deadline().saturating_duration_since(Instant::now())
    }

    /// A broken rule: `return Err(judge.broken("one thread", "three threads"))`.
    #[must_use]
    pub fn broken(&self, expected: impl Display, actual: impl Display) -> Stop {
        self.scene.broken(expected, actual, None, None)
    }

    /// A skip with its reason: `return Err(judge.skip("no IPv6 here"))`.
    #[must_use]
    pub fn skip(&self, reason: impl Display) -> Stop {
        Stop::skip(reason)
    }

    /// Goes on if the condition holds.
    ///
    /// # Errors
    /// The rule is broken: `expected` and what `actual` says.
    pub fn ensure<A: Display>(
        &self,
        holds: bool,
        expected: impl Display,
        actual: impl FnOnce() -> A,
    ) -> CaseResult {
        if holds { Ok(()) } else { Err(self.broken(expected, actual())) }
    }

    /// Goes on if both are equal.
    ///
    /// # Errors
    /// The rule is broken; `what` names the thing that was compared.
    pub fn equal<T: PartialEq + Debug>(&self, what: &str, expected: T, actual: T) -> CaseResult {
        self.ensure(expected == actual, format!("{what}: {expected:?}"), || {
            format!("{what}: {actual:?}")
        })
    }

    /// Waits until the condition holds. `what` completes "expected …": `"the connection to be
    /// removed"`.
    ///
    /// # Errors
    /// It did not hold within the limit, or the condition itself failed.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> CaseResult<bool>,
    ) -> CaseResult {
        let limit = self.scale(limit).min(self.remaining());
        let started = Instant::now();
        loop {
            if condition()? {
                return Ok(());
            }
            let waited = started.elapsed();
            if waited >= limit {
                let wait = Some((waited, limit));
                return Err(self.scene.broken(what, "it did not happen in time", None, wait));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

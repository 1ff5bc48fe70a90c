//! The regression gate: every case on every rung of the workspace, each a test of its own.
//!
//! `cargo test -p harness --test gate burst` runs the cases with `burst` in their names.

#![forbid(unsafe_code)]

use harness::case::{Case, Expectation};
use harness::report::{Verdict, human};
use harness::rungs::{self, RungServer};
use harness::runner::{self, Options};
use harness::target::Target;
use harness::{cases, verdict::Failure};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// Most cases wait, so more of them than there are cores run side by side.
const THREADS: usize = 8;

/// Built by the first test that runs, so that listing builds nothing.
type Targets = Result<BTreeMap<String, Arc<Target>>, String>;

struct Gate {
    servers: Vec<RungServer>,
    targets: OnceLock<Targets>,
    starts: BTreeMap<String, OnceLock<Result<(), Box<Failure>>>>,
    options: Options,
}

fn main() -> ExitCode {
    harness::limits::raise_descriptor_limit();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let servers = match rungs::discover() {
        Ok(servers) => servers,
        Err(problem) => {
            eprintln!("gate: {problem:#}");
            return ExitCode::from(harness::cli::FAULT);
        }
    };
    let gate = Arc::new(Gate {
        starts: servers.iter().map(|s| (s.name.clone(), OnceLock::new())).collect(),
        servers,
        targets: OnceLock::new(),
        options: Options::default(),
    });
    let mut trials = Vec::new();
    for server in &gate.servers {
        for case in cases::all() {
            if case.expectation(server.rung) != Expectation::NotApplicable {
                trials.push(trial(&gate, server, case));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(gate: &Arc<Gate>, server: &RungServer, case: &'static Case) -> Trial {
    let name = format!("{}::{}", server.name, case.path.replace('/', "::"));
    let (gate, server) = (Arc::clone(gate), server.name.clone());
    Trial::test(name, move || gate.judge(&server, case))
}

impl Gate {
    fn judge(&self, server: &str, case: &'static Case) -> Result<(), Failed> {
        let target = self.target(server)?;
        let report = runner::run_case(case, &target, &self.options);
        if let Verdict::Skip { reason } = &report.verdict {
            eprintln!("{server} {} skipped: {reason}", case.path);
        }
        if report.verdict.is_unexpected() {
            return Err(Failed::from(human::failure(&report)));
        }
        Ok(())
    }

    fn target(&self, server: &str) -> Result<Arc<Target>, Failed> {
        let targets = self.targets.get_or_init(|| self.build()).as_ref();
        let target = targets.map_err(Failed::from)?.get(server);
        let target = target.ok_or_else(|| format!("{server} was not built"))?;
        if let Some(start) = self.starts.get(server) {
            let start = start.get_or_init(|| runner::preflight(target, &self.options));
            start.as_ref().map_err(|failure| human::bare_failure(failure))?;
        }
        Ok(Arc::clone(target))
    }

    fn build(&self) -> Targets {
        let targets = rungs::build_targets(&self.servers)
            .map_err(|problem| format!("BUILD FAILURE\n  {problem:#}"))?;
        Ok(targets.into_iter().map(|target| (target.name.clone(), Arc::new(target))).collect())
    }
}

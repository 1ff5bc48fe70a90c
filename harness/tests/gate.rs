//! The regression gate: every case on every rung of the workspace, each a test of its own.
//!
//! `cargo test -p harness --test gate burst` runs the cases with `burst` in their names.

#![forbid(unsafe_code)]

use harness::case::{Case, Expectation};
use harness::report::{Verdict, human};
use harness::rungs::{self, RungPackage};
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
    packages: Vec<RungPackage>,
    targets: OnceLock<Targets>,
    starts: BTreeMap<String, OnceLock<Result<(), Box<Failure>>>>,
    options: Options,
}

fn main() -> ExitCode {
    harness::limits::raise_descriptor_limit();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let packages = match rungs::discover() {
        Ok(packages) => packages,
        Err(problem) => {
            eprintln!("gate: {problem:#}");
            return ExitCode::from(harness::cli::FAULT);
        }
    };
    let gate = Arc::new(Gate {
        starts: packages.iter().map(|p| (p.name.clone(), OnceLock::new())).collect(),
        packages,
        targets: OnceLock::new(),
        options: Options::default(),
    });
    let mut trials = Vec::new();
    for package in &gate.packages {
        for case in cases::all() {
            if case.expectation(package.rung) != Expectation::NotApplicable {
                trials.push(trial(&gate, package, case));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(gate: &Arc<Gate>, package: &RungPackage, case: &'static Case) -> Trial {
    let name = format!("{}::{}", package.name, case.path.replace('/', "::"));
    let (gate, package) = (Arc::clone(gate), package.name.clone());
    Trial::test(name, move || gate.judge(&package, case))
}

impl Gate {
    fn judge(&self, package: &str, case: &'static Case) -> Result<(), Failed> {
        let target = self.target(package)?;
        let report = runner::run_case(case, &target, &self.options);
        if let Verdict::Skip { reason } = &report.verdict {
            eprintln!("{package} {} skipped: {reason}", case.path);
        }
        if report.verdict.is_unexpected() {
            return Err(Failed::from(human::failure(&report)));
        }
        Ok(())
    }

    fn target(&self, package: &str) -> Result<Arc<Target>, Failed> {
        let targets = self.targets.get_or_init(|| self.build()).as_ref();
        let target = targets.map_err(Failed::from)?.get(package);
        let target = target.ok_or_else(|| format!("{package} was not built"))?;
        if let Some(start) = self.starts.get(package) {
            let start = start.get_or_init(|| runner::preflight(target, &self.options));
            start.as_ref().map_err(|failure| human::bare_failure(failure))?;
        }
        Ok(Arc::clone(target))
    }

    fn build(&self) -> Targets {
        let names: Vec<&str> = self.packages.iter().map(|package| package.name.as_str()).collect();
        let mut programs =
            rungs::build(&names).map_err(|problem| format!("BUILD FAILURE\n  {problem:#}"))?;
        let mut targets = BTreeMap::new();
        for package in &self.packages {
            if let Some(program) = programs.remove(&package.name) {
                targets.insert(package.name.clone(), Arc::new(rungs::target(package, program)));
            }
        }
        Ok(targets)
    }
}

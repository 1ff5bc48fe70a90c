//! The soak in miniature: some rungs pass it, and it catches what it is there for.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use harness::case::Rung;
use harness::limits::Limits;
use harness::museum::Museum;
use harness::rungs;
use harness::soak::record::{Record, Verdict};
use harness::soak::{self, Plan};
use harness::target::{Origin, Target};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Most of each test is waiting, so there are more of them than cores.
const THREADS: usize = 8;
/// Everything of half an hour in this time.
const SHORT: Duration = Duration::from_secs(8);

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($name), || {
            $name();
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    harness::limits::raise_descriptor_limit();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let trials = trials![
        select_passes,
        poll_passes,
        the_pool_passes,
        a_right_server_in_another_language_passes,
        descriptors_that_are_not_given_back_are_seen,
        memory_that_is_not_given_back_is_seen,
        replies_in_the_wrong_order_are_seen,
        a_server_that_dies_in_the_storm_is_seen,
        a_server_that_spins_in_the_storm_is_seen,
        a_server_that_never_accepts_again_is_seen,
        a_server_that_dies_when_it_is_left_alone_is_seen,
        a_server_that_does_not_end_connections_is_seen,
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn soak(target: Target) -> Record {
    let plan = Plan {
        duration: SHORT,
        descriptor_limit: 128,
        storm: 300,
        seed: fastrand::u64(..1 << 32),
        limits: Limits::default(),
        command: String::new(),
    };
    soak::run(&Arc::new(target), &plan, &mut |_| ()).unwrap()
}

/// The names of the criteria that came out so.
fn criteria(record: &Record, verdict: Verdict) -> Vec<&str> {
    let all = record.criteria.iter().filter(|criterion| criterion.verdict == verdict);
    all.map(|criterion| criterion.name.as_str()).collect()
}

fn expect_pass(record: &Record) {
    let all = record.criteria.len();
    assert_eq!(criteria(record, Verdict::Pass).len(), all, "{:#?}", shown(record));
}

fn shown(record: &Record) -> impl std::fmt::Debug + '_ {
    (record.seed, &record.criteria, &record.problems, &record.log)
}

fn expect_failure(record: &Record, beginning: &str) {
    let failed = criteria(record, Verdict::Fail);
    assert!(
        failed.iter().any(|name| name.starts_with(beginning)),
        "{failed:?} {:#?}",
        shown(record)
    );
}

fn rung(name: &str) -> Target {
    rungs::build_target(&rungs::find(&rungs::discover().unwrap(), name).unwrap()).unwrap()
}

fn bug(name: &str) -> Target {
    let museum = Museum::open().unwrap();
    museum.with_bug(museum.bug(name).unwrap())
}

fn python(mistake: &str) -> Target {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let command = format!("python3 '{fixtures}'/soak_bugs.py {mistake} {{port}}");
    Target {
        name: mistake.to_owned(),
        origin: Origin::Command(command),
        rung: Rung::Day2,
        takes_flags: true,
        replay: String::new(),
        reference: None,
    }
}

fn select_passes() {
    expect_pass(&soak(rung("day2")));
}

fn poll_passes() {
    let record = soak(rung("day4"));
    expect_pass(&record);
    assert_eq!(record.induced.len(), 2);
    let storm = record.induced[0].storm.unwrap();
    assert!(storm.answered > 0 && storm.answered < storm.tried, "{storm:?}");
    assert_eq!(record.induced[0].most_descriptors, Some(128), "the storm was too weak");
}

fn the_pool_passes() {
    expect_pass(&soak(rung("w05")));
}

fn a_right_server_in_another_language_passes() {
    expect_pass(&soak(python("nothing")));
}

fn descriptors_that_are_not_given_back_are_seen() {
    expect_failure(&soak(bug("reset-leaks-descriptor")), "every descriptor is given back");
}

fn memory_that_is_not_given_back_is_seen() {
    let record = soak(python("remembers"));
    assert_eq!(criteria(&record, Verdict::Fail), ["memory is bounded"], "{:#?}", shown(&record));
}

fn replies_in_the_wrong_order_are_seen() {
    let record = soak(bug("results-out-of-order"));
    expect_failure(&record, "every reply to an honest client is right");
    assert!(record.problems.iter().any(|problem| problem.what.contains("^ byte ")));
}

fn a_server_that_dies_in_the_storm_is_seen() {
    let record = soak(bug("accept-emfile-is-fatal"));
    expect_failure(&record, "the server lives to the end");
    let log = &record.problems[0].what;
    assert!(log.contains("exited with status 1") && log.contains("cannot accept"), "{log}");
}

fn a_server_that_spins_in_the_storm_is_seen() {
    expect_failure(&soak(bug("accept-emfile-spins")), "out of descriptors it does not spin");
}

fn a_server_that_never_accepts_again_is_seen() {
    let record = soak(python("gives-up"));
    expect_failure(&record, "it recovers from a storm");
    expect_failure(&record, "no honest client loses a reply");
}

fn a_server_that_dies_when_it_is_left_alone_is_seen() {
    expect_failure(&soak(python("dies-alone")), "the server lives to the end");
}

fn a_server_that_does_not_end_connections_is_seen() {
    expect_failure(&soak(python("holds-on")), "hostile clients get");
}

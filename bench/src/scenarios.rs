//! What is measured.

use crate::load::{Pace, Verb};
use crate::scenario::{Metric, Placement, Scenario, Steps, Who};
use crate::tasks;
use anyhow::{Result, bail};

/// How long one of the burners' tasks uses a CPU, in milliseconds.
pub const BURN: usize = 50;

const SELECT_CANNOT: &str = "FD_SETSIZE: select(2) has room for 1,024 descriptors, no more";
const NO_SELECT: &[(&str, &str)] =
    &[("day2-select-loop", SELECT_CANNOT), ("day3-backpressure", SELECT_CANNOT)];

/// Those with a pool for what uses a CPU; and, to see what a pool is for, the loop that has none and
/// the threads that need none.
const POOLS: Who = Who::Only(&[
    "w04-epoll",
    "w05-handoff",
    "async-runtime",
    "peer-tokio",
    "peer-tokio-multi",
    "peer-smol",
    "peer-threads",
    "peer-libuv",
]);

/// The runtime and tokio, each with one thread and with a thread per core.
const RUNTIMES: Who =
    Who::Only(&["async-runtime", "async-runtime-1", "peer-tokio", "peer-tokio-multi"]);

/// A small echo on 50 connections, from which the others differ in what they are about.
const SMALL_ECHO: Scenario = Scenario {
    name: "echo",
    title: "Small echo, one request at a time",
    shows: "the whole cost of one request: a wait, a read, a write",
    metric: Metric::Throughput,
    connections: 50,
    idle: 0,
    pipeline: 1,
    verb: Verb::Echo,
    size: 64,
    pace: Pace::Closed,
    churn: None,
    burners: 0,
    placement: Placement::Apart,
    longer: 1,
    steps: Steps::None,
    who: Who::Everybody,
    without: &[],
};

/// The same for servers with a thread per core.
const ON_TWO_CORES: Scenario = Scenario {
    name: "echo-two-cores",
    title: "Small echo, on two cores",
    shows: "what a thread per core is worth where the load wants one of the two cores",
    placement: Placement::TwoCores,
    who: RUNTIMES,
    ..SMALL_ECHO
};

/// All of them, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    SMALL_ECHO,
    Scenario {
        name: "pipeline",
        title: "Small echo, 16 requests at a time",
        shows: "the cost of the protocol itself: system calls are shared by 16 requests",
        pipeline: 16,
        ..SMALL_ECHO
    },
    Scenario {
        name: "large-echo",
        title: "Echo of 16 KiB",
        shows: "how often bytes are copied, and whether buffers are made anew",
        size: 16 << 10,
        ..SMALL_ECHO
    },
    Scenario {
        name: "idle-900",
        title: "Small echo beside 900 idle connections",
        shows: "what connections cost that do nothing; as many as select can watch",
        idle: 900,
        ..SMALL_ECHO
    },
    Scenario {
        name: "idle-9000",
        title: "Small echo beside 9,000 idle connections",
        shows: "what ten times as many cost",
        idle: 9_000,
        without: NO_SELECT,
        ..SMALL_ECHO
    },
    Scenario {
        name: "active-1000",
        title: "Small echo on 1,000 connections",
        shows: "many events in one turn of the loop",
        connections: 1_000,
        ..SMALL_ECHO
    },
    Scenario {
        name: "churn",
        title: "A connection for each request",
        shows: "what it costs to accept a connection, to set it up and to clear it away",
        churn: Some(1),
        ..SMALL_ECHO
    },
    ON_TWO_CORES,
    Scenario {
        name: "pipeline-two-cores",
        title: "Small echo, 16 requests at a time, on two cores",
        shows: "the same with more work for the server in each system call",
        pipeline: 16,
        ..ON_TWO_CORES
    },
    Scenario {
        name: "active-1000-two-cores",
        title: "Small echo on 1,000 connections, on two cores",
        shows: "how evenly connections are spread over the threads",
        connections: 1_000,
        ..ON_TWO_CORES
    },
    Scenario {
        name: "churn-two-cores",
        title: "A connection for each request, on two cores",
        shows: "what it costs to hand a new connection to another thread",
        churn: Some(1),
        ..ON_TWO_CORES
    },
    Scenario {
        name: "compute-small",
        title: "The SHA-256 of one byte",
        shows: "what it costs to hand a task to another thread and its result back",
        verb: Verb::Compute,
        size: 1,
        who: POOLS,
        ..SMALL_ECHO
    },
    Scenario {
        name: "compute",
        title: "The SHA-256 of 8,000 bytes",
        shows: "the same with a task that is worth it",
        verb: Verb::Compute,
        size: 8_000,
        who: POOLS,
        ..SMALL_ECHO
    },
    Scenario {
        name: "cpu-load",
        title: "Small echo while all workers burn CPU",
        shows: "whether the loop gets the CPU when it needs it: 500 echoes a second in open loop, \
                beside four clients that ask for 50 ms of CPU time again and again",
        metric: Metric::P99,
        connections: 20,
        pipeline: 64,
        pace: Pace::Open(500.0),
        burners: 4,
        who: POOLS,
        ..SMALL_ECHO
    },
    Scenario {
        name: "memory",
        title: "Nearly 10,000 connections, all but one idle",
        shows: "what the server keeps for a connection",
        metric: Metric::Memory,
        connections: 1,
        // The rungs take 10,000 connections, and the load looks at the server by one of its own.
        idle: 9_990,
        without: NO_SELECT,
        ..SMALL_ECHO
    },
    Scenario {
        name: "rest",
        title: "Nearly 10,000 connections, all of them idle",
        shows: "what a server does when nobody asks it anything",
        metric: Metric::Rest,
        connections: 0,
        idle: 9_990,
        longer: 4,
        who: Who::Only(&[
            "w04-epoll",
            "async-runtime",
            "async-runtime-1",
            "peer-tokio",
            "peer-tokio-multi",
        ]),
        ..SMALL_ECHO
    },
    Scenario {
        name: "curve",
        title: "One event among idle connections",
        shows: "the classic curve: select and poll look at all descriptors for each event, epoll at \
                the one that is ready",
        metric: Metric::Cpu,
        connections: 1,
        verb: Verb::Mn,
        size: 0,
        steps: Steps::Idle(&[0, 100, 300, 900, 3_000, 9_000]),
        who: Who::Only(&["day2-select-loop", "day4-poll", "w04-epoll"]),
        ..SMALL_ECHO
    },
    Scenario {
        name: "handoff-none",
        title: "One echo at a time, answered by the loop",
        shows: "a round trip without a hand-off, to compare the next one with",
        metric: Metric::P50,
        connections: 1,
        size: 1,
        who: Who::Only(&["w05-handoff"]),
        ..SMALL_ECHO
    },
    Scenario {
        name: "handoff-workers",
        title: "One tiny task at a time, by number of workers",
        shows: "what the way to a worker and back adds to a round trip",
        metric: Metric::P50,
        connections: 1,
        verb: Verb::Compute,
        size: 1,
        steps: Steps::Workers(&[1, 2, 4, 8]),
        who: Who::Only(&["w05-handoff"]),
        ..SMALL_ECHO
    },
];

/// The scenario of this name.
///
/// # Errors
/// There is none; the message lists those that there are.
pub fn find(name: &str) -> Result<&'static Scenario> {
    match SCENARIOS.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let mut names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            names.push(tasks::NAME);
            bail!("there is no scenario `{name}`; there are: {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_scenarios_have_a_name_or_a_title_in_common() {
        let names: BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        let titles: BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.title).collect();
        assert_eq!((names.len(), titles.len()), (SCENARIOS.len(), SCENARIOS.len()));
    }

    #[test]
    fn everyone_who_is_named_exists() {
        for scenario in SCENARIOS {
            if let Who::Only(names) = scenario.who {
                for name in names {
                    contenders::find(name).unwrap();
                }
            }
            for (name, why) in scenario.without {
                contenders::find(name).unwrap();
                assert!(!why.is_empty());
            }
        }
    }

    #[test]
    fn select_is_never_asked_for_more_than_it_can_watch() {
        for job in SCENARIOS.iter().flat_map(Scenario::jobs) {
            if job.contender.about.starts_with("select") {
                let descriptors = job.scenario.connections + job.idle();
                assert!(descriptors <= 1_000, "{}: {descriptors}", job.scenario.name);
            }
        }
    }

    #[test]
    fn no_server_is_asked_for_more_connections_than_it_takes() {
        // --max-connections is 10,000 unless told otherwise (notes/protocol.md section 2).
        for job in SCENARIOS.iter().flat_map(Scenario::jobs) {
            let connections = job.scenario.connections + job.idle() + job.scenario.burners;
            assert!(connections < 10_000, "{}: {connections}", job.scenario.name);
        }
    }

    #[test]
    fn steps_reach_the_plan_or_the_command() {
        let jobs = |name| find(name).unwrap().jobs();
        let curve = jobs("curve");
        assert_eq!(curve.len(), 16, "4 on select, 6 on poll, 6 on epoll");
        assert_eq!(curve.last().unwrap().idle(), 9_000);
        let workers = jobs("handoff-workers");
        assert_eq!(workers[1].arguments(), ["--workers", "2", "0"]);
        assert_eq!(jobs("echo")[0].arguments(), ["0"]);
    }

    #[test]
    fn burners_outnumber_no_pool() {
        // Every pool has four workers unless told otherwise (notes/protocol.md section 2).
        let burning: Vec<_> = SCENARIOS.iter().filter(|scenario| scenario.burners > 0).collect();
        assert!(burning.iter().all(|scenario| scenario.burners == 4));
        assert!(!burning.is_empty());
    }
}

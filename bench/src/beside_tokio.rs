//! The async runtime beside tokio: what is compared, and the tables of it.

use crate::data::{Data, Entry, Round};
use crate::programs::TaskPrograms;
use crate::statistics::Spread;
use crate::tables::{new_table, percent, range, thousands};
use crate::tasks::{OPERATIONS, THREADS};

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Two servers in a scenario, by name.
    Scenario {
        /// The scenario.
        name: &'static str,
        /// Our server.
        ours: &'static str,
        /// tokio's.
        tokio: &'static str,
    },
    /// One operation of the two programs that have no sockets.
    Operation {
        /// Its name in the data.
        name: &'static str,
        /// What it is.
        about: &'static str,
        /// Threads that run tasks, in either program.
        threads: u64,
    },
}

/// The scenarios in which servers with one thread are compared.
const ON_ONE_THREAD: [&str; 4] = ["echo", "pipeline", "active-1000", "churn"];
/// And those with two.
const ON_TWO_THREADS: [&str; 4] =
    ["echo-two-cores", "pipeline-two-cores", "active-1000-two-cores", "churn-two-cores"];

/// Whose idle connections are compared.
const IDLE: [&str; 5] =
    ["async-runtime-1", "async-runtime", "peer-tokio", "peer-tokio-multi", "w04-epoll"];

/// All comparisons, in the order of the tables.
pub fn rows() -> impl Iterator<Item = Row> {
    let scenario = |ours, tokio| move |name| Row::Scenario { name, ours, tokio };
    let one = ON_ONE_THREAD.map(scenario("async-runtime-1", "peer-tokio"));
    let two = ON_TWO_THREADS.map(scenario("async-runtime", "peer-tokio-multi"));
    let operations = THREADS.into_iter().flat_map(|(threads, _)| {
        let possible = OPERATIONS.into_iter().filter(move |operation| operation.least <= threads);
        possible.map(move |operation| {
            let (name, about) = (operation.name, operation.about);
            Row::Operation { name, about, threads }
        })
    });
    one.into_iter().chain(two).chain(operations)
}

impl Row {
    /// What is compared with what.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::Scenario { name, ours, tokio } => format!("{ours} to {tokio}: `{name}`"),
            Self::Operation { name, threads, .. } => {
                format!("async-runtime to tokio: `{name}` with {threads} of their threads")
            }
        }
    }

    /// How many times as fast as tokio we are.
    #[must_use]
    pub fn ratio(self, data: &Data) -> Option<Spread> {
        let [ours, tokio] = self.figures(data)?;
        match self {
            // The more requests a second the better, and the less time.
            Self::Scenario { .. } => Spread::of_ratios(&ours, &tokio),
            Self::Operation { .. } => Spread::of_ratios(&tokio, &ours),
        }
    }

    /// Requests a second, or nanoseconds, round by round: ours and tokio's.
    fn figures(self, data: &Data) -> Option<[Vec<f64>; 2]> {
        match self {
            Self::Scenario { name, ours, tokio } => {
                let of = |server| Some(data.find(name, server)?.values(Round::throughput));
                Some([of(ours)?, of(tokio)?])
            }
            Self::Operation { name, threads, .. } => {
                let of = |program| Some(data.operation(name, program, threads)?.to_vec());
                Some([of(TaskPrograms::OURS)?, of(TaskPrograms::TOKIO)?])
            }
        }
    }

    /// Both figures, and how many times as fast we are.
    fn cells(self, data: &Data, write: fn(f64) -> String) -> [String; 3] {
        let both = self.figures(data).unwrap_or_default();
        let [ours, tokio] = both.map(|values| Some(write(Spread::of(&values)?.median)));
        let ratio = self.ratio(data).map(|ratio| range(ratio, |ratio| format!("{ratio:.2}")));
        [ours, tokio, ratio].map(or_dash)
    }
}

/// The page's table of servers.
#[must_use]
pub fn servers(data: &Data) -> String {
    let headings = [
        "scenario",
        "async-runtime, requests/s",
        "tokio, requests/s",
        "as fast as tokio × (least … most)",
        "system calls/request",
        "tokio's",
    ];
    let mut table = new_table(headings.into_iter());
    for row in rows() {
        let Row::Scenario { name, ours, tokio } = row else { continue };
        let calls = [ours, tokio].map(|server| {
            let calls = data.find(name, server).and_then(Entry::calls_per_request);
            or_dash(calls.map(|calls| format!("{calls:.2}")))
        });
        let cells = row.cells(data, thousands).into_iter().chain(calls);
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    }
    table.trim_fmt()
}

/// The page's table of timers and tasks.
#[must_use]
pub fn operations(data: &Data) -> String {
    let headings = [
        "operation",
        "threads",
        "async-runtime, ns",
        "tokio, ns",
        "as fast as tokio × (least … most)",
    ];
    let mut table = new_table(headings.into_iter());
    for row in rows() {
        let Row::Operation { name, about, threads } = row else { continue };
        let begin = [format!("{about} (`{name}`)"), threads.to_string()];
        table.add_row(begin.into_iter().chain(row.cells(data, thousands)));
    }
    table.trim_fmt()
}

/// The page's table of nearly 10,000 idle connections.
#[must_use]
pub fn idle(data: &Data) -> String {
    let headings = [
        "server",
        "bytes for a connection",
        "CPU at rest, of a core",
        "wake-ups/s",
        "busiest thread's",
    ];
    let mut table = new_table(headings.into_iter());
    for server in IDLE {
        let memory = data.find("memory", server).and_then(|entry| Spread::of(&entry.metric()));
        let rest = data.find("rest", server);
        let median = |figure: fn(&Round) -> f64| Some(rest?.spread(figure)?.median);
        let cells = [
            memory.map(|memory| thousands(memory.median)),
            median(Round::server_share).map(percent),
            median(Round::wakeups).map(|wakeups| format!("{wakeups:.1}")),
            median(Round::busiest_wakeups).map(|wakeups| format!("{wakeups:.1}")),
        ];
        table.add_row(std::iter::once(server.to_owned()).chain(cells.map(or_dash)));
    }
    table.trim_fmt()
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or("–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::examples;

    #[test]
    fn less_time_is_faster() {
        // In the example the runtime needs 100 ns, 210 and 90 where tokio needs 150, 300 and 90.
        let table = operations(&examples::data());
        let row = table.lines().find(|line| line.contains("(`spawn-join`)")).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[2..6], ["1", "100", "150", "1.43 (1.00 … 1.50)"], "{table}");
    }

    #[test]
    fn every_scenario_that_is_compared_has_both_servers_in_it() {
        for row in rows() {
            let Row::Scenario { name, ours, tokio } = row else { continue };
            let scenario = crate::scenarios::find(name).unwrap();
            let names: Vec<&str> = scenario.contenders().map(|contender| contender.name).collect();
            assert!(names.contains(&ours) && names.contains(&tokio), "{name}: {names:?}");
            assert!(scenario.counts_calls(), "{name}");
        }
        for server in IDLE {
            for name in ["memory", "rest"] {
                let scenario = crate::scenarios::find(name).unwrap();
                assert!(scenario.contenders().any(|contender| contender.name == server), "{name}");
            }
        }
    }

    #[test]
    fn an_operation_between_threads_needs_two() {
        let across = rows().filter(|row| row.title().contains("`spawn-join-across`"));
        assert_eq!(across.count(), 1);
        assert_eq!(rows().count(), 4 + 4 + 4 + 5);
    }
}

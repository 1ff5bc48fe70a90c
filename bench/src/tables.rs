//! The figures as tables, for the terminal and for the notes.

use crate::contenders::{self, CONTENDERS};
use crate::data::{Calls, Data, Entry, Outcome, Round};
use crate::load::BUSY;
use crate::scenario::{Metric, Scenario, Steps};
use crate::statistics::Spread;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// The table of a scenario, in Markdown, the best first. Who answered wrongly or did not take part
/// stands below it, with the reason.
#[must_use]
pub fn of_scenario(data: &Data, scenario: &Scenario) -> String {
    let table = match scenario.steps {
        Steps::None => ranking(data, scenario),
        Steps::Idle(_) | Steps::Workers(_) => by_step(data, scenario),
    };
    let mut text = table.trim_fmt();
    let remarks = remarks(data, scenario);
    if !remarks.is_empty() {
        text.push('\n');
    }
    for remark in remarks {
        text.push_str("\n- ");
        text.push_str(&remark);
    }
    text
}

/// A row for each contender, the best first.
fn ranking(data: &Data, scenario: &Scenario) -> Table {
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|column| (column.stands_in)(scenario)).collect();
    let mut table = new_table(std::iter::once("server").chain(columns.iter().map(|c| c.heading)));
    let mut ranked: Vec<(&Entry, f64)> = data
        .of(scenario.name)
        .into_iter()
        .filter_map(|entry| Some((entry, Spread::of(&entry.metric())?.median)))
        .collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    if scenario.metric.more_is_better() {
        ranked.reverse();
    }
    for (entry, _) in ranked {
        let row = Row { data, entry };
        let figures = columns.iter().map(|column| (column.figure)(&row).unwrap_or("–".to_owned()));
        table.add_row(std::iter::once(entry.contender.clone()).chain(figures));
    }
    table
}

/// One line of a ranking.
struct Row<'a> {
    data: &'a Data,
    entry: &'a Entry,
}

impl Row<'_> {
    fn median(&self, figure: impl Fn(&Round) -> f64) -> Option<f64> {
        Some(self.entry.spread(figure)?.median)
    }

    /// The metric's ratio to another entry's, round by round.
    fn ratio_to(&self, other: Option<&Entry>) -> Option<String> {
        let ratio = Spread::of_ratios(&self.entry.metric(), &other?.metric())?;
        Some(format!("{:.2}", ratio.median))
    }
}

/// A column of a ranking.
struct Column {
    heading: &'static str,
    stands_in: fn(&Scenario) -> bool,
    figure: fn(&Row<'_>) -> Option<String>,
}

const COLUMNS: &[Column] = &[
    Column {
        heading: "requests/s (least … most)",
        stands_in: |scenario| scenario.metric == Metric::Throughput,
        figure: |row| row.entry.spread(Round::throughput).map(|spread| range(spread, thousands)),
    },
    Column {
        heading: "p99 (least … most)",
        stands_in: |scenario| scenario.metric == Metric::P99,
        figure: |row| {
            row.entry.spread(|round| round.latency(99.0)).map(|spread| range(spread, time))
        },
    },
    Column {
        heading: "bytes for a connection (least … most)",
        stands_in: |scenario| scenario.metric == Metric::Memory,
        figure: |row| Spread::of(&row.entry.metric()).map(|spread| range(spread, thousands)),
    },
    Column {
        heading: "of which heap and stacks",
        stands_in: |scenario| scenario.metric == Metric::Memory,
        figure: |row| Some(thousands(Spread::of(&row.entry.anonymous_per_connection())?.median)),
    },
    Column {
        heading: "CPU, of a core (least … most)",
        stands_in: |scenario| scenario.metric == Metric::Rest,
        figure: |row| row.entry.spread(Round::server_share).map(|share| range(share, percent)),
    },
    Column {
        heading: "wake-ups/s",
        stands_in: |scenario| scenario.metric == Metric::Rest,
        figure: |row| row.median(Round::wakeups).map(|wakeups| format!("{wakeups:.1}")),
    },
    Column {
        heading: "of the busiest thread",
        stands_in: |scenario| scenario.metric == Metric::Rest,
        figure: |row| row.median(Round::busiest_wakeups).map(|wakeups| format!("{wakeups:.1}")),
    },
    Column {
        heading: "to the best peer",
        // The hand-off is measured on one server alone, and a ratio of next to nothing says nothing.
        stands_in: |scenario| !matches!(scenario.metric, Metric::P50 | Metric::Rest),
        figure: |row| row.ratio_to(row.data.best_peer(&row.entry.scenario)),
    },
    Column {
        heading: "to the ceiling",
        stands_in: |scenario| !matches!(scenario.metric, Metric::P99 | Metric::P50 | Metric::Rest),
        figure: |row| row.ratio_to(row.data.ceiling(&row.entry.scenario)),
    },
    Column {
        heading: "server CPU/request",
        stands_in: |scenario| has_latency(scenario) && scenario.burners == 0,
        figure: |row| row.median(Round::cpu).map(time),
    },
    Column {
        heading: "system calls/request",
        stands_in: Scenario::counts_calls,
        figure: |row| row.entry.calls_per_request().map(|calls| format!("{calls:.2}")),
    },
    Column {
        heading: "p50",
        stands_in: has_latency,
        figure: |row| row.median(|round| round.latency(50.0)).map(time),
    },
    Column {
        heading: "p99",
        stands_in: |scenario| has_latency(scenario) && scenario.metric != Metric::P99,
        figure: |row| row.median(|round| round.latency(99.0)).map(time),
    },
    Column {
        heading: "p99.9",
        stands_in: has_latency,
        figure: |row| row.median(|round| round.latency(99.9)).map(time),
    },
    Column {
        heading: "CPU left to the burners",
        stands_in: |scenario| scenario.burners > 0,
        figure: |row| {
            let burned = row.median(|round| round.burned.map_or(f64::NAN, |time| time as f64))?;
            Some(format!("{:.0} %", burned / 1e9 * 100.0))
        },
    },
    Column {
        heading: "peak RSS, MiB",
        stands_in: |_| true,
        figure: |row| {
            row.median(|round| round.peak as f64 / f64::from(1 << 20)).map(|m| format!("{m:.1}"))
        },
    },
];

/// Whether it is about requests, and how long they take.
fn has_latency(scenario: &Scenario) -> bool {
    !matches!(scenario.metric, Metric::Memory | Metric::Rest)
}

/// A row for each step and a column for each contender.
fn by_step(data: &Data, scenario: &Scenario) -> Table {
    let (heading, steps) = match scenario.steps {
        Steps::Idle(steps) => ("idle connections", steps),
        Steps::Workers(steps) => ("workers", steps),
        Steps::None => ("", [].as_slice()),
    };
    let of_scenario = data.of(scenario.name);
    let taking_part: Vec<&str> = CONTENDERS
        .iter()
        .map(|contender| contender.name)
        .filter(|name| of_scenario.iter().any(|entry| entry.contender == *name))
        .collect();
    let figure = if scenario.metric == Metric::Cpu { "server CPU/request" } else { "p50" };
    let headings = taking_part.iter().map(|name| format!("{name}: {figure} (least … most)"));
    let mut table = new_table(std::iter::once(heading.to_owned()).chain(headings));
    for step in steps {
        let cells = taking_part.iter().map(|name| {
            let entry = of_scenario.iter().find(|e| e.contender == *name && e.step == Some(*step));
            let spread = entry.and_then(|entry| Spread::of(&entry.metric()));
            spread.map_or("–".to_owned(), |spread| range(spread, time))
        });
        table.add_row(std::iter::once(thousands(*step as f64)).chain(cells));
    }
    table
}

pub(crate) fn new_table<T: Into<String>>(headings: impl Iterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(headings.map(Into::into).collect::<Vec<String>>());
    for index in 1..table.column_count() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Who is not ranked, and what made it hard to measure.
fn remarks(data: &Data, scenario: &Scenario) -> Vec<String> {
    let mut remarks = Vec::new();
    for entry in data.of(scenario.name) {
        let name = match entry.step {
            Some(step) => format!("{} at {step}", entry.contender),
            None => entry.contender.clone(),
        };
        match &entry.outcome {
            Outcome::Wrong(error) => remarks.push(format!("{name} is not ranked: {error}")),
            Outcome::Missing(why) => remarks.push(format!("{name} was skipped: {why}")),
            Outcome::Measured { calls: Some(Calls::Unknown(why)), .. } => {
                remarks.push(format!("{name}: system calls were not counted: {why}"));
            }
            Outcome::Measured { .. } => {}
        }
        let busiest = entry.spread(Round::load_share).map_or(0.0, |share| share.median);
        if busiest > BUSY {
            let percent = busiest * 100.0;
            remarks.push(format!(
                "{name}: the load generator was busy {percent:.0} % of the time, so the server may \
                 be faster than this says"
            ));
        }
    }
    for (name, why) in scenario.without {
        if contenders::find(name).is_ok() {
            remarks.push(format!("{name} does not take part: {why}"));
        }
    }
    remarks
}

pub(crate) fn range(spread: Spread, write: fn(f64) -> String) -> String {
    format!("{} ({} … {})", write(spread.median), write(spread.low), write(spread.high))
}

/// A number without a fraction, in groups of three digits.
pub(crate) fn thousands(value: f64) -> String {
    charts::Unit::Number.write(value.round())
}

/// A share of a core that is next to nothing.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

/// A time in seconds, with three digits and the unit that suits it.
pub(crate) fn time(seconds: f64) -> String {
    charts::Unit::Seconds.write(three_digits(seconds))
}

fn three_digits(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10f64.powf(value.log10().floor() - 2.0);
    (value / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::examples;
    use crate::scenarios;

    fn echo() -> String {
        of_scenario(&examples::data(), scenarios::find("echo").unwrap())
    }

    /// The cells of a server's row.
    fn row(table: &str, server: &str) -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(&format!("| {server} "))).unwrap();
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn the_best_stands_first_with_its_ratios() {
        let table = echo();
        let servers: Vec<&str> = table
            .lines()
            .skip(2)
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
            .collect();
        assert_eq!(servers.last(), Some(&"peer-mio"), "{table}");
        let w04 = row(&table, "w04-epoll");
        assert_eq!(w04[1], "18,000 (9,000 … 18,000)");
        assert_eq!(w04[2..6], ["0.90", "0.90", "5 µs", "2.10"]);
    }

    #[test]
    fn who_answers_wrongly_is_told_and_not_ranked() {
        let table = echo();
        assert!(!table.contains("| peer-libuv"), "{table}");
        assert!(table.contains("- peer-libuv is not ranked: a bad length (errors in all: 3)"));
        assert!(table.contains("- peer-libevent was skipped: no libevent"));
    }

    #[test]
    fn who_can_t_take_part_is_named_with_the_reason() {
        let table = of_scenario(&examples::data(), scenarios::find("idle-9000").unwrap());
        assert!(table.contains("- day2-select-loop does not take part: FD_SETSIZE"), "{table}");
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(time(1.23456e-5), "12.3 µs");
        assert_eq!(time(0.0), "0");
        assert_eq!(thousands(1234567.8), "1,234,568");
    }
}

//! What the lab's servers are meant to reach, as ratios within one run.

use crate::beside_tokio;
use crate::data::{Data, Round};
use crate::statistics::Spread;
use crate::tables::thousands;
use std::fmt::Write;

/// Which side of the bound is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    AtLeast,
    AtMost,
}

/// One goal.
struct Goal {
    /// What is compared.
    what: &'static str,
    bound: Bound,
    value: f64,
    /// The figure; `None` if the data lacks what it needs.
    figure: fn(&Data) -> Option<f64>,
}

const fn goal(
    what: &'static str,
    bound: Bound,
    value: f64,
    figure: fn(&Data) -> Option<f64>,
) -> Goal {
    Goal { what, bound, value, figure }
}

use Bound::{AtLeast, AtMost};

#[rustfmt::skip]
const GOALS: &[Goal] = &[
    goal("w04-epoll to the best peer: `echo`",        AtLeast, 1.0,  |data| to_best_peer(data, "echo")),
    goal("w04-epoll to the best peer: `pipeline`",    AtLeast, 1.0,  |data| to_best_peer(data, "pipeline")),
    goal("w04-epoll to the best peer: `large-echo`",  AtLeast, 1.0,  |data| to_best_peer(data, "large-echo")),
    goal("w04-epoll to the best peer: `idle-900`",    AtLeast, 1.0,  |data| to_best_peer(data, "idle-900")),
    goal("w04-epoll to the best peer: `idle-9000`",   AtLeast, 1.0,  |data| to_best_peer(data, "idle-9000")),
    goal("w04-epoll to the best peer: `active-1000`", AtLeast, 1.0,  |data| to_best_peer(data, "active-1000")),
    goal("w04-epoll to the best peer: `churn`",       AtLeast, 1.0,  |data| to_best_peer(data, "churn")),
    goal("w04-epoll to the best peer: `compute-small`", AtLeast, 1.0, |data| to_best_peer(data, "compute-small")),
    goal("w04-epoll to the best peer: `compute`",     AtLeast, 1.0,  |data| to_best_peer(data, "compute")),
    goal("w04-epoll to the ceiling: `echo`",          AtLeast, 0.95, to_ceiling),
    goal("w04-epoll: `idle-9000` to `echo`",          AtLeast, 0.97, beside_idle),
    goal("w04-epoll to the leanest peer: server CPU/request in `echo`", AtMost, 1.0, leanest_cpu),
    goal("w04-epoll: heap and stacks for an idle connection, bytes", AtMost, 400.0, heap),
    goal("w04-epoll to the leanest peer: memory for an idle connection", AtMost, 1.0, |data| to_best_peer(data, "memory")),
    goal("w05-handoff to peer-tokio: `compute`, requests/s",  AtLeast, 1.0, |data| throughput(data, "compute", "peer-tokio")),
    goal("w05-handoff to peer-libuv: `compute`, requests/s",  AtLeast, 1.0, |data| throughput(data, "compute", "peer-libuv")),
    goal("w05-handoff to peer-tokio: `compute`, p99",         AtMost,  1.0, |data| p99(data, "compute", "peer-tokio")),
    goal("w05-handoff to peer-libuv: `compute`, p99",         AtMost,  1.0, |data| p99(data, "compute", "peer-libuv")),
    goal("w05-handoff to w04-epoll: `echo`",                  AtLeast, 0.95, |data| throughput(data, "echo", "w04-epoll")),
    goal("w05-handoff to peer-tokio: `cpu-load`, p99",        AtMost,  1.0, |data| p99(data, "cpu-load", "peer-tokio")),
    goal("async-runtime-1 to peer-tokio: memory for an idle connection", AtMost, 1.0, memory_to_tokio),
];

/// The table of all goals: what was wanted, what it is, and whether that is enough.
#[must_use]
pub fn table(data: &Data) -> String {
    let mut text = String::from("| goal | wanted | is | |\n| --- | --- | --- | --- |\n");
    for goal in GOALS {
        write_line(&mut text, goal.what, goal.bound, goal.value, (goal.figure)(data));
    }
    for row in beside_tokio::rows() {
        let ratio = row.ratio(data).map(|ratio| ratio.median);
        write_line(&mut text, &row.title(), AtLeast, 1.0, ratio);
    }
    text
}

fn write_line(text: &mut String, what: &str, bound: Bound, value: f64, figure: Option<f64>) {
    let write = |figure: f64| match value >= 100.0 {
        true => thousands(figure),
        false => format!("{figure:.2}"),
    };
    let wanted = match bound {
        AtLeast => format!("at least {}", write(value)),
        AtMost => format!("at most {}", write(value)),
    };
    let (is, verdict) = match figure {
        Some(figure) if bound.is_met(figure, value) => (write(figure), "reached"),
        Some(figure) => (write(figure), "missed"),
        None => ("–".to_owned(), "not measured"),
    };
    // Writing to a string can't fail.
    let _ = writeln!(text, "| {what} | {wanted} | {is} | {verdict} |");
}

impl Bound {
    fn is_met(self, figure: f64, value: f64) -> bool {
        match self {
            AtLeast => figure >= value,
            AtMost => figure <= value,
        }
    }
}

/// w04 to the peer that did best.
fn to_best_peer(data: &Data, scenario: &str) -> Option<f64> {
    ratio(&data.find(scenario, "w04-epoll")?.metric(), &data.best_peer(scenario)?.metric())
}

fn to_ceiling(data: &Data) -> Option<f64> {
    ratio(&data.find("echo", "w04-epoll")?.metric(), &data.ceiling("echo")?.metric())
}

/// The scenarios run one after the other, so that the rounds of the two do not pair: of the medians.
fn beside_idle(data: &Data) -> Option<f64> {
    let median =
        |scenario| Some(data.find(scenario, "w04-epoll")?.spread(Round::throughput)?.median);
    Some(median("idle-9000")? / median("echo")?)
}

fn leanest_cpu(data: &Data) -> Option<f64> {
    let peers = data.peers("echo").into_iter();
    let leanest = peers
        .filter_map(|entry| Some((entry, entry.spread(Round::cpu)?.median)))
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    ratio(&data.find("echo", "w04-epoll")?.values(Round::cpu), &leanest.0.values(Round::cpu))
}

fn heap(data: &Data) -> Option<f64> {
    let entry = data.find("memory", "w04-epoll")?;
    Some(Spread::of(&entry.anonymous_per_connection())?.median)
}

fn memory_to_tokio(data: &Data) -> Option<f64> {
    let of = |server| Some(data.find("memory", server)?.metric());
    ratio(&of("async-runtime-1")?, &of("peer-tokio")?)
}

fn throughput(data: &Data, scenario: &str, other: &str) -> Option<f64> {
    compare(data, scenario, other, Round::throughput)
}

fn p99(data: &Data, scenario: &str, other: &str) -> Option<f64> {
    compare(data, scenario, other, |round| round.latency(99.0))
}

/// w05 to another.
fn compare(data: &Data, scenario: &str, other: &str, figure: fn(&Round) -> f64) -> Option<f64> {
    let (mine, other) = (data.find(scenario, "w05-handoff")?, data.find(scenario, other)?);
    ratio(&mine.values(figure), &other.values(figure))
}

fn ratio(mine: &[f64], other: &[f64]) -> Option<f64> {
    Some(Spread::of_ratios(mine, other)?.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::examples;

    #[test]
    fn a_goal_is_reached_missed_or_not_measured() {
        // In the example w04 answers 90 requests for 100 of the best peer and of the ceiling.
        let table = table(&examples::data());
        let line = |what: &str| table.lines().find(|line| line.contains(what)).unwrap().to_owned();
        assert!(line("to the best peer: `echo`").ends_with("| 0.90 | missed |"), "{table}");
        assert!(line("server CPU/request").ends_with("| 0.50 | reached |"), "{table}");
        assert!(line("tokio: `spawn-join` with 1").ends_with("| 1.43 | reached |"), "{table}");
        assert!(line("`churn`").ends_with("| – | not measured |"), "{table}");
    }
}

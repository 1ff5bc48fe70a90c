//! The figures as pictures.

use crate::contenders::{self, CONTENDERS, Role, Source};
use crate::data::{Data, Entry, PERCENTILES, Round};
use crate::scenario::{Metric, Placement, Scenario};
use crate::scenarios::{self, SCENARIOS};
use crate::statistics::Spread;
use anyhow::{Context, Result};
use charts::{Axis, Dot, DotPanel, DotPanels, Line, LineChart, Unit};
use std::fs;
use std::path::Path;

/// A picture: its file and its text, `None` where the data has nothing for it.
type Picture = (&'static str, fn(&Data) -> Option<String>);

const PICTURES: &[Picture] = &[
    ("throughput.svg", throughput),
    ("compute.svg", compute),
    ("idle-curve.svg", idle_curve),
    ("latency.svg", latency),
    ("handoff-workers.svg", handoff_workers),
    ("cpu-load.svg", cpu_load),
];

/// Every picture that this data has something for: its file and its SVG text.
#[must_use]
pub fn all(data: &Data) -> Vec<(&'static str, String)> {
    PICTURES.iter().filter_map(|(file, draw)| Some((*file, draw(data)?))).collect()
}

/// Draws them into a folder.
///
/// # Errors
/// One can't be written.
pub fn write(data: &Data, folder: &Path) -> Result<()> {
    for (file, svg) in all(data) {
        let path = folder.join(file);
        fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Throughput as a share of the ceiling's.
fn throughput(data: &Data) -> Option<String> {
    let reference = |scenario: &Scenario| data.ceiling(scenario.name);
    panels(data, "Requests a second, as a share of the ceiling's", reference)
}

/// Where the ceiling does not take part: throughput as a share of the best peer's.
fn compute(data: &Data) -> Option<String> {
    let reference = |scenario: &Scenario| match data.ceiling(scenario.name) {
        None => data.best_peer(scenario.name),
        Some(_) => None,
    };
    panels(data, "Tasks for a worker a second, as a share of the best peer's", reference)
}

/// A panel for each scenario about throughput, with the server on a core of its own, that has a
/// reference.
fn panels<'a>(
    data: &'a Data,
    title: &str,
    reference: impl Fn(&Scenario) -> Option<&'a Entry>,
) -> Option<String> {
    let shown: Vec<(&Scenario, &Entry)> = SCENARIOS
        .iter()
        .filter(|scenario| {
            scenario.metric == Metric::Throughput && scenario.placement == Placement::Apart
        })
        .filter_map(|scenario| Some((scenario, reference(scenario)?)))
        .collect();
    let takes_part =
        |name: &str| shown.iter().any(|(scenario, _)| data.find(scenario.name, name).is_some());
    let rows: Vec<_> = CONTENDERS.iter().filter(|c| takes_part(c.name)).collect();
    let dots: Vec<Vec<Option<Dot>>> = shown
        .iter()
        .map(|(scenario, reference)| {
            let dot = |name: &str| {
                let entry = data.find(scenario.name, name)?;
                let ratio = Spread::of_ratios(&entry.metric(), &reference.metric())?;
                Some(Dot { value: ratio.median, low: ratio.low, high: ratio.high })
            };
            rows.iter().map(|contender| dot(contender.name)).collect()
        })
        .collect();
    let most = dots.iter().flatten().flatten().map(|dot| dot.high).fold(1.0, f64::max);
    let axis = Axis::default().unit(Unit::Ratio).range(0.0, (most * 10.0).ceil() / 10.0).step(0.5);
    let mut chart = DotPanels::new(title, axis, 1.0);
    for contender in &rows {
        chart = chart.row(contender.name, kind(contender.role, contender.source));
    }
    for ((scenario, _), dots) in shown.iter().zip(dots) {
        chart = chart.panel(DotPanel { title: scenario.name.to_owned(), dots });
    }
    (!shown.is_empty()).then(|| chart.svg())
}

/// The colour of a kind of contender.
fn kind(role: Role, source: Source) -> usize {
    match (role, source) {
        (Role::Rung, _) => 0,
        (Role::Peer, Source::Package(_)) => 1,
        (Role::Peer, Source::C) => 2,
        (Role::Ceiling, _) => 6,
    }
}

/// The cost of one event against the number of connections.
fn idle_curve(data: &Data) -> Option<String> {
    let scenario = scenarios::find("curve").ok()?;
    let mut chart = LineChart::new("What one event costs, by number of connections")
        .x(Axis::new("connections, all but one idle").log())
        .y(Axis::new("server CPU for one request").unit(Unit::Seconds).log())
        .markers();
    let mut drawn = false;
    for (series, contender) in scenario.contenders().enumerate() {
        let (mut points, mut whiskers) = (Vec::new(), Vec::new());
        for entry in
            data.of(scenario.name).into_iter().filter(|entry| entry.contender == contender.name)
        {
            let (Some(idle), Some(spread)) = (entry.step, Spread::of(&entry.metric())) else {
                continue;
            };
            points.push((idle as f64 + 1.0, spread.median));
            whiskers.push((spread.low, spread.high));
        }
        if !points.is_empty() {
            let name = format!("{} ({})", contender.about, contender.name);
            chart = chart.line(Line::new(name, points).spread(whiskers).series(series));
            drawn = true;
        }
    }
    drawn.then(|| chart.svg())
}

/// The latency of a small echo, by percentile.
fn latency(data: &Data) -> Option<String> {
    percentiles(data, "echo", "Latency of a small echo")
}

/// The same beside burners.
fn cpu_load(data: &Data) -> Option<String> {
    percentiles(data, "cpu-load", "Latency of a small echo while all workers burn CPU")
}

/// A line of percentiles for each contender of a scenario.
fn percentiles(data: &Data, scenario: &str, title: &str) -> Option<String> {
    let (first, last) = (Unit::percentile(50.0), Unit::percentile(99.9));
    let entries = data.measured(scenario);
    let at = |percent: f64| {
        let medians = entries
            .iter()
            .filter_map(move |entry| Some(entry.spread(|round| round.latency(percent))?.median));
        Vec::from_iter(medians)
    };
    let least = at(50.0).into_iter().reduce(f64::min)?;
    let most = at(99.9).into_iter().reduce(f64::max)?;
    let mut chart = LineChart::new(title)
        .x(Axis::new("percentile").unit(Unit::Percentile).log().range(first, last))
        .y(Axis::new("latency").unit(Unit::Seconds).log().range(least / 1.2, most * 1.2));
    for entry in entries {
        let series = contenders::find(&entry.contender).ok()?.number();
        let shown = PERCENTILES.iter().filter(|&&percent| percent <= 99.9);
        let points = shown.filter_map(|&percent| {
            let spread = entry.spread(|round| round.latency(percent))?;
            Some((Unit::percentile(percent), spread.median))
        });
        chart = chart.line(Line::new(&entry.contender, points.collect()).series(series));
    }
    Some(chart.svg())
}

/// The round trip of a tiny task by number of workers, and of an echo that needs none.
fn handoff_workers(data: &Data) -> Option<String> {
    let mut chart = LineChart::new("Round trip of a tiny task, by number of workers")
        .x(Axis::new("workers").range(0.0, 9.0).step(1.0))
        .y(Axis::new("latency").unit(Unit::Seconds).log())
        .markers();
    let tasks = data.measured("handoff-workers");
    let workers: Vec<f64> = tasks.iter().filter_map(|entry| Some(entry.step? as f64)).collect();
    let echo = data.find("handoff-none", "w05-handoff");
    for (series, percent) in [50.0, 99.0].into_iter().enumerate() {
        let at = |round: &Round| round.latency(percent);
        let points =
            tasks.iter().filter_map(|entry| Some((entry.step? as f64, entry.spread(at)?.median)));
        chart = chart.line(Line::new(format!("task, p{percent}"), points.collect()).series(series));
        if let Some(echo) = echo.and_then(|entry| entry.spread(at)) {
            let level = workers.iter().map(|&workers| (workers, echo.median)).collect();
            let name = format!("echo, p{percent}");
            chart = chart.line(Line::new(name, level).series(series + 7));
        }
    }
    (!tasks.is_empty()).then(|| chart.svg())
}

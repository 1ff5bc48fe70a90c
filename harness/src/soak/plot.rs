//! The pictures of a run.

use super::record::{Record, Row};
use charts::{Axis, Line, LineChart, Unit};

/// A picture: the end of its file's name, what it shows, and how it is drawn.
pub(super) struct Picture {
    pub(super) name: &'static str,
    pub(super) shows: &'static str,
    pub(super) chart: LineChart,
}

/// The pictures there is data for.
pub(super) fn all(record: &Record) -> Vec<Picture> {
    [latency(record), memory(record), descriptors(record)].into_iter().flatten().collect()
}

fn latency(record: &Record) -> Option<Picture> {
    let points = |of: fn(&Row) -> u64| {
        series(record, move |row| (of(row) > 0).then(|| of(row) as f64 / 1e6))
    };
    let chart = chart(record, "latency of those who read at once")
        .y(Axis::new("latency").unit(Unit::Seconds).log())
        .line(Line::new("p50", points(|row| row.prompt.latency.p50_us)?))
        .line(Line::new("p95", points(|row| row.prompt.latency.p95_us)?))
        .line(Line::new("p99", points(|row| row.prompt.latency.p99_us)?));
    Some(Picture { name: "latency", shows: "p50, p95 and p99 over time", chart })
}

fn memory(record: &Record) -> Option<Picture> {
    let mib = |bytes: Option<u64>| Some(bytes? as f64 / f64::from(1 << 20));
    let chart = chart(record, "memory")
        .y(Axis::new("MiB"))
        .line(Line::new("RSS", series(record, |row| mib(row.resident))?))
        .line(Line::new("RssAnon", series(record, |row| mib(row.anonymous))?));
    Some(Picture { name: "memory", shows: "resident memory over time", chart })
}

fn descriptors(record: &Record) -> Option<Picture> {
    let open = series(record, |row| Some(row.descriptors? as f64))?;
    let chart =
        chart(record, "open descriptors").y(Axis::new("descriptors")).line(Line::new("open", open));
    Some(Picture { name: "descriptors", shows: "open descriptors over time", chart })
}

/// The points over minutes; `None` where they make no line.
fn series(record: &Record, of: impl Fn(&Row) -> Option<f64>) -> Option<Vec<(f64, f64)>> {
    let rows = record.rows.iter();
    let points: Vec<_> = rows.filter_map(|row| Some((row.at_s / 60.0, of(row)?))).collect();
    (points.len() > 1).then_some(points)
}

fn chart(record: &Record, what: &str) -> LineChart {
    let chart = LineChart::new(format!("{}: {what}", record.server))
        .x(Axis::new("minutes since the start"));
    let words = |name: &str| if name.contains("storm") { "storm" } else { "SIGSTOP" };
    record
        .induced
        .iter()
        .fold(chart, |chart, induced| chart.moment(induced.began_s / 60.0, words(&induced.name)))
}

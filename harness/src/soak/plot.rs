//! The pictures of a run.

use super::record::{Record, Row};
use charts::{Axis, Line, LineChart, Unit};

/// The pictures, each with the end of its file's name.
pub(super) fn all(record: &Record) -> [(&'static str, String); 3] {
    [
        ("latency", latency(record).svg()),
        ("memory", memory(record).svg()),
        ("descriptors", descriptors(record).svg()),
    ]
}

fn latency(record: &Record) -> LineChart {
    let points = |of: &dyn Fn(&Row) -> u64| -> Vec<(f64, f64)> {
        let rows = record.rows.iter().filter(|row| of(row) > 0);
        rows.map(|row| (minutes(row.at_s), of(row) as f64 / 1e6)).collect()
    };
    let title = format!("{}: latency of those who read at once", record.server);
    let chart = LineChart::new(title)
        .x(Axis::new("minutes since the start"))
        .y(Axis::new("latency").unit(Unit::Seconds).log())
        .line(Line::new("p50", points(&|row| row.prompt.latency.p50_us)))
        .line(Line::new("p95", points(&|row| row.prompt.latency.p95_us)))
        .line(Line::new("p99", points(&|row| row.prompt.latency.p99_us)));
    with_moments(chart, record)
}

fn memory(record: &Record) -> LineChart {
    let points = |of: &dyn Fn(&Row) -> Option<u64>| -> Vec<(f64, f64)> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let rows = record.rows.iter();
        rows.filter_map(|row| Some((minutes(row.at_s), mib(of(row)?)))).collect()
    };
    let chart = LineChart::new(format!("{}: memory", record.server))
        .x(Axis::new("minutes since the start"))
        .y(Axis::new("MiB"))
        .line(Line::new("RSS", points(&|row| row.resident)))
        .line(Line::new("RssAnon", points(&|row| row.anonymous)));
    with_moments(chart, record)
}

fn descriptors(record: &Record) -> LineChart {
    let rows = record.rows.iter();
    let open = rows.filter_map(|row| Some((minutes(row.at_s), row.descriptors? as f64))).collect();
    let chart = LineChart::new(format!("{}: open descriptors", record.server))
        .x(Axis::new("minutes since the start"))
        .y(Axis::new("descriptors"))
        .line(Line::new("open", open));
    with_moments(chart, record)
}

fn with_moments(chart: LineChart, record: &Record) -> LineChart {
    let words = |name: &str| if name.contains("storm") { "storm" } else { "SIGSTOP" };
    record
        .induced
        .iter()
        .fold(chart, |chart, induced| chart.moment(minutes(induced.began_s), words(&induced.name)))
}

fn minutes(seconds: f64) -> f64 {
    seconds / 60.0
}

//! Day 6: the soak. The half hour is read from the data that was kept; a miniature of it runs now.

use super::{Document, Evidence, paste, report};
use crate::limits::Limits;
use crate::rungs;
use crate::soak::record::{Record, Verdict};
use crate::soak::report::{folder_of, note, read, short};
use crate::soak::{self, Plan};
use crate::verdict::Stop;
use anyhow::{Context, Result, bail};
use std::sync::Arc;
use std::time::Duration;

/// The servers of which a run of half an hour is kept; what is pasted is the first one's.
const SERVERS: [&str; 2] = ["day4-poll", "w05-handoff"];
/// Half an hour, in seconds.
const HALF_AN_HOUR: f64 = 1800.0;
/// Points of the time series that make a curve.
const POINTS: usize = 60;

pub(super) fn prove() -> Result<bool> {
    let page = Document::read(soak::report::NOTE)?;
    let mut records = Vec::new();
    for server in SERVERS {
        let record = read(&folder_of(&note()).join(format!("{server}.json")));
        records.push(record.with_context(|| {
            format!("first run `harness soak --rung {server} --duration 30m --report`")
        })?);
    }
    let each = |of: fn(&Record) -> Evidence| -> Evidence {
        let found: Result<Vec<String>, String> =
            records.iter().map(|r| of(r).map(|text| format!("{}: {text}", r.server))).collect();
        Ok(found?.join("\n"))
    };
    let criteria: [(&str, Evidence); 7] = [
        ("fifty mixed clients for half an hour", each(half_an_hour)),
        ("a log from the start over the work to the stop", each(log)),
        ("failures induced on purpose, and the response", each(induced)),
        ("p50, p95, p99 and the error rate over time", each(latencies)),
        ("memory and descriptors over time, and at rest as before", each(resources)),
        ("every criterion of the verdict holds", each(verdict)),
        (
            "the page has them, and a miniature of the soak passes now",
            shown(&page).and(miniature()?),
        ),
    ];
    let good = report("Day 6", &criteria);
    Ok(paste(&short(&records[0])) && good)
}

fn holds(condition: bool, text: String) -> Evidence {
    if condition { Ok(text) } else { Err(text) }
}

fn half_an_hour(record: &Record) -> Evidence {
    let replies = record.replies();
    let minutes = record.duration_s / 60.0;
    holds(
        record.duration_s >= HALF_AN_HOUR,
        format!("{minutes:.1} minutes, {replies} replies, seed {}", record.seed),
    )
}

fn log(record: &Record) -> Evidence {
    let has = |text: &str| record.log.iter().any(|line| line.text.contains(text));
    let whole = ["listens on", "storm", "SIGSTOP", "SIGCONT", "SIGTERM", "exited"];
    holds(whole.into_iter().all(has), format!("{} lines", record.log.len()))
}

fn induced(record: &Record) -> Evidence {
    let told = |name: &str, back: Option<f64>| {
        format!("{name}: newcomer served {:.2} s after its end", back.unwrap_or(f64::INFINITY))
    };
    let all: Vec<String> =
        record.induced.iter().map(|induced| told(&induced.name, induced.newcomer_s)).collect();
    holds(all.len() == 2, all.join("; "))
}

fn latencies(record: &Record) -> Evidence {
    let points = record.rows.iter().filter(|row| row.prompt.latency.replies > 0).count();
    holds(points >= POINTS, format!("{points} points"))
}

fn resources(record: &Record) -> Evidence {
    let points = record.rows.iter();
    let points = points.filter(|row| row.resident.is_some() && row.descriptors.is_some()).count();
    let rest = record.criteria.iter().filter(|criterion| {
        criterion.name.contains("memory") || criterion.name.contains("given back")
    });
    let (good, text): (Vec<bool>, Vec<&str>) =
        rest.map(|c| (c.verdict == Verdict::Pass, c.evidence.as_str())).unzip();
    holds(points >= POINTS && good == [true, true], format!("{points} points; {}", text.join("; ")))
}

fn verdict(record: &Record) -> Evidence {
    let all = record.criteria.len();
    let passed = record.criteria.iter().filter(|c| c.verdict == Verdict::Pass).count();
    holds(passed == all && all > 0, format!("{passed} of {all} criteria pass"))
}

fn shown(page: &Document) -> Result<(), String> {
    for server in SERVERS {
        page.line_with(&[soak::report::PART, server])?;
    }
    Ok(())
}

fn miniature() -> Result<Evidence> {
    let server = rungs::find(&rungs::discover()?, SERVERS[0])?;
    let target = Arc::new(rungs::build_target(&server)?);
    let plan = Plan {
        duration: Duration::from_secs(8),
        descriptor_limit: 128,
        storm: 300,
        seed: fastrand::u64(..1 << 32),
        limits: Limits::default(),
        command: String::new(),
    };
    match soak::run(&target, &plan, &mut |_| ()) {
        Ok(record) => Ok(verdict(&record).map(|text| format!("{}, in 8 s: {text}", record.server))),
        Err(Stop::Fail(failure)) => Ok(Err(format!("{}: {}", failure.class, failure.actual))),
        Err(Stop::Skip(reason)) => bail!("{reason}"),
    }
}

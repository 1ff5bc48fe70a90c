//! A run as text: the part of the report that is its own.

use super::clients::Class;
use super::plot::{self, Picture};
use super::record::{Latency, Record, Row, Verdict};
use super::report::{after, mib};
use std::fmt::{Display, Write};

/// Rows of a table over time, about.
const ROWS: usize = 12;
/// Rows of the short form, about.
const SHORT_ROWS: usize = 6;

/// The part of a report, with links to the pictures, whose names begin with `pictures`.
pub(super) fn render(record: &Record, pictures: &str) -> String {
    let mut out = text(record);
    for Picture { name, shows, .. } in plot::all(record) {
        let server = &record.server;
        line(&mut out, format_args!("![{server}: {shows}]({pictures}-{name}.svg)\n"));
    }
    line(&mut out, format_args!("The data: [{0}.json]({0}.json).", pictures));
    out
}

/// The same without pictures.
pub(super) fn text(record: &Record) -> String {
    let mut out = String::new();
    heading(record, &mut out);
    verdict(record, &mut out);
    log(record, &mut out);
    induced(record, &mut out);
    latencies(record, &mut out);
    resources(record, &mut out);
    hostile(record, &mut out);
    problems(record, &mut out);
    out
}

/// The same, as short as can be.
pub(super) fn short(record: &Record) -> String {
    let mut out = String::new();
    let Record { server, duration_s, seed, machine, .. } = record;
    line(&mut out, format_args!("# Soak of {server}: {}", duration(*duration_s)));
    line(&mut out, format_args!("seed {seed}; {machine}\n\n## Criteria\n"));
    for criterion in &record.criteria {
        let mark = mark(criterion.verdict);
        line(&mut out, format_args!("- {mark}: {}: {}", criterion.name, criterion.evidence));
    }
    line(&mut out, "\n## Start, work, stop\n");
    for entry in &record.log {
        line(&mut out, format_args!("{} {}", clock(entry.at_s), entry.text));
    }
    line(&mut out, "\n## Over time: p50, p95, p99, errors, RSS, descriptors\n");
    for row in thinned(&record.rows, SHORT_ROWS) {
        let Latency { p50_us, p95_us, p99_us, .. } = row.prompt.latency;
        line(
            &mut out,
            format_args!(
                "{} {}: {}, {}, {}, {:.2} %, {}, {}",
                clock(row.at_s),
                row.phase,
                time(p50_us),
                time(p95_us),
                time(p99_us),
                row.prompt.error_percent(),
                row.resident.map_or_else(|| "-".to_owned(), mib),
                row.descriptors.map_or_else(|| "-".to_owned(), |count| count.to_string())
            ),
        );
    }
    out
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "**FAIL**",
        Verdict::Skip => "skipped",
    }
}

fn line(out: &mut String, text: impl Display) {
    writeln!(out, "{text}").expect("a String takes all");
}

fn heading(record: &Record, out: &mut String) {
    let Record { server, duration_s, seed, machine, .. } = record;
    let verdict = if record.passed() { "passed" } else { "FAILED" };
    line(out, format_args!("## {server}: {verdict}\n"));
    line(out, format_args!("- {}, seed {seed}", duration(*duration_s)));
    line(out, format_args!("- `{}`", record.command));
    line(out, format_args!("- the server: `{}`", record.server_command));
    line(out, format_args!("- the machine: {machine}"));
    line(
        out,
        format_args!(
            "- CPU: the server {:.1} % of a core, the clients {:.1} %\n",
            record.server_cpu_percent, record.clients_cpu_percent
        ),
    );
}

fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{seconds:.0} seconds of load");
    }
    format!("{:.1} minutes of load", seconds / 60.0)
}

fn verdict(record: &Record, out: &mut String) {
    line(out, "### Verdict\n\n| criterion | | evidence |\n| --- | --- | --- |");
    for criterion in &record.criteria {
        let mark = mark(criterion.verdict);
        line(out, format_args!("| {} | {mark} | {} |", criterion.name, criterion.evidence));
    }
    line(out, "");
    for criterion in record.criteria.iter().filter(|c| c.verdict == Verdict::Fail) {
        line(out, format_args!("*{}* failed. Look here: {}.\n", criterion.name, criterion.hint));
    }
}

fn log(record: &Record, out: &mut String) {
    line(out, "### Start, work, stop\n\n```text");
    for entry in &record.log {
        line(out, format_args!("{} {}", clock(entry.at_s), entry.text));
    }
    line(out, "```\n");
}

/// Minutes and seconds.
pub(super) fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    format!("{:>3}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

fn induced(record: &Record, out: &mut String) {
    if record.induced.is_empty() {
        return;
    }
    line(
        out,
        "### The failures that were induced, and the response\n\n\
         *Standing*: the clients that were connected before. *Newcomers*: those that come and go.\n\n\
         | | from | for | p99 before | standing: p99 | longest | newcomers: longest | turned away | \
         errors | newcomer served after | last error after | p99 back after | server's CPU |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for induced in &record.induced {
        line(
            out,
            format_args!(
                "| {} | {} | {:.1} s | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                induced.name,
                clock(induced.began_s).trim(),
                induced.ended_s - induced.began_s,
                time(induced.before_p99_us),
                time(induced.standing.p99_us),
                time(induced.standing.max_us),
                time(induced.newcomers.max_us),
                induced.turned_away,
                induced.errors,
                after(induced.newcomer_s),
                after(induced.errors_gone_s),
                after(induced.latency_back_s),
                percent(induced.server_cpu_percent)
            ),
        );
    }
    line(out, "");
}

fn time(microseconds: u64) -> String {
    match microseconds {
        0 => "-".to_owned(),
        1..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{:.2} ms", microseconds as f64 / 1e3),
        _ => format!("{:.2} s", microseconds as f64 / 1e6),
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} %"))
}

/// About so many rows, with all in which something was induced.
fn thinned(rows: &[Row], about: usize) -> Vec<&Row> {
    let every = rows.len().div_ceil(about).max(1);
    let last = rows.len().saturating_sub(1);
    let all = rows.iter().enumerate();
    let kept = all.filter(|(index, row)| {
        index.is_multiple_of(every)
            || *index == last
            || row.phase == "storm"
            || row.phase == "stopped"
    });
    kept.map(|(_, row)| row).collect()
}

fn latencies(record: &Record, out: &mut String) {
    line(
        out,
        "### Latency and errors over time\n\n\
         Of the clients that read at once; each from the moment its request was due.\n\n\
         | until | | replies/s | p50 | p95 | p99 | longest | errors |\n\
         | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for row in thinned(&record.rows, ROWS) {
        let Latency { replies, p50_us, p95_us, p99_us, max_us } = row.prompt.latency;
        line(
            out,
            format_args!(
                "| {} | {} | {:.0} | {} | {} | {} | {} | {:.2} % |",
                clock(row.at_s).trim(),
                row.phase,
                replies as f64 / row.length_s.max(0.001),
                time(p50_us),
                time(p95_us),
                time(p99_us),
                time(max_us),
                row.prompt.error_percent()
            ),
        );
    }
    line(
        out,
        "\nThe whole run, by kind of client:\n\n\
         | | clients | replies | p50 | p95 | p99 | longest |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    for (class, Latency { replies, p50_us, p95_us, p99_us, max_us }) in &record.totals {
        let (name, count) = (class.name(), class.count());
        line(
            out,
            format_args!(
                "| {name} | {count} | {replies} | {} | {} | {} | {} |",
                time(*p50_us),
                time(*p95_us),
                time(*p99_us),
                time(*max_us)
            ),
        );
    }
    line(out, "");
}

fn resources(record: &Record, out: &mut String) {
    line(
        out,
        "### Memory, descriptors and CPU over time\n\n\
         | until | | RSS | RssAnon | descriptors | connections | server's CPU | clients' CPU |\n\
         | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    );
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for row in thinned(&record.rows, ROWS) {
        line(
            out,
            format_args!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                clock(row.at_s).trim(),
                row.phase,
                or_dash(row.resident.map(mib)),
                or_dash(row.anonymous.map(mib)),
                or_dash(row.descriptors.map(|count| count.to_string())),
                or_dash(row.stats.get("curr_connections").map(u64::to_string)),
                percent(row.server_cpu_percent),
                percent(row.clients_cpu_percent)
            ),
        );
    }
    line(out, "");
}

fn hostile(record: &Record, out: &mut String) {
    let count = Class::Hostile.count();
    line(out, format_args!("### What the {count} hostile clients did\n"));
    for (deed, times) in &record.deeds {
        line(out, format_args!("- {deed}: {times} times"));
    }
    line(out, "");
}

fn problems(record: &Record, out: &mut String) {
    if record.problems.is_empty() {
        return;
    }
    line(out, "### The first problems\n\n```text");
    for problem in &record.problems {
        line(out, format_args!("{} {}:", clock(problem.at_s), problem.who));
        problem.what.lines().for_each(|text| line(out, format_args!("          {text}")));
    }
    line(out, "```\n");
}

//! No false alarm and no blind eye: a correct server in another language passes every case, and the
//! same server with one bug fails exactly the cases that name it.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

/// Runs the cases on a Python server of `tests/fixtures`; returns the exit status and the report.
fn check(fixture: &str, selectors: &[&str]) -> (i32, Value) {
    check_as("day2", fixture, selectors)
}

/// The same for a server that is to be judged as this rung.
fn check_as(rung: &str, fixture: &str, selectors: &[&str]) -> (i32, Value) {
    let server =
        format!("python3 '{}'/tests/fixtures/{fixture} {{port}}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(cargo_bin!("harness"))
        .args(["check", "--format", "json", "--as", rung, "--cmd", &server])
        .args(selectors)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap_or(-1), report)
}

/// The ids of the cases that ended so.
fn ids<'a>(report: &'a Value, verdict: &str) -> Vec<&'a str> {
    let cases = report["cases"].as_array().unwrap();
    let so = cases.iter().filter(|case| case["verdict"] == verdict);
    so.map(|case| case["id"].as_str().unwrap()).collect()
}

fn expect_no_failure(status: i32, report: &Value) {
    let cases = report["cases"].as_array().unwrap();
    let failures: Vec<&Value> = cases.iter().filter(|case| case["verdict"] == "fail").collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(status, 0);
}

#[test]
fn a_correct_server_passes_every_case() {
    let (status, report) = check("select_server.py", &[]);
    expect_no_failure(status, &report);
    let ahead = ["BP01", "BP04", "PO01", "PO02", "PO03", "EP07", "HO03"];
    assert_eq!(ids(&report, "expected_failure"), ahead, "these lessons are still ahead");
}

/// Judged only by the groups in which its rung differs from the one before. Its table of interests
/// is a loop over all connections, so it would fail the one case about their cost (EP07).
#[test]
fn the_same_server_passes_as_a_later_rung() {
    let day3 = ["backpressure/", "pausing/", "slow_reader/"];
    let epoll = ["EP01", "EP02", "EP03", "EP04", "EP05", "EP06", "mechanism/"];
    let workers = ["handoff/", "workers/", "full_queue/", "task_timeout/", "task_drain/"];
    for (rung, day, selectors) in [
        ("day3", 3, day3.as_slice()),
        ("day4", 4, ["poll/", "PA14", "mechanism/"].as_slice()),
        ("w04", 5, epoll.as_slice()),
        ("w05", 6, workers.as_slice()),
    ] {
        let fixture = format!("select_server.py --day {day}");
        let (status, report) = check_as(rung, &fixture, selectors);
        expect_no_failure(status, &report);
        assert!(!ids(&report, "pass").is_empty());
    }
}

#[test]
fn a_half_close_taken_for_a_close_is_caught_by_the_cases_of_half_close() {
    let (status, report) = check("half_close_bug.py", &["closing/", "protocol/"]);
    let caught = ids(&report, "fail");
    assert_eq!(status, 1);
    let cases = report["cases"].as_array().unwrap();
    let path = |id: &str| cases.iter().find(|case| case["id"] == id).unwrap()["path"].to_string();
    assert!(!caught.is_empty());
    assert!(caught.iter().all(|id| path(id).contains("half_close")), "{caught:?}");
}

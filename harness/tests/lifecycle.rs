//! The lifecycle suite is what its document says: each case takes the rows of the transition table that
//! it declares, and every row of the table is taken, or out of reach for a reason.

#![forbid(unsafe_code)]

use harness::case::Case;
use harness::lifecycle::{self, RUNG, UNREACHED};
use harness::limits::{self, Limits};
use harness::report::human;
use harness::rows::{self, TableRow};
use harness::rungs;
use harness::runner::{self, Options};
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn every_row_of_the_table_is_taken_by_a_case_or_out_of_reach() {
    let table = rows::table().unwrap();
    let all: BTreeSet<String> =
        table.iter().flat_map(TableRow::names).map(|(name, _)| name).collect();
    let declared = lifecycle::entries().flat_map(|entry| entry.rows).copied();
    let known: BTreeSet<String> =
        declared.chain(UNREACHED.iter().map(|(row, _)| *row)).map(str::to_owned).collect();
    let differences: Vec<&String> = all.symmetric_difference(&known).collect();
    assert!(
        differences.is_empty(),
        "in the table and not in harness/src/lifecycle.rs, or the other way round: {differences:?}"
    );
}

#[test]
fn each_case_takes_the_rows_that_it_declares() {
    limits::raise_descriptor_limit();
    let server = rungs::find(&rungs::discover().unwrap(), RUNG).unwrap();
    let target = Arc::new(rungs::build_target(&server).unwrap());
    let cases: Vec<&'static Case> = lifecycle::entries().filter_map(lifecycle::case_of).collect();
    // The servers write a line for each event.
    let limits = Limits { multiplier: 3.0, ..Limits::default() };
    let options = Options { rows: true, jobs: 16, limits, ..Options::default() };
    let report = runner::run(&cases, &target, &options, |_| ());
    assert_eq!(report.counts.passed as usize, cases.len(), "{}", human::summary(&report));
    let mut missing = Vec::new();
    for (entry, case) in lifecycle::entries().zip(&report.cases) {
        for row in entry.rows.iter().filter(|row| !case.rows.contains(**row)) {
            missing.push(format!("{} does not take {row}; it takes {:?}", case.id, case.rows));
        }
        for (row, why) in UNREACHED.iter().filter(|(row, _)| case.rows.contains(*row)) {
            missing
                .push(format!("{} takes {row}, which is said to be out of reach: {why}", case.id));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

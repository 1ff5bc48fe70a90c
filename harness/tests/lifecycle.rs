//! The lifecycle suite is what its document says: each case takes the rows of the transition table that
//! it declares, and every row of the table is taken, or out of reach for a reason.

#![forbid(unsafe_code)]

use harness::lifecycle::{self, UNREACHED};
use harness::limits;
use harness::report::human;
use harness::rows::{self, TableRow};
use std::collections::BTreeSet;

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
    let (reports, wrong) = lifecycle::run().unwrap();
    let passed: usize = reports.iter().map(|report| report.counts.passed as usize).sum();
    let summaries: Vec<String> = reports.iter().map(human::summary).collect();
    assert_eq!(passed, lifecycle::entries().count(), "{}", summaries.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

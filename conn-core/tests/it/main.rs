//! Tests of the model as a whole. One binary, a line for each subject.

mod any_split;
mod clocks;
mod common;
mod registry;
mod tasks;
mod tidy;
mod transition_table;

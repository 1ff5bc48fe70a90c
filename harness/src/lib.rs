//! Judges any server of the teaching lab by its contract, from outside.
//!
//! # What a verdict means
//! * **pass**: the rule was kept in this run, on the wire and in `/proc`.
//! * **fail**: the rule was broken. The report says what was expected, what came instead and
//!   what each thread of the server was doing at that moment.
//! * **skip**: nothing could be said, for the reason given. Never a judgement of the server.
//! * **expected failure**: the rung is not asked to keep this rule yet, and it was seen to break
//!   it. If it keeps the rule after all, the table is wrong and the run fails.
//!
//! A right server never fails and a wrong one never passes by luck. Therefore nothing here sleeps
//! and hopes: every wait is for a condition and has a limit, and "nothing more arrives" is proved
//! by the reply to a barrier request ([`client::Client::fence`]).
//!
//! # Where to read first
//! 1. [`case`]: what a case is; [`cases`]: the list of all of them, one file per group.
//! 2. [`judge`]: what a case function is given; [`server`] and [`client`]: the two things it
//!    works with; [`inspect`]: what `/proc` says about the server.
//! 3. [`verdict`]: how a case ends; [`autopsy`] and [`report`]: how that is told.
//! 4. [`target`], [`rungs`], [`runner`]: which server, how it is built, how cases are run.
//! 5. [`soak`]: the same judgement over half an hour, with failures induced.
//! 6. [`museum`]: whether the cases catch the mistakes that they are there for.
//!
//! The harness uses no crate that a server is made of, so that it cannot share a mistake with what
//! it judges.

pub mod autopsy;
pub mod bystanders;
pub mod case;
pub mod cases;
pub mod cli;
pub mod client;
pub mod connect;
pub mod escape;
mod freeze;
pub mod inspect;
pub mod judge;
pub mod launch;
pub mod lifecycle;
pub mod limits;
pub mod matrix;
pub mod museum;
pub mod notes;
mod output;
mod port;
mod process;
pub mod proof;
mod readiness;
pub mod report;
pub mod rows;
pub mod rungs;
pub mod runner;
mod scene;
pub mod selector;
pub mod server;
pub mod soak;
mod spawner;
pub mod stats;
pub mod syscall_names;
pub mod target;
pub mod transcript;
pub mod transitions;
pub mod verdict;
mod which;
pub mod workload;

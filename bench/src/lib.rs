//! Measures servers from outside: it knows them only as programs that keep the contract.
//!
//! `bench load` puts one [`load`] on one server. `bench run` puts the [`scenarios`] to all
//! [`contenders`], round by round ([`run`]), each time on a [`server`] of its own ([`measure`]), and
//! keeps the [`data`], from which [`tables`], [`goals`] and [`pictures`] are made and put into the
//! [`notes`].

#![forbid(unsafe_code)]

pub mod beside_tokio;
pub mod calls;
pub mod contenders;
pub mod cores;
pub mod data;
pub mod goals;
pub mod interrupt;
pub mod list;
pub mod load;
pub mod load_command;
pub mod machine;
pub mod measure;
pub mod notes;
pub mod pictures;
pub mod programs;
pub mod run;
pub mod scenario;
pub mod scenarios;
pub mod server;
pub mod statistics;
pub mod tables;
pub mod tasks;

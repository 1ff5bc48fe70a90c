//! Measures servers from outside: it knows them only as programs that keep the contract.

#![forbid(unsafe_code)]

pub mod load;
pub mod load_command;

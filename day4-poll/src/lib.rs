//! Day 4: the same server on poll(2), and no client can tell.
//!
//! New today: the question "who is ready?" is asked with a list of descriptors and not with sets of
//! bits. Registry, table, policy and dispatch are those of day 3, not copied but used.
//!
//! A client can see one thing only: descriptors above 1023 work, so there may be more than about a
//! thousand clients.
//!
//! Still missing: the list is built, handed to the kernel and walked in every turn, however few of
//! its members have anything to say (week 4).
#![forbid(unsafe_code)]

pub mod poll;

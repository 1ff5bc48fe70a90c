//! What the servers are measured against: the lab's protocol on the libraries that one would pick
//! instead, each as a program of its own, in that library's idiom.
//!
//! [`protocol`], [`work`], [`input`] and [`cli`] are shared, so that what differs between two peers is the
//! library and not the parser. The README tells them apart and says what none of them does.

#![forbid(unsafe_code)]

pub mod c;
pub mod cli;
pub mod input;
pub mod protocol;
pub mod work;

//! The event loop that every day of the lab shares.
//!
//! ```text
//! while running:
//!     wait        until a descriptor is ready or the nearest deadline is due   (the Poller)
//!     dispatch    visit each ready connection once, then those that had more to do than one
//!                 turn allows; accept newcomers; heed signals
//!     expire      look at the clocks of the connections whose deadline is due
//! ```
//!
//! A day of the lab brings its own idea and takes the rest from here. The first seam is the
//! [`Poller`](poller::Poller): given what is to be watched and for how long, it says who is ready.
//! The second is conn-core's [`WritePolicy`](conn_core::write_policy::WritePolicy): what a long write
//! queue means; day 2 has [`Unbounded`]. The third is its [`Executor`](conn_core::executor::Executor):
//! where CPU work runs; the default is [`Inline`](inline::Inline), on the loop.
//!
//! Read [`event_loop`] first; it fits on two screens. [`listener`], [`deadlines`] and [`signals`]
//! are the loop's other sources of events. [`cli`] is what an operator types.

pub mod allocator;
pub mod cli;
pub mod deadlines;
pub mod event_loop;
pub mod inline;
pub mod ioctl;
pub mod listener;
pub mod logging;
pub mod poller;
pub mod serve;
pub mod signals;
pub mod socket;

pub use conn_core::write_policy::Unbounded;
pub use serve::{serve, serve_with};

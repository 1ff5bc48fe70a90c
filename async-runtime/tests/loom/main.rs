//! Wake-ups from other threads under a model checker: every interleaving of a few threads.
//!
//! The files below `src` that threads share are compiled a second time here, with loom's locks in place
//! of parking_lot's, and a small kernel in place of epoll: edge-triggered, it says once that a
//! socket has become readable, and to whoever registers it that it is. A lost wake-up shows as a
//! deadlock, since loom knows when no thread can go on.
//!
//! `cargo test -p async-runtime --test loom -- --nocapture` says how many executions each model has.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(dead_code, reason = "a model does not use all of what it includes")]

mod current;
mod doorbell;
mod event_loop;
mod sync;
mod timer_wheel;

#[path = "../../src/async_socket.rs"]
mod async_socket;
#[path = "../../src/mailbox.rs"]
mod mailbox;
#[path = "../../src/message.rs"]
mod message;
#[expect(unreachable_pub, reason = "it is public in the library")]
#[path = "../../src/semaphore.rs"]
mod semaphore;
#[path = "../../src/side.rs"]
mod side;
#[path = "../../src/socket_messages.rs"]
mod socket_messages;

#[path = "../../../w05-handoff/tests/loom/explore.rs"]
mod explore;
mod mail;
mod places;
mod readiness;
mod sockets;
mod task;
mod tasks;

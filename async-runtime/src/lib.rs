//! The async runtime: what `async` and `await` are made of.
//!
//! ```text
//!   task ── poll ──► future ── system call: would block ──► leaves a waker with its side of the socket
//!    ▲                                                                          │
//!    │ run queue                                                                ▼
//!   worker ◄── waker ◄── AsyncSocketHandler ◄── event ◄── poll_once: the only place where it sleeps
//! ```
//!
//! New today: a connection is a function that reads, computes and writes, one line after the other. Where
//! it has to wait, the compiler has made a state machine of it, and a worker turns to another task.
//! There are as many workers as cores; each has its own run queue, event loop, timer wheel and mailbox,
//! and shares nothing with the others but messages.
//!
//! Read in this order:
//!
//! | file | one idea |
//! | --- | --- |
//! | `task.rs` | a future becomes a task: where it goes when it is woken |
//! | `worker.rs` | the turn: mail, tasks, events; and the only sleep |
//! | `side.rs` | readiness becomes a waker |
//! | `async_socket.rs` | try, and if that would block, have oneself woken |
//! | `net/futures.rs` | futures written by hand |
//! | `event_loop.rs` | the poll and the sockets that it watches |
//! | `timer_wheel.rs`, `time.rs` | thousands of timers; futures on top of them |
//! | `mailbox.rs`, `message.rs` | how other threads reach a worker, and wake it |
//! | `socket_messages.rs` | sockets of another worker; how one moves |
//! | `runtime.rs` | starting, `block_on`, ending |
//! | `semaphore.rs` | a bound on how many do something at once |
//! | `blocking.rs`, `fs.rs`, `signal.rs`, `process.rs` | other things that become events |
//!
//! The server, `cargo run -p async-runtime`, is a program on top of it, in `server/`.
//!
//! ```
//! use async_runtime::net::{TcpListener, TcpStream};
//! use async_runtime::runtime::{Runtime, spawn};
//! use std::net::Ipv4Addr;
//!
//! # fn main() -> std::io::Result<()> {
//! let runtime = Runtime::builder().workers(2).build()?;
//! runtime.block_on(async {
//!     let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
//!     let address = listener.local_addr()?;
//!     spawn(async move {
//!         let (mut client, _) = listener.accept().await?;
//!         let mut buffer = [0; 64];
//!         let received = client.read(&mut buffer).await?;
//!         client.write_all(&buffer[..received]).await
//!     });
//!     let mut stream = TcpStream::connect(address).await?;
//!     stream.write_all(b"hello").await?;
//!     let mut echo = [0; 64];
//!     assert_eq!(stream.read(&mut echo).await?, 5);
//!     assert_eq!(&echo[..5], b"hello");
//!     Ok(())
//! })
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod fs;
pub mod net;
pub mod process;
pub mod runtime;
pub mod semaphore;
pub mod signal;
pub mod task;
pub mod time;

mod async_socket;
mod blocking;
mod clock;
mod crew;
mod current;
mod doorbell;
mod event_loop;
mod mailbox;
mod message;
mod side;
mod socket_messages;
mod sync;
mod timer_wheel;
mod worker;

//! tokio: a task per connection, work for a CPU by `spawn_blocking`.
//!
//! One thread by default, as a cache or a proxy would start one runtime per core;
//! `--multi-thread` is the work-stealing runtime that `#[tokio::main]` gives.

#![forbid(unsafe_code)]

use bytes::{Buf, BytesMut};
use clap::Parser;
use peers::cli::{self, Listen, Pool};
use peers::input::{READ, READ_MAX};
use peers::protocol;
use std::io;
use std::process::ExitCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};

/// The lab's protocol on tokio
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    pool: Pool,

    /// The work-stealing runtime, with a thread per core
    #[arg(long)]
    multi_thread: bool,
}

fn main() -> ExitCode {
    cli::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let mut builder =
        if cli.multi_thread { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = builder.enable_io().max_blocking_threads(cli.pool.workers.get()).build()?;
    runtime.block_on(serve(cli.listen))?;
    // Whoever is still computing is not waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(listen: Listen) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::from_std(listen.bind()?)?;
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(converse(stream));
                }
                // Out of descriptors, or a client that left: the others go on.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Answers a client until it leaves.
async fn converse(mut stream: TcpStream) -> io::Result<()> {
    let mut input = BytesMut::new();
    let mut replies = Vec::new();
    let mut tasks = Vec::new();
    let mut missing = 0;
    loop {
        // More room than is missing: a read that leaves some of it is known to have taken all there
        // was, and tokio waits for the next event without asking the socket again.
        input.reserve(missing.min(READ_MAX) + READ);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let answered = protocol::answer(&input, &mut replies, |work, replies| {
            let work = work.into_owned();
            tasks.push((replies.len(), spawn_blocking(move || work.reply())));
        });
        input.advance(answered.consumed);
        missing = answered.missing;
        if !tasks.is_empty() {
            replies = in_order(&mut stream, &replies, &mut tasks).await?;
        }
        stream.write_all(&replies).await?;
        replies.clear();
        if answered.quit {
            return Ok(());
        }
    }
}

/// Puts the replies of `tasks` where they belong among `ready`. What can be sent does not wait for
/// a task that still runs; what is left to send is returned.
async fn in_order(
    stream: &mut TcpStream,
    ready: &[u8],
    tasks: &mut Vec<(usize, JoinHandle<Vec<u8>>)>,
) -> io::Result<Vec<u8>> {
    let mut replies = Vec::new();
    let mut taken = 0;
    for (position, task) in tasks.drain(..) {
        replies.extend_from_slice(&ready[taken..position]);
        taken = position;
        if !replies.is_empty() && !task.is_finished() {
            stream.write_all(&replies).await?;
            replies.clear();
        }
        replies.extend_from_slice(&task.await?);
    }
    replies.extend_from_slice(&ready[taken..]);
    Ok(replies)
}

//! smol: a task per connection on one thread, work for a CPU by `unblock`.

use clap::Parser;
use peers::cli::{self, Listen, Pool};
use peers::input::Input;
use peers::protocol;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, LocalExecutor, Task, future, unblock};
use std::io;
use std::net::TcpStream;
use std::process::ExitCode;

/// The lab's protocol on smol
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    pool: Pool,
}

fn main() -> ExitCode {
    cli::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    size_the_pool(cli.pool);
    let signals = Async::new(cli::signals()?)?;
    let listener = Async::new(cli.listen.bind()?)?;

    let executor = LocalExecutor::new();
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => executor.spawn(converse(stream)).detach(),
                // Out of descriptors, or a client that left: the others go on.
                Err(_) => future::yield_now().await,
            }
        }
    };
    smol::block_on(executor.run(future::or(accept, signals.readable())))?;
    Ok(())
}

/// The environment is the only way to tell the pool its size.
#[expect(unsafe_code, reason = "the environment belongs to the whole process")]
fn size_the_pool(pool: Pool) {
    // SAFETY: there is only this thread yet, so nobody else reads or writes the environment.
    unsafe { std::env::set_var("BLOCKING_MAX_THREADS", pool.workers.to_string()) };
}

/// Answers a client until it leaves.
async fn converse(mut stream: Async<TcpStream>) -> io::Result<()> {
    let mut input = Input::default();
    let mut replies = Vec::new();
    let mut tasks = Vec::new();
    loop {
        // A read that finds nothing costs two more system calls, since smol arms its sockets for one
        // event at a time. While the others are served, the next request may well come.
        future::yield_now().await;
        let received = stream.read(input.room()).await?;
        if received == 0 {
            return Ok(());
        }
        let answered = protocol::answer(input.received(received), &mut replies, |work, replies| {
            let work = work.into_owned();
            tasks.push((replies.len(), unblock(move || work.reply())));
        });
        input.consume(answered);
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
    stream: &mut Async<TcpStream>,
    ready: &[u8],
    tasks: &mut Vec<(usize, Task<Vec<u8>>)>,
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
        replies.extend_from_slice(&task.await);
    }
    replies.extend_from_slice(&ready[taken..]);
    Ok(replies)
}

//! std alone: a thread per connection, blocking reads and writes, work for a CPU where it comes up.

#![forbid(unsafe_code)]

use clap::Parser;
use peers::cli::{self, Listen};
use peers::input::Input;
use peers::protocol;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

/// The lab's protocol with a thread per connection
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    listen: Listen,
}

/// A thread's stack. The default of 2 MiB is only an address range until it is used, but ten
/// thousand of them are 20 GB of it.
const STACK: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let mut signals = cli::signals()?;
    let listener = cli.listen.bind()?;
    listener.set_nonblocking(false)?;
    thread::Builder::new().spawn(move || accept(&listener))?;
    // The connections' threads end with the process.
    signals.read_exact(&mut [0])?;
    Ok(())
}

fn accept(listener: &TcpListener) {
    loop {
        // Without a descriptor or a thread for it, a client is turned away; the others go on.
        if let Ok((stream, _)) = listener.accept() {
            let _ = thread::Builder::new().stack_size(STACK).spawn(move || converse(stream));
        }
    }
}

/// Answers a client until it leaves.
fn converse(mut stream: TcpStream) -> io::Result<()> {
    let mut input = Input::default();
    let mut replies = Vec::new();
    loop {
        let received = stream.read(input.room())?;
        if received == 0 {
            return Ok(());
        }
        let answered = protocol::answer(input.received(received), &mut replies, |work, replies| {
            work.run(replies);
        });
        input.consume(answered);
        stream.write_all(&replies)?;
        replies.clear();
        if answered.quit {
            return Ok(());
        }
    }
}

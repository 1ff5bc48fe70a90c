//! A socket, a timer, a file, a child process and a signal: five tasks of one worker, which sleeps in one
//! place and is woken by any of them.

use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::process::Child;
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::signal::Signal;
use async_runtime::time::{sleep, timeout};
use async_runtime::{fs, task::JoinHandle};
use std::io;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

fn main() -> io::Result<()> {
    let runtime = Runtime::builder().workers(1).build()?;
    runtime.block_on(async {
        let events: [JoinHandle<io::Result<String>>; 5] =
            [spawn(socket()), spawn(timer()), spawn(file()), spawn(child()), spawn(ctrl_c())];
        for event in events {
            println!("{}", event.await.map_err(io::Error::other)??);
        }
        Ok(())
    })
}

async fn socket() -> io::Result<String> {
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let (mut server, address) = listener.accept().await?;
    client.write_all(b"hello").await?;
    let mut buffer = [0; 16];
    let received = server.read(&mut buffer).await?;
    let text = String::from_utf8_lossy(&buffer[..received]);
    Ok(format!("socket: {address} says {text}"))
}

async fn timer() -> io::Result<String> {
    sleep(Duration::from_millis(100)).await;
    Ok("timer: 100 ms are over".to_owned())
}

async fn file() -> io::Result<String> {
    let bytes = fs::read("/proc/self/comm").await?;
    Ok(format!("file: this process is called {}", String::from_utf8_lossy(&bytes).trim()))
}

async fn child() -> io::Result<String> {
    let status = Child::spawn(Command::new("sh").args(["-c", "exit 7"]))?.wait().await?;
    Ok(format!("child: ended with {status}"))
}

async fn ctrl_c() -> io::Result<String> {
    // SIGINT.
    let mut interrupt = Signal::new(2)?;
    println!("signal: press Ctrl-C within 10 seconds");
    Ok(match timeout(Duration::from_secs(10), interrupt.recv()).await {
        Ok(came) => came.map(|()| "signal: Ctrl-C".to_owned())?,
        Err(_) => "signal: none came".to_owned(),
    })
}

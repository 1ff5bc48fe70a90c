//! Sends back whatever comes, to any number of clients, until Ctrl-C.

use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::signal::Signal;
use signal_hook::consts::SIGINT;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(9090), |port| port.parse());
    let port = port.map_err(|_| io::Error::other("the argument is a port, 0 to 65535"))?;
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        // Before the line: who reads it may press Ctrl-C.
        let mut ctrl_c = Signal::new(SIGINT)?;
        println!("listening on {}", listener.local_addr()?);
        spawn(accept(listener));
        ctrl_c.recv().await
    })?;
    if let Err(still_running) = runtime.shutdown(Duration::from_secs(5)) {
        eprintln!("{} threads are still busy", still_running.0);
    }
    Ok(())
}

async fn accept(mut listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((client, address)) => {
                spawn(async move {
                    if let Err(error) = echo(client).await {
                        eprintln!("{address}: {error}");
                    }
                });
            }
            Err(error) => {
                // No descriptors left, perhaps: the client waits until some are closed.
                eprintln!("cannot accept: {error}");
                async_runtime::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn echo(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            received => client.write_all(&buffer[..received]).await?,
        }
    }
}

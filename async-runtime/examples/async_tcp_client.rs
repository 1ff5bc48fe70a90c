//! Sends a line to the echo server and prints what comes back.

use async_runtime::net::TcpStream;
use async_runtime::runtime::Runtime;
use async_runtime::time::timeout;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(9090), |port| port.parse());
    let port: u16 = port.map_err(|_| io::Error::other("the argument is a port, 0 to 65535"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let runtime = Runtime::builder().workers(1).build()?;
    runtime.block_on(async {
        match timeout(Duration::from_secs(5), converse(address)).await {
            Ok(echoed) => print!("{}", String::from_utf8_lossy(&echoed?)),
            Err(_) => println!("no answer within 5 seconds"),
        }
        Ok(())
    })
}

async fn converse(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"hello, runtime\n").await?;
    stream.shutdown(Shutdown::Write)?;
    let (mut echoed, mut buffer) = (Vec::new(), [0; 256]);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(echoed),
            received => echoed.extend_from_slice(&buffer[..received]),
        }
    }
}

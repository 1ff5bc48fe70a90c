//! What the measuring programs share: a server of the workspace, started on a free port.

use anyhow::{Context, Result, ensure};
use harness::rungs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// A server that ends with this value.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is this process's own child, and nothing is owed to anybody.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(package: &str, flags: &[&str]) -> Result<Self> {
        let program = rungs::build_program(package)?;
        let mut child = Command::new(program)
            .args(flags)
            .args(["--max-connections", "11000", "--idle-timeout", "10m", "0"])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("standard output is not captured")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().context("no address")?.parse()?;
        Ok(Self { child, address })
    }

    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let client = TcpStream::connect(self.address)?;
        client.set_nodelay(true)?;
        Ok(client)
    }
}

/// Sends `request` and takes the reply, which must be `expected`.
pub(crate) fn ask(client: &mut TcpStream, request: &[u8], expected: &[u8]) -> Result<()> {
    let mut reply = [0; 128];
    let reply = &mut reply[..expected.len()];
    client.write_all(request)?;
    client.read_exact(reply)?;
    ensure!(reply == expected, "a wrong reply: {}", reply.escape_ascii());
    Ok(())
}

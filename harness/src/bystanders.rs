//! Clients that only stand in the way.

use crate::client::Client;
use crate::server::Server;
use crate::verdict::CaseResult;

/// A client that says nothing and one that stopped in the middle of a request.
#[derive(Debug)]
pub struct Bystanders {
    silent: Client,
    half_sent: Client,
}

impl Bystanders {
    pub(crate) fn new(server: &Server) -> CaseResult<Self> {
        let silent = server.connect().named("silent").open()?;
        let mut half_sent = server.connect().named("half-sent").open()?;
        half_sent.send("echo 5\r\nhe")?;
        Ok(Self { silent, half_sent })
    }

    /// Both are still served: the silent one asks, the other one completes its request.
    ///
    /// # Errors
    /// One of them got a wrong reply, or none.
    pub fn finish(mut self) -> CaseResult {
        self.half_sent.ask("llo\r\n", "ECHO 5\r\nhello\r\n")?;
        self.silent.fence()
    }
}

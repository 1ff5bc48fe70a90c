//! A storm: more clients at once than the server has descriptors for.

use super::link::{REFUSAL, begin_to_connect};
use super::record::StormCount;
use crate::limits;
use crate::verdict::{CaseResult, Stop};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Newcomers turned away who try again, for each look.
const AGAIN: usize = 20;
const REQUEST: &[u8] = b"mn\r\n";
/// All that a client of the storm may be told.
const REPLIES: [&[u8]; 2] = [b"MN\r\n", REFUSAL];

#[derive(Debug)]
pub(super) struct Storm {
    address: SocketAddr,
    clients: Vec<Newcomer>,
    pub(super) count: StormCount,
}

#[derive(Debug)]
struct Newcomer {
    stream: TcpStream,
    asked: bool,
    received: Vec<u8>,
}

impl Storm {
    /// So many clients connect at once.
    pub(super) fn new(address: SocketAddr, clients: usize) -> CaseResult<Self> {
        let mut storm = Self { address, clients: Vec::new(), count: StormCount::default() };
        for _ in 0..clients {
            storm.come()?;
        }
        Ok(storm)
    }

    fn come(&mut self) -> CaseResult {
        self.count.tried += 1;
        match begin_to_connect(self.address, None) {
            Ok((stream, _)) => {
                self.clients.push(Newcomer { stream, asked: false, received: Vec::new() });
            }
            Err(error) => {
                if let Some(reason) = limits::exhausted(&error) {
                    return Err(Stop::skip(reason));
                }
                self.count.turned_away += 1;
            }
        }
        Ok(())
    }

    /// Asks, reads, and comes again in place of some who were turned away.
    pub(super) fn look(&mut self) -> CaseResult {
        let mut gone = 0;
        let count = &mut self.count;
        self.clients.retain_mut(|newcomer| {
            let stays = newcomer.look(count);
            gone += usize::from(!stays);
            stays
        });
        for _ in 0..gone.min(AGAIN) {
            self.come()?;
        }
        Ok(())
    }

    /// Everybody leaves, half of them with a reset.
    pub(super) fn end(mut self) -> StormCount {
        let count = &mut self.count;
        for (number, newcomer) in self.clients.iter_mut().enumerate() {
            newcomer.look(count);
            if number.is_multiple_of(2) {
                let _ = SockRef::from(&newcomer.stream).set_linger(Some(Duration::ZERO));
            }
        }
        self.count
    }
}

impl Newcomer {
    /// Whether it still waits or is served.
    fn look(&mut self, count: &mut StormCount) -> bool {
        if !self.asked {
            match self.stream.write(REQUEST) {
                Ok(_) => self.asked = true,
                Err(error) if is_pending(error.kind()) => return true,
                Err(_) => {}
            }
        }
        let had_reply = self.received.starts_with(REPLIES[0]);
        let mut buffer = [0; 256];
        let ended = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(bytes) => self.received.extend_from_slice(&buffer[..bytes]),
                Err(error) if is_pending(error.kind()) => break false,
                Err(_) => break true,
            }
        };
        if !REPLIES.iter().any(|reply| reply.starts_with(&self.received)) {
            count.wrong += 1;
            return false;
        }
        if !had_reply && self.received == REPLIES[0] {
            count.answered += 1;
        }
        let answered = self.received == REPLIES[0];
        count.turned_away += u64::from(ended && !answered);
        count.dropped += u64::from(ended && answered);
        !ended
    }
}

fn is_pending(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}

//! A poller over poll(2).

use conn_core::connection::Interest;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use reactor::poller::{Poller, Ready, Watched};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;
use std::{io, mem};

/// `poll`: one list goes in, the same list comes out with the answer beside each question.
#[derive(Debug, Default)]
pub struct Poll {
    /// The memory of the last turn's list: ten thousand entries are too many to ask for every time.
    memory: Vec<PollFd<'static>>,
}

impl Poller for Poll {
    const MECHANISM: &'static str = "poll";

    /// A list names each descriptor, however high its number.
    const FD_LIMIT: Option<RawFd> = None;

    fn wait(
        &mut self,
        watched: &Watched<'_>,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        ready.clear();

        // Rebuilt every turn because connections come and go; the kernel would not mind the same
        // list again, since questions and answers are kept apart.
        let mut list = recycle(mem::take(&mut self.memory));
        for (fd, interest) in watched.iter() {
            // Hang-ups and errors are reported asked or unasked. Of who wants nothing now nobody would
            // heed them, and the loop would spin.
            if interest != Interest::NONE {
                list.push(PollFd::new(fd, events(interest)));
            }
        }

        let count = match poll(&mut list, timeout.map_or(PollTimeout::NONE, milliseconds)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };

        // The kernel says how many have an answer, but not who: each one is looked at.
        let mut unseen = count;
        for entry in &list {
            if unseen == 0 {
                break;
            }
            let answer = entry.revents().unwrap_or(PollFlags::empty());
            if !answer.is_empty() {
                unseen -= 1;
                // A hang-up or an error is for the next recv or send to find out about.
                let broken = answer.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
                let readable = broken || answer.intersects(PollFlags::POLLIN | PollFlags::POLLPRI);
                let writable = broken || answer.contains(PollFlags::POLLOUT);
                ready.push(Ready { fd: entry.as_fd().as_raw_fd(), readable, writable });
            }
        }
        self.memory = recycle(list);
        Ok(())
    }
}

/// An empty list in the memory of another, whose entries borrow other descriptors.
fn recycle<'to>(mut list: Vec<PollFd<'_>>) -> Vec<PollFd<'to>> {
    list.clear();
    // There is nothing to convert; what is collected in place is the memory.
    list.into_iter().map(|_| unreachable!("the list is empty")).collect()
}

fn events(interest: Interest) -> PollFlags {
    let mut events = PollFlags::empty();
    if interest.read {
        // Urgent data is part of the input, as the error set of select would tell us.
        events |= PollFlags::POLLIN | PollFlags::POLLPRI;
    }
    if interest.write {
        events |= PollFlags::POLLOUT;
    }
    events
}

/// Rounded up, so that the loop does not wake before its deadline and find nothing due.
fn milliseconds(timeout: Duration) -> PollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_list_is_used_again() {
        let list = Vec::with_capacity(10_000);
        let memory = list.as_ptr();
        let again: Vec<PollFd<'_>> = recycle(list);
        assert!(again.is_empty() && again.capacity() == 10_000 && again.as_ptr() == memory);
    }
}

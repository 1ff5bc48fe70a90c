//! A poller over select(2).

use nix::errno::Errno;
use nix::sys::select::{FD_SETSIZE, FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use reactor::poller::{Poller, Ready, Watched};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// `select`: three bit sets go in, the same three sets come out with only the ready bits left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Select;

impl Poller for Select {
    const MECHANISM: &'static str = "select";

    /// A bit set has [`FD_SETSIZE`] bits. Setting a higher one would write past its end.
    const FD_LIMIT: Option<RawFd> = Some(FD_SETSIZE as RawFd);

    fn wait(
        &mut self,
        watched: &Watched<'_>,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        ready.clear();

        // Rebuilt every turn: the kernel clears the bits of those that are not ready.
        let (mut read, mut write, mut error) = (FdSet::new(), FdSet::new(), FdSet::new());
        for (fd, interest) in watched.iter() {
            if interest.read {
                read.insert(fd);
                // Urgent data stays exceptional until it is read, so whoever is not to be read from
                // must not be asked about: the loop would spin.
                error.insert(fd);
            }
            if interest.write {
                write.insert(fd);
            }
        }

        let mut timeout = timeout.map(timeval);
        let count =
            match select(watched.max_fd() + 1, &mut read, &mut write, &mut error, timeout.as_mut())
            {
                Ok(count) => count,
                Err(Errno::EINTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            };

        // The kernel says how many bits are set, but not which: each one has to be asked for.
        let mut unseen = count;
        for (fd, _) in watched.iter() {
            if unseen == 0 {
                break;
            }
            let bits = [read.contains(fd), write.contains(fd), error.contains(fd)];
            let [readable, writable, exceptional] = bits;
            unseen -= bits.into_iter().map(i32::from).sum::<i32>();
            if bits.contains(&true) {
                // The error set reports urgent data; errors proper show as readable. Either way
                // the next recv has something to say.
                let readable = readable || exceptional;
                ready.push(Ready { fd: fd.as_raw_fd(), readable, writable });
            }
        }
        Ok(())
    }
}

/// Rounded up, so that the loop does not wake before its deadline and find nothing due.
fn timeval(timeout: Duration) -> TimeVal {
    let micros = timeout.as_nanos().div_ceil(1_000);
    TimeVal::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
}

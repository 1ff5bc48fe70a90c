//! What an epoll descriptor watches.

use super::{Descriptor, Process, hidden};
use crate::verdict::CaseResult;
use std::fmt;
use std::fs;

/// An epoll descriptor and its registered set, from `/proc/PID/fdinfo/N` (proc(5)).
#[derive(Debug, Clone)]
pub struct EpollSet {
    /// The epoll descriptor itself.
    pub descriptor: Descriptor,
    /// What it watches.
    pub watched: Vec<Watched>,
}

/// One registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Its number.
    pub descriptor: i32,
    /// The events that were asked for, as `epoll_ctl(2)` names them.
    pub events: u32,
}

impl Watched {
    /// Whether it is reported only when something changes (`EPOLLET`).
    #[must_use]
    pub fn is_edge_triggered(&self) -> bool {
        self.events & libc::EPOLLET as u32 != 0
    }

    /// Whether input is asked for.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.events & libc::EPOLLIN as u32 != 0
    }

    /// Whether room for output is asked for.
    #[must_use]
    pub fn wants_output(&self) -> bool {
        self.events & libc::EPOLLOUT as u32 != 0
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = match (self.wants_input(), self.wants_output()) {
            (true, true) => "EPOLLIN and EPOLLOUT",
            (true, false) => "EPOLLIN",
            (false, true) => "EPOLLOUT",
            (false, false) => "neither EPOLLIN nor EPOLLOUT",
        };
        write!(f, "fd {} is watched for {asked} (events {:#x})", self.descriptor, self.events)
    }
}

impl Process {
    /// Every epoll descriptor with what it watches.
    ///
    /// # Errors
    /// A skip where `/proc/PID/fdinfo` is hidden.
    pub fn epoll_sets(&self) -> CaseResult<Vec<EpollSet>> {
        let mut sets = Vec::new();
        for descriptor in self.descriptors()? {
            if descriptor.target != "anon_inode:[eventpoll]" {
                continue;
            }
            let path = format!("/proc/{}/fdinfo/{}", self.pid, descriptor.number);
            let info = fs::read_to_string(&path).map_err(|error| hidden(&path, error))?;
            sets.push(EpollSet { descriptor, watched: watched(&info) });
        }
        Ok(sets)
    }
}

/// The `tfd:` lines of an fdinfo file: `tfd: 8 events: 19 data: …`. The events are hexadecimal.
fn watched(fdinfo: &str) -> Vec<Watched> {
    let entry = |line: &str| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let descriptor = words.next()?.parse().ok()?;
        let events = words.skip_while(|word| *word != "events:").nth(1)?;
        Some(Watched { descriptor, events: u32::from_str_radix(events, 16).ok()? })
    };
    fdinfo.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_set_is_read_from_fdinfo() {
        let info = "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t1039\n\
                    tfd:        4 events:       19 data:                4  pos:0 ino:5d sdev:f\n\
                    tfd:       12 events: 8000201d data:                c  pos:0 ino:5e sdev:f\n";
        let found = watched(info);
        assert_eq!(found[0], Watched { descriptor: 4, events: 0x19 });
        assert!(found[0].wants_input() && !found[0].wants_output());
        assert_eq!(found[1].descriptor, 12);
        assert!(found[1].wants_input() && found[1].wants_output());
        assert!(found[1].is_edge_triggered() && !found[0].is_edge_triggered());
    }

    #[test]
    fn an_own_epoll_set_is_seen() {
        use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
        let set = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        epoll::add(&set, &listener, EventData::new_u64(0), EventFlags::IN).unwrap();

        let me = Process::new(std::process::id() as i32).unwrap();
        let number = |fd: &dyn std::os::fd::AsRawFd| fd.as_raw_fd();
        let sets = me.epoll_sets().unwrap();
        let own = sets.iter().find(|s| s.descriptor.number == number(&set)).unwrap();
        assert_eq!(own.watched.len(), 1);
        assert_eq!(own.watched[0].descriptor, number(&listener));
        assert!(own.descriptor.is_close_on_exec());
    }
}

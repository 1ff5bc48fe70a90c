//! Who takes part: the rungs of the ladder, what one would use instead of them, and the ceiling.

use anyhow::{Result, bail};

/// What a contender is in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server of the ladder.
    Rung,
    /// The same protocol on a library that one would pick instead.
    Peer,
    /// A bare loop that does almost nothing: what the kernel leaves possible.
    Ceiling,
}

/// Where a contender's program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A package of the workspace that has a program of this name.
    Package(&'static str),
    /// Written in C on a library that may not be installed; `peers-c build` makes it.
    C,
}

/// One server under one set of arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Contender {
    /// What it is called in every table and picture.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// Its part in the comparison.
    pub role: Role,
    /// Who makes the program.
    pub source: Source,
    /// The program.
    pub program: &'static str,
    /// What sets it apart from others of the same program.
    pub arguments: &'static [&'static str],
}

const fn rung(name: &'static str, about: &'static str) -> Contender {
    let source = Source::Package(name);
    Contender { name, about, role: Role::Rung, source, program: name, arguments: &[] }
}

const fn peer(name: &'static str, about: &'static str) -> Contender {
    let source = Source::Package("peers");
    Contender { name, about, role: Role::Peer, source, program: name, arguments: &[] }
}

/// All of them, in the order of tables and pictures.
pub const CONTENDERS: &[Contender] = &[
    rung("day2-select-loop", "select"),
    rung("day3-backpressure", "select, bounded write queues"),
    rung("day4-poll", "poll"),
    rung("w04-epoll", "epoll"),
    rung("w05-handoff", "epoll, and workers for what uses a CPU"),
    rung("async-runtime", "tasks on epoll, a thread per core"),
    Contender {
        program: "async-runtime",
        source: Source::Package("async-runtime"),
        arguments: &["--workers", "1"],
        ..rung("async-runtime-1", "tasks on epoll, one thread")
    },
    peer("peer-tokio", "tokio, everything but blocking tasks on one thread"),
    Contender {
        program: "peer-tokio",
        arguments: &["--multi-thread"],
        ..peer("peer-tokio-multi", "tokio, a thread per core")
    },
    peer("peer-mio", "mio: epoll by hand"),
    peer("peer-smol", "smol"),
    peer("peer-threads", "a thread per connection, nothing but std"),
    Contender { source: Source::C, ..peer("peer-libevent", "libevent, in C") },
    Contender { source: Source::C, ..peer("peer-libuv", "libuv, in C") },
    Contender { role: Role::Ceiling, ..peer("peer-bare", "epoll and nothing else: the ceiling") },
];

/// The contender of this name.
///
/// # Errors
/// There is none; the message lists those that there are.
pub fn find(name: &str) -> Result<&'static Contender> {
    match CONTENDERS.iter().find(|contender| contender.name == name) {
        Some(contender) => Ok(contender),
        None => {
            let names: Vec<&str> = CONTENDERS.iter().map(|contender| contender.name).collect();
            bail!("there is no contender `{name}`; there are: {}", names.join(", "))
        }
    }
}

impl Contender {
    /// Its place in [`CONTENDERS`].
    #[must_use]
    pub fn number(&self) -> usize {
        CONTENDERS.iter().position(|other| other == self).unwrap_or_default()
    }

    /// What the program is given: its arguments, these, and the port, which is 0 so that the kernel
    /// picks one.
    #[must_use]
    pub fn command_line(&self, more: &[String]) -> Vec<String> {
        let own = self.arguments.iter().map(|&argument| argument.to_owned());
        own.chain(more.iter().cloned()).chain(["0".to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_contenders_have_a_name_or_a_command_in_common() {
        let names: BTreeSet<_> = CONTENDERS.iter().map(|contender| contender.name).collect();
        assert_eq!(names.len(), CONTENDERS.len());
        let commands: BTreeSet<_> =
            CONTENDERS.iter().map(|contender| (contender.program, contender.arguments)).collect();
        assert_eq!(commands.len(), CONTENDERS.len());
    }

    #[test]
    fn there_is_one_ceiling() {
        assert_eq!(CONTENDERS.iter().filter(|c| c.role == Role::Ceiling).count(), 1);
    }

    #[test]
    fn who_does_not_exist_is_told_who_does() {
        let message = find("nginx").unwrap_err().to_string();
        assert!(message.contains("`nginx`") && message.contains("w04-epoll"), "{message}");
    }
}

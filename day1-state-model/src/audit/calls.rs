//! Which calls can put a thread to sleep, as data.
//!
//! Calls are known by name, since a parser sees no types. That errs on the safe side: a harmless
//! call with a dangerous name costs one line in [`reasons`](super::reasons), a dangerous call is
//! never missed because its receiver was clever.

/// What a call could wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes or a message: recv(2), a channel.
    Receive,
    /// Room for bytes or for a message: send(2), a bounded channel.
    Send,
    /// The next connection: accept(2).
    Accept,
    /// The peer's answer: connect(2).
    Connect,
    /// Input of any descriptor: read(2).
    Read,
    /// Room in any descriptor: write(2).
    Write,
    /// A disk, or a file system behind a network.
    File,
    /// Nothing but time.
    Sleep,
    /// Another thread that holds a lock.
    Lock,
    /// The end of another thread.
    Join,
    /// Readiness: select(2), poll(2), epoll_wait(2); or a condition variable.
    Wait,
    /// A child process.
    Process,
    /// A name server.
    NameLookup,
    /// Whoever reads our standard streams.
    Terminal,
    /// Whoever reads our log.
    Log,
    /// It makes later calls block: O_NONBLOCK taken away, SO_LINGER set.
    BlockingMode,
}

impl Kind {
    /// The kind in a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Write => "write",
            Self::File => "file",
            Self::Sleep => "sleep",
            Self::Lock => "lock",
            Self::Join => "join",
            Self::Wait => "wait",
            Self::Process => "process",
            Self::NameLookup => "name look-up",
            Self::Terminal => "standard stream",
            Self::Log => "log",
            Self::BlockingMode => "blocking mode",
        }
    }
}

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `receiver.name(…)`
    Method,
    /// `path::name(…)`, or `path::name` handed on as a function.
    Path,
    /// `name!(…)`
    Macro,
}

/// What is known about a call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    None,
    Some,
    /// A function handed on by name: they are not to be seen here.
    Unknown,
}

/// When a name counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// As a method or as a function.
    Called,
    /// As a method without arguments: `handle.join()`, but not `path.join(name)`.
    BareMethod,
    /// As a method with arguments: `socket.peek(&mut buf)`, but not `iterator.peek()`.
    FullMethod,
    /// As a function.
    Function,
    /// As a macro.
    Macro,
    /// As the type or module before the last name: `File::open`.
    Qualifier,
}

/// The first line that fits decides.
#[rustfmt::skip]
const DANGEROUS: &[(When, Kind, &[&str])] = &[
    (When::BareMethod, Kind::Lock, &["lock", "read", "write"]),
    (When::BareMethod, Kind::Join, &["join"]),
    (When::BareMethod, Kind::Process, &["output", "status"]),
    (When::FullMethod, Kind::Receive, &["peek"]),
    (When::FullMethod, Kind::File, &["open"]),
    (When::Called, Kind::Receive, &[
        "recv", "recv_from", "recvfrom", "recvmsg", "recvmmsg", "recv_timeout", "recv_deadline",
        "recv_vectored", "blocking_recv", "peek_from",
    ]),
    (When::Called, Kind::Send, &[
        "send", "send_to", "sendto", "sendmsg", "sendmmsg", "sendmsg_addr", "send_timeout",
        "send_deadline", "send_vectored", "sendfile", "blocking_send",
    ]),
    (When::Called, Kind::Accept, &[
        "accept", "accept4", "accept_with", "acceptfrom", "acceptfrom_with", "incoming",
    ]),
    (When::Called, Kind::Connect, &["connect", "connect_addr", "connect_timeout"]),
    (When::Called, Kind::Read, &[
        "read", "readv", "pread", "preadv", "read_vectored", "read_exact", "read_to_end",
        "read_to_string", "read_line", "read_until", "read_buf",
    ]),
    (When::Called, Kind::Write, &[
        "write", "writev", "pwrite", "pwritev", "write_vectored", "write_all",
        "write_all_vectored", "write_fmt", "flush",
    ]),
    (When::Macro, Kind::Write, &["write", "writeln"]),
    (When::Function, Kind::Write, &["copy", "copy_file_range", "tee", "splice", "vmsplice"]),
    (When::Called, Kind::Sleep, &[
        "sleep", "usleep", "nanosleep", "clock_nanosleep", "clock_nanosleep_relative", "sleep_ms",
        "sleep_until", "park", "park_timeout", "sigsuspend",
    ]),
    (When::Function, Kind::Sleep, &["pause"]),
    (When::Called, Kind::Lock, &[
        "flock", "flock_lock", "fcntl_lock", "pthread_mutex_lock", "lock_exclusive", "lock_shared",
        "call_once", "get_or_init", "acquire",
    ]),
    (When::Function, Kind::Join, &["scope", "pthread_join"]),
    (When::Called, Kind::Wait, &[
        "select", "pselect", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2", "wait",
        "wait_timeout", "wait_while", "wait_timeout_while", "wait_until", "sigwait", "sigwaitinfo",
        "sigtimedwait", "block_on",
    ]),
    (When::Called, Kind::Process, &["waitpid", "waitid", "wait4", "wait_with_output", "system"]),
    (When::Qualifier, Kind::Process, &["Command"]),
    (When::Called, Kind::NameLookup, &[
        "to_socket_addrs", "lookup_host", "lookup_addr", "getaddrinfo", "getnameinfo",
        "gethostbyname",
    ]),
    (When::Macro, Kind::Terminal, &["print", "println", "eprint", "eprintln", "dbg"]),
    (When::Function, Kind::Terminal, &["stdin", "stdout", "stderr"]),
    (When::Macro, Kind::Log, &["trace", "debug", "info", "warn", "error", "event"]),
    (When::Called, Kind::BlockingMode, &[
        "set_nonblocking", "fcntl", "fcntl_setfl", "ioctl_fionbio", "set_linger",
        "set_socket_linger",
    ]),
    (When::Called, Kind::File, &[
        "sync_all", "sync_data", "fsync", "fdatasync", "read_dir", "canonicalize", "metadata",
        "symlink_metadata", "read_link", "exists",
    ]),
    (When::Qualifier, Kind::File, &["fs", "File", "OpenOptions"]),
];

/// What `call` could wait for; `None` if it is not known to wait for anything.
pub(super) fn danger(form: Form, path: &[String], arguments: Arguments) -> Option<Kind> {
    let name = path.last()?.as_str();
    let qualifier = path.len().checked_sub(2).map_or("", |at| path[at].as_str());
    DANGEROUS
        .iter()
        .find(|(when, _, names)| match when {
            When::Called => form != Form::Macro && names.contains(&name),
            When::BareMethod => {
                form == Form::Method && arguments == Arguments::None && names.contains(&name)
            }
            When::FullMethod => {
                form == Form::Method && arguments == Arguments::Some && names.contains(&name)
            }
            When::Function => form == Form::Path && names.contains(&name),
            When::Macro => form == Form::Macro && names.contains(&name),
            // In capitals it is a variant or a constant of somebody else's `Command`.
            When::Qualifier => {
                form == Form::Path
                    && names.contains(&qualifier)
                    && name.starts_with(|first: char| first.is_ascii_lowercase())
            }
        })
        .map(|(_, kind, _)| *kind)
}

/// Calls that make a descriptor on which a later call could wait.
const MAKERS: &[&str] = &[
    "socket",
    "socket_with",
    "socketpair",
    "accept",
    "accept4",
    "accept_with",
    "acceptfrom",
    "acceptfrom_with",
    "incoming",
    "pipe",
    "pipe_with",
    "pipe2",
    "eventfd",
    "signalfd",
    "timerfd_create",
    "inotify_init",
];

/// The same as methods of a type: `TcpListener::bind`.
const TYPED_MAKERS: &[(&str, &str)] = &[
    ("TcpListener", "bind"),
    ("TcpStream", "connect"),
    ("TcpStream", "connect_timeout"),
    ("UdpSocket", "bind"),
    ("UnixListener", "bind"),
    ("UnixStream", "connect"),
    ("UnixStream", "pair"),
    ("UnixDatagram", "pair"),
    ("Socket", "new"),
    ("Socket", "pair"),
    ("EventFd", "new"),
    ("EventFd", "from_flags"),
    ("EventFd", "from_value_and_flags"),
];

/// Whether the call makes a descriptor that has to be non-blocking from then on.
pub(super) fn makes_descriptor(form: Form, path: &[String]) -> bool {
    if form == Form::Macro {
        return false;
    }
    match path {
        [.., qualifier, name] if TYPED_MAKERS.contains(&(qualifier.as_str(), name.as_str())) => {
            true
        }
        [.., name] => MAKERS.contains(&name.as_str()),
        [] => false,
    }
}

/// Whether an identifier among the arguments asks for O_NONBLOCK.
pub(super) fn asks_non_blocking(identifier: &str) -> bool {
    matches!(
        identifier,
        "NONBLOCK"
            | "O_NONBLOCK"
            | "SOCK_NONBLOCK"
            | "EFD_NONBLOCK"
            | "SFD_NONBLOCK"
            | "TFD_NONBLOCK"
            | "IN_NONBLOCK"
            | "EFD_NDELAY"
    )
}

//! What `/proc/PID` says about a server, with no help from the server.
//!
//! Where `/proc` hides a file from the harness the error is a skip with the reason, never a
//! failure. A process that is gone is a crash.

mod epoll;

use crate::limits;
use crate::syscall_names;
use crate::verdict::{CaseResult, Class, Failure, Stop};
use procfs::net::TcpNetEntries;
use procfs::process::{Syscall, Task};
use procfs::{FromBufReadSI, ProcError, current_system_info};
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::time::Duration;

pub use epoll::{EpollSet, Watched};
pub use procfs::net::TcpState;

/// States as `net/tcp` writes them.
const TIME_WAIT: &str = "06";
const LISTEN: &str = "0A";

/// A process, looked at through `/proc`.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    files: procfs::process::Process,
}

/// An open descriptor: `/proc/PID/fd/N` and the flags from `/proc/PID/fdinfo/N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// Where the link points: `socket:[12]`, `pipe:[7]`, `anon_inode:[eventpoll]`, a path.
    pub target: String,
    /// The open flags, as `open(2)` and `fcntl(2)` name them.
    pub flags: i32,
}

impl Descriptor {
    /// Whether `O_NONBLOCK` is set.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags & libc::O_NONBLOCK != 0
    }

    /// Whether it is closed on exec.
    #[must_use]
    pub fn is_close_on_exec(&self) -> bool {
        self.flags & libc::O_CLOEXEC != 0
    }

    /// Whether it is a socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.target.starts_with("socket:")
    }

    /// Whether reads and writes on it can wait: a socket, pipe, eventfd, signalfd or timerfd.
    #[must_use]
    pub fn can_block(&self) -> bool {
        const KINDS: [&str; 5] = [
            "socket:",
            "pipe:",
            "anon_inode:[eventfd]",
            "anon_inode:[signalfd]",
            "anon_inode:[timerfd]",
        ];
        KINDS.iter().any(|kind| self.target.starts_with(kind))
    }

    /// The number in `socket:[12]`.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        self.target.split_once('[')?.1.strip_suffix(']')?.parse().ok()
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocking = if self.is_nonblocking() { "O_NONBLOCK" } else { "blocking" };
        let exec = if self.is_close_on_exec() { "close-on-exec" } else { "kept on exec" };
        write!(f, "fd {} {} ({blocking}, {exec})", self.number, self.target)
    }
}

/// What a thread is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// It runs, or could run.
    Running,
    /// It waits inside the system call of this name.
    In(String),
    /// It waits outside any system call, for instance for a page of memory.
    Elsewhere,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::In(name) => write!(f, "sleeps in {name}"),
            Self::Elsewhere => f.write_str("waits outside any system call"),
        }
    }
}

/// A thread of the process.
#[derive(Debug)]
pub struct Thread {
    /// Its id; the first thread's is the process id.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// The state letter of proc(5): `R` runs, `S` sleeps, `D` waits for a disk, `T` is stopped.
    pub state: char,
    /// CPU time used since it started.
    pub cpu: Duration,
    /// How long it could have run since it started, and had no CPU; 0 where the kernel does not tell.
    pub kept_waiting: Duration,
    /// How often it went to sleep on its own. A loop that wakes once sleeps once more.
    pub voluntary_switches: u64,
    task: Task,
}

impl Thread {
    /// Which system call it sleeps in, from `task/TID/syscall`.
    ///
    /// # Errors
    /// A skip where the kernel does not show it.
    pub fn call(&self) -> CaseResult<Call> {
        Ok(match self.task.syscall()? {
            Syscall::Running => Call::Running,
            Syscall::Blocked { syscall_number: -1, .. } => Call::Elsewhere,
            Syscall::Blocked { syscall_number, .. } => {
                Call::In(syscall_names::name(syscall_number))
            }
            _ => Call::Elsewhere,
        })
    }

    /// Which system call it sleeps in, and the call's first argument: for most a descriptor. `None`
    /// if it does not sleep in any.
    ///
    /// # Errors
    /// A skip where the kernel does not show it.
    pub fn call_on(&self) -> CaseResult<Option<(String, i32)>> {
        Ok(match self.task.syscall()? {
            Syscall::Blocked { syscall_number: -1, .. } => None,
            Syscall::Blocked { syscall_number, argument_registers, .. } => {
                Some((syscall_names::name(syscall_number), argument_registers[0] as i32))
            }
            _ => None,
        })
    }
}

/// A TCP socket of the process, from `/proc/PID/net/tcp` and `tcp6`.
#[derive(Debug, Clone)]
pub struct TcpSocket {
    /// Its inode, as in `socket:[12]`.
    pub inode: u64,
    /// The server's end.
    pub local: SocketAddr,
    /// The client's end.
    pub remote: SocketAddr,
    /// The state of the connection; `Listen` for a listener.
    pub state: TcpState,
    /// Bytes that arrived and that the server has not read; for a listener, connections that it
    /// has not accepted.
    pub unread: u32,
    /// Bytes the server wrote that the client has not acknowledged.
    pub unsent: u32,
}

impl fmt::Display for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            TcpState::Listen => {
                write!(f, "listener {}: {} not accepted yet", self.local, self.unread)
            }
            ref state => write!(
                f,
                "from {} {state:?}: {} bytes unread, {} bytes unsent",
                self.remote, self.unread, self.unsent
            ),
        }
    }
}

impl Process {
    /// Looks at the process with this id.
    ///
    /// # Errors
    /// The process is gone, or hidden.
    pub fn new(pid: i32) -> CaseResult<Self> {
        Ok(Self { pid, files: procfs::process::Process::new(pid)? })
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Every open descriptor but standard input, output and error.
    ///
    /// # Errors
    /// A skip where `/proc/PID/fd` is hidden.
    pub fn descriptors(&self) -> CaseResult<Vec<Descriptor>> {
        let folder = format!("/proc/{}/fd", self.pid);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| hidden(&folder, error))? {
            let entry = entry.map_err(|error| hidden(&folder, error))?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A descriptor may be closed while the folder is read.
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let path = format!("/proc/{}/fdinfo/{number}", self.pid);
            let info = match fs::read_to_string(&path) {
                Ok(info) => info,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(hidden(&path, error)),
            };
            let flags =
                open_flags(&info).ok_or_else(|| Stop::skip(format!("no `flags:` in {path}")))?;
            let target = target.to_string_lossy().into_owned();
            found.push(Descriptor { number, target, flags });
        }
        found.retain(|descriptor| descriptor.number > 2);
        found.sort_by_key(|descriptor| descriptor.number);
        Ok(found)
    }

    /// The counter of each eventfd, by descriptor: what was written to it since it was last read.
    ///
    /// # Errors
    /// A skip where `/proc/PID/fdinfo` is hidden.
    pub fn eventfd_counts(&self) -> CaseResult<Vec<(i32, u64)>> {
        let mut counts = Vec::new();
        for descriptor in self.descriptors()? {
            if descriptor.target != "anon_inode:[eventfd]" {
                continue;
            }
            let path = format!("/proc/{}/fdinfo/{}", self.pid, descriptor.number);
            let info = fs::read_to_string(&path).map_err(|error| hidden(&path, error))?;
            let count = eventfd_count(&info)
                .ok_or_else(|| Stop::skip(format!("no `eventfd-count:` in {path}")))?;
            counts.push((descriptor.number, count));
        }
        Ok(counts)
    }

    /// Every thread, the first one first.
    ///
    /// # Errors
    /// A skip where `/proc/PID/task` is hidden.
    pub fn threads(&self) -> CaseResult<Vec<Thread>> {
        let mut threads = Vec::new();
        for task in self.files.tasks()? {
            // A thread may end while the folder is read.
            let Ok(task) = task else { continue };
            let (Ok(stat), Ok(status)) = (task.stat(), task.status()) else { continue };
            let ticks = Duration::from_millis(
                (stat.utime + stat.stime) * 1000 / procfs::ticks_per_second().max(1),
            );
            let schedule = task.schedstat().ok();
            let cpu = schedule
                .as_ref()
                .map_or(ticks, |schedule| Duration::from_nanos(schedule.sum_exec_runtime));
            let kept_waiting = schedule
                .map_or(Duration::ZERO, |schedule| Duration::from_nanos(schedule.run_delay));
            threads.push(Thread {
                tid: task.tid,
                name: stat.comm,
                state: stat.state,
                cpu,
                kept_waiting,
                voluntary_switches: status.voluntary_ctxt_switches.unwrap_or(0),
                task,
            });
        }
        threads.sort_by_key(|thread| (thread.tid != self.pid, thread.tid));
        Ok(threads)
    }

    /// CPU time of all threads together.
    ///
    /// # Errors
    /// As [`Process::threads`].
    pub fn cpu(&self) -> CaseResult<Duration> {
        Ok(self.threads()?.iter().map(|thread| thread.cpu).sum())
    }

    /// Resident memory, in bytes.
    ///
    /// # Errors
    /// A skip where `/proc/PID/status` is hidden.
    pub fn resident_bytes(&self) -> CaseResult<u64> {
        let kib = self.files.status()?.vmrss;
        kib.map(|kib| kib * 1024).ok_or_else(|| Stop::skip("/proc/PID/status has no VmRSS"))
    }

    /// The part of its resident memory that is no file's (`RssAnon`), in bytes.
    ///
    /// # Errors
    /// As [`Process::resident_bytes`].
    pub fn anonymous_bytes(&self) -> CaseResult<u64> {
        let kib = self.files.status()?.rssanon;
        kib.map(|kib| kib * 1024).ok_or_else(|| Stop::skip("/proc/PID/status has no RssAnon"))
    }

    /// How many descriptors are open.
    ///
    /// # Errors
    /// A skip where `/proc/PID/fd` is hidden.
    pub fn descriptor_count(&self) -> CaseResult<u64> {
        Ok(self.files.fd_count()? as u64)
    }

    /// Its TCP sockets, with the bytes that wait in them.
    ///
    /// # Errors
    /// A skip where a file is hidden.
    pub fn sockets(&self) -> CaseResult<Vec<TcpSocket>> {
        let inodes: HashSet<u64> =
            self.descriptors()?.iter().filter_map(Descriptor::inode).collect();
        let ours = |socket: &TcpSocket| inodes.contains(&socket.inode);
        Ok(self.network_sockets()?.into_iter().filter(ours).collect())
    }

    /// Every TCP socket of the process's network namespace, whoever owns it. Those in TIME_WAIT are
    /// left out: no process owns them any more, and there can be tens of thousands.
    pub(crate) fn network_sockets(&self) -> CaseResult<Vec<TcpSocket>> {
        self.tcp_table(|lines| lines.filter(|line| state_of(line) != Some(TIME_WAIT)).collect())
    }

    /// Those of them with this end, theirs or the other one. Only these are parsed: beside a case
    /// with ten thousand clients the table is long.
    pub(crate) fn sockets_at(&self, address: SocketAddr) -> CaseResult<Vec<TcpSocket>> {
        let port = format!(":{:04X}", address.port());
        let has_it = |line: &String| {
            let mut ends = line.split_ascii_whitespace().skip(1).take(2);
            ends.any(|end| end.ends_with(&port))
        };
        let mut found = self.tcp_table(|lines| lines.filter(has_it).collect())?;
        found.retain(|socket| [socket.local, socket.remote].contains(&address));
        Ok(found)
    }

    /// Those of them that listen. The kernel tells them first (`tcp_seq_start`), so that only the
    /// beginning of the table is read.
    pub(crate) fn listeners(&self) -> CaseResult<Vec<TcpSocket>> {
        self.tcp_table(|lines| lines.take_while(|line| state_of(line) == Some(LISTEN)).collect())
    }

    fn tcp_table(
        &self,
        choose: impl Fn(&mut dyn Iterator<Item = String>) -> Vec<String>,
    ) -> CaseResult<Vec<TcpSocket>> {
        let mut sockets = Vec::new();
        for name in ["tcp", "tcp6"] {
            let path = format!("/proc/{}/net/{name}", self.pid);
            let file = match fs::File::open(&path) {
                Ok(file) => file,
                // A kernel without IPv6 has no such file.
                Err(_) if name == "tcp6" => continue,
                Err(error) => return Err(hidden(&path, error)),
            };
            let mut lines = io::BufReader::with_capacity(4096, file).lines().map_while(Result::ok);
            let heading = lines.next().unwrap_or_default();
            let text = [vec![heading], choose(&mut lines), vec![String::new()]].concat().join("\n");
            let table = TcpNetEntries::from_buf_read(text.as_bytes(), current_system_info())?;
            sockets.extend(table.0.into_iter().map(|entry| TcpSocket {
                inode: entry.inode,
                local: entry.local_address,
                remote: entry.remote_address,
                state: entry.state,
                unread: entry.rx_queue,
                unsent: entry.tx_queue,
            }));
        }
        Ok(sockets)
    }

    /// This process and those it started, and theirs.
    pub(crate) fn with_descendants(pid: i32) -> Vec<i32> {
        let mut found = vec![pid];
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            next += 1;
            let Ok(process) = procfs::process::Process::new(pid) else { continue };
            let Ok(tasks) = process.tasks() else { continue };
            for task in tasks.flatten() {
                found.extend(task.children().unwrap_or_default().iter().map(|pid| *pid as i32));
            }
        }
        found
    }
}

/// The `flags:` line of an fdinfo file. The number is octal (proc(5)).
fn open_flags(fdinfo: &str) -> Option<i32> {
    let digits = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(digits.trim(), 8).ok()
}

/// The `eventfd-count:` line of an fdinfo file. The number is hexadecimal (proc(5)).
fn eventfd_count(fdinfo: &str) -> Option<u64> {
    let digits = fdinfo.lines().find_map(|line| line.strip_prefix("eventfd-count:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// The two digits of the state in a line of `net/tcp`.
fn state_of(line: &str) -> Option<&str> {
    line.split_ascii_whitespace().nth(3)
}

fn hidden(path: &str, error: io::Error) -> Stop {
    if let Some(reason) = limits::exhausted(&error) {
        return Stop::skip(reason);
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => Stop::skip(format!("may not read {path}")),
        io::ErrorKind::NotFound => gone(path),
        _ => Stop::fault(format!("to read {path}"), error),
    }
}

fn gone(path: &str) -> Stop {
    Failure::new(Class::ServerCrash, "the server to run", format!("{path} is gone")).into()
}

impl From<ProcError> for Stop {
    fn from(error: ProcError) -> Self {
        let shown = |path: Option<std::path::PathBuf>| {
            path.map_or_else(|| "a file in /proc".to_owned(), |path| path.display().to_string())
        };
        match error {
            ProcError::PermissionDenied(path) => {
                Self::skip(format!("may not read {}", shown(path)))
            }
            ProcError::NotFound(path) => gone(&shown(path)),
            // What a thread that ends meanwhile gives (ESRCH).
            ProcError::Io(error, path) if error.raw_os_error() == Some(libc::ESRCH) => {
                gone(&shown(path))
            }
            ProcError::Io(error, path) => hidden(&shown(path), error),
            other => Self::fault("to read /proc", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn fdinfo_flags_are_octal() {
        let flags = open_flags("pos:\t0\nflags:\t02004002\nmnt_id:\t9\n").unwrap();
        assert_eq!(flags, libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_RDWR);
        assert_eq!(open_flags("pos:\t0\n"), None);
    }

    #[test]
    fn the_counter_of_an_eventfd_is_hexadecimal() {
        let info = "pos:\t0\nflags:\t02004002\neventfd-count:               1f\neventfd-id: 9\n";
        assert_eq!(eventfd_count(info), Some(31));
        assert_eq!(eventfd_count("pos:\t0\n"), None);
    }

    #[test]
    fn a_descriptor_tells_its_kind_and_inode() {
        let descriptor = |target: &str| Descriptor { number: 3, target: target.into(), flags: 0 };
        assert!(descriptor("socket:[12]").is_socket());
        assert_eq!(descriptor("socket:[12]").inode(), Some(12));
        assert!(descriptor("pipe:[7]").can_block());
        assert!(descriptor("anon_inode:[eventfd]").can_block());
        assert!(!descriptor("anon_inode:[eventpoll]").can_block());
        assert!(!descriptor("/dev/null").can_block());
    }

    #[test]
    fn own_sockets_threads_and_memory_are_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        listener.set_nonblocking(true).unwrap();

        let me = Process::new(std::process::id() as i32).unwrap();
        let sockets = me.sockets().unwrap();
        let found = sockets.iter().find(|s| s.local == address && s.state == TcpState::Listen);
        let inode = found.unwrap().inode;
        assert_eq!(found.unwrap().unread, 1, "one connection waits to be accepted");

        let descriptors = me.descriptors().unwrap();
        let own = descriptors.iter().find(|d| d.inode() == Some(inode)).unwrap();
        assert!(own.is_nonblocking() && own.is_close_on_exec());

        assert!(me.threads().unwrap().iter().any(|thread| thread.tid == me.pid()));
        assert!(me.resident_bytes().unwrap() > 100_000);
        drop(client);
    }

    #[test]
    fn a_process_that_is_gone_is_a_crash_not_a_fault() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        child.wait().unwrap();
        match Process::new(pid) {
            Err(Stop::Fail(failure)) => assert_eq!(failure.class, Class::ServerCrash),
            other => panic!("{other:?}"),
        }
    }
}

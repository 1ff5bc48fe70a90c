//! One table of conversations, held with every peer.
#![expect(clippy::unwrap_used, reason = "a test that can't go on may panic")]

use peers::c::{self, Built};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

/// Longer than anything takes on a busy machine; who waits for so long hangs.
const HANGS: Duration = Duration::from_secs(60);

const DIGEST_OF_1: &str =
    "result: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\r\n";
const DIGEST_OF_NOTHING: &str =
    "result: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n";

/// What is sent, and the replies up to the end of the stream.
struct Conversation {
    sent: Vec<u8>,
    replies: Vec<u8>,
}

fn conversation(sent: impl AsRef<[u8]>, replies: impl AsRef<[u8]>) -> Conversation {
    Conversation { sent: sent.as_ref().into(), replies: replies.as_ref().into() }
}

fn echo(len: usize) -> Conversation {
    // Line ends in a body are no line ends; its length is told by the header alone.
    let body: Vec<u8> = (0..len).map(|i| b"a\r\nb"[i % 4]).collect();
    let of = |verb: &str| [format!("{verb} {len}\r\n").as_bytes(), &body, b"\r\n"].concat();
    conversation(of("echo"), of("ECHO"))
}

fn repeated(conversation: &Conversation, times: usize) -> Conversation {
    Conversation {
        sent: conversation.sent.repeat(times),
        replies: conversation.replies.repeat(times),
    }
}

/// What every peer understands, the bare one too.
fn plain_conversations() -> Vec<Conversation> {
    vec![
        conversation("", ""),
        conversation("mn\r\n", "MN\r\n"),
        conversation("mn\r\nmn", "MN\r\n"),
        conversation("echo 5\r\nhello\r\nmn\r\n", "ECHO 5\r\nhello\r\nMN\r\n"),
        conversation("mn\r\necho 5\r\nhell", "MN\r\n"),
        echo(0),
        echo(1),
        echo(16 * 1024),
        echo(1024 * 1024),
        repeated(&conversation("mn\r\n", "MN\r\n"), 16),
        repeated(&echo(64), 16),
        repeated(&echo(16 * 1024), 16),
    ]
}

/// What those understand that have a protocol.
fn conversations() -> Vec<Conversation> {
    let number = "CLIENT_ERROR echo takes one number: the length of the body\r\n";
    let milliseconds = "CLIENT_ERROR burn takes milliseconds, at most 10000\r\n";
    let no_argument = "CLIENT_ERROR this request takes no argument\r\n";
    let version = format!("VERSION {}\r\n", env!("CARGO_PKG_VERSION"));
    let compute = conversation("compute 1\r\n", DIGEST_OF_1);
    vec![
        conversation("MN\n  mn  \nmN\r\n", "MN\r\nMN\r\nMN\r\n"),
        conversation("  ECHO  0003  \nabc\n", "ECHO 3\r\nabc\r\n"),
        conversation("version\r\n", &version),
        repeated(&compute, 1),
        repeated(&compute, 16),
        conversation("compute\ncompute \n", DIGEST_OF_NOTHING.repeat(2)),
        conversation("burn 0\nburn 007\n", "result: burned 0\r\nresult: burned 7\r\n"),
        // Quick replies wait their turn behind slow ones.
        conversation(
            "mn\nburn 50\nmn\ncompute 1\nburn 1\necho 2\r\nhi\r\n",
            format!(
                "MN\r\nresult: burned 50\r\nMN\r\n{DIGEST_OF_1}result: burned 1\r\nECHO 2\r\nhi\r\n"
            ),
        ),
        conversation("\n \nnope\nechos 1\n", "ERROR\r\n".repeat(4)),
        conversation(
            "echo\necho x\necho 1 2\necho -1\necho \t1\necho 2147483648\n",
            number.repeat(6),
        ),
        conversation("burn\nburn 1.5\nburn 10001\n", milliseconds.repeat(3)),
        conversation(
            "fail no\nFAIL  a \npanic boom\n",
            "SERVER_ERROR no\r\nSERVER_ERROR  a \r\nSERVER_ERROR task panicked: boom\r\n",
        ),
        conversation("fail\npanic \n", "CLIENT_ERROR a message is missing\r\n".repeat(2)),
        conversation("mn 1\nversion 1\nquit 1\n", no_argument.repeat(3)),
        conversation("echo 3\r\nabcd\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\n"),
        conversation("mn\ncompute 1\nquit\n", format!("MN\r\n{DIGEST_OF_1}")),
        conversation("quit\nmn\n", ""),
    ]
}

/// A peer, and how to start it.
struct Contender {
    program: PathBuf,
    arguments: &'static [&'static str],
    /// It understands more than plain echo and mn.
    whole_protocol: bool,
}

fn contender(program: impl Into<PathBuf>) -> Contender {
    Contender { program: program.into(), arguments: &[], whole_protocol: true }
}

/// Every peer that this machine can run.
fn contenders() -> Vec<Contender> {
    let mut contenders = vec![
        Contender { whole_protocol: false, ..contender(env!("CARGO_BIN_EXE_peer-bare")) },
        contender(env!("CARGO_BIN_EXE_peer-mio")),
        contender(env!("CARGO_BIN_EXE_peer-tokio")),
        Contender {
            arguments: &["--multi-thread", "--workers", "2"],
            ..contender(env!("CARGO_BIN_EXE_peer-tokio"))
        },
        Contender { arguments: &["--workers", "1"], ..contender(env!("CARGO_BIN_EXE_peer-smol")) },
        contender(env!("CARGO_BIN_EXE_peer-threads")),
    ];
    contenders.extend(peers_in_c().iter().map(contender));
    contenders
}

/// The peers in C that can be built here. They are built once.
fn peers_in_c() -> &'static [PathBuf] {
    static PROGRAMS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
        let all = c::build(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        let program = |(name, built)| match built {
            Built::Program(program) => Some(program),
            Built::Skipped(reason) => {
                eprintln!("{name} is not tested: {reason}");
                None
            }
        };
        all.into_iter().filter_map(program).collect()
    });
    &PROGRAMS
}

struct Server {
    child: Child,
    /// Kept open, lest the server finds its standard output closed.
    _stdout: BufReader<ChildStdout>,
    port: u16,
    whole_protocol: bool,
}

impl Server {
    fn start(contender: &Contender) -> Self {
        eprintln!("{} {}", contender.program.display(), contender.arguments.join(" "));
        let mut child = Command::new(&contender.program)
            .args(contender.arguments)
            .arg("0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.trim_end().strip_prefix("listening on 127.0.0.1:").unwrap();
        let port = port.parse().unwrap();
        Self { child, _stdout: stdout, port, whole_protocol: contender.whole_protocol }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        client.set_nodelay(true).unwrap();
        client.set_read_timeout(Some(HANGS)).unwrap();
        client.set_write_timeout(Some(HANGS)).unwrap();
        client
    }

    fn conversations(&self) -> Vec<Conversation> {
        let mut all = plain_conversations();
        if self.whole_protocol {
            all.extend(conversations());
        }
        all
    }

    fn is_well(&self) {
        let mut client = self.connect();
        client.write_all(b"mn\r\n").unwrap();
        expect(&mut client, b"MN\r\n");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its test has failed, or it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `test` against every peer in turn.
fn each_peer(test: impl Fn(&Server)) {
    for contender in contenders() {
        test(&Server::start(&contender));
    }
}

/// Reads exactly `replies`.
fn expect(client: &mut TcpStream, replies: &[u8]) {
    let mut got = vec![0; replies.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == replies, "got {}", beginning(&got));
}

/// Reads `replies` and the end of the stream. A peer that closes while bytes it has not read still
/// come sends a reset, which is no end of the world behind the last reply.
fn expect_to_end(client: &mut TcpStream, sent: &[u8], replies: &[u8]) {
    let mut got = Vec::new();
    match client.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}, after {} for {}", beginning(&got), beginning(sent)),
    }
    assert!(got == replies, "got {} for {}", beginning(&got), beginning(sent));
}

fn beginning(bytes: &[u8]) -> String {
    format!("{} bytes: {}", bytes.len(), bytes[..bytes.len().min(300)].escape_ascii())
}

#[test]
fn whole_conversations_are_answered_after_a_half_close_too() {
    each_peer(|server| {
        for Conversation { sent, replies } in server.conversations() {
            let mut client = server.connect();
            let mut writer = client.try_clone().unwrap();
            // A peer that has closed takes no more, which is not what is tested here.
            let to_send = sent.clone();
            let sending = thread::spawn(move || {
                let _ = writer.write_all(&to_send);
                let _ = writer.shutdown(Shutdown::Write);
            });
            expect_to_end(&mut client, &sent, &replies);
            sending.join().unwrap();
        }
    });
}

#[test]
fn requests_may_come_byte_by_byte() {
    each_peer(|server| {
        for Conversation { sent, replies } in server.conversations() {
            if sent.len() > 4096 {
                continue;
            }
            let mut client = server.connect();
            for byte in &sent {
                if client.write_all(&[*byte]).is_err() {
                    break;
                }
            }
            let _ = client.shutdown(Shutdown::Write);
            expect_to_end(&mut client, &sent, &replies);
        }
    });
}

#[test]
fn a_reply_comes_without_a_further_request() {
    each_peer(|server| {
        let mut client = server.connect();
        for len in [1, 100, 8 * 1024, 16 * 1024, 64 * 1024, 300 * 1024, 5] {
            let Conversation { sent, replies } = echo(len);
            let mut writer = client.try_clone().unwrap();
            let sending = thread::spawn(move || writer.write_all(&sent).unwrap());
            expect(&mut client, &replies);
            sending.join().unwrap();
        }
        if server.whole_protocol {
            for _ in 0..10 {
                client.write_all(b"compute 1\r\n").unwrap();
                expect(&mut client, DIGEST_OF_1.as_bytes());
            }
        }
    });
}

#[test]
fn many_clients_are_served_side_by_side() {
    each_peer(|server| {
        let mut clients: Vec<_> = (0..500).map(|_| server.connect()).collect();
        for round in 0..3 {
            let Conversation { sent, replies } = repeated(&echo(64 + round), 16);
            for client in &mut clients {
                client.write_all(&sent).unwrap();
            }
            for client in clients.iter_mut().rev() {
                expect(client, &replies);
            }
        }
    });
}

#[test]
fn a_client_that_does_not_read_makes_nobody_wait_and_gets_every_reply() {
    // More than the buffers of both sockets take.
    let Conversation { sent, replies } = repeated(&echo(16 * 1024), 2000);
    each_peer(|server| {
        let mut slow = server.connect();
        let mut writer = slow.try_clone().unwrap();
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            for _ in 0..100 {
                server.is_well();
            }
            assert!(!sending.is_finished(), "all was taken in; this tests nothing");
            expect_to_end(&mut slow, b"32 MB of echoes", &replies);
            sending.join().unwrap();
        });
    });
}

#[test]
fn a_client_that_leaves_harms_nobody() {
    each_peer(|server| {
        for _ in 0..50 {
            // Gone in the middle of a request, and with replies unread and tasks under way.
            server.connect().write_all(b"echo 1000\r\nabc").unwrap();
            let mut client = server.connect();
            client.write_all(&repeated(&echo(1000), 100).sent).unwrap();
            if server.whole_protocol {
                client.write_all(b"compute 1\nburn 1\n").unwrap();
            }
        }
        server.is_well();
    });
}

#[test]
fn a_signal_ends_a_peer_with_status_0() {
    for signal in ["TERM", "INT"] {
        for contender in contenders() {
            let mut server = Server::start(&contender);
            let mut client = server.connect();
            client.write_all(b"mn\r\n").unwrap();
            expect(&mut client, b"MN\r\n");
            let pid = server.child.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
            assert!(server.child.wait().unwrap().success());
        }
    }
}

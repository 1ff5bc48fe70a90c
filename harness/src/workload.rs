//! A workload that a seed brings back: what several clients do, step by step.
//!
//! Everything that a client can do to a connection is in it, so that two servers that answer it in
//! the same way can hardly differ. What varies from run to run (`stats`, `version`) is not.

use fastrand::Rng;

/// The largest body that the servers are told to take (`--max-body`), in bytes. More than the socket
/// buffers between a server and a reader with a tiny one hold.
pub const MAX_BODY: usize = 8 << 20;
/// What the servers are told besides: no clock may run out on a busy machine.
pub const FLAGS: &[&str] = &[
    "--max-body=8388608",
    "--idle-timeout=5m",
    "--request-timeout=5m",
    "--slow-reader-timeout=5m",
];
/// The client that sends several requests at a time.
pub const PIPELINES: &str = "pipelines";
/// The longest header line of a server on its defaults (`--max-header`), in bytes.
const MAX_HEADER: usize = 8192;

/// What a client does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Connects, and reads its replies as they come.
    Connect,
    /// Connects with a tiny receive buffer, and reads nothing before [`Step::Read`].
    ConnectAndStall,
    /// Sends this and goes on once the server has taken it.
    Send(Vec<u8>),
    /// Sends this, and the server leaves it in the kernel: it takes no more from this client.
    SendHeldBack(Vec<u8>),
    /// Reads so many bytes.
    Read(usize),
    /// Sends this; the server answers and ends the connection.
    SendLast(Vec<u8>),
    /// Shuts down its sending side; the server ends the connection.
    HalfClose,
    /// Resets the connection.
    Reset,
}

/// What the clients are called, and what they do, in order. The clients that never leave are still
/// there when the servers are stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The clients' names.
    pub names: Vec<&'static str>,
    /// Which client does what.
    pub steps: Vec<(usize, Step)>,
}

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let mut scripts = Vec::new();
        for (name, end) in [
            ("quits", Step::SendLast(b"quit\r\n".to_vec())),
            ("half-closes", Step::HalfClose),
            ("resets", Step::Reset),
        ] {
            let mut steps = vec![Step::Connect];
            for _ in 0..8 {
                steps.extend(in_fragments(request(rng), rng));
            }
            scripts.push((name, [steps, vec![end]].concat()));
        }
        scripts.push((PIPELINES, pipelines(rng)));
        for (name, end) in
            [("half-closes in a body", Step::HalfClose), ("resets in a body", Step::Reset)]
        {
            let cut = Step::Send(b"echo 100\r\nnot a hundred".to_vec());
            scripts.push((name, vec![Step::Connect, cut, end]));
        }
        scripts.push(("breaks a body", breaks_a_body(rng)));
        scripts.push(("never ends a line", never_ends_a_line(rng)));
        scripts.push(("sends too much", sends_too_much(rng)));
        scripts.push(("stalls, then reads", stalls(rng)));
        let big = Step::Send(echo(&vec![b'g'; MAX_BODY]));
        scripts.push(("stalls, then resets", vec![Step::ConnectAndStall, big, Step::Reset]));
        scripts.push(("says nothing", vec![Step::Connect]));
        let half = Step::Send(b"echo 10\r\nhalf".to_vec());
        scripts.push(("stays in a body", vec![Step::Connect, half]));
        Self::interleave(scripts, rng)
    }

    fn interleave(scripts: Vec<(&'static str, Vec<Step>)>, rng: &mut Rng) -> Self {
        let (names, mut scripts): (Vec<_>, Vec<_>) =
            scripts.into_iter().map(|(name, steps)| (name, steps.into_iter().peekable())).unzip();
        let mut steps = Vec::new();
        loop {
            let mut left = Vec::new();
            for (client, script) in scripts.iter_mut().enumerate() {
                if script.peek().is_some() {
                    left.push(client);
                }
            }
            let Some(client) = rng.choice(left) else { return Self { names, steps } };
            steps.extend(scripts[client].next().map(|step| (client, step)));
        }
    }
}

/// Several requests in each send, so that replies queue up behind one another; nothing behind `quit`
/// is answered.
fn pipelines(rng: &mut Rng) -> Vec<Step> {
    let mut steps = vec![Step::Connect];
    for _ in 0..4 {
        let count = rng.usize(1..10);
        let mut requests: Vec<u8> = (0..count).flat_map(|_| without_a_task(rng)).collect();
        // Whether requests behind a task are taken in the same turn depends on how long it took.
        requests.extend(request(rng));
        steps.extend(in_fragments(requests, rng));
    }
    let last = [without_a_task(rng), b"QUIT\n".to_vec(), request(rng)].concat();
    steps.push(Step::SendLast(last));
    steps
}

fn breaks_a_body(rng: &mut Rng) -> Vec<Step> {
    let mut steps = vec![Step::Connect];
    steps.extend(in_fragments(request(rng), rng));
    steps.push(Step::Send(b"echo 5\r\n".to_vec()));
    steps.push(Step::SendLast(b"hello, this is too long\r\nmn\r\n".to_vec()));
    steps
}

fn never_ends_a_line(rng: &mut Rng) -> Vec<Step> {
    let mut steps = vec![Step::Connect];
    steps.extend(in_fragments(request(rng), rng));
    let line = vec![b'l'; MAX_HEADER];
    steps.extend(in_fragments(line, rng));
    steps.push(Step::SendLast(b"ll".to_vec()));
    steps
}

fn sends_too_much(rng: &mut Rng) -> Vec<Step> {
    let body = vec![b't'; MAX_BODY + 1];
    let mut steps = vec![Step::Connect];
    steps.extend(in_fragments(format!("echo {}\r\n", body.len()).into_bytes(), rng));
    steps.push(Step::Send(body));
    steps.push(Step::Send(b"\r\n".to_vec()));
    steps.extend(in_fragments(request(rng), rng));
    steps.push(Step::HalfClose);
    steps
}

/// Asks for more than the kernel's buffers hold and reads none of it until the server takes no more
/// requests; then all of it.
fn stalls(rng: &mut Rng) -> Vec<Step> {
    let big = echo(&vec![b'b'; MAX_BODY]);
    let reply = big.len();
    let mut steps = vec![Step::ConnectAndStall, Step::Send(big)];
    // Only the beginning of a request: whether the queue runs empty before or after the server takes
    // a whole one is up to the kernel's buffers.
    steps.push(Step::SendHeldBack(b"m".to_vec()));
    steps.push(Step::Read(reply));
    steps.push(Step::Send(b"n\r\n".to_vec()));
    steps.extend(in_fragments(request(rng), rng));
    steps.push(Step::HalfClose);
    steps
}

/// Any request, right or wrong.
fn request(rng: &mut Rng) -> Vec<u8> {
    let line = match rng.u32(0..14) {
        0 => format!("compute {}\r\n", word(rng)),
        1 => "compute\r\n".to_owned(),
        2 => format!("burn {}\r\n", rng.u32(0..10)),
        3 => format!("fail {}\r\n", word(rng)),
        4 => format!("panic {}\r\n", word(rng)),
        _ => return without_a_task(rng),
    };
    line.into_bytes()
}

fn without_a_task(rng: &mut Rng) -> Vec<u8> {
    let line = match rng.u32(0..9) {
        0 => "mn\r\n".to_owned(),
        1 => "Mn \n".to_owned(),
        2 => "\r\n".to_owned(),
        3 => format!("{}\r\n", word(rng)),
        4 => format!("echo {}\r\n", word(rng)),
        5 => "burn 10001\r\n".to_owned(),
        _ => return echo(&vec![rng.u8(b'a'..=b'z'); rng.usize(0..400)]),
    };
    line.into_bytes()
}

fn word(rng: &mut Rng) -> String {
    // No letter with which a verb begins.
    (0..rng.usize(1..30)).map(|_| char::from(b"xyz wuo"[rng.usize(0..7)])).collect()
}

fn echo(body: &[u8]) -> Vec<u8> {
    [format!("echo {}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

/// The bytes in up to four sends, cut anywhere.
fn in_fragments(bytes: Vec<u8>, rng: &mut Rng) -> Vec<Step> {
    let mut cuts: Vec<usize> = (0..rng.usize(0..4)).map(|_| rng.usize(0..bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|cut| Step::Send(bytes[cut[0]..cut[1]].to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_its_workload_back_and_another_seed_does_not() {
        let of = |seed| Workload::new(&mut Rng::with_seed(seed));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn the_flags_say_the_largest_body() {
        assert!(FLAGS.contains(&format!("--max-body={MAX_BODY}").as_str()));
    }

    #[test]
    fn fragments_are_the_whole_and_none_is_empty() {
        let mut rng = Rng::with_seed(7);
        for _ in 0..100 {
            let mut whole = Vec::new();
            for step in in_fragments(b"echo 3\r\nabc\r\n".to_vec(), &mut rng) {
                let Step::Send(bytes) = step else { panic!("{step:?}") };
                assert!(!bytes.is_empty());
                whole.extend(bytes);
            }
            assert_eq!(whole, b"echo 3\r\nabc\r\n");
        }
    }
}

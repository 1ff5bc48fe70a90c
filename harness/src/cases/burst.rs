//! Fifty clients and one thread: the six scenarios of day 2's test plan, and a few more.

use super::support::{PATIENCE, SOON, Watcher, connected_clients, served_clients};
use super::watch::{leave, sleeps_if_it_can};
use crate::case::{Case, Need, Rung};
use crate::client::{Client, Ending};
use crate::judge::Judge;
use crate::server::{Server, Signal};
use crate::verdict::{CaseResult, Stop};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

const FAIRNESS: &str = "notes/protocol.md section 1, fairness";
const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const RUNG: &str = "notes/protocol.md section 5, day2-select-loop";

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("BU01", "burst/fifty_connect_at_once", Rung::Day2, fifty_connect_at_once)
        .rule("50 clients that connect at the same moment are all accepted and served", RUNG)
        .hint(
            "accept until EAGAIN, or let the listener be reported again, and keep every accepted \
             socket in the registry; with select, pass the highest descriptor + 1 and build the \
             sets anew each turn (select(2))",
        ),
    Case::new("BU02", "burst/fifty_send_one_message", Rung::Day2, fifty_send_one_message)
        .rule("each of 50 clients gets the reply to its own message", RUNG)
        .hint(
            "serve every descriptor that select reports, not only the first; keep the buffers in \
             the connection, never in a variable that all share",
        ),
    Case::new("BU03", "burst/half_disconnect_and_half_remain", Rung::Day2, half_disconnect)
        .needs(&[Need::Pid])
        .rule(
            "when 25 of 50 clients disconnect, 25 remain and no descriptor is left behind",
            "notes/protocol.md section 3",
        )
        .hint(
            "recv that returns 0 means that the client is gone: close(2) the descriptor and take \
             it out of the registry, in one place of the program. If those who stay get no reply: \
             that place also looks for the highest descriptor that is left, for select's first \
             argument",
        ),
    Case::new("BU04", "burst/newcomers_join_active_clients", Rung::Day2, newcomers_join)
        .rule("25 new clients beside 25 that are in the middle of a request confuse nobody", RUNG)
        .hint(
            "the kernel gives a closed descriptor's number to the next client: remove the whole \
             connection, buffers and state, when its descriptor is closed",
        ),
    Case::new("BU05", "burst/fifty_send_rapidly", Rung::Day2, fifty_send_rapidly)
        .rule("50 clients that send rapidly lose no message and all get their replies", FAIRNESS)
        .hint(
            "one recv may bring many requests, and the last one cut anywhere: answer all that are \
             whole, keep the rest; give each connection a bounded share of a turn",
        ),
    Case::new("BU06", "burst/sigterm_with_active_clients", Rung::Day2, sigterm_with_active_clients)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "SIGTERM while 50 clients are connected: what had arrived is answered, all are \
             closed, and the exit status is 0",
            "notes/protocol.md section 2, SIGTERM and SIGINT",
        )
        .hint(
            "let the signal handler only write to a pipe that the loop watches (self-pipe); then \
             close the listener, answer what had arrived, flush, close all, exit 0",
        ),
    Case::new("BU07", "burst/replies_in_any_order_of_connecting", Rung::Day2, any_order)
        .rule(
            "a client is answered while those that came before it are silent or in the middle of \
             a request",
            RUNG,
        )
        .hint(
            "a blocking recv on one client stops all the others: make every socket O_NONBLOCK and \
             go back to the wait call on EAGAIN",
        ),
    Case::new("BU08", "burst/two_hundred_clients", Rung::Day2, two_hundred_clients)
        .rule("200 clients are served as well as 50", RUNG)
        .hint("no table in the server may have a fixed size below --max-connections"),
    Case::new("BU09", "burst/connect_and_disconnect_storm", Rung::Day2, storm)
        .needs(&[Need::Pid])
        .timeout_s(30)
        .rule(
            "clients that come and go at once, politely or not, leave nothing behind and disturb \
             nobody",
            LIFE,
        )
        .hint(
            "a client may be gone between being reported and being served: every error of recv \
             or send ends that connection only, and each end passes through the one function \
             that removes and closes, at once: the next client gets the same descriptor",
        ),
    Case::new("BU10", "burst/the_lowest_leaves_and_the_highest_stays", Rung::Day2, lowest_leaves)
        .rule("who connected last is served after those who connected first have left", RUNG)
        .hint(
            "select's first argument is the highest descriptor that is left, plus one (select(2)): \
             look for it when a connection closes, don't count it down. In an array of pollfds move \
             the last entry into the gap, or look at all of them",
        ),
];

/// The request and the reply that only this client can have.
fn own_words(number: usize) -> (String, String) {
    let word = format!("client-{number:04}");
    let size = word.len();
    (format!("echo {size}\r\n{word}\r\n"), format!("ECHO {size}\r\n{word}\r\n"))
}

/// Each client sends its own words; then the replies are read from the last client to the first.
fn all_ask_at_once(clients: &mut [Client]) -> CaseResult {
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(own_words(number).0)?;
    }
    for (number, client) in clients.iter_mut().enumerate().rev() {
        client.expect(own_words(number).1)?;
    }
    Ok(())
}

/// One thread for each client, all released by one barrier.
fn connect_at_once(server: &Server, count: usize) -> CaseResult<Vec<Client>> {
    let barrier = Barrier::new(count);
    let connect = |number: usize| {
        barrier.wait();
        server.connect().named(&format!("client {number}")).open()
    };
    thread::scope(|scope| {
        let connect = &connect;
        let threads: Vec<_> =
            (1..=count).map(|number| scope.spawn(move || connect(number))).collect();
        let panicked = |_| Stop::fault("a connecting thread to end", "it panicked");
        threads.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    })
}

fn fifty_connect_at_once(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = connect_at_once(&server, 50)?;
    watcher.wait_for_others(judge, 50, SOON)?;
    clients.iter_mut().rev().try_for_each(Client::fence)
}

fn fifty_send_one_message(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut clients = connected_clients(&server, 50)?;
    all_ask_at_once(&mut clients)?;
    // Nothing was said twice.
    clients.iter_mut().try_for_each(Client::fence)?;
    bystanders.finish()
}

fn half_disconnect(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    // What the server opens for its first clients and keeps is open now.
    drop(served_clients(&server, 2)?);
    watcher.wait_for_others(judge, 0, SOON)?;
    sleeps_if_it_can(judge, &server);
    let before = server.process()?.descriptors()?.len();
    let wait_for_descriptors = |count: usize| {
        let expected = format!("{count} open descriptors, {before} of them not for these clients");
        judge.wait_until(&expected, SOON, || Ok(server.process()?.descriptors()?.len() == count))
    };

    let mut remaining = Vec::new();
    for (number, client) in served_clients(&server, 50)?.into_iter().enumerate() {
        if number % 2 == 0 {
            remaining.push(client);
        }
    }
    watcher.wait_for_others(judge, 25, SOON)?;
    wait_for_descriptors(before + 25)?;
    all_ask_at_once(&mut remaining)?;
    drop(remaining);
    watcher.wait_for_others(judge, 0, SOON)?;
    wait_for_descriptors(before)
}

fn lowest_leaves(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut clients = served_clients(&server, 10)?;
    while clients.len() > 1 {
        drop(clients.remove(0));
        watcher.wait_for_others(judge, clients.len(), SOON)?;
        clients.iter_mut().rev().try_for_each(Client::fence)?;
    }
    Ok(())
}

fn newcomers_join(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut active = Vec::new();
    let mut leaving = Vec::new();
    for (number, mut client) in connected_clients(&server, 50)?.into_iter().enumerate() {
        if number % 2 == 0 {
            client.ask("mn\r\necho 6\r\nfir", "MN\r\n")?;
            active.push(client);
        } else {
            let half = ["mn\r\nec", "mn\r\necho 6\r\nfir"][number / 2 % 2];
            client.ask(half, "MN\r\n")?;
            leaving.push(client);
        }
    }
    // They leave in the middle of a header or of a body, some without a goodbye, and the newcomers
    // get their descriptors.
    drop(leaving.split_off(leaving.len() / 2));
    leave(leaving)?;
    watcher.wait_for_others(judge, 25, SOON)?;
    let mut newcomers = connected_clients(&server, 25)?;
    all_ask_at_once(&mut newcomers)?;
    watcher.wait_for_others(judge, 50, SOON)?;
    active.iter_mut().try_for_each(|client| client.send("st!\r\n"))?;
    active.iter_mut().rev().try_for_each(|client| client.expect("ECHO 6\r\nfirst!\r\n"))?;
    newcomers.extend(active);
    newcomers.iter_mut().try_for_each(Client::fence)
}

fn fifty_send_rapidly(judge: &Judge) -> CaseResult {
    const REQUESTS: usize = 100;
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut clients = connected_clients(&server, 50)?;
    // Each send is cut in the middle of a request, so that the next one completes it.
    let stream = |number: usize| -> (String, String) {
        (0..REQUESTS).map(|request| own_words(number * REQUESTS + request)).unzip()
    };
    let streams: Vec<_> = (0..clients.len()).map(stream).collect();
    for part in 0..10 {
        for (client, (requests, _)) in clients.iter_mut().zip(&streams) {
            let at = |part: usize| requests.len() * part / 10;
            client.send(&requests[at(part)..at(part + 1)])?;
        }
    }
    for (client, (_, replies)) in clients.iter_mut().zip(&streams).rev() {
        client.expect(replies)?;
    }
    clients.iter_mut().try_for_each(Client::fence)?;
    bystanders.finish()
}

fn sigterm_with_active_clients(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--drain-timeout", "3s"])?;
    server.wait_for_ready_line()?;
    let mut clients = served_clients(&server, 50)?;
    // The kernel has all of it before the signal is sent, for the server stands still.
    server.pause()?;
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 3 {
            0 => {}
            1 => client.send("echo 6\r\nhal")?,
            _ => client.send(own_words(number).0)?,
        }
    }
    server.signal(Signal::TERM)?;
    server.resume()?;
    for (number, mut client) in clients.into_iter().enumerate() {
        if number % 3 == 2 {
            client.expect(own_words(number).1)?;
            client.expect_eof()?;
        } else {
            client.expect_closed()?;
        }
    }
    server.expect_clean_exit(Duration::from_secs(5))
}

fn any_order(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut clients = connected_clients(&server, 10)?;
    clients.iter_mut().rev().try_for_each(Client::fence)?;
    clients.iter_mut().try_for_each(Client::fence)?;
    bystanders.finish()
}

fn two_hundred_clients(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut clients = connected_clients(&server, 200)?;
    all_ask_at_once(&mut clients)?;
    all_ask_at_once(&mut clients)?;
    bystanders.finish()
}

fn storm(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let bystanders = server.bystanders()?;
    watcher.wait_for_others(judge, 2, SOON)?;
    let process = server.process()?;
    let before = process.descriptors()?.len();
    let mut rng = judge.rng();
    for _ in 0..300 {
        let mut client = server.connect().named("passing").open()?;
        match rng.u8(..6) {
            0 => drop(client),
            1 => client.reset()?,
            2 => client.send("echo 10\r\nhal")?,
            3 => {
                client.send("mn\r\nmn\r\n")?;
                client.reset()?;
            }
            4 => client.fence()?,
            _ => {
                client.send("mn\r\n")?;
                client.shutdown_write()?;
                client.expect("MN\r\n")?;
                judge.equal("end", Ending::Eof, client.expect_closed()?)?;
            }
        }
    }
    watcher.wait_for_others(judge, 2, PATIENCE)?;
    let expected = format!("{before} open descriptors after the storm, as before");
    judge.wait_until(&expected, PATIENCE, || Ok(process.descriptors()?.len() == before))?;
    bystanders.finish()
}

//! Each client gets its own answers, all of them, and in order.

use super::super::protocol::computed;
use super::super::script::Script;
use super::super::support::{BIG, PATIENCE, TINY, Watcher, connected_clients, echo_of};
use super::super::tasks::{RESULTS, at_once, patient_clients};
use crate::client::Client;
use crate::judge::Judge;
use crate::verdict::CaseResult;

pub(super) fn ten_at_once(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    // Alone: nobody else's result wakes the loop.
    server.client()?.ask("compute 0\r\n", computed(b"0"))?;
    let mut clients = connected_clients(&server, 10)?;
    for (number, client) in (1..).zip(&mut clients) {
        // As `echo "compute 1" | nc -q1` does.
        client.send_last(format!("compute {number}\n"))?;
    }
    for (number, client) in (1..).zip(&mut clients) {
        client.expect(computed(format!("{number}").as_bytes()))?;
        client.expect_eof()?;
    }
    bystanders.finish()
}

pub(super) fn thirty(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = patient_clients(&server, 30)?;
    for round in 1..=5 {
        let dialogue = |number: usize| {
            let text = format!("round {round}, client {number}");
            match number % 3 {
                0 => (format!("fail {text}\r\n"), format!("SERVER_ERROR {text}\r\n").into_bytes()),
                _ => (format!("compute {text}\r\n"), computed(text.as_bytes())),
            }
        };
        at_once(&server, || {
            let mut numbered = (1..).zip(&mut clients);
            numbered.try_for_each(|(number, client)| client.send(dialogue(number).0))
        })?;
        let mut numbered = (1..).zip(&mut clients);
        numbered.try_for_each(|(number, client)| client.expect(dialogue(number).1))?;
        clients.iter_mut().try_for_each(|client| client.fence())?;
    }
    Ok(())
}

pub(super) fn together(judge: &Judge) -> CaseResult {
    // One worker: while the loop is busy with a hundred requests, it does many of their tasks.
    let server = judge.server(&["--workers", "1"])?;
    // A hundred digests take no time, however busy the machine is: soon it is clear that one is missing.
    let mut clients: Vec<Client> = (1..=100)
        .map(|number| server.connect().named(&format!("client {number}")))
        .map(|connect| connect.read_limit(PATIENCE).open())
        .collect::<CaseResult<_>>()?;
    clients.iter_mut().try_for_each(Client::fence)?;
    for round in 1..=5 {
        let text = |number: usize| format!("{round}/{number}");
        at_once(&server, || {
            (1..).zip(&mut clients).try_for_each(|(number, client)| match number % 10 {
                // So that some results also come just after the list was taken.
                0 => client.send("burn 1\r\n"),
                _ => client.send(format!("compute {}\r\n", text(number))),
            })
        })?;
        let (burns, digests): (Vec<_>, Vec<_>) =
            (1..).zip(&mut clients).partition(|(number, _)| number % 10 == 0);
        for (number, client) in digests {
            client.expect(computed(text(number).as_bytes()))?;
        }
        for (_, client) in burns {
            client.expect("result: burned 1\r\n")?;
        }
    }
    Ok(())
}

pub(super) fn behind_a_queue(judge: &Judge) -> CaseResult {
    // So much may be queued that nobody is paused: the tasks run while replies wait.
    let server = judge.server(&[
        "--high-water=67108864",
        "--slow-reader-timeout=10m",
        "--idle-timeout=10m",
    ])?;
    let mut watcher = Watcher::new(&server)?;
    let connect = server.connect().named("reader").receive_buffer(TINY);
    let mut client = connect.read_limit(RESULTS).open()?;
    let (request, reply) = echo_of(BIG);
    client.send(request)?;
    let queued = "replies to be queued for a client that does not read (bytes_queued)";
    watcher.wait_for(judge, queued, "bytes_queued", PATIENCE, |bytes| bytes > 0)?;
    client.send("compute behind it\r\nfail behind it\r\npanic behind it\r\nmn\r\n")?;
    let expected = "3 tasks done while an earlier reply waits (tasks_done)";
    watcher.wait_for(judge, expected, "tasks_done", PATIENCE, |done| done == 3)?;
    client.expect(reply)?;
    client.expect(computed(b"behind it"))?;
    client.expect("SERVER_ERROR behind it\r\nSERVER_ERROR task panicked: behind it\r\nMN\r\n")?;
    client.fence()
}

pub(super) fn in_order(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut rng = judge.rng();
    let mut scripts = Vec::new();
    for _ in 0..10 {
        let mut script = Script::one_of_each();
        // Each is overtaken by those behind it, if anything can overtake.
        script.add("burn 20\r\nmn\r\nburn 10\r\n", "result: burned 20\r\nMN\r\n");
        script.add("compute z\r\necho 2\r\nhi\r\n", "result: burned 10\r\n");
        script.add("", [computed(b"z"), b"ECHO 2\r\nhi\r\n".to_vec()].concat());
        for _ in 0..50 {
            script.add_random(&mut rng);
        }
        scripts.push(script);
    }
    let mut clients = patient_clients(&server, scripts.len())?;
    let alone = &mut clients[0];
    alone.ask(&scripts[0].requests, &scripts[0].replies)?;
    for (client, script) in clients.iter_mut().zip(&scripts) {
        client.send(&script.requests)?;
    }
    for (client, script) in clients.iter_mut().zip(&scripts).rev() {
        client.expect(&script.replies)?;
        client.fence()?;
    }
    Ok(())
}

//! A connection that changes its worker.

use crate::support::{listener, pair, read_exactly, with_workers};
use async_runtime::net::TcpStream;
use async_runtime::runtime::spawn;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sends and receives at the same time, while a third task moves the socket about.
#[test]
fn a_connection_that_moves_a_thousand_times_while_echoing_loses_nothing() {
    const ROUNDS: u32 = 1_000;
    with_workers(3, async {
        let (mut listener, address) = listener().await;
        let server = spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            let mut turn = 0;
            loop {
                // It is watched by one worker, moved to the next, and used by a task on a third.
                client.migrate_to(turn % 3);
                turn += 1;
                match client.read(&mut buffer).await.unwrap() {
                    0 => return turn,
                    received => client.write_all(&buffer[..received]).await.unwrap(),
                }
            }
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        for round in 0..ROUNDS {
            client.write_all(&round.to_le_bytes()).await.unwrap();
            let mut echoed = [0; 4];
            read_exactly(&mut client, &mut echoed).await;
            assert_eq!(u32::from_le_bytes(echoed), round);
        }
        drop(client);
        assert!(server.await.unwrap() > ROUNDS as usize);
    });
}

#[test]
fn a_stream_of_bytes_goes_on_while_its_socket_moves_about() {
    const BYTES: usize = 4 << 20;
    with_workers(4, async {
        let (mut ours, theirs) = pair().await;
        let theirs = Arc::new(theirs);
        let done = Arc::new(AtomicBool::new(false));
        let mover = {
            let (theirs, done) = (Arc::clone(&theirs), Arc::clone(&done));
            spawn(async move {
                let mut moves = 0;
                while !done.load(Ordering::Acquire) {
                    theirs.migrate_to(moves % 4);
                    moves += 1;
                    async_runtime::task::yield_now().await;
                }
                moves
            })
        };
        let writer = spawn(async move {
            let bytes: Vec<u8> = (0..BYTES).map(|at| (at % 253) as u8).collect();
            ours.write_all(&bytes).await.unwrap();
            ours.close().await.unwrap();
            ours
        });
        let mut received = Vec::new();
        (&*theirs).read_to_end(&mut received).await.unwrap();
        done.store(true, Ordering::Release);
        assert!(mover.await.unwrap() > 0);
        writer.await.unwrap();
        assert_eq!(received.len(), BYTES);
        assert!(received.iter().enumerate().all(|(at, byte)| *byte == (at % 253) as u8));
    });
}

//! Clients and servers.

use crate::support::{echo_server, listener, pair, read_exactly, with_workers};
use async_runtime::net::TcpStream;
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::time::timeout;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io::{self, Write};
use std::net::Shutdown;
use std::time::Duration;

#[test]
fn a_client_gets_back_what_it_sent() {
    with_workers(2, async {
        let mut client = TcpStream::connect(echo_server().await).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut echoed = [0; 5];
        read_exactly(&mut client, &mut echoed).await;
        assert_eq!(&echoed, b"hello");
    });
}

#[test]
fn both_ends_know_their_addresses() {
    with_workers(1, async {
        let (ours, theirs) = pair().await;
        assert_eq!(ours.local_addr().unwrap(), theirs.peer_addr().unwrap());
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
    });
}

#[test]
fn half_of_a_connection_can_be_closed() {
    with_workers(1, async {
        let (mut ours, mut theirs) = pair().await;
        ours.write_all(b"last words").await.unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        // The end of the stream stays, however often one asks.
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
        theirs.write_all(b"heard").await.unwrap();
        read_exactly(&mut ours, &mut [0; 5]).await;
    });
}

#[test]
fn a_short_read_does_not_hide_the_end_of_the_stream() {
    with_workers(1, async {
        for _ in 0..200 {
            let (mut ours, mut theirs) = pair().await;
            let reader = spawn(async move {
                let mut heard = Vec::new();
                theirs.read_to_end(&mut heard).await.map(|_| heard)
            });
            ours.write_all(b"x").await.unwrap();
            drop(ours);
            assert_eq!(reader.await.unwrap().unwrap(), b"x");
        }
    });
}

#[test]
fn to_connect_where_nobody_listens_is_an_error() {
    with_workers(1, async {
        let (listener, address) = listener().await;
        drop(listener);
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_not_a_signal() {
    with_workers(1, async {
        let (mut ours, theirs) = pair().await;
        drop(theirs);
        let error = loop {
            if let Err(error) = ours.write_all(&[0; 4096]).await {
                break error;
            }
        };
        let kind = error.kind();
        let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(gone.contains(&kind), "{error}");
    });
}

#[test]
fn more_than_the_kernel_holds_goes_through_in_order() {
    const BYTES: usize = 8 << 20;
    with_workers(2, async {
        let (mut ours, mut theirs) = pair().await;
        let sent: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        let expected = sent.clone();
        let writer = spawn(async move {
            ours.write_all(&sent).await.unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
            // Open until the reader is done.
            ours.read(&mut [0]).await
        });
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert!(received == expected, "{} bytes came", received.len());
        drop(theirs);
        assert_eq!(writer.await.unwrap().unwrap(), 0);
    });
}

#[test]
fn many_clients_at_once() {
    for workers in [1, 2, 4] {
        with_workers(workers, async {
            let address = echo_server().await;
            let clients: Vec<_> = (0..200_u32)
                .map(|number| {
                    spawn(async move {
                        let mut client = TcpStream::connect(address).await.unwrap();
                        for round in 0..50_u32 {
                            let sent = [number.to_le_bytes(), round.to_le_bytes()].concat();
                            client.write_all(&sent).await.unwrap();
                            let mut echoed = [0; 8];
                            read_exactly(&mut client, &mut echoed).await;
                            assert_eq!(echoed, sent[..]);
                        }
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
        });
    }
}

#[test]
fn the_adapters_of_the_ecosystem_work() {
    with_workers(1, async {
        let (ours, theirs) = pair().await;
        let (mut reader, mut writer) = futures_lite::io::split(theirs);
        let echo = spawn(async move { futures_lite::io::copy(&mut reader, &mut writer).await });
        let mut ours = futures_lite::io::BufReader::new(ours);
        ours.write_all(b"one\ntwo\n").await.unwrap();
        let mut lines = Vec::new();
        for _ in 0..2 {
            let mut line = String::new();
            futures_lite::AsyncBufReadExt::read_line(&mut ours, &mut line).await.unwrap();
            lines.push(line);
        }
        assert_eq!(lines, ["one\n", "two\n"]);
        ours.close().await.unwrap();
        assert_eq!(echo.await.unwrap().unwrap(), 8);
    });
}

#[test]
fn a_socket_survives_the_block_on_in_which_it_was_watched() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (mut ours, mut theirs) = runtime.block_on(async {
        let (ours, mut theirs) = pair().await;
        // It is watched by this thread now.
        let mut buffer = [0; 1];
        assert!(timeout(Duration::from_millis(1), theirs.read(&mut buffer)).await.is_err());
        (ours, theirs)
    });
    let reader = runtime.spawn(async move {
        read_exactly(&mut theirs, &mut [0; 4]).await;
        theirs.write_all(b"pong").await.unwrap();
    });
    runtime.block_on(async {
        ours.write_all(b"ping").await.unwrap();
        read_exactly(&mut ours, &mut [0; 4]).await;
        reader.await.unwrap();
    });
}

#[test]
fn a_client_that_never_stops_leaves_time_for_the_others() {
    with_workers(1, async {
        let address = echo_server().await;
        let (mut listener, flooded) = listener().await;
        // More comes with one call of this thread than the reader takes with a thousand of its own.
        let flood = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(flooded).unwrap();
            while stream.write_all(&[7; 65_536]).is_ok() {}
        });
        let (mut client, _) = listener.accept().await.unwrap();
        let reader = spawn(async move { while let Ok(1..) = client.read(&mut [0; 8]).await {} });
        let mut other = TcpStream::connect(address).await.unwrap();
        for _ in 0..100 {
            other.write_all(b"x").await.unwrap();
            read_exactly(&mut other, &mut [0]).await;
        }
        assert!(!reader.is_finished());
        reader.cancel().await;
        flood.join().unwrap();
    });
}

//! Descriptors after a storm. In a process of its own: other tests would open some meanwhile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::time::{sleep, timeout};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// After this long, what a test waits for will not happen.
const HANGS: Duration = Duration::from_secs(60);

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Connections that end in every possible way: read to the end, dropped, cancelled while they wait,
/// migrated shortly before, left to a time-out.
async fn storm(rounds: usize) {
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(async move {
        for round in 0..rounds {
            let (mut client, _) = listener.accept().await.unwrap();
            spawn(async move {
                if round % 5 == 0 {
                    return;
                }
                let mut buffer = [0; 64];
                while let Ok(1..) = client.read(&mut buffer).await {
                    client.migrate_to(round % 2);
                }
            });
        }
    });
    for round in 0..rounds {
        let mut client = TcpStream::connect(address).await.unwrap();
        let task = spawn(async move {
            // The server may have left already.
            let _ = client.write_all(b"hello").await;
            if round % 3 == 0 {
                let _ = timeout(Duration::from_millis(1), client.read(&mut [0; 8])).await;
            }
            if round % 3 == 1 {
                let _ = client.read(&mut [0; 8]).await;
            }
        });
        if round % 3 == 1 {
            task.cancel().await;
        }
    }
    server.await.unwrap();
}

#[test]
fn a_storm_of_connections_leaves_no_descriptor_behind() {
    let before = open_descriptors();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.block_on(storm(10));
    let settled = |expected: usize| {
        let start = Instant::now();
        while runtime.tasks() > 0 || open_descriptors() > expected {
            assert!(
                start.elapsed() < HANGS,
                "{} are open, and were {expected}",
                open_descriptors()
            );
            runtime.block_on(sleep(Duration::from_millis(1)));
        }
    };
    // Two workers, with an epoll and an eventfd each; this thread has its own only in `block_on`.
    settled(before + 4);
    runtime.block_on(storm(2_000));
    settled(before + 4);
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    assert_eq!(open_descriptors(), before);
}

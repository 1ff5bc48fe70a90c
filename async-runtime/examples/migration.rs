//! A live connection changes its worker a thousand times while it echoes: first it is moved by the task
//! that uses it, then by another thread. Every byte that comes back is compared.

use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::runtime::Runtime;
use async_runtime::task::yield_now;
use async_runtime::time::timeout;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::future::Future;
use std::net::{Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

const WORKERS: usize = 4;
const MIGRATIONS: usize = 1_000;

/// After this long, something hangs.
const HANGS: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    let runtime = Runtime::builder().workers(WORKERS).build()?;
    for from_inside in [true, false] {
        let migrations = Arc::new(AtomicUsize::new(0));
        let (client, server) = runtime.block_on(connection())?;
        let server = Arc::new(server);
        let moves = from_inside.then(|| Arc::clone(&migrations));
        let echo = runtime.spawn(echo(Arc::clone(&server), moves));
        let (sent, received) = thread::scope(|scope| {
            if !from_inside {
                scope.spawn(|| runtime.block_on(in_time(move_about(&server, &migrations))));
            }
            runtime.block_on(in_time(converse(client, &migrations)))
        })?;
        runtime.block_on(in_time(async { echo.await.map_err(io::Error::other)? }))?;
        let mover = if from_inside { "its own task" } else { "another thread" };
        let migrations = migrations.load(Ordering::Relaxed);
        println!("moved by {mover}: migrations={migrations} bytes={sent} lost={}", sent - received);
    }
    Ok(())
}

async fn in_time<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(HANGS, future).await?
}

async fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

/// Sends back whatever comes until it ends. Given a count, it moves the connection after each piece.
async fn echo(stream: Arc<TcpStream>, migrations: Option<Arc<AtomicUsize>>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let received = (&*stream).read(&mut buffer).await?;
        if received == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        (&*stream).write_all(&buffer[..received]).await?;
        if let Some(migrations) = &migrations {
            migrate(&stream, migrations).await;
        }
    }
}

/// Moves the connection until it has moved often enough.
async fn move_about(stream: &TcpStream, migrations: &AtomicUsize) -> io::Result<()> {
    while migrations.load(Ordering::Relaxed) < MIGRATIONS {
        migrate(stream, migrations).await;
        yield_now().await;
    }
    Ok(())
}

/// Moves the connection to the next worker, and waits until it is that one's.
async fn migrate(stream: &TcpStream, migrations: &AtomicUsize) {
    // Nobody watches it before a read first had to wait.
    let Some(worker) = stream.worker() else { return };
    if migrations.load(Ordering::Relaxed) < MIGRATIONS {
        let next = (worker + 1) % WORKERS;
        stream.migrate_to(next);
        while stream.worker() != Some(next) {
            yield_now().await;
        }
        migrations.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has bytes echoed until the connection has moved often enough. Gives how many it sent, and how many came
/// back as they were.
async fn converse(mut stream: TcpStream, migrations: &AtomicUsize) -> io::Result<(usize, usize)> {
    let (mut sent, mut received) = (0, 0);
    // 251 is prime: bytes that are lost, doubled or swapped show wherever pieces begin.
    let bytes: Vec<u8> = (0..4096_usize).map(|at| (at % 251) as u8).collect();
    while migrations.load(Ordering::Relaxed) < MIGRATIONS {
        let piece = &bytes[sent % 251..][..1 + sent % 3_800];
        stream.write_all(piece).await?;
        sent += piece.len();
        let mut echoed = vec![0; piece.len()];
        stream.read_exact(&mut echoed).await?;
        received += echoed.iter().zip(piece).filter(|(echoed, sent)| echoed == sent).count();
    }
    stream.close().await?;
    match stream.read_to_end(&mut Vec::new()).await? {
        0 => Ok((sent, received)),
        surplus => Err(io::Error::other(format!("{surplus} bytes came twice"))),
    }
}

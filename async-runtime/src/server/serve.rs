//! From options to a running server, and from its end to an exit status.

use crate::accept;
use crate::figures::Figures;
use crate::options::Cli;
use crate::pool::{Desk, Pool};
use crate::shard::Shard;
use crate::stage::{Life, Stage};
use anyhow::{Context, Result};
use async_runtime::net::TcpListener;
use async_runtime::runtime::{Runtime, StillRunning};
use async_runtime::signal::Signal;
use async_runtime::task::JoinHandle;
use async_runtime::time::timeout;
use conn_core::connection::{Scratch, Turn};
use conn_core::stats::{ServerInfo, Stats};
use conn_core::write_policy::{AnyPolicy, WritePolicy};
use nix::sys::signal::{self, SigSet, SigmaskHow};
use reactor::cli;
use reactor::serve::{MAX_CONNECTIONS, announce, listen, prepare};
use reactor::signals::second_ends_the_process;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tracing::{info, warn};
use w05_handoff::sync::give_way;

/// Threads without work need only a moment to end, and have it even if the time for the drain is over.
const MOMENT: Duration = Duration::from_millis(100);

/// What all tasks of the server share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) life: Arc<Life>,
    /// One for each worker.
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) max_connections: usize,
}

/// Serves until a signal ends it. Status 0 after a drain; 1 with one line on standard error if the
/// server can't start or its listener fails.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let write_policy = cli.backpressure.policy::<Cli>();
    prepare();
    let outcome = start(cli).and_then(|(runtime, listener)| {
        let server = Arc::new(Server::new(cli, &runtime, write_policy));
        serve(cli, runtime, listener, &server)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::failure(format_args!("{error:#}")),
    }
}

/// All threads, with the signals blocked: these are the main thread's, which has time for them.
fn start(cli: &Cli) -> Result<(Runtime, std::net::TcpListener)> {
    let listener = listen(&cli.server)?;
    let signals = SigSet::from_iter([signal::SIGTERM, signal::SIGINT]);
    let ours = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let runtime = Runtime::builder()
        .workers(cli.workers())
        .blocking_threads(cli.blocking_threads())
        .start_blocking_threads(give_way)
        .build()
        .context("cannot start the workers")?;
    ours.thread_set_mask()?;
    Ok((runtime, listener.into()))
}

impl Server {
    fn new(cli: &Cli, runtime: &Runtime, write_policy: impl WritePolicy + Clone + 'static) -> Self {
        let life = Arc::new(Life::default());
        let desk = Arc::new(Desk::new(&cli.tasks));
        let now = Instant::now();
        let info = ServerInfo {
            pid: std::process::id(),
            started: now,
            mechanism: "epoll",
            threads: 1 + cli.workers() + cli.blocking_threads(),
        };
        let shard = |figures| {
            let executor = Pool {
                desk: Arc::clone(&desk),
                figures,
                life: Arc::clone(&life),
                metrics: runtime.metrics(),
                errand: None,
            };
            Arc::new(Shard::new(Turn {
                now,
                limits: cli.server.limits(),
                stats: Stats::default(),
                info: info.clone(),
                executor,
                write_policy: AnyPolicy::new(write_policy.clone()),
                scratch: Scratch::default(),
            }))
        };
        let shards = Figures::for_workers(runtime.workers()).map(shard).collect();
        let limit = cli.server.max_connections;
        let max_connections = limit.map_or(MAX_CONNECTIONS, |limit| limit as usize);
        Self { life, shards, max_connections }
    }
}

fn serve(
    cli: &Cli,
    runtime: Runtime,
    listener: std::net::TcpListener,
    server: &Arc<Server>,
) -> Result<()> {
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    let mut signals = Signals::install().context("cannot install signal handlers")?;
    let mut reception = runtime.spawn_on(0, accept::run(listener, Arc::clone(server)));
    announce(address)?;
    let drain_until = runtime.block_on(async {
        signals.first_or_end_of(&mut reception).await?;
        let drain_until = Instant::now() + cli.server.drain_timeout;
        drain(server, reception, cli.server.drain_timeout).await?;
        anyhow::Ok(drain_until)
    })?;
    let rest = drain_until.saturating_duration_since(Instant::now()).max(MOMENT);
    match runtime.shutdown(rest) {
        Ok(()) => info!("workers joined"),
        Err(StillRunning(threads)) => warn!(threads, "out of time: not waiting for tasks that run"),
    }
    Ok(())
}

/// Takes no more clients and no more input, and goes on until nobody is owed anything.
async fn drain(
    server: &Server,
    reception: JoinHandle<io::Result<()>>,
    drain_timeout: Duration,
) -> Result<()> {
    let life = &server.life;
    info!(connections = life.clients(), "signal received: draining");
    life.advance(Stage::Draining);
    let everybody = async {
        reception.await.map_err(anyhow::Error::from).and_then(|ended| Ok(ended?))?;
        life.all_gone().await;
        anyhow::Ok(())
    };
    match timeout(drain_timeout, everybody).await {
        Ok(drained) => drained?,
        Err(_) => {
            warn!(connections = life.clients(), "drain timed out: giving up on the rest");
            life.advance(Stage::Abandoned);
            // What is left of it ends with the runtime.
            let _ = timeout(MOMENT, life.all_gone()).await;
        }
    }
    info!("drained: every connection is closed");
    Ok(())
}

/// SIGTERM and SIGINT, each of which asks the server to stop.
struct Signals {
    sigterm: Signal,
    sigint: Signal,
}

impl Signals {
    /// Installs the handlers. A second signal ends the process on the spot, by that signal.
    fn install() -> io::Result<Self> {
        second_ends_the_process()?;
        Ok(Self { sigterm: Signal::new(SIGTERM)?, sigint: Signal::new(SIGINT)? })
    }

    /// Waits for the first of them, or for the end of the task that accepts clients, which is an error.
    async fn first_or_end_of(&mut self, reception: &mut JoinHandle<io::Result<()>>) -> Result<()> {
        let (mut sigterm, mut sigint) = (pin!(self.sigterm.recv()), pin!(self.sigint.recv()));
        let mut reception = pin!(reception);
        poll_fn(|cx| {
            if let Poll::Ready(ended) = reception.as_mut().poll(cx) {
                let failed = ended.map_err(anyhow::Error::from).and_then(|ended| Ok(ended?));
                return Poll::Ready(failed.context("cannot accept clients"));
            }
            let signal = sigterm.as_mut().poll(cx);
            let signal = if signal.is_pending() { sigint.as_mut().poll(cx) } else { signal };
            signal.map_err(anyhow::Error::from)
        })
        .await
    }
}

//! Which server, as the command line names it.

use crate::case::Rung;
use crate::rungs;
use crate::target::{Origin, Target, quote};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs};

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// A server of this workspace: day2-select-loop, or day2; w04-epoll-edge, or w04-edge
    #[arg(long, value_name = "RUNG")]
    pub(crate) rung: Option<String>,
    /// Any simple command, with {port} where the port stands; options are added at its end
    #[arg(long, value_name = "COMMAND")]
    cmd: Option<String>,
    /// A server that already runs on this machine. It must be idle and on its defaults: no other
    /// client, no option given
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
}

impl Which {
    /// Whether the harness starts it.
    pub(crate) fn starts_the_server(&self) -> bool {
        self.addr.is_none()
    }

    /// The target; `rung` is what a server that is none of the workspace's counts as. The inner error
    /// is a rung that does not compile.
    pub(crate) fn target(&self, pid: Option<i32>, rung: Rung) -> Result<Result<Target>> {
        if let Some(name) = &self.rung {
            let server = rungs::find(&rungs::discover()?, name)?;
            return Ok(rungs::build_target(&server));
        }
        let (name, origin, replay) = match (&self.cmd, &self.addr) {
            (Some(command), _) if !command.contains("{port}") => {
                bail!("--cmd needs {{port}} where the port stands: --cmd './server {{port}}'")
            }
            (Some(command), _) => (
                command.clone(),
                Origin::Command(command.clone()),
                format!("--cmd {}", quote(command)),
            ),
            (None, Some(address)) => {
                let origin = Origin::Running { address: resolve(address)?, pid };
                let pid = pid.map(|pid| format!(" --pid {pid}")).unwrap_or_default();
                (address.clone(), origin, format!("--addr {address}{pid}"))
            }
            (None, None) => bail!("one of --rung, --cmd, --addr is needed"),
        };
        let takes_flags = !matches!(origin, Origin::Running { .. });
        Ok(Ok(Target { name, origin, rung, takes_flags, replay, reference: None }))
    }
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let mut found =
        address.to_socket_addrs().with_context(|| format!("{address} is not HOST:PORT"))?;
    let found = found.next().with_context(|| format!("{address} has no address"))?;
    if !found.ip().is_loopback() {
        bail!("--addr {address}: only a loopback address is accepted, such as 127.0.0.1:PORT");
    }
    Ok(found)
}

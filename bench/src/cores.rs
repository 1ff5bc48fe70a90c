//! Which core is whose.
//!
//! The load generator has one core and the server another, so that neither's cost is mistaken for
//! the other's. The server has one core with all its threads, also where it has a pool: on a machine
//! of two cores the second one is the generator's, and a worker beside it would delay the very
//! clock that measures. What is compared is therefore what the hand-off costs and who gets the CPU
//! when all want it, not how work spreads over cores. Only where a thread per core is the question
//! ([`Placement::TwoCores`]) does the server have both.

use crate::scenario::Placement;
use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// The two cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cores {
    /// The server, with all its threads.
    pub server: usize,
    /// The load generator.
    pub load: usize,
}

impl Cores {
    /// The first core that this process may use for the load and the last for the server: interrupts
    /// and other people's work gather on the first.
    ///
    /// # Errors
    /// There is only one core.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("sched_getaffinity")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let (Some(load), Some(server)) = (cores.next(), cores.next_back()) else {
            bail!("measuring needs two cores, one for the server and one for the load");
        };
        Ok(Self { server, load })
    }

    /// Binds the calling thread, and what it starts from now on, to where a server is to run.
    ///
    /// # Errors
    /// As [`pin`].
    pub fn place(self, placement: Placement) -> Result<()> {
        match placement {
            Placement::Apart => pin(&[self.server]),
            Placement::TwoCores => pin(&[self.server, self.load]),
        }
    }
}

/// Binds the calling thread, and what it starts from now on, to these cores.
///
/// # Errors
/// There is no such core, or it is not allowed to this process.
pub fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        if core >= CpuSet::MAX_CPU {
            bail!("there is no such core: {core}");
        }
        set.set(core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("there is no such core: {cores:?}"))
}

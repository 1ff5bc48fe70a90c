//! Where and with what was measured.

use crate::programs::{cargo, workspace};
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use procfs::{CpuInfo, FromRead};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::Command;

/// What the figures depend on, beside the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The day, in UTC: 2026-11-21.
    pub date: String,
    /// The commit, with `+` behind it if something was not committed.
    pub commit: String,
    /// The processor, as it calls itself.
    pub processor: String,
    /// Cores that the system has.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The compiler.
    pub rustc: String,
    /// Versions of the libraries that the peers are built on.
    pub libraries: BTreeMap<String, String>,
}

/// The libraries of the peers in Rust.
const CRATES: [&str; 3] = ["tokio", "mio", "smol"];
/// The libraries of the peers in C, by their names in pkg-config(1).
const C_LIBRARIES: [&str; 2] = ["libevent", "libuv"];

impl Machine {
    /// This machine, today.
    ///
    /// # Errors
    /// `/proc` or cargo can't be asked.
    pub fn describe() -> Result<Self> {
        let processors =
            CpuInfo::from_file("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("cannot read the kernel's release")?;
        let commit = said("git", &["rev-parse", "--short", "HEAD"]);
        let changes = said("git", &["status", "--porcelain", "--untracked-files=no"]);
        let commit = commit.map_or_else(
            || "unknown".to_owned(),
            |commit| commit + if changes.is_some() { "+" } else { "" },
        );
        Ok(Self {
            date: said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(|| "unknown".to_owned()),
            commit,
            processor: processors.model_name(0).unwrap_or("unknown").to_owned(),
            cores: processors.num_cores(),
            kernel: kernel.trim().to_owned(),
            rustc: said("rustc", &["--version"]).unwrap_or_else(|| "unknown".to_owned()),
            libraries: libraries()?,
        })
    }
}

fn libraries() -> Result<BTreeMap<String, String>> {
    let metadata = MetadataCommand::new()
        .cargo_path(cargo())
        .manifest_path(workspace().join("Cargo.toml"))
        .exec()
        .context("cannot read the workspace")?;
    let known = metadata.packages.iter().filter(|package| CRATES.contains(&package.name.as_str()));
    let mut libraries: BTreeMap<String, String> =
        known.map(|package| (package.name.to_string(), package.version.to_string())).collect();
    for library in C_LIBRARIES {
        if let Some(version) = said("pkg-config", &["--modversion", library]) {
            libraries.insert(library.to_owned(), version);
        }
    }
    Ok(libraries)
}

/// What a command says; `None` if there is no such command, it fails, or it says nothing.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).current_dir(workspace()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

//! The servers of this workspace: found by their metadata and built by cargo.

use crate::case::Rung;
use crate::target::{Origin, Target};
use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, MetadataCommand};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The first rung that does all that the later ones do: what they are compared with.
const REFERENCE: Rung = Rung::Day3;

/// A server of the ladder: a package with `[package.metadata.lab] rung = N`, or one of its
/// `variants`: the same program with arguments of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungServer {
    /// What it is called: the package, or the variant.
    pub name: String,
    /// The package, which is also the name of its program.
    pub package: String,
    /// What the program is given before the options of a case.
    pub arguments: Vec<String>,
    /// The step of the ladder that it is.
    pub rung: Rung,
}

impl RungServer {
    /// The short name: `day2`, `w04`, `w04-edge`.
    #[must_use]
    pub fn short_name(&self) -> String {
        let variant = self.name.strip_prefix(&self.package).unwrap_or_default();
        format!("{}{variant}", self.rung)
    }
}

/// `[package.metadata.lab]` of a package.
#[derive(Deserialize)]
struct Lab {
    rung: u64,
    #[serde(default)]
    variants: Vec<Variant>,
}

/// The package's program under a name of its own, which begins with the package's.
#[derive(Deserialize)]
struct Variant {
    name: String,
    args: Vec<String>,
}

/// Every rung of the workspace, in the order of the ladder, its variants behind it. Builds nothing.
///
/// # Errors
/// `cargo metadata` failed, a package names a rung that the harness does not know, or a variant
/// is not named after its package.
pub fn discover() -> Result<Vec<RungServer>> {
    let metadata = MetadataCommand::new()
        .manifest_path(manifest())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let mut rungs = Vec::new();
    for package in metadata.packages {
        let name = package.name.to_string();
        let Some(lab) = package.metadata.get("lab") else { continue };
        let lab: Lab = serde_json::from_value(lab.clone())
            .with_context(|| format!("{name}: [package.metadata.lab] is not understood"))?;
        let rung = Rung::from_number(lab.rung)
            .with_context(|| format!("{name}: there is no rung {}", lab.rung))?;
        let itself = Variant { name: name.clone(), args: Vec::new() };
        for variant in std::iter::once(itself).chain(lab.variants) {
            if !variant.name.starts_with(&name) {
                bail!("{name}: the variant {} must be called {name}-<something>", variant.name);
            }
            rungs.push(RungServer {
                name: variant.name,
                package: name.clone(),
                arguments: variant.args,
                rung,
            });
        }
    }
    rungs.sort_by_key(|server| server.rung);
    Ok(rungs)
}

/// The rung with this name: the whole one or the short one (`day2`).
///
/// # Errors
/// There is none; the message lists those that there are.
pub fn find(rungs: &[RungServer], name: &str) -> Result<RungServer> {
    let named = |server: &&RungServer| server.name == name || server.short_name() == name;
    rungs.iter().find(named).cloned().with_context(|| {
        let names: Vec<&str> = rungs.iter().map(|server| server.name.as_str()).collect();
        format!("there is no rung `{name}`; there are: {}", names.join(", "))
    })
}

/// Builds the servers and returns each as a target, with the reference for those behind it.
///
/// # Errors
/// Something does not compile. The compiler's messages have gone to standard error.
pub fn build_targets(servers: &[RungServer]) -> Result<Vec<Target>> {
    let reference = find(&discover()?, REFERENCE.name())?;
    let mut packages: BTreeSet<&str> = servers.iter().map(|s| s.package.as_str()).collect();
    packages.insert(&reference.package);
    let programs = build(&Vec::from_iter(packages))?;
    let built = |server: &RungServer| target(server, &programs[&server.package]);
    let reference = Arc::new(built(&reference));
    let compared = |server: &RungServer| {
        let reference = (server.rung > REFERENCE).then(|| Arc::clone(&reference));
        Target { reference, ..built(server) }
    };
    Ok(servers.iter().map(compared).collect())
}

/// Builds one server and returns it as a target.
///
/// # Errors
/// Something does not compile. The compiler's messages have gone to standard error.
pub fn build_target(server: &RungServer) -> Result<Target> {
    build_targets(std::slice::from_ref(server))?.pop().context("nothing was built")
}

/// Builds one package and returns the program of the same name.
///
/// # Errors
/// Something does not compile. The compiler's messages have gone to standard error.
pub fn build_program(package: &str) -> Result<PathBuf> {
    build(&[package])?.remove(package).context("nothing was built")
}

/// Builds the packages and returns the program of each. The profile is the harness's own.
///
/// # Errors
/// Something does not compile. The compiler's messages have gone to standard error.
fn build(packages: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(cargo());
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics", "--bins"]);
    cargo.arg("--manifest-path").arg(manifest());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    for package in packages {
        cargo.args(["-p", package]);
    }
    let mut child =
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo's output is not captured")?;
    let mut programs = BTreeMap::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        // `executable` is where cargo really put it, whatever the target directory is.
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(executable) = artifact.executable
        {
            programs.insert(artifact.target.name, executable.into_std_path_buf());
        }
    }
    let names = packages.join(", ");
    if !child.wait()?.success() {
        bail!("cargo build of {names} failed; the compiler's messages stand above");
    }
    if let Some(missing) = packages.iter().find(|package| !programs.contains_key(**package)) {
        bail!("the package {missing} has no program called {missing}");
    }
    Ok(programs)
}

fn target(server: &RungServer, program: &Path) -> Target {
    Target {
        name: server.name.clone(),
        origin: Origin::Program { path: program.into(), arguments: server.arguments.clone() },
        rung: server.rung,
        takes_flags: true,
        replay: format!("--rung {}", server.name),
        reference: None,
    }
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn manifest() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "Cargo.toml"].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rungs_of_the_workspace_are_found_in_order() {
        let rungs = discover().unwrap();
        assert_eq!(rungs[0].name, "day2-select-loop");
        assert_eq!((rungs[0].rung, rungs[0].arguments.len()), (Rung::Day2, 0));
        assert!(rungs.is_sorted_by_key(|server| server.rung));
    }

    #[test]
    fn a_rung_is_found_by_either_name() {
        let rungs = discover().unwrap();
        assert_eq!(find(&rungs, "day2").unwrap(), find(&rungs, "day2-select-loop").unwrap());
        assert!(find(&rungs, "day9").unwrap_err().to_string().contains("day2-select-loop"));
    }

    #[test]
    fn a_variant_is_another_server_of_the_same_program() {
        let rungs = discover().unwrap();
        let (level, edge) = (find(&rungs, "w04").unwrap(), find(&rungs, "w04-edge").unwrap());
        assert_eq!((level.name.as_str(), level.arguments.len()), ("w04-epoll", 0));
        assert_eq!((edge.name.as_str(), edge.package), ("w04-epoll-edge", level.package));
        assert_eq!(edge.arguments, ["--edge-triggered"]);
    }
}

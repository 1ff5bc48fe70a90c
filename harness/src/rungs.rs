//! The servers of this workspace: found by their metadata and built by cargo.

use crate::case::Rung;
use crate::target::{Origin, Target};
use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, MetadataCommand};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A package with `[package.metadata.lab] rung = N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungPackage {
    /// Its name, which is also the name of its program.
    pub name: String,
    /// The step of the ladder that it is.
    pub rung: Rung,
}

/// Every rung of the workspace, in the order of the ladder. Builds nothing.
///
/// # Errors
/// `cargo metadata` failed, or a package names a rung that the harness does not know.
pub fn discover() -> Result<Vec<RungPackage>> {
    let metadata = MetadataCommand::new()
        .manifest_path(manifest())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let mut rungs = Vec::new();
    for package in metadata.packages {
        let Some(number) = package.metadata["lab"]["rung"].as_u64() else { continue };
        let rung = Rung::from_number(number)
            .with_context(|| format!("{}: there is no rung {number}", package.name))?;
        rungs.push(RungPackage { name: package.name.to_string(), rung });
    }
    rungs.sort_by_key(|package| package.rung);
    Ok(rungs)
}

/// The rung with this name: the whole one or the short one (`day2`).
///
/// # Errors
/// There is none; the message lists those that there are.
pub fn find(rungs: &[RungPackage], name: &str) -> Result<RungPackage> {
    let named = |package: &&RungPackage| package.name == name || package.rung.name() == name;
    rungs.iter().find(named).cloned().with_context(|| {
        let names: Vec<&str> = rungs.iter().map(|package| package.name.as_str()).collect();
        format!("there is no rung `{name}`; there are: {}", names.join(", "))
    })
}

/// Builds one package and returns the program of the same name.
///
/// # Errors
/// See [`build`].
pub fn build_program(package: &str) -> Result<PathBuf> {
    build(&[package])?.remove(package).context("nothing was built")
}

/// Builds the packages and returns the program of each. The profile is the harness's own.
///
/// # Errors
/// Something does not compile. The compiler's messages have gone to standard error.
pub fn build(packages: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
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

/// The built rung as a target.
#[must_use]
pub fn target(package: &RungPackage, program: PathBuf) -> Target {
    Target {
        name: package.name.clone(),
        origin: Origin::Program(program),
        rung: package.rung,
        takes_flags: true,
        replay: format!("--rung {}", package.name),
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
        assert_eq!(rungs[0], RungPackage { name: "day2-select-loop".into(), rung: Rung::Day2 });
        assert!(rungs.is_sorted_by_key(|package| package.rung));
    }

    #[test]
    fn a_rung_is_found_by_either_name() {
        let rungs = discover().unwrap();
        assert_eq!(find(&rungs, "day2").unwrap(), find(&rungs, "day2-select-loop").unwrap());
        assert!(find(&rungs, "day9").unwrap_err().to_string().contains("day2-select-loop"));
    }
}

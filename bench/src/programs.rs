//! The contenders' programs: built by cargo, or by the peers' own builder where they are in C.

use crate::contenders::{Contender, Source};
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The program of crate `peers` that builds the peers in C.
const C_BUILDER: &str = "peers-c";

/// A contender's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Here it is.
    Built(PathBuf),
    /// It can't be had on this machine, and why.
    Missing(String),
}

/// Builds the programs of these contenders, in the profile that this program was built in, and
/// returns them by their names.
///
/// # Errors
/// Something does not compile; the compiler's messages have gone to standard error. A package lacks
/// a program that it should have.
pub fn build(contenders: &[&'static Contender]) -> Result<BTreeMap<&'static str, Program>> {
    let mut packages = BTreeSet::new();
    for contender in contenders {
        packages.insert(match contender.source {
            Source::Package(package) => package,
            Source::C => "peers",
        });
    }
    let built = cargo_build(&packages)?;
    let mut programs = BTreeMap::new();
    for contender in contenders {
        let program = match contender.source {
            Source::Package(package) => Program::Built(
                built
                    .get(contender.program)
                    .with_context(|| {
                        format!("the package {package} has no program {}", contender.program)
                    })?
                    .clone(),
            ),
            Source::C => c_build(built.get(C_BUILDER), contender.program)?,
        };
        programs.insert(contender.program, program);
    }
    Ok(programs)
}

/// Builds the packages and returns the path of each program in them.
fn cargo_build(packages: &BTreeSet<&str>) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(cargo());
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics", "--bins"]);
    cargo.arg("--manifest-path").arg(workspace().join("Cargo.toml"));
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
    if !child.wait()?.success() {
        let names = Vec::from_iter(packages.iter().copied()).join(", ");
        bail!("cargo build of {names} failed; the compiler's messages stand above");
    }
    Ok(programs)
}

/// Has the peers' builder make one program in C. It answers with the program's path, or with
/// `skipped:` and the reason.
fn c_build(builder: Option<&PathBuf>, program: &str) -> Result<Program> {
    let builder =
        builder.with_context(|| format!("the package peers has no program {C_BUILDER}"))?;
    let output = Command::new(builder)
        .args(["build", program])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", builder.display()))?;
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        bail!("{C_BUILDER} build {program} failed ({}); what it said stands above", output.status);
    }
    Ok(match answer.strip_prefix("skipped:") {
        Some(why) => Program::Missing(why.trim().to_owned()),
        None => Program::Built(answer.into()),
    })
}

/// The cargo that runs this program, or the one in the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect()
}

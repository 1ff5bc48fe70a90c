//! The contenders' programs: built by cargo, or by the peers' own builder where they are in C.

use crate::contenders::{Contender, Source};
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};
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
    let built = cargo_build(&packages, &["--bins"])?;
    let mut in_c = None;
    let mut programs = BTreeMap::new();
    for contender in contenders {
        let program = match contender.source {
            Source::Package(_) => built.get(contender.program).cloned().map(Program::Built),
            Source::C => {
                let all = match &mut in_c {
                    Some(all) => all,
                    None => in_c.insert(c_build(built.get(C_BUILDER))?),
                };
                all.get(contender.program).cloned()
            }
        };
        let program = program
            .with_context(|| format!("the workspace has no program {}", contender.program))?;
        programs.insert(contender.program, program);
    }
    Ok(programs)
}

/// The two programs that measure timers and tasks.
#[derive(Clone, Debug)]
pub struct TaskPrograms {
    ours: PathBuf,
    tokio: PathBuf,
}

impl TaskPrograms {
    /// That of the async runtime: an example of its package.
    pub const OURS: &str = "timers_and_tasks";
    /// That of tokio.
    pub const TOKIO: &str = "peer-tokio-tasks";

    /// Builds both.
    ///
    /// # Errors
    /// As [`build`].
    pub fn build() -> Result<Self> {
        let packages = ["async-runtime", "peers"].into();
        let targets = ["--example", Self::OURS, "--bin", Self::TOKIO];
        let mut built = cargo_build(&packages, &targets)?;
        let mut take = |name| {
            built.remove(name).with_context(|| format!("the workspace has no program {name}"))
        };
        Ok(Self { ours: take(Self::OURS)?, tokio: take(Self::TOKIO)? })
    }

    /// Both, with their names.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Path); 2] {
        [(Self::OURS, &self.ours), (Self::TOKIO, &self.tokio)]
    }
}

/// Builds these targets of the packages and returns the path of each program.
fn cargo_build(packages: &BTreeSet<&str>, targets: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(cargo());
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(targets);
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

/// Has the peers' builder make those in C. For each it answers with a line: its name, and its path
/// or `skipped:` and the reason.
fn c_build(builder: Option<&PathBuf>) -> Result<BTreeMap<String, Program>> {
    let builder =
        builder.with_context(|| format!("the package peers has no program {C_BUILDER}"))?;
    let output = Command::new(builder)
        .arg("build")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", builder.display()))?;
    if !output.status.success() {
        bail!("{C_BUILDER} build failed ({}); what it said stands above", output.status);
    }
    let answer = String::from_utf8(output.stdout).context("a path that is not UTF-8")?;
    Ok(answer.lines().filter_map(c_program).collect())
}

/// What one line of the builder's answer says.
fn c_program(line: &str) -> Option<(String, Program)> {
    let (name, rest) = line.split_once(' ')?;
    let program = match rest.strip_prefix("skipped:") {
        Some(why) => Program::Missing(why.trim().to_owned()),
        None => Program::Built(rest.into()),
    };
    Some((name.to_owned(), program))
}

/// The cargo that runs this program, or the one in the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_s_answer_is_a_path_or_a_reason() {
        let (name, program) = c_program("peer-libuv /a folder/peer-libuv").unwrap();
        assert_eq!(name, "peer-libuv");
        assert_eq!(program, Program::Built("/a folder/peer-libuv".into()));
        let (_, program) = c_program("peer-libevent skipped: no cc: apt install gcc").unwrap();
        assert_eq!(program, Program::Missing("no cc: apt install gcc".to_owned()));
    }
}

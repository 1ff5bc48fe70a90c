//! The peers in C: built when somebody asks for them, so that the workspace builds without them.

use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program in C, and the libraries that it needs.
struct Source {
    name: &'static str,
    libraries: [Library; 2],
}

/// A library as pkg-config and as apt call it.
#[derive(Clone, Copy)]
struct Library {
    module: &'static str,
    package: &'static str,
}

const LIBCRYPTO: Library = Library { module: "libcrypto", package: "libssl-dev" };

const SOURCES: [Source; 2] = [
    Source {
        name: "peer-libevent",
        libraries: [Library { module: "libevent_core", package: "libevent-dev" }, LIBCRYPTO],
    },
    Source {
        name: "peer-libuv",
        libraries: [Library { module: "libuv", package: "libuv1-dev" }, LIBCRYPTO],
    },
];

/// What came of building a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// It is there.
    Program(PathBuf),
    /// This machine lacks something; what, and how to get it.
    Skipped(String),
}

/// Builds the peers in C into `folder`, and says of each by name what came of it.
///
/// # Errors
/// A source does not compile, or `folder` can't be written.
pub fn build(folder: &Path) -> anyhow::Result<Vec<(&'static str, Built)>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    SOURCES.iter().map(|source| Ok((source.name, source.build(folder)?))).collect()
}

impl Source {
    fn build(&self, folder: &Path) -> anyhow::Result<Built> {
        let mut flags = Vec::new();
        for Library { module, package } in self.libraries {
            let Some(output) = run("pkg-config", ["--cflags", "--libs", module])? else {
                return Ok(missing("pkg-config", "pkg-config"));
            };
            if !output.status.success() {
                return Ok(missing(package, package));
            }
            let words = String::from_utf8(output.stdout).context("pkg-config's answer")?;
            flags.extend(words.split_whitespace().map(PathBuf::from));
        }

        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("c");
        let program = folder.join(self.name);
        // Into a file of its own first: a program that runs can be replaced, but not written to.
        let fresh = folder.join(format!("{}.{}", self.name, std::process::id()));
        let mut arguments: Vec<PathBuf> = ["-std=gnu11", "-O2", "-o"].map(PathBuf::from).into();
        arguments.push(fresh.clone());
        arguments.push(sources.join(self.name).with_extension("c"));
        arguments.push(sources.join("lab.c"));
        arguments.extend(flags);
        let Some(output) = run("cc", arguments)? else {
            return Ok(missing("a C compiler", "gcc"));
        };
        if !output.status.success() {
            bail!("{} does not compile:\n{}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        fs::rename(&fresh, &program)
            .with_context(|| format!("cannot write {}", program.display()))?;
        Ok(Built::Program(program))
    }
}

fn missing(what: &str, package: &str) -> Built {
    Built::Skipped(format!("{what} is not installed (apt install {package})"))
}

/// Runs a program to its end; `None` if there is no such program.
fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> anyhow::Result<Option<Output>> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot run {program}")),
    }
}

//! Which server is judged, and how it is started.

use crate::case::{Case, Need, Rung};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// The server under judgement.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it is called in reports: the rung's package, the command, or the address.
    pub name: String,
    /// How it is come by.
    pub origin: Origin,
    /// Whose expectations apply.
    pub rung: Rung,
    /// Whether it takes the command line of contract section 2.
    pub takes_flags: bool,
    /// The options that make `harness check` judge this target again.
    pub replay: String,
    /// A server that is known to be right, to compare this one with.
    pub reference: Option<Arc<Self>>,
}

/// How a server is come by.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A program of this workspace, already built.
    Program {
        /// Where it is.
        path: PathBuf,
        /// What it is given before the options of a case.
        arguments: Vec<String>,
    },
    /// A command with `{port}` in it. It replaces its shell, so that its pid is the server's.
    Command(String),
    /// A server that already runs.
    Running {
        /// Where it listens.
        address: SocketAddr,
        /// Its process id, if it is known.
        pid: Option<i32>,
    },
}

/// One way to start the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Invocation {
    pub(crate) flags: Vec<String>,
    pub(crate) port: Option<u16>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) descriptor_limit: Option<u64>,
}

impl Target {
    /// Why the case cannot be judged on this target; `None` if it can.
    #[must_use]
    pub fn lacks(&self, case: &Case) -> Option<String> {
        let running = match self.origin {
            Origin::Running { pid, .. } => Some(pid),
            _ => None,
        };
        case.needs.iter().find_map(|need| match (need, running) {
            (Need::Flags, _) if !self.takes_flags => {
                Some("needs a server that takes options (not `--flags none` or `--addr`)".into())
            }
            (Need::Restart, Some(_)) => {
                Some("needs a server that the harness starts (not `--addr`)".into())
            }
            (Need::Pid, Some(None)) => Some("needs the process id (`--pid`)".into()),
            _ => None,
        })
    }

    /// The value of an option that it is always given: `2` of `--workers 2`.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        match &self.origin {
            Origin::Running { .. } => None,
            Origin::Program { arguments, .. } => value(arguments.iter().map(String::as_str), name),
            Origin::Command(text) => value(text.split_ascii_whitespace(), name),
        }
    }

    /// The command that starts it this way, and how a person would type it. `None` for a server
    /// that already runs.
    pub(crate) fn command(&self, how: &Invocation) -> Option<(Command, String)> {
        let port = how.port.map(|port| port.to_string());
        let (program, arguments) = match &self.origin {
            Origin::Running { .. } => return None,
            Origin::Program { path, arguments } => {
                let own = without(arguments, &how.flags);
                let all = own.into_iter().chain(how.flags.iter().cloned()).chain(port);
                (quote(&path.to_string_lossy()), all.collect())
            }
            Origin::Command(text) => {
                (text.replace("{port}", &port.unwrap_or_default()), how.flags.clone())
            }
        };
        // A shell sets the limit before the server exists; from outside it would come too late.
        let limit =
            how.descriptor_limit.map(|limit| format!("ulimit -n {limit} && ")).unwrap_or_default();
        let mut command = match &self.origin {
            Origin::Program { path, .. } if limit.is_empty() => Command::new(path),
            _ => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{limit}exec {program} \"$@\"")).arg("sh");
                shell
            }
        };
        command.args(&arguments).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command.envs(how.environment.iter().map(|(name, value)| (name, value)));

        let mut shown: Vec<String> = how
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={}", quote(value)))
            .collect();
        shown.push(format!("{limit}{program}"));
        shown.extend(arguments.iter().map(|argument| quote(argument)));
        Some((command, shown.join(" ")))
    }
}

fn value<'a>(mut words: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    words.find(|word| *word == name)?;
    words.next()
}

/// The arguments of a variant without the options that a case gives values of its own. No option may
/// be given twice.
fn without(arguments: &[String], flags: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        let has_value = words.peek().is_some_and(|next| !next.starts_with('-'));
        let value = if has_value { words.next() } else { None };
        if !flags.contains(word) {
            kept.extend([word].into_iter().chain(value).cloned());
        }
    }
    kept
}

/// The text as one word of a shell.
#[must_use]
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(origin: Origin) -> Target {
        Target {
            name: "t".into(),
            origin,
            rung: Rung::Day2,
            takes_flags: true,
            replay: String::new(),
            reference: None,
        }
    }

    #[test]
    fn flags_stand_before_the_port_of_a_program_and_after_a_command() {
        let how = Invocation {
            flags: vec!["--host".into(), "::1".into()],
            port: Some(7),
            ..Invocation::default()
        };
        let program = |arguments: &[&str]| {
            let arguments = arguments.iter().map(ToString::to_string).collect();
            let origin = Origin::Program { path: "bin/x".into(), arguments };
            target(origin).command(&how).unwrap().1
        };
        assert_eq!(program(&[]), "bin/x --host ::1 7");
        assert_eq!(program(&["--edge"]), "bin/x --edge --host ::1 7");
        let (_, shown) = target(Origin::Command("./x {port} -v".into())).command(&how).unwrap();
        assert_eq!(shown, "./x 7 -v --host ::1");
    }

    #[test]
    fn an_option_of_a_case_takes_the_place_of_the_variants() {
        let arguments = ["--edge", "--workers", "1", "--host", "::1"].map(str::to_owned).into();
        let variant = target(Origin::Program { path: "x".into(), arguments });
        let shown = |flags: &[&str]| {
            let flags = flags.iter().map(ToString::to_string).collect();
            variant.command(&Invocation { flags, ..Invocation::default() }).unwrap().1
        };
        assert_eq!(shown(&["--workers", "3"]), "x --edge --host ::1 --workers 3");
        assert_eq!(shown(&["--edge"]), "x --workers 1 --host ::1 --edge");
    }

    #[test]
    fn an_option_that_is_always_given_is_known() {
        let arguments = vec!["--workers".to_owned(), "4".to_owned()];
        let variant = target(Origin::Program { path: "x".into(), arguments });
        assert_eq!((variant.option("--workers"), variant.option("--host")), (Some("4"), None));
        let command = target(Origin::Command("./x --workers 3 {port}".into()));
        assert_eq!(command.option("--workers"), Some("3"));
    }

    #[test]
    fn a_descriptor_limit_is_set_before_the_server_starts() {
        let how = Invocation { descriptor_limit: Some(32), ..Invocation::default() };
        let (mut command, _) =
            target(Origin::Command("sh -c 'ulimit -Sn; ulimit -Hn'".into())).command(&how).unwrap();
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "32\n32\n");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("a b'c"), r"'a b'\''c'");
        assert_eq!(quote("--host=::1"), "--host=::1");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_target_says_what_it_lacks() {
        let case = Case::new("AA01", "a/b", Rung::Day2, |_| Ok(()));
        let address = "127.0.0.1:1".parse().unwrap();
        let addressed = target(Origin::Running { address, pid: None });
        assert_eq!(addressed.lacks(&case), None);
        assert!(addressed.lacks(&case.needs(&[Need::Pid])).unwrap().contains("--pid"));
        assert!(addressed.lacks(&case.needs(&[Need::Restart])).unwrap().contains("starts"));
        let with_pid = target(Origin::Running { address, pid: Some(1) });
        assert_eq!(with_pid.lacks(&case.needs(&[Need::Pid])), None);
    }
}

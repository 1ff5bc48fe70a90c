//! The blocking-call audit: every call in the loop's path that can block, and why it cannot.
//!
//! [`scan()`] reads the source as syntax; [`judge`] holds what it found against the table in
//! [`reasons`]. Four things are violations:
//!
//! 1. a call without a reason;
//! 2. a reason without a call (it is stale);
//! 3. a descriptor made without O_NONBLOCK, or a reason that rests on one;
//! 4. a reason "outside the loop" for a function that the loop calls.
//!
//! What it cannot see: calls inside the dependencies, what a macro's expansion adds, an iterator
//! that waits (`for message in &receiver`), and a loop that is merely slow. The last does not block,
//! but it costs the same; read budget and task slice bound it, and the harness measures it.

mod calls;
pub mod reasons;
mod scan;
mod tokens;
mod visitor;

pub use calls::Kind;
pub use reasons::rules;
pub use scan::{Call, Function, Made, Scan, Source, scan};

use crate::eagain::IoPath;
use anyhow::{Context, Result, bail};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::Path;

/// A place in the source that edits do not move: file, function, name of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Path from the workspace root.
    pub file: &'static str,
    /// `Type::method` or `function`.
    pub function: &'static str,
    /// The name called, without path.
    pub call: &'static str,
}

impl Site {
    /// A place.
    #[must_use]
    pub const fn new(file: &'static str, function: &'static str, call: &'static str) -> Self {
        Self { file, function, call }
    }
}

/// What the claim "this cannot block" rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The descriptor is O_NONBLOCK from the call that makes it; checked in the source.
    NonBlocking {
        /// Which of the loop's I/O paths it is; each has its EAGAIN rule.
        path: IoPath,
        /// The call that makes the descriptor.
        made_at: Site,
    },
    /// It is the call in which the loop is meant to sleep.
    TheWait,
    /// It calls a function of the audited crates, whose body is read as well; checked.
    OwnCode {
        /// That function.
        function: &'static str,
    },
    /// It touches no descriptor and no other thread.
    InMemory,
    /// It waits for a lock that is only ever held for a few instructions, which the contract allows.
    ShortLock,
    /// It runs before the loop begins or after it has ended; checked: the loop cannot reach it.
    OutsideTheLoop,
    /// It runs on a worker's thread, which is there to wait. Not checked: the source does not say which
    /// thread calls a function; the harness looks at the threads (HO05).
    OnAWorker,
    /// It can wait, and that is accepted.
    Exception,
}

impl Basis {
    /// The basis in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonBlocking { .. } => "O_NONBLOCK",
            Self::TheWait => "the wait",
            Self::OwnCode { .. } => "own code",
            Self::InMemory => "memory only",
            Self::ShortLock => "short lock",
            Self::OutsideTheLoop => "outside the loop",
            Self::OnAWorker => "on a worker",
            Self::Exception => "exception",
        }
    }
}

/// Why one call cannot block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The call.
    pub site: Site,
    /// What the claim rests on.
    pub basis: Basis,
    /// The reason, in words.
    pub why: &'static str,
}

/// What the audit knows about the workspace.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The crates to read.
    pub audited: Vec<&'static str>,
    /// The crates to leave out, with the reason.
    pub outside: Vec<(&'static str, &'static str)>,
    /// The function that is the loop.
    pub loop_entry: Site,
    /// The reasons, one for each call.
    pub reasons: Vec<Reason>,
    /// What is to be said about log macros, wherever they are.
    pub log: &'static str,
}

/// A call with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// The call.
    pub call: Call,
    /// What the claim rests on.
    pub basis: Basis,
    /// Why it cannot block.
    pub why: &'static str,
}

/// Something that the audit does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, as `file:line` or `file`.
    pub place: String,
    /// What is wrong and what to do about it.
    pub what: String,
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was found in the source.
    pub scan: Scan,
    /// Calls that have a reason.
    pub cleared: Vec<Cleared>,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

/// The line to be completed that a violation suggests.
const TABLE: &str = "day1-state-model/src/audit/reasons.rs";

/// Audits the workspace at `root`.
///
/// # Errors
/// `root` is not this workspace, or a source file can't be read or is not Rust.
pub fn audit(root: &Path, rules: &Rules) -> Result<Report> {
    let manifest = root.join("Cargo.toml");
    let manifest = fs::read_to_string(&manifest).with_context(|| {
        format!(
            "the audit reads the source, but {} cannot be read: give the workspace's folder with \
             --root",
            manifest.display()
        )
    })?;
    let mut sources = Vec::new();
    for crate_name in &rules.audited {
        let folder = root.join(crate_name).join("src");
        read_sources(root, &folder, &mut sources).with_context(|| {
            format!("cannot audit {crate_name}: --root must be the workspace's folder")
        })?;
    }
    let mut report = judge(scan(&sources)?, rules);
    for member in members(&manifest) {
        let known = rules.audited.contains(&member)
            || rules.outside.iter().any(|(name, _)| *name == member);
        if !known {
            report.violations.push(Violation {
                place: "Cargo.toml".to_owned(),
                what: format!(
                    "crate {member} is not audited: add it to AUDITED (or to OUTSIDE, with the \
                     reason) in {TABLE}"
                ),
            });
        }
    }
    Ok(report)
}

/// The names between `members = [` and `]`.
fn members(manifest: &str) -> Vec<&str> {
    let list = manifest.split_once("members = [").map_or("", |(_, rest)| rest);
    let list = list.split_once(']').map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

fn read_sources(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_sources(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let file = path.strip_prefix(root)?.components();
            let file = file.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>();
            sources.push(Source { file: file.join("/"), text });
        }
    }
    if sources.is_empty() {
        bail!("there is no Rust source in {}", folder.display());
    }
    Ok(())
}

/// Holds what was found against the reasons.
#[must_use]
pub fn judge(mut scan: Scan, rules: &Rules) -> Report {
    let mut violations = Vec::new();
    let mut cleared = Vec::new();
    let mut unused = rules.reasons.clone();
    for call in &scan.calls {
        if call.kind == Kind::Log {
            cleared.push(Cleared { call: call.clone(), basis: Basis::Exception, why: rules.log });
            continue;
        }
        let fits = |reason: &Reason| {
            reason.site.file == call.file
                && reason.site.function == call.function
                && reason.site.call == call.name
        };
        match unused.iter().position(fits) {
            Some(at) => {
                let Reason { basis, why, .. } = unused.remove(at);
                cleared.push(Cleared { call: call.clone(), basis, why });
            }
            None => violations.push(Violation {
                place: format!("{}:{}", call.file, call.line),
                what: format!(
                    "`{}` in {} can block ({}): take it out of the loop, or say in {TABLE} why it \
                     cannot",
                    call.shown,
                    call.function,
                    call.kind.name()
                ),
            }),
        }
    }
    for Reason { site, .. } in &unused {
        violations.push(Violation {
            place: site.file.to_owned(),
            what: format!(
                "stale: there is a reason for `{}` in {}, but no such call: take it out of {TABLE}",
                site.call, site.function
            ),
        });
    }
    // What merely calls a function of ours makes nothing itself.
    scan.made.retain(|made| {
        !cleared.iter().any(|Cleared { call, basis, .. }| {
            matches!(basis, Basis::OwnCode { .. })
                && (&call.file, call.line, &call.name) == (&made.file, made.line, &made.name)
        })
    });
    for made in scan.made.iter().filter(|made| !made.non_blocking) {
        violations.push(Violation {
            place: format!("{}:{}", made.file, made.line),
            what: format!(
                "`{}` in {} makes a descriptor without O_NONBLOCK: every fd has it from creation \
                 on",
                made.name, made.function
            ),
        });
    }
    let reached = reachable(&scan.functions, rules.loop_entry);
    if reached.is_empty() {
        violations.push(Violation {
            place: rules.loop_entry.file.to_owned(),
            what: format!(
                "the loop is not there: LOOP in {TABLE} names {}",
                rules.loop_entry.function
            ),
        });
    }
    for cleared in &cleared {
        violations.extend(refute(cleared, &scan, &reached));
    }
    Report { scan, cleared, violations }
}

/// What speaks against a reason, if the source does.
fn refute(cleared: &Cleared, scan: &Scan, reached: &HashMap<usize, String>) -> Option<Violation> {
    let call = &cleared.call;
    let what = match cleared.basis {
        Basis::NonBlocking { made_at, .. } => {
            let sound = scan.made.iter().any(|made| {
                made.non_blocking
                    && made.file == made_at.file
                    && made.function == made_at.function
                    && made.name == made_at.call
            });
            (!sound).then(|| {
                format!(
                    "rests on a descriptor that `{}` in {} ({}) makes non-blocking, but it does \
                     not",
                    made_at.call, made_at.function, made_at.file
                )
            })
        }
        Basis::OwnCode { function } => {
            let known = scan.functions.iter().any(|known| known.name == function);
            (!known)
                .then(|| format!("is said to call {function}, which is not in the audited source"))
        }
        Basis::OutsideTheLoop => scan
            .functions
            .iter()
            .position(|function| function.file == call.file && function.name == call.function)
            .and_then(|at| reached.get(&at))
            .map(|way| format!("is said to run outside the loop, but the loop calls it: {way}")),
        Basis::TheWait
        | Basis::InMemory
        | Basis::ShortLock
        | Basis::OnAWorker
        | Basis::Exception => None,
    }?;
    Some(Violation {
        place: format!("{}:{}", call.file, call.line),
        what: format!("`{}` in {} {what}", call.shown, call.function),
    })
}

/// Every function that the loop can call, by its place in `functions`, with the way to it.
///
/// Methods are followed by name alone, to every type that has one: rather too far than not far
/// enough.
fn reachable(functions: &[Function], entry: Site) -> HashMap<usize, String> {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, function) in functions.iter().enumerate() {
        by_name.entry(&function.name).or_default().push(at);
        if let Some((_, method)) = function.name.split_once("::") {
            by_name.entry(method).or_default().push(at);
        }
    }
    let is_method = |at: &usize| functions[*at].name.contains("::");
    let mut reached = HashMap::new();
    let mut queue = VecDeque::new();
    for (at, function) in functions.iter().enumerate() {
        if function.file == entry.file && function.name == entry.function {
            reached.insert(at, function.name.clone());
            queue.push_back(at);
        }
    }
    while let Some(from) = queue.pop_front() {
        for path in &functions[from].calls {
            let Some(name) = path.last() else { continue };
            let owner = path.len().checked_sub(2).map_or("", |at| path[at].as_str());
            let typed = format!("{owner}::{name}");
            let all = by_name.get(name.as_str()).into_iter().flatten().copied();
            let targets: Vec<usize> = match path.len() {
                2 if owner.is_empty() => all.filter(is_method).collect(),
                _ => match by_name.get(typed.as_str()) {
                    Some(exact) => exact.clone(),
                    None => all.filter(|at| !is_method(at)).collect(),
                },
            };
            for to in targets {
                if !reached.contains_key(&to) {
                    let way = format!("{} → {}", reached[&from], functions[to].name);
                    reached.insert(to, way);
                    queue.push_back(to);
                }
            }
        }
    }
    reached
}

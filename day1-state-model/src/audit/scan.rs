//! Reads Rust source as syntax and notes the calls in it: comments and strings fool nobody.

use super::calls::Kind;
use super::visitor::Visitor;
use std::collections::HashSet;
use syn::visit::Visit;
use syn::{Attribute, Meta};

/// A source file as the audit sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path from the workspace root, with `/` between the parts.
    pub file: String,
    /// What is in it.
    pub text: String,
}

/// A call that can put the thread to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The function around it: `Type::method`, `function`, or `(none)` in a constant.
    pub function: String,
    /// The name called, without its path.
    pub name: String,
    /// The call as it is written: `.read()`, `net::accept_with()`, `println!`.
    pub shown: String,
    /// What it could wait for.
    pub kind: Kind,
}

/// A call that makes a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The function around it.
    pub function: String,
    /// The name called, without its path.
    pub name: String,
    /// Whether it is made with O_NONBLOCK, or gets it in the same function.
    pub non_blocking: bool,
}

/// A function, and what it calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The file.
    pub file: String,
    /// `Type::method` or `function`.
    pub name: String,
    /// What it calls, as written; a method is an empty part and its name.
    pub(super) calls: Vec<Vec<String>>,
    /// Whether the function mentions one of the names of "not now": `WouldBlock`, `AGAIN`, ….
    pub handles_not_now: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The files that were read.
    pub files: Vec<String>,
    /// Calls that can put the thread to sleep.
    pub calls: Vec<Call>,
    /// Calls that make a descriptor.
    pub made: Vec<Made>,
    /// Functions, for the question of what is called from where.
    pub functions: Vec<Function>,
}

/// Reads all of `sources`; test code is left out.
///
/// # Errors
/// A file that is not valid Rust, with its name and the place.
pub fn scan(sources: &[Source]) -> anyhow::Result<Scan> {
    let mut parsed = Vec::new();
    for source in sources {
        let tree = syn::parse_file(&source.text).map_err(|error| {
            let at = error.span().start();
            anyhow::anyhow!("{}:{}:{}: {error}", source.file, at.line, at.column + 1)
        })?;
        parsed.push((source, tree));
    }
    let test_files: HashSet<String> = parsed
        .iter()
        .flat_map(|(source, tree)| files_of_test_modules(&source.file, &tree.items))
        .collect();
    parsed.retain(|(source, tree)| {
        !is_test(&tree.attrs)
            && !test_files.iter().any(|path| {
                source.file == format!("{path}.rs") || source.file.starts_with(&format!("{path}/"))
            })
    });

    // The first round learns the names of our own functions, so that the second can tell
    // `self.recv(…)`, whose body is read as well, from `socket.recv(…)`.
    let mut own = HashSet::new();
    for (source, tree) in &parsed {
        let mut visitor = Visitor::new(&source.file, HashSet::new());
        visitor.visit_file(tree);
        for function in visitor.finish().functions {
            own.insert(format!("{}:{}", function.file, function.name));
            own.insert(function.name);
        }
    }
    let mut all = Scan::default();
    for (source, tree) in &parsed {
        let mut visitor = Visitor::new(&source.file, own.clone());
        visitor.learn(tree);
        visitor.visit_file(tree);
        let mut found = visitor.finish();
        all.files.push(source.file.clone());
        all.calls.append(&mut found.calls);
        all.made.append(&mut found.made);
        all.functions.append(&mut found.functions);
    }
    Ok(all)
}

/// For `#[cfg(test)] mod name;` in `file`: where that module's file is, without `.rs`.
fn files_of_test_modules(file: &str, items: &[syn::Item]) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let base = match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    };
    items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => {
                Some(format!("{base}/{}", module.ident))
            }
            _ => None,
        })
        .collect()
}

/// Whether the attributes keep the code out of the server: `#[test]`, `#[cfg(test)]`.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    fn needs_test(meta: &Meta) -> bool {
        let nested = |list: &syn::MetaList| {
            list.parse_args_with(
                syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated,
            )
            .map(|metas| metas.iter().map(needs_test).collect::<Vec<_>>())
            .unwrap_or_default()
        };
        match meta {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("cfg") || list.path.is_ident("all") => {
                nested(list).contains(&true)
            }
            Meta::List(list) if list.path.is_ident("any") => {
                let nested = nested(list);
                !nested.is_empty() && !nested.contains(&false)
            }
            _ => false,
        }
    }
    attributes.iter().any(|attribute| needs_test(&attribute.meta))
}

//! The walk through one file's syntax.

use super::calls::{Arguments, Form, Kind, asks_non_blocking, danger, makes_descriptor};
use super::scan::{Call, Function, Made, Scan, is_test};
use super::tokens::{calls_in_tokens, words_in_tokens};
use proc_macro2::Span;
use std::collections::{HashMap, HashSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Ident};

/// The names under which code meets "not ready yet" and "interrupted".
const NOT_NOW: &[&str] =
    &["WouldBlock", "WOULDBLOCK", "EWOULDBLOCK", "AGAIN", "EAGAIN", "Interrupted", "INTR", "EINTR"];

/// A call as both walkers, that of syntax and that of macro tokens, report it.
pub(super) struct Written {
    pub(super) form: Form,
    pub(super) path: Vec<String>,
    pub(super) arguments: Arguments,
    /// Every identifier among the arguments, `true` and `false` included.
    pub(super) words: Vec<String>,
    pub(super) on_self: bool,
    pub(super) span: Span,
}

/// Walks one file and notes its calls and functions.
pub(super) struct Visitor<'a> {
    file: &'a str,
    /// The names of our own functions.
    own: HashSet<String>,
    /// What `use` calls things: name here → whole path.
    imports: HashMap<String, Vec<String>>,
    /// The identifiers in the value of each constant of the file.
    constants: HashMap<String, Vec<String>>,
    /// The same for each `let` of the function.
    locals: HashMap<String, Vec<String>>,
    /// The type of the `impl` or the name of the `trait` that is being read.
    owner: Option<String>,
    /// Whether it is `impl Display` or `impl Debug`, which write to memory.
    formats: bool,
    /// The functions around the place that is being read, outermost first.
    inside: Vec<usize>,
    /// Functions that switch a descriptor to non-blocking.
    switched: HashSet<String>,
    found: Scan,
}

impl<'a> Visitor<'a> {
    pub(super) fn new(file: &'a str, own: HashSet<String>) -> Self {
        Self {
            file,
            own,
            imports: HashMap::new(),
            constants: HashMap::new(),
            locals: HashMap::new(),
            owner: None,
            formats: false,
            inside: Vec::new(),
            switched: HashSet::new(),
            found: Scan::default(),
        }
    }

    pub(super) fn finish(mut self) -> Scan {
        for made in &mut self.found.made {
            made.non_blocking |= self.switched.contains(&made.function);
        }
        self.found
    }

    fn function(&self) -> String {
        self.inside.first().map_or("(none)".to_owned(), |&at| self.found.functions[at].name.clone())
    }

    /// The whole path: imports followed, `Self` named.
    fn resolve(&self, path: &[String]) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let mut whole = match (first.as_str(), &self.owner) {
            ("Self", Some(owner)) => vec![owner.clone()],
            _ => self.imports.get(first).cloned().unwrap_or_else(|| vec![first.clone()]),
        };
        whole.extend_from_slice(rest);
        whole
    }

    /// Whether the call goes to a function of ours: then its body is read and nothing is hidden.
    fn is_own(&self, written: &Written, path: &[String]) -> bool {
        match (written.form, path) {
            (Form::Method, [name]) => {
                written.on_self
                    && self
                        .owner
                        .as_ref()
                        .is_some_and(|owner| self.own.contains(&format!("{owner}::{name}")))
            }
            (Form::Path, [name]) => self.own.contains(&format!("{}:{name}", self.file)),
            (Form::Path, [.., owner, name]) => {
                let ours = matches!(path[0].as_str(), "crate" | "self" | "super");
                self.own.contains(&format!("{owner}::{name}")) || (ours && self.own.contains(name))
            }
            _ => false,
        }
    }

    fn note(&mut self, written: &Written) {
        let path = self.resolve(&written.path);
        let Some(name) = path.last().cloned() else {
            return;
        };
        let function = self.function();
        let line = written.span.start().line;
        if let Some(&at) = self.inside.last() {
            let mut called = path.clone();
            if written.form == Form::Method {
                called.insert(0, String::new());
            }
            self.found.functions[at].calls.push(called);
        }
        if name == "set_nonblocking" && written.words == ["true"] {
            self.switched.insert(function);
            return;
        }
        if self.is_own(written, &path) {
            return;
        }
        if makes_descriptor(written.form, &path) && written.arguments != Arguments::Unknown {
            let asks = |words: &[String]| words.iter().any(|word| asks_non_blocking(word));
            let asked = asks(&written.words)
                || written.words.iter().any(|word| {
                    let value = self.locals.get(word).or_else(|| self.constants.get(word));
                    value.is_some_and(|words| asks(words))
                });
            self.found.made.push(Made {
                file: self.file.to_owned(),
                line,
                function: function.clone(),
                name: name.clone(),
                non_blocking: asked,
            });
        }
        let Some(kind) = danger(written.form, &path, written.arguments) else {
            return;
        };
        if self.formats && kind == Kind::Write {
            return;
        }
        let shown = match written.form {
            Form::Method => format!(".{name}()"),
            Form::Path => format!("{}()", written.path.join("::")),
            Form::Macro => format!("{}!", written.path.join("::")),
        };
        self.found.calls.push(Call {
            file: self.file.to_owned(),
            line,
            function,
            name,
            shown,
            kind,
        });
    }

    fn note_words(&mut self, words: &[String]) {
        if let Some(&at) = self.inside.last() {
            let not_now = words.iter().any(|word| NOT_NOW.contains(&word.as_str()));
            self.found.functions[at].handles_not_now |= not_now;
        }
    }

    fn enter(&mut self, name: &Ident, visit: impl FnOnce(&mut Self)) {
        let name = match &self.owner {
            Some(owner) if self.inside.is_empty() => format!("{owner}::{name}"),
            _ => name.to_string(),
        };
        self.found.functions.push(Function {
            file: self.file.to_owned(),
            name,
            calls: Vec::new(),
            handles_not_now: false,
        });
        self.inside.push(self.found.functions.len() - 1);
        let outside = std::mem::take(&mut self.locals);
        visit(self);
        self.locals = outside;
        self.inside.pop();
    }

    fn own_items(&mut self, owner: Option<String>, formats: bool, visit: impl FnOnce(&mut Self)) {
        let before = (self.owner.take(), self.formats);
        (self.owner, self.formats) = (owner, formats);
        visit(self);
        (self.owner, self.formats) = before;
    }

    /// Learns what the file's `use` and `const` say, wherever in it they are.
    pub(super) fn learn(&mut self, file: &syn::File) {
        struct Names<'v, 'a>(&'v mut Visitor<'a>);
        impl<'ast> Visit<'ast> for Names<'_, '_> {
            fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
                self.0.import(&item.tree, Vec::new());
            }
            fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
                self.0.constants.insert(item.ident.to_string(), words_of([&*item.expr]));
            }
            fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
                self.0.constants.insert(item.ident.to_string(), words_of([&item.expr]));
            }
        }
        Names(self).visit_file(file);
    }

    fn import(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.import(&part.tree, path);
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = path.last().cloned() {
                    self.imports.insert(last, path);
                }
            }
            syn::UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.imports.insert(name.ident.to_string(), path);
            }
            syn::UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                self.imports.insert(rename.rename.to_string(), path);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone());
                }
            }
            syn::UseTree::Glob(_) => {}
        }
    }
}

/// Collects every identifier below a piece of syntax, also inside macros.
#[derive(Default)]
struct Words(Vec<String>);

impl<'ast> Visit<'ast> for Words {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.0.push(ident.to_string());
    }

    fn visit_lit_bool(&mut self, literal: &'ast syn::LitBool) {
        self.0.push(literal.value.to_string());
    }
}

fn words_of<'e>(expressions: impl IntoIterator<Item = &'e Expr>) -> Vec<String> {
    let mut words = Words::default();
    for expression in expressions {
        words.visit_expr(expression);
    }
    words.0
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn type_name(ty: &syn::Type) -> Option<String> {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        syn::Type::Reference(reference) => type_name(&reference.elem),
        _ => None,
    }
}

fn arguments(count: usize) -> Arguments {
    if count == 0 { Arguments::None } else { Arguments::Some }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[Attribute] = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let (syn::Pat::Ident(name), Some(init)) = (&local.pat, &local.init) {
            self.locals.insert(name.ident.to_string(), words_of([&*init.expr]));
        }
        visit::visit_local(self, local);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.enter(&item.sig.ident, |this| visit::visit_item_fn(this, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let formats = item.trait_.as_ref().is_some_and(|trait_| {
            segments(&trait_.0).last().is_some_and(|name| name == "Display" || name == "Debug")
        });
        self.own_items(type_name(&item.self_ty), formats, |this| {
            visit::visit_item_impl(this, item)
        });
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.own_items(Some(item.ident.to_string()), false, |this| {
            visit::visit_item_trait(this, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.enter(&item.sig.ident, |this| visit::visit_impl_item_fn(this, item));
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        // Without a body it says that the call exists, not what it does.
        if item.default.is_some() && !is_test(&item.attrs) {
            self.enter(&item.sig.ident, |this| visit::visit_trait_item_fn(this, item));
        }
    }

    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.note_words(&[ident.to_string()]);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let on_self = matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self"));
        self.note(&Written {
            form: Form::Method,
            path: vec![call.method.to_string()],
            arguments: arguments(call.args.len()),
            words: words_of(&call.args),
            on_self,
            span: call.method.span(),
        });
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let Expr::Path(function) = &*call.func else {
            visit::visit_expr_call(self, call);
            return;
        };
        if let Some(last) = function.path.segments.last() {
            self.note(&Written {
                form: Form::Path,
                path: segments(&function.path),
                arguments: arguments(call.args.len()),
                words: words_of(&call.args),
                on_self: false,
                span: last.ident.span(),
            });
        }
        for argument in &call.args {
            self.visit_expr(argument);
        }
    }

    /// A function that is handed on by its name, as in `paths.map(File::open)`.
    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let parts = segments(&path.path);
        if let Some(last) = path.path.segments.last()
            && self.resolve(&parts).len() > 1
        {
            self.note(&Written {
                form: Form::Path,
                path: parts,
                arguments: Arguments::Unknown,
                words: Vec::new(),
                on_self: false,
                span: last.ident.span(),
            });
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let Some(last) = call.path.segments.last() else {
            return;
        };
        self.note(&Written {
            form: Form::Macro,
            path: segments(&call.path),
            arguments: Arguments::Some,
            words: Vec::new(),
            on_self: false,
            span: last.ident.span(),
        });
        self.note_words(&words_in_tokens(call.tokens.clone()));
        for written in calls_in_tokens(call.tokens.clone()) {
            self.note(&written);
        }
    }
}

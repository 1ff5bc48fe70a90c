//! The model that everything here is printed from: conn-core's tables and its `Connection`.

use anyhow::{Context, Result};
use conn_core::state::{ConnState, Event, IMPOSSIBLE, Impossible, Pending, Row, TABLE};
use syn::spanned::Spanned;

/// The source of `Connection`, so that the program needs no file to describe it.
const CONNECTION_SOURCE: &str = include_str!("../../conn-core/src/connection.rs");

/// States, events, rules and the record of one connection.
///
/// A value and not a set of constants, so that a test can take a rule out and see who notices.
#[derive(Clone, Debug)]
pub struct Model {
    /// All states, in the order of a connection's life.
    pub states: Vec<ConnState>,
    /// All events.
    pub events: Vec<Event>,
    /// The transition table.
    pub table: Vec<Row>,
    /// What the table leaves out.
    pub impossible: Vec<Impossible>,
    /// What is kept for each connection.
    pub connection: ConnectionSpec,
}

impl Model {
    /// The model that the servers run on.
    ///
    /// # Errors
    /// conn-core's `connection.rs` has no `struct Connection` any more.
    pub fn current() -> Result<Self> {
        Ok(Self {
            states: ConnState::ALL.to_vec(),
            events: Event::ALL.to_vec(),
            table: TABLE.to_vec(),
            impossible: IMPOSSIBLE.to_vec(),
            connection: ConnectionSpec::parse(CONNECTION_SOURCE)?,
        })
    }

    /// The rows for one case.
    pub fn rows(
        &self,
        from: ConnState,
        event: Event,
        pending: Pending,
    ) -> impl Iterator<Item = &Row> {
        self.table.iter().filter(move |row| {
            row.event == event && row.from.contains(&from) && row.guard.contains(&pending)
        })
    }

    /// The reasons why one case cannot happen.
    pub fn reasons(
        &self,
        from: ConnState,
        event: Event,
        pending: Pending,
    ) -> impl Iterator<Item = &Impossible> {
        self.impossible.iter().filter(move |entry| {
            entry.events.contains(&event)
                && entry.from.contains(&from)
                && entry.guard.contains(&pending)
        })
    }

    /// Whether any row leads from one state to the other.
    #[must_use]
    pub fn leads(&self, from: ConnState, to: ConnState) -> bool {
        self.table.iter().any(|row| row.to == to && row.from.contains(&from))
    }

    /// Whether the row holds in every state but the last: the `ANY` of the seven basic rules.
    #[must_use]
    pub fn holds_anywhere(&self, row: &Row) -> bool {
        self.states.iter().filter(|state| !row.from.contains(state)).eq(&[ConnState::Closed])
    }

    /// The row's states in words: `ANY`, or their names.
    #[must_use]
    pub fn from_name(&self, row: &Row) -> String {
        if self.holds_anywhere(row) {
            return "ANY".to_owned();
        }
        row.from.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ")
    }
}

/// One thing that is known about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the source.
    pub name: String,
    /// Its type, as written.
    pub ty: String,
    /// Its doc comment.
    pub purpose: String,
}

impl Field {
    /// The purpose up to its first full stop, colon or semicolon.
    #[must_use]
    pub fn summary(&self) -> &str {
        let text = self.purpose.trim_end_matches('.');
        let end = [". ", ": ", "; "].iter().filter_map(|mark| text.find(mark)).min();
        &text[..end.unwrap_or(text.len())]
    }
}

/// `struct Connection`: what is stored, and what is computed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSpec {
    /// The struct's fields.
    pub fields: Vec<Field>,
    /// Public methods that take nothing and tell what no field holds, such as `bytes_queued()`.
    pub computed: Vec<Field>,
}

impl ConnectionSpec {
    /// Reads it from Rust source.
    ///
    /// # Errors
    /// The source is not Rust, or has no `struct Connection` with named fields.
    pub fn parse(source: &str) -> Result<Self> {
        let file = syn::parse_file(source).context("the source of Connection is not Rust")?;
        let fields: Vec<Field> = file
            .items
            .iter()
            .find_map(|item| match item {
                syn::Item::Struct(item) if item.ident == "Connection" => Some(&item.fields),
                _ => None,
            })
            .context("there is no `struct Connection` in its source")?
            .iter()
            .filter_map(|field| {
                Some(Field {
                    name: field.ident.as_ref()?.to_string(),
                    ty: as_written(&field.ty),
                    purpose: doc_comment(&field.attrs),
                })
            })
            .collect();
        let computed = file
            .items
            .iter()
            .filter_map(|item| match item {
                syn::Item::Impl(item) if item.trait_.is_none() => Some(item),
                _ => None,
            })
            .filter(|item| as_written(&item.self_ty).starts_with("Connection"))
            .flat_map(|item| &item.items)
            .filter_map(|item| match item {
                syn::ImplItem::Fn(method) => computed(method),
                _ => None,
            })
            .filter(|method| fields.iter().all(|field| field.name != method.name))
            .collect();
        Ok(Self { fields, computed })
    }

    /// Whether the connection knows `name`, stored or computed.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.fields.iter().chain(&self.computed).any(|field| field.name == name)
    }
}

/// `pub fn name(&self) -> Type` as a field; any other method is none.
fn computed(method: &syn::ImplItemFn) -> Option<Field> {
    let syn::ReturnType::Type(_, ty) = &method.sig.output else { return None };
    let reads_self = matches!(
        method.sig.inputs.iter().collect::<Vec<_>>()[..],
        [syn::FnArg::Receiver(receiver)]
            if matches!(receiver.kind, syn::ReceiverKind::Reference(_, _, None))
    );
    (reads_self && matches!(method.vis, syn::Visibility::Public(_))).then(|| Field {
        name: method.sig.ident.to_string(),
        ty: as_written(ty),
        purpose: doc_comment(&method.attrs),
    })
}

fn as_written(syntax: &impl Spanned) -> String {
    let text = syntax.span().source_text().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The doc comment in one line.
fn doc_comment(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                Some(text.value().trim().to_owned())
            }
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_with_its_type_and_its_comment() {
        let source = "
            /// One client.
            pub struct Connection<S> {
                /// Queued replies,
                /// oldest first. More.
                pub(crate) write_buf: std::collections::VecDeque<
                    u8>,
                #[allow(unused)]
                /// The socket.
                stream: S,
            }
            impl<S> Connection<S> {
                /// How much waits.
                pub fn bytes_queued(&self) -> usize { self.write_buf.len() }
                /// Not computed, but a field.
                pub fn stream(&self) -> &S { &self.stream }
                /// Changes it.
                pub fn close(&mut self) -> usize { 0 }
                fn private(&self) -> usize { 0 }
            }
        ";
        let spec = ConnectionSpec::parse(source).unwrap();
        let names = |fields: &[Field]| fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&spec.fields), ["write_buf", "stream"]);
        assert_eq!(names(&spec.computed), ["bytes_queued"]);
        assert_eq!(spec.fields[0].ty, "std::collections::VecDeque< u8>");
        assert_eq!(spec.fields[0].purpose, "Queued replies, oldest first. More.");
        assert_eq!(spec.fields[0].summary(), "Queued replies, oldest first");
        assert_eq!(spec.computed[0].summary(), "How much waits");
    }

    #[test]
    fn a_source_without_the_struct_is_an_error() {
        assert!(ConnectionSpec::parse("struct Other;").is_err());
        assert!(ConnectionSpec::parse("struct {").is_err());
    }
}

//! Calls inside macros. A macro's arguments are tokens, not syntax: `info!(n = socket.recv(…))`
//! has to be read without knowing what the macro makes of it.

use super::calls::{Arguments, Form};
use super::visitor::Written;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Every identifier in the tokens, however deep.
pub(super) fn words_in_tokens(tokens: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => words.push(ident.to_string()),
            TokenTree::Group(group) => words.extend(words_in_tokens(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    words
}

/// Everything in the tokens that looks like a call: `name(…)`, `.name(…)`, `path::name(…)`,
/// `name!(…)`.
pub(super) fn calls_in_tokens(tokens: TokenStream) -> Vec<Written> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut calls = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Ident(name) = token else {
            if let TokenTree::Group(group) = token {
                calls.extend(calls_in_tokens(group.stream()));
            }
            continue;
        };
        let (form, group) = match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(TokenTree::Group(group)), _) if group.delimiter() == Delimiter::Parenthesis => {
                (Form::Path, group)
            }
            (Some(TokenTree::Punct(mark)), Some(TokenTree::Group(group)))
                if mark.as_char() == '!' =>
            {
                (Form::Macro, group)
            }
            _ => continue,
        };
        let before = &tokens[..at];
        let is_method = before.last().is_some_and(|token| is_punct(token, '.'));
        let mut path = path_before(before);
        path.push(name.to_string());
        calls.push(Written {
            form: if is_method { Form::Method } else { form },
            path,
            arguments: arguments_of(group),
            words: words_in_tokens(group.stream()),
            on_self: is_method && is_self(&before[..at - 1]),
            span: name.span(),
        });
    }
    calls
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Whether the tokens end in `self` alone, not in `other.self`.
fn is_self(tokens: &[TokenTree]) -> bool {
    matches!(tokens.last(), Some(TokenTree::Ident(ident)) if ident == "self")
}

/// The `a::b::` right before a name.
fn path_before(mut tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    while let [rest @ .., TokenTree::Ident(part), first, second] = tokens
        && is_punct(first, ':')
        && is_punct(second, ':')
    {
        path.insert(0, part.to_string());
        tokens = rest;
    }
    path
}

fn arguments_of(group: &Group) -> Arguments {
    if group.stream().is_empty() { Arguments::None } else { Arguments::Some }
}

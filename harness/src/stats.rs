//! The reply to `stats` (contract section 4).

use crate::scene::Scene;
use crate::verdict::CaseResult;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The values by name.
#[derive(Debug, Clone)]
pub struct Stats {
    values: BTreeMap<String, String>,
    client: String,
    scene: Arc<Scene>,
}

impl Stats {
    pub(crate) fn new(client: &str, scene: Arc<Scene>) -> Self {
        Self { values: BTreeMap::new(), client: client.to_owned(), scene }
    }

    pub(crate) fn insert(&mut self, name: &str, value: &str) -> bool {
        self.values.insert(name.to_owned(), value.to_owned()).is_none()
    }

    /// A value as it was sent.
    ///
    /// # Errors
    /// `stats` does not tell it.
    pub fn text(&self, name: &str) -> CaseResult<&str> {
        self.values.get(name).map(String::as_str).ok_or_else(|| {
            let told: Vec<&str> = self.values.keys().map(String::as_str).collect();
            let expected = format!("a line `STAT {name} <value>`");
            self.scene.broken(expected, told.join(" "), Some(&self.client), None)
        })
    }

    /// A value that must be a whole number.
    ///
    /// # Errors
    /// `stats` does not tell it, or not as a number.
    pub fn number(&self, name: &str) -> CaseResult<u64> {
        let text = self.text(name)?;
        text.parse().map_err(|_| {
            let expected = format!("`{name}` to be a whole number");
            self.scene.broken(expected, format!("{text:?}"), Some(&self.client), None)
        })
    }

    /// The length of the reply in bytes, as it came over the wire.
    #[must_use]
    pub fn reply_length(&self) -> u64 {
        let line =
            |(name, value): (&String, &String)| "STAT  \r\n".len() + name.len() + value.len();
        (self.values.iter().map(line).sum::<usize>() + "END\r\n".len()) as u64
    }

    /// The names that were told.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

//! Runs a model, and says how much there was to try.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `model` once for every way in which its threads can follow each other.
pub(crate) fn every_interleaving(name: &str, model: impl Fn() + Send + Sync + 'static) {
    explore(name, None, model);
}

/// The same, but a thread that could go on is interrupted at most `preemptions` times in each run: for
/// models that would take minutes otherwise. Two are said to show nearly every mistake.
pub(crate) fn with_preemptions(
    name: &str,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    explore(name, Some(preemptions), model);
}

fn explore(name: &str, bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let runs = runs.load(Ordering::Relaxed);
    let bound = bound.map_or(String::new(), |bound| format!(", at most {bound} preemptions each"));
    println!("{name}: {runs} executions{bound}");
    assert!(runs > 1, "the model has nothing to interleave");
}

//! What a server writes to standard output and standard error, kept within bounds.

use crate::rows::RowReader;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes kept of one stream; the oldest go first.
const KEPT: usize = 4 << 20;

/// One captured stream. A thread reads it until its end, so that the server never blocks on it.
#[derive(Debug, Clone)]
pub(crate) struct Output(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
}

impl Output {
    /// Captures a stream; `rows` reads along.
    pub(crate) fn capture(
        mut stream: impl Read + Send + 'static,
        mut rows: Option<RowReader>,
    ) -> Self {
        let output = Self(Arc::default());
        let writer = output.clone();
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                if let Some(rows) = &mut rows {
                    rows.read(&chunk[..count]);
                }
                let mut state = writer.lock();
                state.bytes.extend(&chunk[..count]);
                let excess = state.bytes.len().saturating_sub(KEPT);
                state.bytes.drain(..excess);
                writer.0.changed.notify_all();
            }
            writer.lock().ended = true;
            writer.0.changed.notify_all();
        });
        output
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What has been captured so far.
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.lock().bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines, without empty ones.
    pub(crate) fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(ToString::to_string).collect()
    }

    /// Waits until the text satisfies the condition; false when it never did.
    pub(crate) fn wait_for(&self, limit: Duration, condition: impl Fn(&str) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if condition(&self.text()) {
                return true;
            }
            let state = self.lock();
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                drop(state);
                return condition(&self.text());
            }
            // Bounded, because bytes may have come between the check and the lock.
            let nap = left.min(Duration::from_millis(10));
            drop(self.0.changed.wait_timeout(state, nap));
        }
    }

    /// Waits until the writers have closed the stream.
    pub(crate) fn wait_for_end(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = match self.0.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

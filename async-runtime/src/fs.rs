//! Files. The kernel calls every file ready, and then the read waits for the disk: files know no
//! readiness (epoll(7), EPERM), so each call runs in the pool for blocking work.

use crate::task::{JoinError, spawn_blocking};
use std::path::Path;
use std::{io, panic};

/// Reads a whole file.
///
/// # Errors
/// As [`std::fs::read`]; or the runtime has ended.
///
/// # Panics
/// The thread is not one of a runtime's.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    in_pool(move || std::fs::read(path)).await
}

/// Writes a whole file, in place of what was there.
///
/// # Errors
/// As [`std::fs::write`]; or the runtime has ended.
///
/// # Panics
/// The thread is not one of a runtime's.
pub async fn write(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.into());
    in_pool(move || std::fs::write(path, contents)).await
}

async fn in_pool<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match spawn_blocking(call).await {
        Ok(outcome) => outcome,
        Err(JoinError::Cancelled) => Err(io::Error::other("the runtime has ended")),
        Err(JoinError::Panicked(panicked)) => panic::resume_unwind(panicked.into_payload()),
    }
}

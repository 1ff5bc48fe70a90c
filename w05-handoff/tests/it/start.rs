//! What an operator sees if the workers can't be started.

use crate::support::not_for_ever;
use std::process::Command;

#[test]
fn threads_that_cannot_be_started_are_one_line_and_status_1() {
    not_for_ever(|| {
        // Stacks of 64 MiB in 1 GiB of address space: some threads, but not a thousand.
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 1048576 && exec \"$0\" --workers 1000 0"])
            .arg(env!("CARGO_BIN_EXE_w05-handoff"))
            .env("RUST_MIN_STACK", (64 << 20).to_string())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: cannot start the workers: thread "), "{said}");
        assert!(said.contains(" of 1000: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(output.stdout, b"", "it never listened");
    });
}

//! A copy of the workspace's source, to be spoilt.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The root manifest and the sources of the audited crates, in a folder of their own.
pub(crate) struct Copy {
    folder: TempDir,
}

impl Copy {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = day1_state_model::built_in();
        fs::copy(root.join("Cargo.toml"), folder.path().join("Cargo.toml")).unwrap();
        for name in day1_state_model::audit::rules().audited {
            copy_folder(&root.join(name).join("src"), &folder.path().join(name).join("src"));
        }
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root().join(file)
    }

    /// Adds `text` at the end of `file`; returns the line number of its first line.
    pub(crate) fn append(&self, file: &str, text: &str) -> usize {
        let before = fs::read_to_string(self.path(file)).unwrap();
        assert!(before.ends_with('\n'), "{file} ends in a whole line");
        fs::write(self.path(file), before.clone() + text).unwrap();
        before.lines().count() + 1
    }

    /// Replaces every `old` in `file`, of which there must be one at least.
    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let before = fs::read_to_string(self.path(file)).unwrap();
        assert!(before.contains(old), "{file} has {old:?}");
        fs::write(self.path(file), before.replace(old, new)).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

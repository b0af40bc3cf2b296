//! A directory of a test below the system's temporary directory, removed at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty directory, removed on drop.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes a directory whose name shows the process and `name`.
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("pushctl-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory below the temporary directory");
        Self(path)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Its path; the caller removes it.
    pub(crate) fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }

    /// Writes a file in it and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file in the test's directory");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        // Leftover files are harmless in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

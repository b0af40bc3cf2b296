//! `--ready-file`: reports the addresses once the server listens on them.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cmd::output::files;
use crate::cmd::output::files::Durability;
use crate::server::config::ListenAddress;

/// A file that exists while the server listens.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the addresses of the server. The file appears complete.
    pub(super) fn write(path: &Path, addresses: &[ListenAddress]) -> anyhow::Result<Self> {
        let file = Self(path.to_owned());
        file.rewrite(addresses)?;
        Ok(file)
    }

    /// Replaces the addresses in the file.
    pub(super) fn rewrite(&self, addresses: &[ListenAddress]) -> anyhow::Result<()> {
        let path = &self.0;
        let text: String = addresses
            .iter()
            .map(|address| format!("{address}\n"))
            .collect();
        let mut name = path
            .file_name()
            .context("cannot write --ready-file: the path has no file name")?
            .to_owned();
        name.push(format!(".{}", std::process::id()));
        let temporary = path.with_file_name(name);
        let result = files::replace(path, &temporary, text.as_bytes(), Durability::Unsynced);
        result.with_context(|| format!("cannot write {} (see --ready-file)", path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // It may have been removed already.
        drop(std::fs::remove_file(&self.0));
    }
}

//! `--ready-file`: tells those who started the server that it listens, and where.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cmd::files::{self, Durability};
use crate::server::config::ListenAddress;

/// A file that is there while the server listens.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the addresses of the server; the file appears whole.
    pub(super) fn write(path: &Path, addresses: &[ListenAddress]) -> anyhow::Result<Self> {
        let file = Self(path.to_owned());
        file.rewrite(addresses)?;
        Ok(file)
    }

    /// Puts other addresses into the file.
    pub(super) fn rewrite(&self, addresses: &[ListenAddress]) -> anyhow::Result<()> {
        let path = &self.0;
        let text: String = addresses
            .iter()
            .map(|address| format!("{address}\n"))
            .collect();
        let mut name = path
            .file_name()
            .context("cannot write --ready-file: it has no name")?
            .to_owned();
        name.push(format!(".{}", std::process::id()));
        let temporary = path.with_file_name(name);
        let result = files::replace(path, &temporary, text.as_bytes(), Durability::Unsynced);
        result.with_context(|| format!("cannot write {} (see --ready-file)", path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        drop(std::fs::remove_file(&self.0));
    }
}

//! Files that a command writes next to those of its user. Their names are predictable and other
//! users may write to the directory, so they are never opened through a link, and a file of another
//! kind does not block.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Whether a file is synced before it is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power failure.
    Synced,
    /// The system writes it later.
    Unsynced,
}

/// Replaces `path` atomically by a new file with this content; `temporary` is its name until then.
///
/// # Errors
/// An error of the file system. The old content is then unchanged.
pub fn replace(
    path: &Path,
    temporary: &Path,
    content: &[u8],
    durability: Durability,
) -> Result<()> {
    let named = |error: Error| {
        Error::new(
            error.kind(),
            format!("cannot create '{}': {error}", temporary.display()),
        )
    };
    let mut file = create(temporary).map_err(named)?;
    let synced = |file: &File| {
        if durability == Durability::Synced {
            file.sync_data()
        } else {
            Ok(())
        }
    };
    let written = file
        .write_all(content)
        .and_then(|()| synced(&file))
        .and_then(|()| std::fs::rename(temporary, path));
    if written.is_err() {
        // The disk may be full.
        let _ = std::fs::remove_file(temporary);
    }
    written
}

/// Creates a file that was not there. A name that an earlier run left behind, or a link, goes; what
/// it points to stays.
fn create(path: &Path) -> Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().write(true).create_new(true).open(path),
    }
}

/// Opens a regular file, and no link, as `options` say.
///
/// # Errors
/// That of the file system; [`ErrorKind::InvalidInput`] for a link or another kind of file.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if error.kind() != ErrorKind::NotFound && !is_regular(path) => {
            return Err(not_regular());
        }
        result => result?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

fn is_regular(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn not_regular() -> Error {
    Error::new(ErrorKind::InvalidInput, "not a regular file")
}

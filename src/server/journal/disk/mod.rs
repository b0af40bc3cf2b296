//! The directory in which a journal keeps its files: what the journal asks of a file system.
//!
//! [`Directory`] is the real one; the tests have one that forgets what was not synced.

mod directory;
#[cfg(test)]
pub(super) mod simulated;

use std::io;

pub use directory::Directory;

/// A directory with files.
pub trait Disk {
    /// An open file.
    type File: DiskFile;

    /// The names of all files.
    ///
    /// # Errors
    /// Those of the file system, as for all methods.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Creates a file of `bytes` zero bytes. A crash may take it back until
    /// [`sync_names`](Self::sync_names) has returned.
    ///
    /// # Errors
    /// Also if the file exists.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Also if there is no such file.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file. A crash may bring it back until [`sync_names`](Self::sync_names) has
    /// returned.
    ///
    /// # Errors
    /// Also if there is no such file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations and removals durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file of a [`Disk`].
pub trait DiskFile {
    /// Reads the first `max_bytes` bytes, or the whole file if it is shorter.
    ///
    /// # Errors
    /// Those of the file system, as for all methods.
    fn read(&self, max_bytes: usize) -> io::Result<Vec<u8>>;

    /// Writes all of `bytes` at an offset. A crash may keep any part of them until
    /// [`sync`](Self::sync) has returned.
    ///
    /// # Errors
    /// A part of the bytes may have been written then.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// It is unknown then what is durable, also after a later success.
    fn sync(&mut self) -> io::Result<()>;
}

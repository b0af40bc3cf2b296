//! Unix sockets: the files in which they appear, which are replaced and removed only where that
//! harms nobody.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};

/// The file of a unix socket that this process has created. It is removed with its listener.
#[derive(Debug)]
pub(in crate::server) struct UnixPath {
    path: PathBuf,
    id: Option<FileId>,
}

/// What tells a file from another one that was put into its place. It cannot be used again while
/// the socket is open, which holds its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl UnixPath {
    /// The path as the configuration has it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        let found = std::fs::symlink_metadata(&self.path)
            .ok()
            .filter(is_socket)
            .map(|found| FileId::of(&found));
        if found.is_some() && found == self.id {
            // If somebody else removes it right now, it is gone as well.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl FileId {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }
}

/// Listens on `path`. A socket file there that has no listener any more is replaced; whatever else
/// is there stays.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, UnixPath)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => replace(path)?,
        bound => bound?,
    };
    listener.set_nonblocking(true)?;
    let id = std::fs::symlink_metadata(path)
        .ok()
        .as_ref()
        .map(FileId::of);
    Ok((
        listener,
        UnixPath {
            path: path.to_owned(),
            id,
        },
    ))
}

/// Listens on `path` in the place of a socket without listener.
fn replace(path: &Path) -> io::Result<UnixListener> {
    // Of two that start at once only one may look and replace: the other one then finds a listener.
    // Where the directory cannot be locked there is nothing else to wait for.
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let lock = File::open(directory).ok();
    if let Some(lock) = &lock {
        let _ = flock(lock, FlockOperation::LockExclusive);
    }
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return UnixListener::bind(path),
        Err(error) => return Err(error),
    };
    if !is_socket(&found) {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "the file exists and is not a socket",
        ));
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens on it",
            ));
        }
    }
    if std::fs::symlink_metadata(path)
        .ok()
        .as_ref()
        .map(FileId::of)
        != Some(FileId::of(&found))
    {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process has just replaced the file",
        ));
    }
    std::fs::remove_file(path)?;
    UnixListener::bind(path)
}

fn is_socket(found: &Metadata) -> bool {
    found.file_type().is_socket()
}

/// Looks for a listener, without waiting for one whose backlog is full.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

//! Files of unix sockets: they are replaced and removed only if no other process uses them.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};

/// The file of a unix socket that this process has created. It is removed on drop.
#[derive(Debug)]
pub(in crate::server) struct UnixPath {
    path: PathBuf,
    id: Option<FileId>,
}

/// Identity of a file, to detect a replaced one. It is not reused while the socket is open, which
/// holds the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl UnixPath {
    /// The path in the configuration.
    pub(in crate::server) fn path(&self) -> &Path {
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
            // Fails only if another process has just removed it.
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

/// Listens on `path`. The file of a socket without a listener is replaced; any other file is an
/// error.
pub(in crate::server) fn bind(path: &Path) -> io::Result<(UnixListener, UnixPath)> {
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

/// Listens on `path`, replacing the file of a socket without a listener.
fn replace(path: &Path) -> io::Result<UnixListener> {
    // The lock serialises processes that start at the same time: the second one finds a listener.
    // A directory that cannot be locked is used without a lock.
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

/// Connects, without waiting for a listener whose backlog is full.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

//! Reading and writing of sockets with a buffer that all sockets of a thread share.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Poll, ready};

use reqwest::Url;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::socket::Socket;
use crate::client::error::Error;
use crate::client::url::shown;

/// Size in bytes of the read buffer that all sockets of a thread share.
pub const BUFFER_BYTES: usize = 64 << 10;

/// The shared read buffer; its content is valid during one read only.
pub type Buffer = RefCell<Vec<u8>>;

/// Reads once into the shared buffer and passes the bytes to `take`. Returns their number, 0 at the
/// end.
pub(super) async fn read(
    socket: &mut Socket,
    buffer: &Buffer,
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<usize> {
    std::future::poll_fn(|context| {
        let mut buffer = buffer.borrow_mut();
        let mut filled = ReadBuf::new(&mut buffer);
        // `poll_read` instead of `try_read`: a short read shows it that the socket is empty, which
        // saves a system call.
        ready!(Pin::new(&mut *socket).poll_read(context, &mut filled))?;
        take(filled.filled());
        Poll::Ready(Ok(filled.filled().len()))
    })
    .await
}

/// Writes a whole request.
pub(super) async fn write(socket: &mut Socket, bytes: &[u8]) -> std::io::Result<()> {
    socket.write_all(bytes).await
}

pub(super) fn broken(url: &Url, error: &std::io::Error) -> Error {
    Error::Broken {
        url: shown(url),
        reason: error.kind().to_string(),
    }
}

//! Accepting: for ever, whatever the system lacks. Without a descriptor a connection is refused
//! with the help of a spare one; whatever else is lacking is waited out. Either is told once, and
//! again when it is over.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rustix::io::Errno;

use super::listener::{Accepted, Bound};
use super::unix_socket::UnixPath;
use crate::server::broker::{Broker, Incident};

/// Time until accepting is tried again when the system lacks something that a spare descriptor does
/// not mend.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// A lack is over when connections were accepted for so long: while they come and go at the limit
/// it is one lack.
const RECOVERED_AFTER: Duration = Duration::from_secs(2);

impl Bound {
    /// Accepts connections for ever; gives each to `take`, in turn.
    pub(in crate::server) async fn accept_all(
        self,
        broker: Broker,
        mut take: impl AsyncFnMut(Accepted),
    ) -> io::Result<()> {
        let listener = match self {
            Bound::Tcp(listener) => Listening::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Bound::Unix(path, listener) => {
                Listening::Unix(Some(path), tokio::net::UnixListener::from_std(listener)?)
            }
            Bound::PassedUnix(listener, _) => {
                Listening::Unix(None, tokio::net::UnixListener::from_std(listener)?)
            }
        };
        let mut lack = Lack {
            broker,
            spare: spare(),
            last: None,
            shed: 0,
        };
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    lack.accepted();
                    take(accepted).await;
                }
                // The client went away before it was accepted, or a signal came: not our concern.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    let shed = if is_descriptor_lack(&error) {
                        lack.shed(&listener)
                    } else {
                        Shed::Failed
                    };
                    lack.met(&error);
                    if shed == Shed::Failed {
                        lack.broker.count(Incident::AcceptFailed);
                        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    }
                }
            }
        }
    }
}

/// What is known of a lack of descriptors or memory.
struct Lack {
    broker: Broker,
    /// Given up for a moment to accept a connection, which is refused and makes room for it again.
    spare: Option<File>,
    /// When it was felt last; `None` = there is no lack.
    last: Option<Instant>,
    /// Connections that were refused in it.
    shed: u64,
}

impl Lack {
    fn met(&mut self, error: &io::Error) {
        if self.last.replace(Instant::now()).is_none() {
            self.shed = 0;
            tracing::warn!(%error, "cannot accept connections: further ones are refused until it \
                                    works again");
        }
    }

    fn accepted(&mut self) {
        if self
            .last
            .is_some_and(|last| last.elapsed() >= RECOVERED_AFTER)
        {
            self.last = None;
            tracing::warn!(refused = self.shed, "connections are accepted again");
        }
    }

    /// Refuses the connection that waits.
    fn shed(&mut self, listener: &Listening) -> Shed {
        if self.spare.take().is_none() {
            self.spare = spare();
            return Shed::Failed;
        }
        // Dropped without waiting for anything: a client that went away meanwhile leaves nothing to
        // refuse.
        let shed = match listener.accept().now_or_never() {
            Some(Ok(accepted)) => {
                accepted.refuse();
                self.shed += 1;
                self.broker.count(Incident::NoDescriptor);
                Shed::Refused
            }
            None => Shed::NobodyWaits,
            Some(Err(error)) if is_passing(&error) => Shed::NobodyWaits,
            Some(Err(_)) => Shed::Failed,
        };
        self.spare = spare();
        shed
    }
}

/// What became of refusing a connection with the help of the spare descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shed {
    Refused,
    /// The system lacks a descriptor before it looks whether somebody waits; the listener is not
    /// ready any more.
    NobodyWaits,
    /// Nothing helps but time.
    Failed,
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// A listener that is registered with the accepting runtime.
enum Listening {
    Tcp(tokio::net::TcpListener),
    Unix(
        #[allow(dead_code, reason = "held for its drop, which comes first")] Option<UnixPath>,
        tokio::net::UnixListener,
    ),
}

impl Listening {
    /// Accepts a connection and takes it from the accepting runtime again: it will live on a
    /// shard's.
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listening::Tcp(listener) => listener.accept().await?.0.into_std().map(Accepted::Tcp),
            Listening::Unix(_, listener) => {
                listener.accept().await?.0.into_std().map(Accepted::Unix)
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionReset
    )
}

/// The process, or the system, has no descriptor left.
fn is_descriptor_lack(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

//! The accept loop, which never ends for lack of a resource. Without a free descriptor a connection
//! is rejected by means of a reserved one; any other shortage is waited out. The start and the end
//! of a shortage are logged, once each.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rustix::io::Errno;

use super::listener::{Accepted, Bound};
use super::unix_socket::UnixPath;
use crate::server::broker::{Broker, Incident};

/// Delay before accepting is retried in a shortage that the reserved descriptor does not help.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// A shortage is over when connections were accepted for this long. While they come and go at the
/// limit it is one shortage.
const RECOVERED_AFTER: Duration = Duration::from_secs(2);

impl Bound {
    /// Accepts connections for ever, and passes each of them to `take`.
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
        let mut shortage = Shortage {
            broker,
            reserve: open_reserve(),
            last: None,
            shed: 0,
        };
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    shortage.record_accepted();
                    take(accepted).await;
                }
                // The client has disconnected before it was accepted, or a signal arrived.
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    let shed = if is_out_of_descriptors(&error) {
                        shortage.shed(&listener)
                    } else {
                        ShedOutcome::Failed
                    };
                    shortage.record(&error);
                    if shed == ShedOutcome::Failed {
                        shortage.broker.count(Incident::AcceptFailed);
                        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    }
                }
            }
        }
    }
}

/// State of a shortage of descriptors or memory.
struct Shortage {
    broker: Broker,
    /// Reserved descriptor: closed for a moment to accept a connection, which is then rejected.
    reserve: Option<File>,
    /// Time of the last error; `None` if there is no shortage.
    last: Option<Instant>,
    /// Connections rejected in the shortage.
    shed: u64,
}

impl Shortage {
    /// Logs the start of a shortage.
    fn record(&mut self, error: &io::Error) {
        if self.last.replace(Instant::now()).is_none() {
            self.shed = 0;
            tracing::warn!(%error, "cannot accept connections, rejecting them until the shortage \
                                    ends");
        }
    }

    /// Logs the end of a shortage.
    fn record_accepted(&mut self) {
        if self
            .last
            .is_some_and(|last| last.elapsed() >= RECOVERED_AFTER)
        {
            self.last = None;
            tracing::warn!(rejected = self.shed, "connections are accepted again");
        }
    }

    /// Rejects the next waiting connection.
    fn shed(&mut self, listener: &Listening) -> ShedOutcome {
        if self.reserve.take().is_none() {
            self.reserve = open_reserve();
            return ShedOutcome::Failed;
        }
        // Polled once: if the client has disconnected in the meantime there is nothing to reject.
        let shed = match listener.accept().now_or_never() {
            Some(Ok(accepted)) => {
                accepted.reject();
                self.shed += 1;
                self.broker.count(Incident::NoDescriptor);
                ShedOutcome::Rejected
            }
            None => ShedOutcome::NoClient,
            Some(Err(error)) if is_transient(&error) => ShedOutcome::NoClient,
            Some(Err(_)) => ShedOutcome::Failed,
        };
        self.reserve = open_reserve();
        shed
    }
}

/// Result of rejecting a connection by means of the reserved descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ShedOutcome {
    Rejected,
    /// No connection waits: the system reports the lack of a descriptor before it checks that.
    NoClient,
    /// The shortage must be waited out.
    Failed,
}

/// Opens the reserved descriptor.
fn open_reserve() -> Option<File> {
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
    /// Accepts a connection, and deregisters it from this runtime: it is registered with that of a
    /// shard.
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listening::Tcp(listener) => listener.accept().await?.0.into_std().map(Accepted::Tcp),
            Listening::Unix(_, listener) => {
                listener.accept().await?.0.into_std().map(Accepted::Unix)
            }
        }
    }
}

/// Returns whether the error concerns one connection only.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionReset
    )
}

/// Returns whether the process, or the system, has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

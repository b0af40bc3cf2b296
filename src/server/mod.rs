//! The broker server: wires listeners, shards and the broker together. Owns no policy.

mod admission;
pub mod broker;
pub mod compression;
pub mod config;
pub mod dialect;
pub mod error_log;
pub mod fanout;
mod faults;
mod http;
pub mod panics;
pub mod publisher;
pub mod request;
pub mod response;
mod shard_thread;
pub mod statistics;
pub mod subscriber;
mod syslog;

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::{Arc, OnceLock};

use tokio::task::JoinSet;

use admission::Admission;
use broker::{Broker, CreateError, MAX_SHARDS, TICK};
use config::{Config, ListenAddress};
#[cfg(fuzzing)]
pub use http::fuzzing;
pub use http::reopen_access_logs;
use http::{Accepted, Bound};
use shard_thread::ShardThread;

/// What the `Server` header says.
pub const SERVER: &str = concat!("pushctl/", env!("CARGO_PKG_VERSION"));

/// What error pages say. As long as `nginx/1.26.3`, so that the pages are as long as recorded ones.
pub const SERVER_ON_PAGES: &str = concat!("pushctl v", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// A server that listens but does not accept yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    broker: Broker,
}

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason} (choose another address with --listen)")]
    Bind {
        /// The address.
        address: ListenAddress,
        /// What the system says; not the source, which would be told a second time.
        reason: io::Error,
    },
    /// More shards than there can be.
    #[error("{0} shards are too many: the most are {MAX_SHARDS} (--shards, or worker_processes)")]
    Shards(usize),
    /// The memory bound is too small for the events channel.
    #[error("cannot create the events channel: {0} (raise --memory, or push_stream_shared_memory_size)")]
    Events(#[from] CreateError),
    /// A thread or a runtime cannot be started.
    #[error("cannot start a shard: {0}")]
    Shard(#[source] io::Error),
    /// A listener is broken.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
}

impl Server {
    /// Binds all addresses of `config`.
    ///
    /// # Errors
    /// When an address cannot be bound or a setting is impossible.
    pub fn bind(mut config: Config) -> Result<Self, ServerError> {
        if config.shards == 0 {
            config.shards = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_SHARDS);
        }
        if config.shards > MAX_SHARDS {
            return Err(ServerError::Shards(config.shards));
        }
        let broker = Broker::new(config.broker.clone(), config.shards, config.limits.max_lag_bytes)?;
        let bind = |listener: &config::Listener| {
            Bound::bind(listener, &config.limits.tcp).map_err(|reason| ServerError::Bind { address: listener.address.clone(), reason })
        };
        let bound = config.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { config, bound, broker })
    }

    /// The addresses, with the ports that the system chose.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn addresses(&self) -> io::Result<Vec<ListenAddress>> {
        self.bound.iter().map(Bound::address).collect()
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.config.shards
    }

    /// Serves until `stop` is ready, then ends all connections properly, within the time of grace.
    ///
    /// # Errors
    /// When a shard cannot be started or a listener breaks.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let shards = Shards::start(&self.config, &self.broker)?;
        let mut accepting = JoinSet::new();
        for (listener, bound) in self.bound.into_iter().enumerate() {
            let shards = Arc::clone(&shards);
            accepting.spawn(bound.accept_all(self.broker.clone(), async move |accepted| shards.place(accepted, listener).await));
        }
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        let mut stop = std::pin::pin!(stop);
        let result = loop {
            tokio::select! {
                () = &mut stop => break Ok(()),
                _ = tick.tick() => self.broker.tick(),
                Some(ended) = accepting.join_next() => {
                    if let Ok(Err(error)) = ended {
                        break Err(ServerError::Accept(error));
                    }
                }
            }
        };
        accepting.shutdown().await;
        shards.stop().await;
        http::flush_access_logs();
        result
    }
}

/// Sets what there is once in a process: its log, and whether answers tell the version. To be called with every
/// configuration that becomes the present one.
pub fn adopt(process: &config::ProcessSettings) {
    error_log::adopt(&process.error_logs);
    response::hide_version(process.hides_version);
}

/// The shards and how full they are.
struct Shards {
    threads: Vec<ShardThread>,
    admission: Arc<Admission>,
}

impl Shards {
    fn start(config: &Config, broker: &Broker) -> Result<Arc<Self>, ServerError> {
        let start = |index| ShardThread::start(index, config.clone(), broker.clone()).map_err(ServerError::Shard);
        let threads = (0..config.shards).map(start).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Self { threads, admission: Admission::new(config.shards, &config.limits, broker.clone()) }))
    }

    /// Gives a connection to its shard, or refuses it.
    async fn place(&self, accepted: Accepted, listener: usize) {
        match self.admission.admit(accepted.source()) {
            Ok(admitted) => self.threads[admitted.shard()].give((accepted, listener, admitted)).await,
            Err(_counted) => accepted.refuse(),
        }
    }

    async fn stop(&self) {
        self.threads.iter().for_each(ShardThread::stop);
        for thread in &self.threads {
            thread.ended().await;
        }
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp(address) => write!(f, "http://{address}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The name of this machine, as statistics show it.
#[must_use]
pub fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Seconds since the Unix epoch as `2026-11-21T00:12:27`, in UTC.
#[must_use]
pub fn iso_time(unix_seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').to_owned()
}

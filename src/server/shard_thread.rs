//! The thread of a shard: a runtime of its own, on which the shard's connections live.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};

use super::broker::Broker;
use super::config::Config;
use super::fanout::Shard;
use super::http::{Accepted, Connection, Site};
use super::subscriber::Formats;

/// Accepted connections on their way to a shard; when there are more, accepting waits.
const MAX_ARRIVING: usize = 1024;

/// A handle to a shard's thread.
pub(super) struct ShardThread {
    arriving: mpsc::Sender<(Accepted, usize)>,
    stop: watch::Sender<bool>,
}

/// Counts a connection of a shard until it is dropped.
struct Counted {
    connections: Arc<Vec<AtomicUsize>>,
    shard: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections[self.shard].fetch_sub(1, Ordering::Relaxed);
    }
}

impl ShardThread {
    /// Starts shard number `index`. `connections` counts the connections of each shard; whoever gives one to the shard
    /// counts it before.
    pub(super) fn start(index: usize, config: Config, broker: Broker, connections: Arc<Vec<AtomicUsize>>) -> io::Result<Self> {
        let (arriving, arrivals) = mpsc::channel(MAX_ARRIVING);
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            let thread_id = rustix::thread::gettid().as_raw_nonzero().get();
            broker.note_thread(index, u32::try_from(thread_id).unwrap_or_default());
            let local = LocalSet::new();
            runtime.block_on(local.run_until(run(index, config, broker, connections, (arrivals, stopped))));
        })?;
        Ok(Self { arriving, stop })
    }

    /// Gives a connection that came to listener number `listener` to the shard.
    pub(super) async fn give(&self, accepted: Accepted, listener: usize) {
        // A shard that has ended needs no connections.
        drop(self.arriving.send((accepted, listener)).await);
    }

    /// Lets the shard end its connections and then itself.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end of the shard.
    pub(super) async fn ended(&self) {
        self.stop.closed().await;
    }
}

type Orders = (mpsc::Receiver<(Accepted, usize)>, watch::Receiver<bool>);

async fn run(index: usize, config: Config, broker: Broker, connections: Arc<Vec<AtomicUsize>>, orders: Orders) {
    let (mut arrivals, mut stopped) = orders;
    let shard = Shard::new(index, broker, config.limits.send_timeout);
    let formats = Rc::new(Formats::default());
    let site = |listener: &super::config::Listener| {
        Rc::new(Site { listener: listener.clone(), limits: config.limits.clone(), formats: Rc::clone(&formats) })
    };
    let sites: Vec<Rc<Site>> = config.listeners.iter().map(site).collect();
    let deliver = keep_running(&shard, "delivery", async |shard: Shard| shard.deliver().await);
    let keep_time = keep_running(&shard, "time-keeping", async |shard: Shard| shard.keep_time().await);
    loop {
        tokio::select! {
            arrived = arrivals.recv() => {
                let Some((accepted, listener)) = arrived else { break };
                let counted = Counted { connections: Arc::clone(&connections), shard: index };
                // A connection that is broken already needs no answer.
                let Ok((halves, peer)) = accepted.open() else { continue };
                let connection = Connection::new(shard.clone(), halves, Rc::clone(&sites[listener]), peer);
                tokio::task::spawn_local(async move {
                    let _counted = counted;
                    connection.run().await;
                });
            }
            _ = stopped.changed() => break,
        }
    }
    shard.stop();
    if tokio::time::timeout(config.limits.grace, shard.drained()).await.is_err() {
        tracing::info!(connections = shard.connections(), "connections did not end within the time of grace (--grace)");
    }
    deliver.abort();
    keep_time.abort();
}

/// Runs a task of the shard until it is aborted. If it panics, that is logged and it starts again: a mistake in one
/// round must not end all that come after it.
fn keep_running(shard: &Shard, what: &'static str, task: impl AsyncFn(Shard) + 'static) -> JoinHandle<()> {
    let shard = shard.clone();
    let task = Rc::new(task);
    tokio::task::spawn_local(async move {
        loop {
            let (task, worker) = (Rc::clone(&task), shard.clone());
            let ended = tokio::task::spawn_local(async move { task(worker).await }).await;
            if !ended.is_err_and(|error| error.is_panic()) {
                break;
            }
            tracing::error!("{what} panicked and starts again; please report this");
            shard.revisit_all();
        }
    })
}

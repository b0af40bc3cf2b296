//! The thread of a shard: a runtime of its own, on which the shard's connections live.

use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};

use super::admission::Admitted;
use super::broker::{Broker, Incident};
use super::config::Config;
use super::fanout::Shard;
use super::http::{Accepted, Backend, Connection, Site};
use super::subscriber::Formats;

/// Accepted connections on their way to a shard; when there are more, accepting waits.
const MAX_ARRIVING: usize = 1024;

/// A handle to a shard's thread.
pub(super) struct ShardThread {
    arriving: mpsc::Sender<Arrival>,
    stop: watch::Sender<bool>,
}

/// A connection that came to the listener of that number.
pub(super) type Arrival = (Accepted, usize, Admitted);

impl ShardThread {
    /// Starts shard number `index`.
    pub(super) fn start(index: usize, config: Config, broker: Broker) -> io::Result<Self> {
        let (arriving, arrivals) = mpsc::channel(MAX_ARRIVING);
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            let thread_id = rustix::thread::gettid().as_raw_nonzero().get();
            broker.note_thread(index, u32::try_from(thread_id).unwrap_or_default());
            let local = LocalSet::new();
            runtime.block_on(local.run_until(run(index, config, broker, (arrivals, stopped))));
        })?;
        Ok(Self { arriving, stop })
    }

    /// Gives a connection to the shard.
    pub(super) async fn give(&self, arrival: Arrival) {
        // A shard that has ended needs no connections.
        drop(self.arriving.send(arrival).await);
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

type Orders = (mpsc::Receiver<Arrival>, watch::Receiver<bool>);

async fn run(index: usize, config: Config, broker: Broker, orders: Orders) {
    let (mut arrivals, mut stopped) = orders;
    let shard = Shard::new(index, broker, (config.limits.send_timeout, config.limits.ping_timeout));
    let formats = Rc::new(Formats::default());
    let backend = Backend::new(&config.limits);
    let site = |listener: &super::config::Listener| {
        Rc::new(Site { listener: listener.clone(), limits: config.limits.clone(), formats: Rc::clone(&formats), backend: backend.clone() })
    };
    let sites: Vec<Rc<Site>> = config.listeners.iter().map(site).collect();
    let deliver = keep_running(&shard, "delivery", async |shard: Shard| shard.deliver().await);
    let keep_time = keep_running(&shard, "time-keeping", async |shard: Shard| shard.keep_time().await);
    loop {
        tokio::select! {
            arrived = arrivals.recv() => {
                let Some((accepted, listener, admitted)) = arrived else { break };
                // A connection that is broken already needs no answer.
                let Ok((halves, peer)) = accepted.open() else { continue };
                let connection = Connection::new(shard.clone(), halves, Rc::clone(&sites[listener]), peer);
                tokio::task::spawn_local(serve(connection, admitted, shard.clone()));
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

/// Serves a connection; a panic costs it alone, and what it had in the shard goes with it.
async fn serve(connection: Connection, admitted: Admitted, shard: Shard) {
    let _admitted = admitted;
    if AssertUnwindSafe(connection.run()).catch_unwind().await.is_err() {
        shard.broker().count(Incident::Panic);
    }
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
            shard.broker().count(Incident::Panic);
            tracing::error!("{what} starts again after a panic");
            shard.revisit_all();
        }
    })
}

//! The thread of a shard: a runtime of its own, on which the shard's connections live.

use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::admission::Admitted;
use super::broker::{Broker, Incident};
use super::config::ConnectionLimits;
use super::fanout::{FollowerTimeouts, Shard};
use super::generation::{Generation, ListenerNumber};
use super::http::{Accepted, Backend, Connection, PendingNotices, Place, Site};
use super::subscriber::Formats;
use super::time_limit;

/// Orders on their way to a shard, accepted connections above all; when there are more, accepting
/// waits.
const MAX_ARRIVING: usize = 1024;

/// A handle to a shard's thread.
pub(super) struct ShardThread {
    orders: mpsc::Sender<ShardCommand>,
    stop: watch::Sender<Option<Duration>>,
}

/// What a shard is told.
enum ShardCommand {
    /// Serve a connection that came to the listener of that number.
    Serve(Accepted, ListenerNumber, Admitted),
    /// Go on with this configuration, then answer.
    Reload(Arc<Generation>, oneshot::Sender<()>),
    /// Answer.
    Probe(oneshot::Sender<()>),
}

impl ShardThread {
    /// Starts shard number `index`.
    pub(super) fn start(
        index: usize,
        generation: Arc<Generation>,
        broker: Broker,
    ) -> io::Result<Self> {
        let (orders, coming) = mpsc::channel(MAX_ARRIVING);
        let (stop, stopped) = watch::channel(None);
        let (built, is_built) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                // It cannot leave its thread.
                let runtime = match Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(built.send(Err(error))),
                };
                // Whoever asked waits for it.
                drop(built.send(Ok(())));
                let thread_id = rustix::thread::gettid().as_raw_nonzero().get();
                broker.record_thread(index, u32::try_from(thread_id).unwrap_or_default());
                let shard = Shard::new(index, broker, timeouts(&generation.config.limits));
                let thread = Thread::new(shard, &generation);
                drop(generation);
                runtime.block_on(thread.run((coming, stopped)));
            })?;
        is_built.recv().map_err(io::Error::other)??;
        Ok(Self { orders, stop })
    }

    /// Gives a connection to the shard.
    pub(super) async fn give(
        &self,
        accepted: Accepted,
        listener: ListenerNumber,
        admitted: Admitted,
    ) {
        // A shard that has ended needs no connections.
        drop(
            self.orders
                .send(ShardCommand::Serve(accepted, listener, admitted))
                .await,
        );
    }

    /// Lets the shard go on with another configuration; ready when it does.
    pub(super) async fn reload(&self, generation: Arc<Generation>) {
        let (done, wait) = oneshot::channel();
        // A shard that has ended needs no configuration.
        drop(
            self.orders
                .send(ShardCommand::Reload(generation, done))
                .await,
        );
        drop(wait.await);
    }

    /// Waits until the shard has looked at its orders.
    pub(super) async fn answers(&self) {
        let (done, wait) = oneshot::channel();
        drop(self.orders.send(ShardCommand::Probe(done)).await);
        drop(wait.await);
    }

    /// Lets the shard end its connections, which get so much time, and then itself.
    pub(super) fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }

    /// Waits for the end of the shard.
    pub(super) async fn ended(&self) {
        self.stop.closed().await;
    }
}

type ShardCommands = (
    mpsc::Receiver<ShardCommand>,
    watch::Receiver<Option<Duration>>,
);

fn timeouts(limits: &ConnectionLimits) -> FollowerTimeouts {
    FollowerTimeouts {
        send: limits.send_timeout,
        ping: limits.ping_timeout,
    }
}

/// What lives on the thread.
struct Thread {
    shard: Shard,
    places: Vec<(ListenerNumber, Rc<Place>)>,
    notices: PendingNotices,
}

impl Thread {
    fn new(shard: Shard, generation: &Generation) -> Self {
        let notices = PendingNotices::default();
        let places = sites(generation, &notices)
            .map(|(number, site)| (number, Rc::new(Place::new(site))))
            .collect();
        Self {
            shard,
            places,
            notices,
        }
    }

    /// Serves until it is told to stop; then ends what there is.
    async fn run(mut self, (mut orders, mut stopped): ShardCommands) {
        let deliver = keep_running(&self.shard, "delivery", async |shard: Shard| {
            shard.run_deliveries().await
        });
        let keep_time = keep_running(&self.shard, "time-keeping", async |shard: Shard| {
            shard.run_timers().await
        });
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => break,
                },
                _ = stopped.changed() => break,
            }
        }
        // Nobody accepts any more; who is on the way here is not waited for.
        drop(orders);
        self.shard.stop();
        let grace = stopped.borrow().unwrap_or_default();
        let drained = async {
            self.shard.drained().await;
            // Whoever left just now has told so.
            self.notices.drained().await;
        };
        if time_limit::within(grace, drained).await.is_none() {
            let connections = self.shard.connections();
            let notices = self.notices.count();
            if connections > 0 {
                tracing::warn!(
                    connections,
                    "connections did not end within the time of grace and are cut (--grace)"
                );
            }
            if notices > 0 {
                tracing::warn!(
                    notices,
                    "back-ends did not answer notices of hooks within the time of grace (--grace)"
                );
            }
        }
        deliver.abort();
        keep_time.abort();
    }

    fn obey(&mut self, order: ShardCommand) {
        match order {
            ShardCommand::Serve(accepted, listener, admitted) => {
                // The listener may have been taken away meanwhile.
                let Some((_, place)) = self.places.iter().find(|(number, _)| *number == listener)
                else {
                    tracing::debug!(
                        "a connection is ended: its listener was removed while it was on the way \
                         to its thread"
                    );
                    return self.shard.broker().count(Incident::EndedByShutdown);
                };
                let (outlet, peer) = match accepted.open() {
                    Ok(opened) => opened,
                    Err(error) => {
                        tracing::debug!(%error, reason = Incident::SetupFailed.name(), "a connection is ended");
                        return self.shard.broker().count(Incident::SetupFailed);
                    }
                };
                let connection = Connection::new(self.shard.clone(), outlet, place, peer);
                tokio::task::spawn_local(serve(connection, admitted, self.shard.clone()));
            }
            // Whoever asked may not wait any more.
            ShardCommand::Reload(generation, done) => {
                self.reload(&generation);
                let _ = done.send(());
            }
            ShardCommand::Probe(done) => {
                let _ = done.send(());
            }
        }
    }

    /// Lets the next request of every connection be served with this configuration. Followers stay,
    /// but those whose listener or location is gone.
    fn reload(&mut self, generation: &Generation) {
        self.shard.set_timeouts(timeouts(&generation.config.limits));
        let mut before = std::mem::take(&mut self.places);
        for (number, site) in sites(generation, &self.notices) {
            let place = match before.iter().position(|(other, _)| *other == number) {
                Some(at) => {
                    let (_, place) = before.swap_remove(at);
                    place.replace(site);
                    place
                }
                None => Rc::new(Place::new(site)),
            };
            self.places.push((number, place));
        }
        before.iter().for_each(|(_, place)| place.close());
        self.shard.wake_all();
    }
}

/// The sites of a shard; they share their formats.
fn sites(
    generation: &Generation,
    notices: &PendingNotices,
) -> impl Iterator<Item = (ListenerNumber, Site)> {
    let formats = Rc::new(Formats::default());
    let config = &generation.config;
    let backend = Arc::new(Backend::new(&config.limits, notices.clone()));
    generation
        .listeners
        .iter()
        .zip(&config.listeners)
        .map(move |((number, census), listener)| {
            let listener = (listener.clone(), Arc::clone(census));
            (
                *number,
                Site::new(
                    listener,
                    config.limits.clone(),
                    Rc::clone(&formats),
                    Arc::clone(&backend),
                ),
            )
        })
}

/// Serves a connection; a panic costs it alone, and what it had in the shard goes with it.
///
/// Every connection has one such future for as long as it lives, and of an `async fn` each argument
/// takes its place twice.
fn serve(connection: Connection, admitted: Admitted, shard: Shard) -> impl Future<Output = ()> {
    AssertUnwindSafe(connection.run())
        .catch_unwind()
        .map(move |ended| {
            let _admitted = admitted;
            if ended.is_err() {
                shard.broker().count(Incident::Panic);
            }
        })
}

/// Runs a task of the shard until it is aborted. If it panics, that is logged and it starts again:
/// a mistake in one round must not end all that come after it.
fn keep_running(
    shard: &Shard,
    what: &'static str,
    task: impl AsyncFn(Shard) + 'static,
) -> JoinHandle<()> {
    let shard = shard.clone();
    let task = Rc::new(task);
    tokio::task::spawn_local(async move {
        loop {
            let task = Rc::clone(&task);
            let worker = shard.clone();
            let ended = tokio::task::spawn_local(async move { task(worker).await }).await;
            if !ended.is_err_and(|error| error.is_panic()) {
                break;
            }
            shard.recover_from_panic(what);
        }
    })
}

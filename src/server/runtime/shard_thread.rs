//! The thread of a shard: a single-threaded runtime with the shard's connections and its delivery
//! task.

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
use super::generation::{Generation, ListenerNumber};
use crate::server::broker::{Broker, Incident};
use crate::server::config::ConnectionLimits;
use crate::server::endpoint::formats::Formats;
use crate::server::fanout::{FollowerTimeouts, Shard};
use crate::server::http::upstream::time_limit;
use crate::server::http::{
    Accepted, BackendClient, Connection, ListenerSlot, ListenerSnapshot, PendingNotices,
};

/// Capacity of the command queue of a shard. Most commands are accepted connections; while the
/// queue is full, accepting waits.
const MAX_QUEUED_COMMANDS: usize = 1024;

/// A handle to the thread of a shard.
pub(in crate::server) struct ShardThread {
    commands: mpsc::Sender<ShardCommand>,
    stop: watch::Sender<Option<Duration>>,
}

/// A command to a shard.
enum ShardCommand {
    /// Serves a connection that was accepted by the listener of that number.
    Serve(Accepted, ListenerNumber, Admitted),
    /// Applies a configuration, then replies.
    Reload(Arc<Generation>, oneshot::Sender<()>),
    /// Replies: a liveness check.
    Probe(oneshot::Sender<()>),
}

/// The receiving ends of a [`ShardThread`].
struct ShardInput {
    commands: mpsc::Receiver<ShardCommand>,
    stop: watch::Receiver<Option<Duration>>,
}

impl ShardThread {
    /// Starts shard number `index`.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be created.
    pub(in crate::server) fn start(
        index: usize,
        generation: Arc<Generation>,
        broker: Broker,
    ) -> io::Result<Self> {
        let (commands, commands_receiver) = mpsc::channel(MAX_QUEUED_COMMANDS);
        let (stop, stop_receiver) = watch::channel(None);
        let input = ShardInput {
            commands: commands_receiver,
            stop: stop_receiver,
        };
        let (started, has_started) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                // A local runtime cannot be moved to another thread, so it is built here.
                let runtime = match Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                // Held until the connections that are left are dropped: they are logged then.
                let is_running = input.stop.clone();
                // `start` waits for this message.
                drop(started.send(Ok(())));
                let thread_id = rustix::thread::gettid().as_raw_nonzero().get();
                broker
                    .counters()
                    .record_thread(index, u32::try_from(thread_id).unwrap_or_default());
                let shard = Shard::new(index, broker, timeouts(&generation.config.limits));
                let worker = ShardWorker::new(shard, &generation);
                drop(generation);
                runtime.block_on(worker.run(input));
                drop(runtime);
                drop(is_running);
            })?;
        has_started.recv().map_err(io::Error::other)??;
        Ok(Self { commands, stop })
    }

    /// Queues a connection for the shard. It is closed if the shard has ended.
    pub(in crate::server) async fn serve(
        &self,
        accepted: Accepted,
        listener: ListenerNumber,
        admitted: Admitted,
    ) {
        let command = ShardCommand::Serve(accepted, listener, admitted);
        drop(self.commands.send(command).await);
    }

    /// Applies another configuration; returns when the shard uses it or has ended.
    pub(in crate::server) async fn reload(&self, generation: Arc<Generation>) {
        let (reply, replied) = oneshot::channel();
        let command = ShardCommand::Reload(generation, reply);
        drop(self.commands.send(command).await);
        drop(replied.await);
    }

    /// Waits until the shard has handled a command.
    pub(in crate::server) async fn probe(&self) {
        let (reply, replied) = oneshot::channel();
        drop(self.commands.send(ShardCommand::Probe(reply)).await);
        drop(replied.await);
    }

    /// Makes the shard end its connections, which get the `grace` period to finish, and then
    /// itself.
    pub(in crate::server) fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }

    /// Waits until the shard has ended.
    pub(in crate::server) async fn wait_until_ended(&self) {
        self.stop.closed().await;
    }
}

fn timeouts(limits: &ConnectionLimits) -> FollowerTimeouts {
    FollowerTimeouts {
        send: limits.send_timeout,
        ping: limits.ping_timeout,
    }
}

/// The state of the thread.
struct ShardWorker {
    shard: Shard,
    slots: Vec<(ListenerNumber, Rc<ListenerSlot>)>,
    notices: PendingNotices,
}

impl ShardWorker {
    fn new(shard: Shard, generation: &Generation) -> Self {
        let notices = PendingNotices::default();
        let slots = snapshots(generation, &notices)
            .map(|(number, snapshot)| (number, Rc::new(ListenerSlot::new(snapshot))))
            .collect();
        Self {
            shard,
            slots,
            notices,
        }
    }

    /// Handles commands until it is stopped; then ends the connections of the shard.
    async fn run(mut self, input: ShardInput) {
        let ShardInput {
            mut commands,
            mut stop,
        } = input;
        let deliver = keep_running(&self.shard, "delivery", async |shard: Shard| {
            shard.run_deliveries().await
        });
        let keep_time = keep_running(&self.shard, "time-keeping", async |shard: Shard| {
            shard.run_timers().await
        });
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.handle(command),
                    None => break,
                },
                _ = stop.changed() => break,
            }
        }
        // All listeners are closed; connections that are still queued are dropped.
        drop(commands);
        self.shard.stop();
        let grace = stop.borrow().unwrap_or_default();
        self.drain(grace).await;
        deliver.abort();
        keep_time.abort();
    }

    /// Waits for the end of all connections, then of the notices that they have caused, for at
    /// most `grace`.
    async fn drain(&self, grace: Duration) {
        let drained = async {
            self.shard.drained().await;
            self.notices.wait_until_empty().await;
        };
        if time_limit::within(grace, drained).await.is_some() {
            return;
        }
        let connections = self.shard.connections();
        let notices = self.notices.count();
        if connections > 0 {
            tracing::warn!(
                connections,
                "closing connections that did not end within the grace period (--grace)"
            );
        }
        if notices > 0 {
            tracing::warn!(
                notices,
                "dropping notices to back-ends that did not respond within the grace period \
                 (--grace)"
            );
        }
    }

    fn handle(&mut self, command: ShardCommand) {
        match command {
            ShardCommand::Serve(accepted, listener, admitted) => {
                self.serve(accepted, listener, admitted);
            }
            // The senders of replies may have stopped waiting.
            ShardCommand::Reload(generation, reply) => {
                self.reload(&generation);
                let _ = reply.send(());
            }
            ShardCommand::Probe(reply) => {
                let _ = reply.send(());
            }
        }
    }

    /// Starts to serve a connection.
    fn serve(&self, accepted: Accepted, listener: ListenerNumber, admitted: Admitted) {
        // A reload may have removed the listener while the connection was queued.
        let Some((_, slot)) = self.slots.iter().find(|(number, _)| *number == listener) else {
            tracing::debug!("closing a connection: a reload has removed its listener");
            return self.shard.broker().count(Incident::EndedByShutdown);
        };
        let (outlet, peer) = match accepted.open() {
            Ok(opened) => opened,
            Err(error) => {
                let reason = Incident::SetupFailed.name();
                tracing::debug!(%error, reason, "a connection is ended");
                return self.shard.broker().count(Incident::SetupFailed);
            }
        };
        let connection = Connection::new(self.shard.clone(), outlet, slot, peer);
        tokio::task::spawn_local(serve(connection, admitted, self.shard.clone()));
    }

    /// Serves the next request of every connection with this configuration. Ends the followers
    /// whose listener or location was removed; the others keep their settings.
    fn reload(&mut self, generation: &Generation) {
        self.shard.set_timeouts(timeouts(&generation.config.limits));
        let mut before = std::mem::take(&mut self.slots);
        for (number, snapshot) in snapshots(generation, &self.notices) {
            let slot = match before.iter().position(|(other, _)| *other == number) {
                Some(at) => {
                    let (_, slot) = before.swap_remove(at);
                    slot.replace(snapshot);
                    slot
                }
                None => Rc::new(ListenerSlot::new(snapshot)),
            };
            self.slots.push((number, slot));
        }
        before.iter().for_each(|(_, slot)| slot.close());
        self.shard.wake_all();
    }
}

/// Creates the snapshots of all listeners for a shard; they share formats and back-ends.
fn snapshots(
    generation: &Generation,
    notices: &PendingNotices,
) -> impl Iterator<Item = (ListenerNumber, ListenerSnapshot)> {
    let formats = Rc::new(Formats::default());
    let config = &generation.config;
    let backend = Arc::new(BackendClient::new(&config.limits, notices.clone()));
    generation
        .listeners
        .iter()
        .zip(&config.listeners)
        .map(move |((number, index), listener)| {
            (
                *number,
                ListenerSnapshot::new(
                    listener.clone(),
                    Arc::clone(index),
                    config.limits.clone(),
                    Rc::clone(&formats),
                    Arc::clone(&backend),
                ),
            )
        })
}

/// Serves a connection to its end. A panic ends this connection only; it is counted, and dropping
/// the connection removes its followers from the shard.
///
/// Not an `async fn`, whose future would store each argument twice: every open connection has one
/// such future.
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

/// Runs a task of the shard until it is aborted. A task that panics is restarted after the state
/// of the shard has been repaired: a bug in one round must not stop all later ones.
fn keep_running(
    shard: &Shard,
    name: &'static str,
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
            shard.recover_from_panic(name);
        }
    })
}

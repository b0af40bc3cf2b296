//! The main loop of a running server: accepts connections, handles commands, reloads the
//! configuration, shuts down.
//!
//! A reload is atomic: it opens all new listeners before it changes anything, so that it succeeds
//! as a whole or changes nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::generation::{Generation, ListenerNumber, ServedCounts};
use super::server::{Server, ServerError, apply_process_settings, bind, shard_count};
use super::shards::Shards;
use crate::server::broker::{Broker, TICK};
use crate::server::config::{Config, ListenAddress, Listener};
use crate::server::http::{Bound, InheritedSocket};
use crate::server::observe::access_log;

/// A command to a running server.
#[derive(Debug)]
pub enum Command {
    /// Applies a configuration and reports the result.
    Reload(Box<Config>, oneshot::Sender<Result<Reloaded, ServerError>>),
    /// Replies as soon as every shard has replied: a liveness check.
    Probe(oneshot::Sender<()>),
    /// Ends all connections, then the server. A second `Stop` closes the remaining connections at
    /// once.
    Stop(StopKind),
}

/// How long a stopping server waits for its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// For the grace period of the configuration; then they are closed.
    WithinGrace,
    /// For requests that have begun, as long as their own limits allow.
    Gracefully,
}

/// Result of a successful reload.
#[derive(Debug)]
pub struct Reloaded {
    /// Numbers of locations and addresses that are served now.
    pub counts: ServedCounts,
    /// All listening addresses, with the ports that the system chose.
    pub addresses: Vec<ListenAddress>,
    /// Addresses that were opened.
    pub opened: Vec<ListenAddress>,
    /// Addresses that were closed.
    pub closed: Vec<ListenAddress>,
    /// Changes that have no effect until a restart.
    pub needs_restart: Vec<NeedsRestart>,
}

/// A change of the configuration that has no effect until the server is restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeedsRestart {
    /// The number of shards.
    Shards {
        /// Number of running shards.
        running: usize,
        /// Number in the new configuration.
        configured: usize,
    },
    /// The id of the events channel.
    EventsChannel,
    /// Whether a listening address accepts IPv4 connections, too.
    AcceptsIpv4(ListenAddress),
}

impl NeedsRestart {
    /// Name of the directive, without `push_stream_`.
    #[must_use]
    pub fn directive(&self) -> &'static str {
        match self {
            NeedsRestart::Shards { .. } => "worker_processes",
            NeedsRestart::EventsChannel => "events_channel_id",
            NeedsRestart::AcceptsIpv4(_) => "listen",
        }
    }
}

impl std::fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NeedsRestart::Shards {
                running,
                configured,
            } => write!(
                f,
                "the number of shards changes from {running} to {configured} at the next restart"
            ),
            NeedsRestart::EventsChannel => {
                f.write_str("the events channel changes at the next restart")
            }
            NeedsRestart::AcceptsIpv4(address) => {
                write!(f, "\"ipv6only\" of {address} changes at the next restart")
            }
        }
    }
}

impl Server {
    /// Serves until it receives [`Command::Stop`] or all senders of `commands` are dropped; then
    /// ends all connections.
    ///
    /// # Errors
    /// When a shard cannot be started or a listener fails.
    pub async fn run(self, mut commands: mpsc::Receiver<Command>) -> Result<(), ServerError> {
        let mut running = Running::start(self)?;
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        let (kind, result) = loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Reload(config, reply)) => {
                        let result = running.reload(*config).await;
                        // The caller may have stopped waiting.
                        let _ = reply.send(result);
                    }
                    Some(Command::Probe(reply)) => running.probe(reply),
                    Some(Command::Stop(kind)) => break (kind, Ok(())),
                    None => break (StopKind::WithinGrace, Ok(())),
                },
                _ = tick.tick() => running.broker.tick(),
                Some(ended) = running.accept_tasks.join_next() => {
                    if let Ok(Err(error)) = ended {
                        break (StopKind::WithinGrace, Err(ServerError::Accept(error)));
                    }
                }
            }
        };
        running.stop(kind, &mut commands).await;
        result
    }
}

/// A bound listener that does not accept connections yet.
struct OpenedListener {
    number: ListenerNumber,
    address: ListenAddress,
    bound: Bound,
}

/// A listener that accepts connections.
struct AcceptingListener {
    number: ListenerNumber,
    address: ListenAddress,
    task: AbortHandle,
}

/// The listeners of a new configuration.
struct ListenerPlan {
    /// Numbers of all of them, in the order of the configuration.
    numbers: Vec<ListenerNumber>,
    /// Those that the running configuration does not have.
    opened: Vec<OpenedListener>,
}

struct Running {
    generation: Arc<Generation>,
    inherited: Vec<InheritedSocket>,
    broker: Broker,
    shards: Arc<Shards>,
    accept_tasks: JoinSet<io::Result<()>>,
    listeners: Vec<AcceptingListener>,
    next_number: ListenerNumber,
}

impl Running {
    fn start(server: Server) -> Result<Self, ServerError> {
        let Server {
            generation,
            inherited,
            bound,
            broker,
        } = server;
        let generation = Arc::new(generation);
        let shards = Shards::start(&generation, &broker)?;
        let mut running = Self {
            generation,
            inherited,
            broker,
            shards,
            accept_tasks: JoinSet::new(),
            listeners: Vec::new(),
            next_number: bound.len() as ListenerNumber,
        };
        for (number, bound) in (0..).zip(bound) {
            let address = bound.address().map_err(ServerError::Accept)?;
            running.accept_from(OpenedListener {
                number,
                address,
                bound,
            });
        }
        Ok(running)
    }

    /// Starts to accept connections from a listener.
    fn accept_from(&mut self, listener: OpenedListener) {
        let OpenedListener {
            number,
            address,
            bound,
        } = listener;
        let shards = Arc::clone(&self.shards);
        let assign = async move |accepted| shards.assign(accepted, number).await;
        let task = self
            .accept_tasks
            .spawn(bound.accept_all(self.broker.clone(), assign));
        self.listeners.push(AcceptingListener {
            number,
            address,
            task,
        });
    }

    /// Replaces the configuration by `config`. Changes nothing on an error.
    async fn reload(&mut self, mut config: Config) -> Result<Reloaded, ServerError> {
        let ListenerPlan { numbers, opened } = self.open_listeners(&config)?;
        let needs_restart = self.keep_unchangeable(&mut config, &numbers);
        let before = Arc::clone(&self.generation);
        self.generation = Arc::new(Generation::new(config, &numbers, Some(&before)));
        let config = &self.generation.config;
        apply_process_settings(config);
        self.broker.apply(config.broker.clone());
        self.shards.apply_limits(&config.limits);
        self.shards.reload(&self.generation).await;
        let opened_addresses = opened
            .iter()
            .map(|listener| listener.address.clone())
            .collect();
        let closed = self.close_listeners(&numbers);
        opened
            .into_iter()
            .for_each(|listener| self.accept_from(listener));
        access_log::reopen();
        let addresses = self
            .listeners
            .iter()
            .map(|listener| listener.address.clone())
            .collect();
        Ok(Reloaded {
            counts: self.generation.served_counts(),
            addresses,
            opened: opened_addresses,
            closed,
            needs_restart,
        })
    }

    /// Numbers the listeners of `config` and opens those that are new.
    fn open_listeners(&mut self, config: &Config) -> Result<ListenerPlan, ServerError> {
        let before = &self.generation;
        let mut unmatched: Vec<(ListenerNumber, &Listener)> = before
            .listeners
            .iter()
            .map(|(number, _)| *number)
            .zip(&before.config.listeners)
            .collect();
        let mut numbers = Vec::new();
        let mut new = Vec::new();
        for listener in &config.listeners {
            if let Some(index) = unmatched
                .iter()
                .position(|(_, known)| known.address == listener.address)
            {
                numbers.push(unmatched.remove(index).0);
            } else {
                numbers.push(self.next_number);
                new.push((self.next_number, listener));
                self.next_number += 1;
            }
        }
        let mut opened = Vec::new();
        for (number, listener) in new {
            let bound = bind(listener, config, &self.inherited)
                .map_err(|error| explain_port_in_use(error, listener, &unmatched))?;
            opened.push(OpenedListener {
                number,
                address: bound.address().map_err(ServerError::Accept)?,
                bound,
            });
        }
        Ok(ListenerPlan { numbers, opened })
    }

    /// Stops accepting from listeners whose number is not in `numbers`; returns their addresses.
    fn close_listeners(&mut self, numbers: &[ListenerNumber]) -> Vec<ListenAddress> {
        self.listeners
            .extract_if(.., |listener| !numbers.contains(&listener.number))
            .map(|listener| {
                listener.task.abort();
                listener.address
            })
            .collect()
    }

    /// Resets settings of `config` that cannot change while the server runs; returns the resets.
    fn keep_unchangeable(
        &self,
        config: &mut Config,
        numbers: &[ListenerNumber],
    ) -> Vec<NeedsRestart> {
        let before = &self.generation.config;
        let mut kept = Vec::new();
        let configured = shard_count(config);
        if configured != before.shards {
            kept.push(NeedsRestart::Shards {
                running: before.shards,
                configured,
            });
        }
        config.shards = before.shards;
        if config.broker.events_channel_id != before.broker.events_channel_id {
            kept.push(NeedsRestart::EventsChannel);
            config.broker.events_channel_id = before.broker.events_channel_id.clone();
        }
        for (number, listener) in numbers.iter().zip(&mut config.listeners) {
            let known = self
                .generation
                .listeners
                .iter()
                .zip(&before.listeners)
                .find(|((other, _), _)| other == number);
            if let Some((_, known)) =
                known.filter(|(_, known)| known.accepts_ipv4 != listener.accepts_ipv4)
            {
                kept.push(NeedsRestart::AcceptsIpv4(listener.address.clone()));
                listener.accepts_ipv4 = known.accepts_ipv4;
            }
        }
        kept
    }

    /// Replies as soon as every shard has, in a task: a stuck shard must not block the main loop.
    fn probe(&self, reply: oneshot::Sender<()>) {
        let shards = Arc::clone(&self.shards);
        tokio::spawn(async move {
            shards.probe().await;
            // The caller may have stopped waiting.
            let _ = reply.send(());
        });
    }

    async fn stop(mut self, kind: StopKind, commands: &mut mpsc::Receiver<Command>) {
        self.accept_tasks.shutdown().await;
        let grace = match kind {
            StopKind::WithinGrace => self.generation.config.limits.grace,
            StopKind::Gracefully => Duration::MAX,
        };
        let second_stop = async {
            while let Some(command) = commands.recv().await {
                if matches!(command, Command::Stop(_)) {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = self.shards.stop(grace) => {}
            () = second_stop => {
                tracing::warn!("second stop signal: closing the remaining connections");
            }
        }
        access_log::flush();
    }
}

/// Names the way out where the port of a new listener is in use by one that the reload closes.
fn explain_port_in_use(
    error: ServerError,
    listener: &Listener,
    closing: &[(ListenerNumber, &Listener)],
) -> ServerError {
    let ServerError::Bind { address, reason } = error else {
        return error;
    };
    let port = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    };
    let wanted = port(&listener.address).filter(|_| reason.kind() == io::ErrorKind::AddrInUse);
    let used = closing
        .iter()
        .map(|(_, listener)| &listener.address)
        .find(|used| wanted.is_some() && port(used) == wanted);
    match used {
        Some(used) => ServerError::PortInUse {
            address,
            used: used.clone(),
        },
        None => ServerError::Bind { address, reason },
    }
}

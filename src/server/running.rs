//! A server while it runs: accepting, orders from outside, the reload of the configuration, and the
//! end.
//!
//! A reload opens everything that it needs before it changes anything, so that it is done as a
//! whole or not at all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::admission::Admission;
use super::broker::{Broker, TICK};
use super::config::{Config, ListenAddress, Listener};
use super::generation::{Generation, ListenerNumber};
use super::http::{self, Accepted, Bound, InheritedSocket};
use super::shard_thread::ShardThread;
use super::{ServedCounts, Server, ServerError, bind, shards_of};

/// What a running server is told.
#[derive(Debug)]
pub enum Command {
    /// Go on with this configuration, and say what came of it.
    Reload(Box<Config>, oneshot::Sender<Result<Reloaded, ServerError>>),
    /// Answer as soon as every shard has.
    Probe(oneshot::Sender<()>),
    /// End all connections properly, then the server; told again: at once.
    Stop(StopKind),
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// Connections get the time of grace, then they are cut.
    WithinGrace,
    /// Requests that have begun may take as long as their own limits allow.
    Gracefully,
}

/// What a reload led to.
#[derive(Debug)]
pub struct Reloaded {
    /// How much is served now.
    pub counts: ServedCounts,
    /// All addresses that are listened on now, with the ports that the system chose.
    pub addresses: Vec<ListenAddress>,
    /// Those among them that are new.
    pub opened: Vec<ListenAddress>,
    /// Addresses that are listened on no more.
    pub closed: Vec<ListenAddress>,
    /// What the configuration says and only a restart can change.
    pub kept: Vec<NeedsRestart>,
}

/// Something that stays as it is until the server is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeedsRestart {
    /// The number of shards.
    Shards {
        /// It stays this.
        running: usize,
        /// The configuration asks for this.
        wanted: usize,
    },
    /// The events channel.
    EventsChannel,
    /// Whether an address takes IPv4 connections, too.
    AcceptsIpv4(ListenAddress),
}

impl NeedsRestart {
    /// The directive, without `push_stream_`.
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
            NeedsRestart::Shards { running, wanted } => write!(
                f,
                "the number of shards stays {running} until a restart, which makes it {wanted}"
            ),
            NeedsRestart::EventsChannel => {
                f.write_str("the events channel stays as it is until a restart")
            }
            NeedsRestart::AcceptsIpv4(address) => write!(
                f,
                "\"ipv6only\" of {address} stays as it is until a restart"
            ),
        }
    }
}

impl Server {
    /// Serves until it is told to stop, then ends all connections properly. Whoever gives orders
    /// has to stay: without anybody the server stops.
    ///
    /// # Errors
    /// When a shard cannot be started or a listener breaks.
    pub async fn run(self, mut orders: mpsc::Receiver<Command>) -> Result<(), ServerError> {
        let mut running = Running::start(self)?;
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        let (kind, result) = loop {
            tokio::select! {
                order = orders.recv() => match order {
                    // Whoever asked may not wait any more.
                    Some(Command::Reload(config, answer)) => drop(answer.send(running.reload(*config).await)),
                    Some(Command::Probe(answer)) => running.answer(answer),
                    Some(Command::Stop(kind)) => break (kind, Ok(())),
                    None => break (StopKind::WithinGrace, Ok(())),
                },
                _ = tick.tick() => running.broker.tick(),
                Some(ended) = running.accepting.join_next() => {
                    if let Ok(Err(error)) = ended {
                        break (StopKind::WithinGrace, Err(ServerError::Accept(error)));
                    }
                }
            }
        };
        running.stop(kind, &mut orders).await;
        result
    }
}

/// A listener that nobody accepts from yet.
type Opened = (ListenerNumber, ListenAddress, Bound);

struct Running {
    generation: Arc<Generation>,
    passed: Vec<InheritedSocket>,
    broker: Broker,
    shards: Arc<Shards>,
    accepting: JoinSet<io::Result<()>>,
    /// Where is listened, and the tasks that accept.
    listeners: Vec<(ListenerNumber, ListenAddress, AbortHandle)>,
    next_listener: ListenerNumber,
}

impl Running {
    fn start(server: Server) -> Result<Self, ServerError> {
        let Server {
            generation,
            passed,
            bound,
            broker,
        } = server;
        let generation = Arc::new(generation);
        let shards = Shards::start(&generation, &broker)?;
        let (accepting, listeners, next_listener) =
            (JoinSet::new(), Vec::new(), bound.len() as ListenerNumber);
        let mut running = Self {
            generation,
            passed,
            broker,
            shards,
            accepting,
            listeners,
            next_listener,
        };
        for (number, bound) in (0..).zip(bound) {
            let address = bound.address().map_err(ServerError::Accept)?;
            running.accept((number, address, bound));
        }
        Ok(running)
    }

    fn accept(&mut self, (number, address, bound): Opened) {
        let shards = Arc::clone(&self.shards);
        let take = async move |accepted| shards.place(accepted, number).await;
        self.listeners.push((
            number,
            address,
            self.accepting
                .spawn(bound.accept_all(self.broker.clone(), take)),
        ));
    }

    /// Goes on with `config`, or changes nothing.
    async fn reload(&mut self, mut config: Config) -> Result<Reloaded, ServerError> {
        let (numbers, opened) = self.open(&config)?;
        let kept = self.keep(&mut config, &numbers);
        let before = Arc::clone(&self.generation);
        self.generation = Arc::new(Generation::new(config, &numbers, Some(&before)));
        let config = &self.generation.config;
        super::apply_process_settings(config);
        self.broker.apply(config.broker.clone());
        self.shards.admission.apply(&config.limits);
        self.shards.reload(&self.generation).await;
        let (going, staying) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|(number, ..)| !numbers.contains(number));
        self.listeners = staying;
        let opened_addresses = opened
            .iter()
            .map(|(_, address, _)| address.clone())
            .collect();
        opened.into_iter().for_each(|opened| self.accept(opened));
        let closed = going
            .into_iter()
            .map(|(_, address, task): (_, _, AbortHandle)| {
                task.abort();
                address
            });
        let closed = closed.collect();
        http::reopen_access_logs();
        let addresses = self
            .listeners
            .iter()
            .map(|(_, address, _)| address.clone())
            .collect();
        Ok(Reloaded {
            counts: self.generation.served_counts(),
            addresses,
            opened: opened_addresses,
            closed,
            kept,
        })
    }

    /// The numbers of the listeners of `config`, and those among them that are new, opened.
    fn open(&mut self, config: &Config) -> Result<(Vec<ListenerNumber>, Vec<Opened>), ServerError> {
        let before = &self.generation;
        let mut free: Vec<(ListenerNumber, &Listener)> = before
            .listeners
            .iter()
            .map(|(number, _)| *number)
            .zip(&before.config.listeners)
            .collect();
        let mut numbers = Vec::new();
        let mut new = Vec::new();
        for listener in &config.listeners {
            if let Some(at) = free
                .iter()
                .position(|(_, known)| known.address == listener.address)
            {
                numbers.push(free.remove(at).0);
            } else {
                numbers.push(self.next_listener);
                new.push((self.next_listener, listener));
                self.next_listener += 1;
            }
        }
        let open = |(number, listener): (ListenerNumber, &Listener)| {
            let bound = bind(listener, config, &self.passed)
                .map_err(|error| explained(error, listener, &free))?;
            Ok((number, bound.address().map_err(ServerError::Accept)?, bound))
        };
        Ok((
            numbers,
            new.into_iter()
                .map(open)
                .collect::<Result<Vec<_>, ServerError>>()?,
        ))
    }

    /// Puts into `config` what cannot change while the server runs.
    fn keep(&self, config: &mut Config, numbers: &[ListenerNumber]) -> Vec<NeedsRestart> {
        let before = &self.generation.config;
        let mut kept = Vec::new();
        let wanted = shards_of(config);
        if wanted != before.shards {
            kept.push(NeedsRestart::Shards {
                running: before.shards,
                wanted,
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

    /// Answers as soon as every shard has; a shard that does not must not keep us from anything
    /// else.
    fn answer(&self, answer: oneshot::Sender<()>) {
        let shards = Arc::clone(&self.shards);
        tokio::spawn(async move {
            for thread in &shards.threads {
                thread.answers().await;
            }
            // Whoever asked may not wait any more.
            let _ = answer.send(());
        });
    }

    async fn stop(mut self, kind: StopKind, orders: &mut mpsc::Receiver<Command>) {
        self.accepting.shutdown().await;
        let grace = match kind {
            StopKind::WithinGrace => self.generation.config.limits.grace,
            StopKind::Gracefully => Duration::MAX,
        };
        let told_again = async {
            while let Some(order) = orders.recv().await {
                if matches!(order, Command::Stop(_)) {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = self.shards.stop(grace) => {}
            () = told_again => tracing::warn!("told to end once more: connections are cut"),
        }
        http::flush_access_logs();
    }
}

/// Says what to do where the port of a listener is that of one that goes.
fn explained(
    error: ServerError,
    listener: &Listener,
    going: &[(ListenerNumber, &Listener)],
) -> ServerError {
    let ServerError::Bind { address, reason } = error else {
        return error;
    };
    let port = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    };
    let wanted = port(&listener.address).filter(|_| reason.kind() == io::ErrorKind::AddrInUse);
    let used = going
        .iter()
        .map(|(_, listener)| &listener.address)
        .find(|used| wanted.is_some() && port(used) == wanted);
    match used {
        Some(used) => ServerError::Overlap {
            address,
            used: used.clone(),
        },
        None => ServerError::Bind { address, reason },
    }
}

/// The shards and how full they are.
struct Shards {
    threads: Vec<ShardThread>,
    admission: Arc<Admission>,
}

impl Shards {
    fn start(generation: &Arc<Generation>, broker: &Broker) -> Result<Arc<Self>, ServerError> {
        let config = &generation.config;
        let start = |index| {
            ShardThread::start(index, Arc::clone(generation), broker.clone())
                .map_err(ServerError::Shard)
        };
        let threads = (0..config.shards)
            .map(start)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Self {
            threads,
            admission: Admission::new(config.shards, &config.limits, broker.clone()),
        }))
    }

    /// Gives a connection to its shard, or refuses it.
    async fn place(&self, accepted: Accepted, listener: ListenerNumber) {
        match self.admission.admit(accepted.source()) {
            Ok(admitted) => {
                self.threads[admitted.shard()]
                    .give(accepted, listener, admitted)
                    .await
            }
            Err(_counted) => accepted.refuse(),
        }
    }

    async fn reload(&self, generation: &Arc<Generation>) {
        let reloads = self
            .threads
            .iter()
            .map(|thread| thread.reload(Arc::clone(generation)));
        futures_util::future::join_all(reloads).await;
    }

    async fn stop(&self, grace: Duration) {
        self.threads.iter().for_each(|thread| thread.stop(grace));
        for thread in &self.threads {
            thread.ended().await;
        }
    }
}

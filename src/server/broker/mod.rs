//! The broker: channels, their logs, limits, life cycle and counters. It contains neither HTTP nor
//! sockets nor protocol families.
//!
//! Its locks, their order and the longest work under each are listed in docs/architecture.md. They
//! are never held across an await, and are released before a task is woken.

mod attributes;
mod channel;
pub mod channel_key;
mod clock;
mod counters;
mod engine;
mod errors;
mod groups;
mod housekeeping;
mod inbox;
mod log;
mod memory;
mod message;
mod presence;
mod publishing;
mod registry;
mod trash;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use parking_lot::Mutex;

pub use attributes::{Attributes, StoreOptions};
pub use channel::{
    AttachRequest, Attachment, Channel, ChannelHead, ChannelInfo, ChannelReader, ChannelRequests,
    MAX_SHARDS, Snapshot, SubscriptionTraits, Subscriptions, read_snapshot,
};
pub use clock::PositionClock;
pub use counters::{BrokerCounters, BrokerSummary, Incident, ShardSummary, SlowConsumerOutcome};
pub use engine::{PendingTickets, Ticket, Tickets, Waiter};
pub use errors::{AttachError, CreateError, PublishError};
pub use groups::{BrokerGroups, GroupInfo, GroupLimitError, GroupLimits};
pub use inbox::Inbox;
pub use log::{ChannelStart, Cursor, LogCursor, LogSlice, MissedCount};
pub use memory::{BrokerMemory, Charge, OutOfMemory, Reservation};
pub use message::{Message, NewMessage};
pub use presence::{BrokerPresences, Presence};

use super::config::BrokerSettings;
use crate::server::observe::limits_log::Limit;
use channel::{IdleWatch, NewChannel};
use counters::{Counters, Incidents, ShardCounters};
use engine::Engine;
use groups::Groups;
use log::LogAccounts;
use memory::{MemoryBounds, MemoryMeter, ResidentBound, sixteenth_of};
use presence::Presences;
use registry::Registry;
use trash::Trash;

/// Period at which messages expire and idle channels are collected, as in the module
/// (push-stream.md, section 3).
pub const TICK: Duration = Duration::from_secs(4);

/// A handle to the broker, of a shard or of any other thread.
#[derive(Clone, Debug)]
pub struct Broker(
    Arc<Inner>,
    /// The shard whose tasks use the handle.
    #[cfg_attr(
        not(debug_assertions),
        allow(dead_code, reason = "the memory engine acknowledges at once")
    )]
    Option<usize>,
);

impl PartialEq for Broker {
    /// True for handles to the same broker.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug)]
struct Inner {
    settings: ArcSwap<BrokerSettings>,
    engine: Engine,
    max_lag_bytes: u64,
    registry: Registry,
    clock: PositionClock,
    memory: Arc<MemoryMeter>,
    accounts: Arc<LogAccounts>,
    /// Meter of connections and their pending bytes; unused (limit 0) if `memory` includes them.
    connections: Arc<MemoryMeter>,
    /// The part of either meter that cached requests of connections may use: a sixteenth of the
    /// memory.
    cached_requests: Arc<MemoryMeter>,
    /// Meter of incoming bodies and websocket messages, so that a full store does not keep requests
    /// from being handled.
    incoming: Arc<MemoryMeter>,
    resident: Arc<ResidentBound>,
    counters: Counters,
    incidents: Incidents,
    trash: Mutex<Trash>,
    idle: IdleWatch,
    groups: Groups,
    presences: Presences,
    inboxes: Vec<Arc<Inbox>>,
    events: Option<Arc<Channel>>,
    started: Instant,
}

impl Broker {
    /// Creates a broker for `shards` shards that holds up to `max_lag_bytes` of each channel for
    /// followers that are behind.
    ///
    /// # Errors
    /// If the memory bound is too small for the events channel.
    pub fn new(
        settings: BrokerSettings,
        shards: usize,
        max_lag_bytes: u64,
    ) -> Result<Self, CreateError> {
        let bounds = MemoryBounds::of(&settings);
        let resident = Arc::<ResidentBound>::default();
        resident.set(bounds.resident());
        let meter = |limit| MemoryMeter::within(limit, &resident);
        let memory = meter(bounds.memory);
        let shard_counters = (0..shards).map(|_| ShardCounters::default()).collect();
        let mut inner = Inner {
            max_lag_bytes,
            registry: Registry::new(),
            clock: PositionClock::new(settings.separates_runs),
            accounts: LogAccounts::new(&memory),
            memory,
            connections: meter(bounds.connections),
            cached_requests: MemoryMeter::new(sixteenth_of(bounds.memory)),
            incoming: meter(bounds.incoming),
            resident: Arc::clone(&resident),
            counters: Counters {
                shards: shard_counters,
                ..Counters::default()
            },
            incidents: Incidents::default(),
            trash: Mutex::default(),
            idle: IdleWatch::default(),
            groups: Groups::default(),
            presences: Presences::default(),
            inboxes: (0..shards).map(|_| Arc::default()).collect(),
            events: None,
            started: Instant::now(),
            engine: Engine::new(&settings.engine),
            settings: ArcSwap::from_pointee(settings),
        };
        let id = inner.settings.load().events_channel_id.clone();
        if !id.is_empty() {
            inner.events = Some(
                inner
                    .registry
                    .find_or_insert(&id, || inner.make_channel(&id))?
                    .0,
            );
        }
        let inner = Arc::new(inner);
        #[cfg(debug_assertions)]
        if let Engine::Test(engine) = &inner.engine {
            engine.start(&inner);
        }
        Ok(Self(inner, None))
    }

    /// The handle of a shard: it wakes the tasks that wait for acknowledgements.
    #[must_use]
    pub fn at_shard(self, shard: usize) -> Self {
        Self(self.0, Some(shard))
    }

    /// What connections charge to the memory bounds.
    #[must_use]
    pub fn memory(&self) -> BrokerMemory<'_> {
        BrokerMemory(&self.0)
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> BrokerCounters<'_> {
        BrokerCounters(&self.0)
    }

    /// Counts an incident.
    pub fn count(&self, incident: Incident) {
        self.0.incidents.count(incident);
    }

    /// The groups of channels.
    #[must_use]
    pub fn groups(&self) -> BrokerGroups<'_> {
        BrokerGroups(&self.0)
    }

    /// The recorded lines of subscribers.
    #[must_use]
    pub fn presence(&self) -> BrokerPresences<'_> {
        BrokerPresences { broker: self }
    }

    /// The clock of all positions.
    #[must_use]
    pub fn clock(&self) -> &PositionClock {
        &self.0.clock
    }

    /// Subscriptions of followers.
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions { broker: self }
    }

    /// Operations for requests that do not follow.
    #[must_use]
    pub fn requests(&self) -> ChannelRequests<'_> {
        ChannelRequests { broker: self }
    }

    /// Default for the bytes that followers may be behind.
    #[must_use]
    pub fn max_lag_bytes(&self) -> u64 {
        self.0.max_lag_bytes
    }

    /// The current settings; [`Broker::apply`] changes them.
    #[must_use]
    pub fn settings(&self) -> Guard<Arc<BrokerSettings>> {
        self.0.settings.load()
    }

    /// Applies other settings. Stored messages stay until they expire by the new settings. The id
    /// of the events channel does not change. With a memory bound below the memory in use, new
    /// messages and channels are rejected until enough memory is free.
    pub fn apply(&self, settings: BrokerSettings) {
        let inner = &self.0;
        let events_channel_id = inner.settings.load().events_channel_id.clone();
        let bounds = MemoryBounds::of(&settings);
        inner.memory.set_limit(bounds.memory);
        inner.accounts.bound(bounds.memory);
        inner.connections.set_limit(bounds.connections);
        inner.cached_requests.set_limit(sixteenth_of(bounds.memory));
        inner.incoming.set_limit(bounds.incoming);
        inner.resident.set(bounds.resident());
        inner.settings.store(Arc::new(BrokerSettings {
            events_channel_id,
            ..settings
        }));
    }

    /// The inbox of a shard.
    #[must_use]
    pub fn inbox(&self, shard: usize) -> Arc<Inbox> {
        Arc::clone(&self.0.inboxes[shard])
    }

    /// The channel with this id, if it exists.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<Arc<Channel>> {
        self.0.registry.find(id)
    }

    /// True if `id` begins with the wildcard prefix.
    #[must_use]
    pub fn is_wildcard(&self, id: &[u8]) -> bool {
        self.0.is_wildcard(id)
    }

    /// True if `id` is the id of the events channel.
    #[must_use]
    pub fn is_events_channel(&self, id: &[u8]) -> bool {
        !id.is_empty() && self.0.settings.load().events_channel_id == id
    }

    /// The channel with this id; it is created if it does not exist.
    ///
    /// # Errors
    /// When a limit on channels or memory is reached.
    pub fn find_or_create(&self, id: &Bytes) -> Result<Arc<Channel>, CreateError> {
        let (channel, created) = self
            .0
            .registry
            .find_or_insert(id, || self.0.make_channel(id))?;
        if created {
            self.emit("channel_created", id);
        }
        Ok(channel)
    }

    /// Schedules a round of the channel on `shard`.
    pub fn schedule_round(&self, channel: &Arc<Channel>, shard: usize) {
        self.0.notify_shards(channel, 1 << shard);
    }

    /// The channels whose id begins with `prefix`, in the order of their creation.
    #[must_use]
    pub fn list(&self, prefix: &[u8]) -> impl ExactSizeIterator<Item = ChannelInfo> + use<> {
        self.0
            .registry
            .list(|channel| channel.id.starts_with(prefix))
            .into_iter()
            .map(|channel| channel.info())
    }
}

impl Inner {
    fn is_wildcard(&self, id: &[u8]) -> bool {
        let settings = self.settings.load();
        let prefix = &settings.wildcard_channel_prefix;
        !prefix.is_empty() && id.starts_with(prefix)
    }

    fn channel_counter(&self, is_wildcard: bool) -> &AtomicU64 {
        if is_wildcard {
            &self.counters.wildcard_channels
        } else {
            &self.counters.channels
        }
    }

    fn make_channel(&self, id: &Bytes) -> Result<Channel, CreateError> {
        let is_wildcard = self.is_wildcard(id);
        let settings = self.settings.load();
        let charge = self.charge(Channel::footprint(id, settings.memory_accounting))?;
        let max_channels = if is_wildcard {
            settings.max_number_of_wildcard_channels
        } else {
            settings.max_number_of_channels
        };
        let room = |count: u64| {
            Some(count + 1).filter(|count| max_channels.is_none_or(|max| *count <= max))
        };
        if self
            .channel_counter(is_wildcard)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_err()
        {
            if is_wildcard {
                Limit::WildcardChannels
            } else {
                Limit::Channels
            }
            .log();
            return Err(CreateError::TooManyChannels);
        }
        let number = self.counters.created.fetch_add(1, Ordering::Relaxed);
        // A copy, because the id may be a slice of a whole request.
        let id = Bytes::copy_from_slice(id);
        let is_events = id == settings.events_channel_id && !id.is_empty();
        let group = self.groups.of_channel(&id, |bytes| self.charge(bytes));
        Ok(Channel::new(NewChannel {
            id,
            number,
            is_wildcard,
            is_events,
            charge,
            accounts: Arc::clone(&self.accounts),
            group,
        }))
    }

    /// Charges bytes to the memory bound. A failure is counted as an incident.
    fn charge(&self, bytes: u64) -> Result<Charge, OutOfMemory> {
        self.memory
            .charge(bytes)
            .inspect_err(|_| self.incidents.count(Incident::NoMemory))
    }

    /// Puts the channel into the inboxes of these shards, given as bits.
    fn notify_shards(&self, channel: &Arc<Channel>, shards: u64) {
        for shard in (0..self.inboxes.len()).filter(|shard| shards & (1 << shard) != 0) {
            if channel.mark_dirty(shard) {
                self.inboxes[shard].push(Arc::clone(channel));
            }
        }
    }
}

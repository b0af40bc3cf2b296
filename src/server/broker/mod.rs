//! The broker: channels, their logs, limits, life cycle and counters. No HTTP, no sockets, no
//! dialects.
//!
//! Lock order: a part of the registry, then channels in the order of their creation, then an inbox
//! or the trash. Locks are held for a few instructions, never across an await, and are released
//! before anybody is woken.

mod attributes;
mod channel;
mod clock;
mod counters;
mod dropped;
mod errors;
mod fate;
mod groups;
mod inbox;
mod incidents;
mod life;
mod log;
mod memory;
mod message;
mod presence;
mod reading;
mod registry;
mod resident;
mod snapshot;
mod start;
mod subscription;
mod trash;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use parking_lot::Mutex;

pub use attributes::{Attributes, Keeping};
pub use channel::{Channel, ChannelInfo, MAX_SHARDS};
pub use counters::{ShardSummary, Slowness, Summary};
pub use dropped::Missed;
pub use errors::{AttachError, CreateError};
pub use groups::{GroupFull, GroupInfo, GroupLimits};
pub use inbox::Inbox;
pub use incidents::Incident;
pub use log::{Cursor, Place};
pub use memory::{Charge, OutOfMemory, Reservation};
pub use message::Message;
pub use presence::Presence;
pub use reading::Slice;
pub use snapshot::{Reader, Snapshot, read_together};
pub use start::Start;
use subscription::AttachRejection;
pub use subscription::{AttachRequest, Attachment, SubscriptionTraits};

use super::config::BrokerSettings;
use super::limits_log::Limit;
use clock::PositionClock;
use counters::{Counters, ShardCounters};
use groups::Groups;
use incidents::Incidents;
use log::{LogAccounts, Window};
use memory::{Bounds, MemoryMeter, sixteenth_of};
use presence::Presences;
use registry::Registry;
use resident::ResidentBound;
use trash::Trash;
use upkeep::IdleWatch;

/// Messages expire and idle channels are collected at ticks of this period, as in the module
/// (push-stream.md, section 3).
pub const TICK: Duration = Duration::from_secs(4);

/// A handle to the broker.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Inner>);

impl PartialEq for Broker {
    /// They are handles of the same one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug)]
struct Inner {
    settings: ArcSwap<BrokerSettings>,
    max_lag_bytes: u64,
    registry: Registry,
    clock: PositionClock,
    memory: Arc<MemoryMeter>,
    accounts: Arc<LogAccounts>,
    /// Of connections and of what waits for their sockets, where that is not part of `memory`.
    connections: Arc<MemoryMeter>,
    /// The part of either that may be taken by requests that connections remember: one in 16 of the
    /// memory.
    remembered: Arc<MemoryMeter>,
    /// For what is coming in: a full store must not keep requests from being answered.
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

/// A message to be published.
#[derive(Clone, Debug, Default)]
pub struct NewMessage {
    /// The bytes of the message.
    pub text: Bytes,
    /// `Event-Id` of the publisher.
    pub event_id: Option<Bytes>,
    /// `Event-Type` of the publisher.
    pub event_type: Option<Bytes>,
    /// What else is known of it.
    pub attributes: Option<Arc<Attributes>>,
}

impl NewMessage {
    /// The message for each of these channels: copies, and itself for the last one.
    pub fn for_each<C>(self, channels: &[C]) -> impl Iterator<Item = (&C, Self)> {
        channels
            .iter()
            .zip(std::iter::repeat_n(self, channels.len()))
    }
}

impl Broker {
    /// A broker for `shards` shards that holds `max_lag_bytes` of each channel for followers that
    /// are behind.
    ///
    /// # Errors
    /// If the memory bound does not even hold the events channel.
    pub fn new(
        settings: BrokerSettings,
        shards: usize,
        max_lag_bytes: u64,
    ) -> Result<Self, CreateError> {
        let bounds = Bounds::of(&settings);
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
            remembered: MemoryMeter::new(sixteenth_of(bounds.memory)),
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
        Ok(Self(Arc::new(inner)))
    }

    /// Bytes that followers may be behind where their location says nothing else.
    #[must_use]
    pub fn max_lag_bytes(&self) -> u64 {
        self.0.max_lag_bytes
    }

    /// The settings of this moment; [`Broker::apply`] changes them.
    #[must_use]
    pub fn settings(&self) -> Guard<Arc<BrokerSettings>> {
        self.0.settings.load()
    }

    /// Goes on with other settings: what is stored stays until it expires by them. Only the events
    /// channel is the one it was made with. A memory bound below what is used refuses what is new
    /// until there is room again.
    pub fn apply(&self, settings: BrokerSettings) {
        let inner = &self.0;
        let events_channel_id = inner.settings.load().events_channel_id.clone();
        let bounds = Bounds::of(&settings);
        inner.memory.set_limit(bounds.memory);
        inner.accounts.bound(bounds.memory);
        inner.connections.set_limit(bounds.connections);
        inner.remembered.set_limit(sixteenth_of(bounds.memory));
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

    /// The channel with this id, if there is one.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<Arc<Channel>> {
        self.0.registry.find(id)
    }

    /// True if `id` is one of a wildcard channel.
    #[must_use]
    pub fn is_wildcard(&self, id: &[u8]) -> bool {
        self.0.is_wildcard(id)
    }

    /// True if `id` is the events channel's.
    #[must_use]
    pub fn is_events_channel(&self, id: &[u8]) -> bool {
        !id.is_empty() && self.0.settings.load().events_channel_id == id
    }

    /// The channel with this id, made if there is none.
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

    /// Publishes to `channel`; if that was deleted meanwhile, to its successor of the same id.
    ///
    /// # Errors
    /// When a limit on channels or memory is reached; then nothing was published and no id is used
    /// up.
    pub fn publish(
        &self,
        channel: &Arc<Channel>,
        message: NewMessage,
        store: bool,
    ) -> Result<ChannelInfo, CreateError> {
        self.publish_keeping(channel, message, Keeping::new(store))
    }

    /// As [`Broker::publish`], and says how the message is kept.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub fn publish_keeping(
        &self,
        channel: &Arc<Channel>,
        message: NewMessage,
        keeping: Keeping,
    ) -> Result<ChannelInfo, CreateError> {
        let info = self.append(channel, message, keeping)?;
        self.0.counters.published.fetch_add(1, Ordering::Relaxed);
        if keeping.store {
            self.0.counters.stored.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.trash.lock().add_messages(1);
        }
        Ok(info)
    }

    fn append(
        &self,
        channel: &Arc<Channel>,
        mut message: NewMessage,
        keeping: Keeping,
    ) -> Result<ChannelInfo, CreateError> {
        let settings = self.settings();
        let accounting = settings.memory_accounting;
        let most = [settings.max_messages_stored_per_channel, keeping.max_stored]
            .into_iter()
            .flatten()
            .min();
        drop(settings);
        let window = Window {
            store: keeping.store,
            keep_live: false,
            max_stored: most.map_or(usize::MAX, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            }),
            takes_tag: keeping.store || keeping.counts,
            max_live_bytes: 0,
        };
        let mut successor = None;
        loop {
            let channel = successor.as_ref().unwrap_or(channel);
            let charge = self.0.charge(Message::footprint(&message, accounting))?;
            match channel.append(window, message, charge, &self.0.clock) {
                Ok(appended) => {
                    self.0.tell(channel, appended.followed_on);
                    self.account_dropped(channel, appended.dropped);
                    return Ok(appended.info);
                }
                Err(unpublished) => message = unpublished,
            }
            successor = Some(self.find_or_create(&channel.id)?);
        }
    }

    /// A share of what bodies and websocket messages that are coming in may take.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation::new(&self.0.incoming)
    }

    /// Opens a subscription on `channel` for a follower of `shard`; if the channel is gone, on its
    /// successor, which then takes its place.
    ///
    /// # Errors
    /// When the limit of subscribers or, for a successor, of channels is reached.
    pub fn attach(
        &self,
        channel: &mut Arc<Channel>,
        shard: usize,
        wish: AttachRequest<'_>,
    ) -> Result<Attachment, AttachError> {
        let most = [self.settings().max_subscribers_per_channel, wish.most]
            .into_iter()
            .flatten()
            .min();
        let most = most.unwrap_or(u64::MAX).saturating_add(wish.own);
        loop {
            match channel.attach(shard, wish, most) {
                Ok(Ok(attachment)) => {
                    self.0.tell(channel, attachment.expels_on);
                    self.emit_for(channel, "client_subscribed");
                    return Ok(attachment);
                }
                Ok(Err(AttachRejection::TooMany)) => {
                    Limit::Subscribers.log();
                    return Err(AttachError::TooManySubscribers);
                }
                Ok(Err(AttachRejection::NotAlone)) => return Err(AttachError::NotAlone),
                Err(_gone) => *channel = self.find_or_create(&channel.id)?,
            }
        }
    }

    /// Ends a subscription that [`Broker::attach`] opened in this manner.
    pub fn detach(&self, channel: &Arc<Channel>, shard: usize, manner: SubscriptionTraits) {
        channel.detach(shard, manner);
        self.emit_for(channel, "client_unsubscribed");
    }

    /// Lets a further round of `shard` come to the channel.
    pub fn revisit(&self, channel: &Arc<Channel>, shard: usize) {
        self.0.tell(channel, 1 << shard);
    }

    /// Resolves where a reader that does not wait stands, and what it misses: as
    /// [`Broker::attach`], without a subscription.
    #[must_use]
    pub fn reader(channel: &Arc<Channel>, backtrack: u32, cursor: &Cursor) -> (Reader, Missed) {
        let (place, missed) = channel.lock().log.resolve(backtrack, cursor);
        (
            Reader {
                channel: Arc::clone(channel),
                place,
                max_lag: u64::MAX,
            },
            missed,
        )
    }

    /// As [`Broker::reader`], in the terms of the channel.
    #[must_use]
    pub fn reader_from(channel: &Arc<Channel>, start: Start) -> Reader {
        let (place, _) = channel.lock().log.resolve_start(start);
        Reader {
            channel: Arc::clone(channel),
            place,
            max_lag: u64::MAX,
        }
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

    fn channel_counter(&self, wildcard: bool) -> &AtomicU64 {
        if wildcard {
            &self.counters.wildcard_channels
        } else {
            &self.counters.channels
        }
    }

    fn make_channel(&self, id: &Bytes) -> Result<Channel, CreateError> {
        let wildcard = self.is_wildcard(id);
        let settings = self.settings.load();
        let charge = self.charge(Channel::footprint(id, settings.memory_accounting))?;
        let most = if wildcard {
            settings.max_number_of_wildcard_channels
        } else {
            settings.max_number_of_channels
        };
        let room =
            |count: u64| Some(count + 1).filter(|count| most.is_none_or(|most| *count <= most));
        if self
            .channel_counter(wildcard)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_err()
        {
            if wildcard {
                Limit::WildcardChannels
            } else {
                Limit::Channels
            }
            .log();
            return Err(CreateError::TooManyChannels);
        }
        let number = self.counters.created.fetch_add(1, Ordering::Relaxed);
        // A copy: the id may be a slice of a whole request.
        let id = Bytes::copy_from_slice(id);
        let events = id == settings.events_channel_id && !id.is_empty();
        let group = self.groups.of_channel(&id, |bytes| self.charge(bytes));
        Ok(Channel::new(
            id,
            number,
            (wildcard, events),
            charge,
            (Arc::clone(&self.accounts), group),
        ))
    }

    /// A share of the memory bound; a lack of it is counted.
    fn charge(&self, bytes: u64) -> Result<Charge, OutOfMemory> {
        self.memory
            .charge(bytes)
            .inspect_err(|_| self.incidents.count(Incident::NoMemory))
    }

    /// Puts the channel into the inboxes of these shards.
    fn tell(&self, channel: &Arc<Channel>, shards: u64) {
        for shard in (0..self.inboxes.len()).filter(|shard| shards & (1 << shard) != 0) {
            if channel.mark_dirty(shard) {
                self.inboxes[shard].push(Arc::clone(channel));
            }
        }
    }
}

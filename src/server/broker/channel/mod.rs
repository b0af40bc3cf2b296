//! A channel: its log, its subscriptions, and the shards to notify.

mod info;
mod interest;
mod lifecycle;
mod requests;
mod snapshot;
mod subscription;

use std::sync::Arc;
#[cfg(debug_assertions)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

pub use info::ChannelInfo;
pub use lifecycle::ChannelHead;
pub(super) use lifecycle::Lifecycle;
pub use requests::ChannelRequests;
pub(super) use requests::IdleWatch;
pub use snapshot::{ChannelReader, Snapshot, read_snapshot};
pub use subscription::{AttachRequest, Attachment, SubscriptionTraits, Subscriptions};

use self::interest::FollowerInterest;
use self::subscription::AttachRejection;
use super::NewMessage;
use super::clock::PositionClock;
use super::groups::ChannelGroup;
use super::log::{AppendOptions, Log, LogAccounts, LogCursor, LogSlice};
use super::memory::{Charge, allocated};
use super::message::Message;
use crate::message::{Position, unix_now};
use crate::server::config::MemoryAccounting;

/// Maximum number of shards of a broker: a channel has one bit for each.
pub const MAX_SHARDS: usize = 64;

/// Memory of a channel besides itself and its id: entries in the registry, in inboxes, and on a
/// shard. Measured: 500 bytes in all with a short id.
const OTHER_BYTES: u64 = 160;

/// Memory of a channel in a module's shared memory, less a margin. 2 MiB hold 6,464 channels with
/// one message of up to 70 bytes in nchan, 324 bytes each, and 4,700 in push-stream.
const SHARED_MEMORY_BYTES: u64 = 96;
/// Bytes of an id that are free under that accounting: nchan keeps ids outside of its shared
/// memory.
const FREE_ID_BYTES: usize = 64;

/// A channel. It can outlive its deletion as long as it is referenced; the registry holds the
/// current channel of an id.
#[derive(Debug)]
pub struct Channel {
    /// Its id, decoded.
    pub id: Bytes,
    /// Its id begins with the wildcard prefix.
    pub is_wildcard: bool,
    /// It is the events channel.
    pub is_events: bool,
    /// Creation number: the order of listings and, with several channels, of locking.
    pub(super) number: u64,
    /// Shards that have the channel in their inbox, as bits.
    dirty: AtomicU64,
    /// Shards that have to end the waiting one-shot followers, as bits.
    evictions: AtomicU64,
    /// The engine has filled its log. The memory engine does not set it.
    #[cfg(debug_assertions)]
    is_open: AtomicBool,
    state: Mutex<ChannelState>,
    _charge: Charge,
}

#[derive(Debug)]
pub(super) struct ChannelState {
    pub(super) log: Log,
    pub(super) subscriptions: u64,
    /// Number of one-shot subscriptions.
    waiting: u64,
    /// Second of the latest request for messages of this channel alone; 0 = none.
    requested_second: u64,
    /// Second of its creation.
    created_second: u64,
    /// Until when the channel is kept although it is empty, if a request has set that.
    pub(super) kept_until: Option<Instant>,
    /// Time of the latest creation, publication or subscription.
    pub(super) active_at: Instant,
    pub(super) lifecycle: Lifecycle,
    interest: FollowerInterest,
}

/// The channel was deleted or collected since it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChannelGone;

/// Properties of a channel to be created.
pub(super) struct NewChannel {
    pub(super) id: Bytes,
    pub(super) number: u64,
    pub(super) is_wildcard: bool,
    pub(super) is_events: bool,
    pub(super) charge: Charge,
    pub(super) accounts: Arc<LogAccounts>,
    pub(super) group: Option<Arc<ChannelGroup>>,
}

/// Outcome of appending a message.
pub(super) struct AppendOutcome {
    pub(super) info: ChannelInfo,
    /// Number of stored messages that were dropped to make room.
    pub(super) dropped: usize,
    /// Shards with followers, as bits.
    pub(super) followed_on: u64,
}

impl Channel {
    /// Records a request for messages of the channel.
    pub fn record_request(&self) {
        self.lock().requested_second = unix_now();
    }

    /// True if a stored message, or a dropped one that is still recorded, has this event id.
    #[must_use]
    pub fn has_event(&self, event_id: &[u8]) -> bool {
        self.lock().log.has_event(event_id)
    }

    pub(super) fn new(new: NewChannel) -> Self {
        let state = ChannelState {
            log: Log::new(new.accounts, new.group),
            subscriptions: 0,
            waiting: 0,
            requested_second: 0,
            created_second: unix_now(),
            kept_until: None,
            active_at: Instant::now(),
            lifecycle: Lifecycle::Alive,
            interest: FollowerInterest::default(),
        };
        Self {
            id: new.id,
            is_wildcard: new.is_wildcard,
            is_events: new.is_events,
            number: new.number,
            dirty: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            #[cfg(debug_assertions)]
            is_open: AtomicBool::new(false),
            state: Mutex::new(state),
            _charge: new.charge,
        }
    }

    pub(super) fn footprint(id: &Bytes, accounting: MemoryAccounting) -> u64 {
        match accounting {
            MemoryAccounting::SharedMemory => {
                SHARED_MEMORY_BYTES + id.len().saturating_sub(FREE_ID_BYTES) as u64
            }
            MemoryAccounting::Process => {
                allocated(std::mem::size_of::<Self>()) + allocated(id.len()) + OTHER_BYTES
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ChannelState> {
        self.state.lock()
    }

    /// Creation number; unique in the broker.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The current state of the channel.
    #[must_use]
    pub fn info(&self) -> ChannelInfo {
        self.lock().info(&self.id)
    }

    /// True if at least one message is stored.
    #[must_use]
    pub fn has_stored_messages(&self) -> bool {
        self.lock().log.stored_count() > 0
    }

    /// Number of subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> u64 {
        self.lock().subscriptions
    }

    /// Appends a message. The position is taken under the channel's lock, so that positions and ids
    /// have the same order. If the channel is gone, the message is returned.
    pub(super) fn append(
        &self,
        mut options: AppendOptions,
        new: NewMessage,
        charge: Charge,
        clock: &PositionClock,
    ) -> Result<AppendOutcome, NewMessage> {
        let mut state = self.lock();
        if !matches!(state.lifecycle, Lifecycle::Alive) {
            return Err(new);
        }
        let followed_on = state.followed_on();
        options.keep_live = followed_on != 0;
        options.max_live_bytes = state.interest.max_lag();
        let position = clock.next();
        let NewMessage {
            text,
            event_id,
            event_type,
            attributes,
        } = new;
        let message = Message {
            id: state.log.last_id() + 1,
            position,
            text,
            event_id,
            event_type,
            attributes,
            channel_tag: state
                .log
                .tags
                .assign(position.time, options.takes_channel_tag),
            recipients: AtomicU32::new(u32::try_from(state.waiting).unwrap_or(u32::MAX)),
            charge,
        };
        let dropped = state.log.append(Arc::new(message), &options);
        state.active_at = Instant::now();
        Ok(AppendOutcome {
            info: state.info(&self.id),
            dropped,
            followed_on,
        })
    }

    /// Marks the channel as being in the inbox of `shard`. Returns false if it already was.
    pub(super) fn mark_dirty(&self, shard: usize) -> bool {
        let bit = 1 << shard;
        self.dirty.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Called by a shard before it reads, so that later messages put the channel into the inbox
    /// again.
    pub fn clear_dirty(&self, shard: usize) {
        self.dirty.fetch_and(!(1 << shard), Ordering::AcqRel);
    }

    /// Requests that these shards, given as bits, end their waiting one-shot followers.
    fn request_eviction(&self, shards: u64) {
        self.evictions.fetch_or(shards, Ordering::AcqRel);
    }

    /// Takes the request to end the waiting one-shot followers of `shard`, if there is one.
    /// Followers that attach after this call are not affected.
    pub fn take_eviction(&self, shard: usize) -> bool {
        let bit = 1 << shard;
        self.evictions.load(Ordering::Relaxed) & bit != 0
            && self.evictions.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    fn attach(
        &self,
        shard: usize,
        request: AttachRequest<'_>,
        max_subscriptions: u64,
    ) -> Result<Result<Attachment, AttachRejection>, ChannelGone> {
        let mut state = self.lock();
        if !matches!(state.lifecycle, Lifecycle::Alive) {
            return Err(ChannelGone);
        }
        if state.subscriptions >= max_subscriptions {
            return Ok(Err(AttachRejection::TooMany));
        }
        if request.must_be_only && state.waiting > 0 {
            return Ok(Err(AttachRejection::AlreadySubscribed));
        }
        let (cursor, missed) = match request.start {
            Some(start) => state.log.resolve_start(start),
            None => state.log.resolve(request.backtrack, request.cursor),
        };
        state.subscriptions += 1;
        // Decided under the lock, so that of two concurrent subscribers both see the same one as
        // the later.
        let this_shard = 1 << shard;
        let evicts_on = if request.evicts_waiting {
            state.followed_on() & !this_shard
        } else {
            0
        };
        self.request_eviction(evicts_on);
        let evicts_here = self.take_eviction(shard) || request.evicts_waiting;
        state.record_subscription(request.traits, 1);
        state.active_at = Instant::now();
        state
            .interest
            .add(shard, request.traits.max_lag, cursor.live_from);
        Ok(Ok(Attachment {
            cursor,
            missed,
            evicts_here,
            evicts_on,
        }))
    }

    fn detach(&self, shard: usize, traits: SubscriptionTraits) {
        let mut state = self.lock();
        state.subscriptions -= 1;
        state.record_subscription(traits, -1);
        if state.interest.remove(shard, traits.max_lag) {
            let max_lag = state.interest.max_lag();
            state.log.limit_live(max_lag);
        }
        state.release_live();
    }

    /// Sets the number of followers of a shard, to repair it after a panic.
    pub fn set_followers(&self, shard: usize, count: usize) {
        let mut state = self.lock();
        state.interest.set_followers(shard, count);
        state.subscriptions = state.interest.followers();
        state.waiting = state.waiting.min(state.subscriptions);
        state.release_live();
    }

    /// Called by a shard after a round: all its followers have had the messages up to `floor`.
    pub fn record_served(&self, shard: usize, floor: u64) {
        let mut state = self.lock();
        state.interest.raise_floor(shard, floor);
        state.release_live();
    }

    /// Reads messages for a follower that may be `max_lag` bytes behind.
    #[must_use]
    pub fn read(&self, cursor: LogCursor, max_lag: u64, max_bytes: usize) -> LogSlice {
        self.lock().log.read(cursor, max_lag, max_bytes)
    }

    /// The cursor right before the newest message that is due to a follower, and the number of due
    /// messages that it skips.
    #[must_use]
    pub fn skip_to_newest(&self, cursor: LogCursor) -> (LogCursor, u64) {
        self.lock().log.skip_to_newest(cursor)
    }

    /// Position of the next message that is due to a follower, if there is one, and position of the
    /// newest message.
    #[must_use]
    pub fn positions(&self, cursor: LogCursor, max_lag: u64) -> (Option<Position>, Position) {
        self.lock().log.positions(cursor, max_lag)
    }

    /// Id of the newest message.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.lock().log.last_id()
    }
}

impl ChannelState {
    /// Shards with followers, as bits.
    pub(super) fn followed_on(&self) -> u64 {
        self.interest.shards()
    }

    /// Removes a deleted or collected channel from the counts of its group.
    pub(super) fn leave_group(&mut self) {
        if let Some(group) = self.log.leave_group() {
            group.channels.fetch_sub(1, Ordering::Relaxed);
            group
                .subscribers
                .fetch_sub(self.subscriptions, Ordering::Relaxed);
        }
    }

    /// Counts a new subscription (1) or the end of one (-1).
    fn record_subscription(&mut self, traits: SubscriptionTraits, change: i64) {
        if let Some(group) = self.log.group() {
            let _ = if change > 0 {
                group.subscribers.fetch_add(1, Ordering::Relaxed)
            } else {
                group.subscribers.fetch_sub(1, Ordering::Relaxed)
            };
        }
        self.waiting =
            self.waiting
                .saturating_add_signed(if traits.is_one_shot { change } else { 0 });
        if !traits.is_one_of_several {
            self.requested_second = unix_now();
        }
    }

    fn release_live(&mut self) {
        self.log.release_live(self.interest.floor());
    }
}

//! A channel: its log, its subscriptions, and which shards have to hear of news.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::NewMessage;
use super::clock::PositionClock;
use super::fate::Fate;
use super::groups::Group;
use super::log::{Log, LogAccounts, Place, Window};
use super::memory::{Charge, allocated};
use super::message::Message;
use super::reading::Slice;
use super::subscription::{AttachRejection, AttachRequest, Attachment, SubscriptionTraits};
use crate::message::{Position, unix_now};
use crate::server::config::MemoryAccounting;

/// Most shards that a broker can serve: a channel keeps one bit for each.
pub const MAX_SHARDS: usize = 64;

/// What a channel takes beside itself and its id: places in the registry, in inboxes, and on a
/// shard. Measured: 500 bytes in all with a short id.
const OTHER_BYTES: u64 = 160;

/// What a channel takes of a module's shared memory, less a margin. 2 MiB hold 6,464 channels with
/// one message of up to 70 bytes in nchan, 324 bytes each, and 4,700 in push-stream.
const SHARED_MEMORY_BYTES: u64 = 96;
/// Bytes of an id that are not charged then: nchan keeps ids outside of its shared memory.
const FREE_ID_BYTES: usize = 64;

/// A channel. Lives as long as anybody holds it; the broker's registry says whether it is still
/// *the* channel of its id.
#[derive(Debug)]
pub struct Channel {
    /// Its id, as clients wrote it after decoding.
    pub id: Bytes,
    /// Its id begins with the wildcard prefix.
    pub wildcard: bool,
    /// It is the events channel.
    pub events: bool,
    /// Number of its creation: order of listings and, with several channels, of locking.
    pub(super) number: u64,
    /// One bit for each shard in whose inbox the channel stands.
    dirty: AtomicU64,
    /// One bit for each shard that has to end the channel's waiting readers.
    expulsions: AtomicU64,
    state: Mutex<State>,
    _charge: Charge,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) subscriptions: u64,
    /// Those of them that end with their first message.
    pub(super) waiting: u64,
    /// Second of the latest request for its messages alone; 0 = there was none.
    pub(super) requested: u64,
    /// Second of its creation.
    created: u64,
    /// Until when it stays although it is empty, if somebody said so.
    pub(super) keep_until: Option<Instant>,
    /// Latest of creation, publication and subscription.
    pub(super) active_at: Instant,
    pub(super) fate: Fate,
    interest: SmallVec<[Interest; 2]>,
    /// How far behind the followers may be, and how many there are with that bound.
    lags: SmallVec<[(u64, u32); 1]>,
}

/// Followers of the channel on one shard.
#[derive(Clone, Copy, Debug, Default)]
struct Interest {
    followers: u32,
    /// Every follower of the shard has had the messages up to this id.
    floor: u64,
}

/// The numbers that publisher and statistics answers show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Channel id.
    pub id: Bytes,
    /// Messages ever published; also the id of the newest.
    pub published: u64,
    /// Messages kept.
    pub stored: u64,
    /// Subscriptions open now.
    pub subscribers: u64,
    /// Messages that were kept once and are gone.
    pub dropped: u64,
    /// Bytes kept for followers that are behind.
    pub lag_bytes: u64,
    /// Subscriptions that end with their first message.
    pub waiting: u64,
    /// Second of the latest request for messages of this channel alone; 0 = there was none.
    pub requested: u64,
    /// Second of its creation.
    pub created: u64,
    /// Second of the newest message and its tag in the channel.
    pub last: Option<(u64, u32)>,
}

/// The channel was deleted or collected since it was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// What one appended message changed.
pub(super) struct Appended {
    pub(super) info: ChannelInfo,
    /// Stored messages that went to make room.
    pub(super) dropped: usize,
    /// Shards with followers, as bits.
    pub(super) followed_on: u64,
}

impl Channel {
    pub(super) fn new(
        id: Bytes,
        number: u64,
        kind: (bool, bool),
        charge: Charge,
        (accounts, group): (Arc<LogAccounts>, Option<Arc<Group>>),
    ) -> Self {
        let (wildcard, events) = kind;
        let state = State {
            log: Log::new(accounts, group),
            subscriptions: 0,
            waiting: 0,
            requested: 0,
            created: unix_now(),
            keep_until: None,
            active_at: Instant::now(),
            fate: Fate::Alive,
            interest: SmallVec::new(),
            lags: SmallVec::new(),
        };
        Self {
            id,
            wildcard,
            events,
            number,
            dirty: AtomicU64::new(0),
            expulsions: AtomicU64::new(0),
            state: Mutex::new(state),
            _charge: charge,
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Number of its creation; no two channels of a broker have the same.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The numbers of the channel now.
    #[must_use]
    pub fn info(&self) -> ChannelInfo {
        self.lock().info(&self.id)
    }

    /// True if at least one message is kept.
    #[must_use]
    pub fn has_stored_messages(&self) -> bool {
        self.lock().log.stored_count() > 0
    }

    /// Number of subscriptions open now.
    #[must_use]
    pub fn subscriptions(&self) -> u64 {
        self.lock().subscriptions
    }

    /// Appends a message; the position is taken while the channel is locked, so that positions and
    /// ids agree. If the channel is gone, the message comes back.
    pub(super) fn append(
        &self,
        mut window: Window,
        new: NewMessage,
        charge: Charge,
        clock: &PositionClock,
    ) -> Result<Appended, NewMessage> {
        let mut state = self.lock();
        if !matches!(state.fate, Fate::Alive) {
            return Err(new);
        }
        let followed_on = state.followed_on();
        window.keep_live = followed_on != 0;
        window.max_live_bytes = state.max_lag();
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
            channel_tag: state.log.tags.next(position.time, window.takes_tag),
            recipients: AtomicU32::new(u32::try_from(state.waiting).unwrap_or(u32::MAX)),
            charge,
        };
        let dropped = state.log.append(Arc::new(message), &window);
        state.active_at = Instant::now();
        Ok(Appended {
            info: state.info(&self.id),
            dropped,
            followed_on,
        })
    }

    /// Notes that the channel has news for `shard`; true if it was not noted already.
    pub(super) fn mark_dirty(&self, shard: usize) -> bool {
        let bit = 1 << shard;
        self.dirty.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Called by a shard before it reads: news from now on is noted again.
    pub fn clear_dirty(&self, shard: usize) {
        self.dirty.fetch_and(!(1 << shard), Ordering::AcqRel);
    }

    /// Notes that these shards have to end the waiting readers.
    pub(super) fn request_expulsion(&self, shards: u64) {
        self.expulsions.fetch_or(shards, Ordering::AcqRel);
    }

    /// True if the waiting readers of `shard` have to end: asked for by one that came later and
    /// wants to be the only one. Those that come after this question may stay.
    pub fn take_expulsion(&self, shard: usize) -> bool {
        let bit = 1 << shard;
        self.expulsions.load(Ordering::Relaxed) & bit != 0
            && self.expulsions.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    pub(super) fn attach(
        &self,
        shard: usize,
        wish: AttachRequest<'_>,
        most: u64,
    ) -> Result<Result<Attachment, AttachRejection>, Gone> {
        let mut state = self.lock();
        if !matches!(state.fate, Fate::Alive) {
            return Err(Gone);
        }
        if state.subscriptions >= most {
            return Ok(Err(AttachRejection::TooMany));
        }
        if wish.must_be_alone && state.waiting > 0 {
            return Ok(Err(AttachRejection::NotAlone));
        }
        let (place, missed) = match wish.start {
            Some(start) => state.log.resolve_start(start),
            None => state.log.resolve(wish.backtrack, wish.cursor),
        };
        state.subscriptions += 1;
        // Under the lock, so that of two that come at one moment one is the later one for both.
        let own = 1 << shard;
        let expels_on = if wish.expels {
            state.followed_on() & !own
        } else {
            0
        };
        self.request_expulsion(expels_on);
        let expels_here = self.take_expulsion(shard) || wish.expels;
        state.note_manner(wish.manner, 1);
        state.active_at = Instant::now();
        if state.interest.len() <= shard {
            state.interest.resize(shard + 1, Interest::default());
        }
        let interest = &mut state.interest[shard];
        if interest.followers == 0 {
            interest.floor = place.live_from;
        }
        interest.followers += 1;
        match state
            .lags
            .iter_mut()
            .find(|(bytes, _)| *bytes == wish.manner.max_lag)
        {
            Some((_, followers)) => *followers += 1,
            None => state.lags.push((wish.manner.max_lag, 1)),
        }
        Ok(Ok(Attachment {
            place,
            missed,
            expels_here,
            expels_on,
        }))
    }

    pub(super) fn detach(&self, shard: usize, manner: SubscriptionTraits) {
        let max_lag = manner.max_lag;
        let mut state = self.lock();
        state.subscriptions -= 1;
        state.note_manner(manner, -1);
        state.interest[shard].followers -= 1;
        if let Some(index) = state.lags.iter().position(|(bytes, _)| *bytes == max_lag) {
            state.lags[index].1 -= 1;
            if state.lags[index].1 == 0 {
                state.lags.swap_remove(index);
                let most = state.max_lag();
                state.log.bound_live(most);
            }
        }
        state.release_live();
    }

    /// Sets how many followers a shard has, which a panic may have left wrong.
    pub fn set_followers(&self, shard: usize, count: usize) {
        let mut state = self.lock();
        if let Some(interest) = state.interest.get_mut(shard) {
            interest.followers = u32::try_from(count).unwrap_or(u32::MAX);
        }
        state.subscriptions = state
            .interest
            .iter()
            .map(|interest| u64::from(interest.followers))
            .sum();
        state.waiting = state.waiting.min(state.subscriptions);
        state.release_live();
    }

    /// Called by a shard after a round: all its followers have had the messages up to `floor`.
    pub fn served(&self, shard: usize, floor: u64) {
        let mut state = self.lock();
        if let Some(interest) = state.interest.get_mut(shard) {
            interest.floor = interest.floor.max(floor);
        }
        state.release_live();
    }

    /// Reads messages for a follower that may be `max_lag` bytes behind: see [`Slice`].
    #[must_use]
    pub fn read(&self, place: Place, max_lag: u64, max_bytes: usize) -> Slice {
        self.lock().log.read(place, max_lag, max_bytes)
    }

    /// The place right before the newest message that a follower is due, and how many it misses on
    /// the way there.
    #[must_use]
    pub fn jump_to_newest(&self, place: Place) -> (Place, u64) {
        self.lock().log.jump_to_newest(place)
    }

    /// Positions of the next message that a follower is due, if there is one, and of the newest
    /// message.
    #[must_use]
    pub fn positions(&self, place: Place, max_lag: u64) -> (Option<Position>, Position) {
        self.lock().log.positions(place, max_lag)
    }

    /// Id of the newest message.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.lock().log.last_id()
    }
}

impl State {
    /// Shards with followers, as bits.
    pub(super) fn followed_on(&self) -> u64 {
        let followed = self
            .interest
            .iter()
            .enumerate()
            .filter(|(_, interest)| interest.followers > 0);
        followed.fold(0, |bits, (shard, _)| bits | 1 << shard)
    }

    /// The channel is over: what it has is no longer its group's.
    pub(super) fn leave_group(&mut self) {
        if let Some(group) = self.log.leave_group() {
            group.channels.fetch_sub(1, Ordering::Relaxed);
            group
                .subscribers
                .fetch_sub(self.subscriptions, Ordering::Relaxed);
        }
    }

    /// Counts a subscription that comes (1) or goes (-1).
    fn note_manner(&mut self, manner: SubscriptionTraits, change: i64) {
        if let Some(group) = self.log.group() {
            let _ = if change > 0 {
                group.subscribers.fetch_add(1, Ordering::Relaxed)
            } else {
                group.subscribers.fetch_sub(1, Ordering::Relaxed)
            };
        }
        self.waiting =
            self.waiting
                .saturating_add_signed(if manner.is_one_shot { change } else { 0 });
        if !manner.is_one_of_several {
            self.requested = unix_now();
        }
    }

    pub(super) fn info(&self, id: &Bytes) -> ChannelInfo {
        ChannelInfo {
            id: id.clone(),
            published: self.log.last_id(),
            stored: self.log.stored_count() as u64,
            subscribers: self.subscriptions,
            dropped: self.log.dropped_count(),
            lag_bytes: self.log.live_bytes(),
            waiting: self.waiting,
            requested: self.requested,
            created: self.created,
            last: self.log.tags.last(),
        }
    }

    /// As far behind as any follower may be.
    fn max_lag(&self) -> u64 {
        self.lags.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0)
    }

    fn release_live(&mut self) {
        let floor = self
            .interest
            .iter()
            .filter(|interest| interest.followers > 0)
            .map(|interest| interest.floor)
            .min();
        self.log.release_live(floor.unwrap_or(u64::MAX));
    }
}

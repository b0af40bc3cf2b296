//! What readers and publishers that are not followers do to a channel: looking brings it up to
//! date, reading counts, and deleting may leave an empty channel behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::channel::{Channel, ChannelInfo};
use super::{Broker, CreateError};
use crate::message::{Position, unix_now};

impl Broker {
    /// Lets go of messages whose time is over, without waiting for the next tick. Returns the
    /// numbers of the channel then.
    pub fn refreshed(&self, channel: &Channel) -> ChannelInfo {
        let newest_expired = unix_now().saturating_sub(self.settings().message_ttl.as_secs());
        let (expired, info) = {
            let mut state = channel.lock();
            (state.log.expire(newest_expired), state.info(&channel.id))
        };
        self.account_dropped(channel, expired);
        info
    }

    /// Looks for a channel as NHPM does: it stays for at least `keep` from now on, and empty
    /// channels that nobody has looked for in time go.
    pub fn look_up(&self, id: &[u8], keep: Duration) {
        let now = Instant::now();
        let found = self.find(id);
        if let Some(channel) = &found {
            let mut state = channel.lock();
            state.keep_until = Some(now + keep);
        }
        self.0.idle.note(now, found.map(|_| now + keep));
        if self.0.idle.is_due(now) {
            let is_over = |channel: &Channel| {
                channel.id != id && channel.lock().keep_until.is_some_and(|until| until < now)
            };
            self.0
                .registry
                .list(is_over)
                .iter()
                .for_each(|channel| self.sweep_now(channel));
        }
    }

    fn sweep_now(&self, channel: &Arc<Channel>) {
        self.sweep(
            channel,
            unix_now().saturating_sub(self.settings().message_ttl.as_secs()),
        );
    }

    /// Notes that somebody asked for messages of the channel.
    pub fn note_request(channel: &Channel) {
        channel.lock().requested = unix_now();
    }

    /// Notes that a reader got the message of that id; it may go then (see
    /// [`super::Attributes::goes_when_read`]).
    pub fn note_read(&self, channel: &Channel, id: u64) {
        let gone = channel.lock().log.note_read(id);
        self.account_dropped(channel, usize::from(gone));
    }

    /// As [`Broker::delete`], but leaves an empty channel that goes on with the tags of the old
    /// one. Returns the numbers of the deleted channel; `None` if there was none.
    ///
    /// # Errors
    /// When the empty channel has no room; the old one is deleted even so.
    pub fn delete_leaving(&self, id: &Bytes) -> Result<Option<ChannelInfo>, CreateError> {
        let Some(channel) = self.find(id) else {
            return Ok(None);
        };
        let info = self.refreshed(&channel);
        // The configured farewell always fits.
        if channel.events || !self.delete(id, None).map_err(CreateError::from)? {
            return Ok(None);
        }
        let successor = self.find_or_create(id)?;
        let (tags, requested) = {
            let state = channel.lock();
            (state.log.tags, state.requested)
        };
        let mut state = successor.lock();
        if state.log.last_id() == 0 {
            state.log.tags = tags;
            state.requested = requested;
        }
        Ok(Some(info))
    }

    pub(super) fn account_dropped(&self, channel: &Channel, count: usize) {
        if count > 0 && !channel.events {
            self.0
                .counters
                .stored
                .fetch_sub(count as i64, Ordering::Relaxed);
            self.0.trash.lock().add_messages(count as u64);
        }
    }

    /// Asks the shards that follow the channel to end its waiting readers (see
    /// [`Channel::take_expulsion`]).
    pub fn expel(&self, channel: &Arc<Channel>) {
        let shards = channel.lock().followed_on();
        channel.request_expulsion(shards);
        self.0.tell(channel, shards);
    }
}

/// When channels with a time of their own may be over: looking through all of them at most once in
/// a second.
#[derive(Debug, Default)]
pub(super) struct IdleWatch(Mutex<(Option<Instant>, Option<Instant>)>);

/// Looking through all channels takes some milliseconds where there are many.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

impl IdleWatch {
    /// Notes that a channel may be over at `until`.
    fn note(&self, now: Instant, until: Option<Instant>) {
        let (next, _) = &mut *self.0.lock();
        *next = match (*next, until) {
            (Some(next), Some(until)) if next > now => Some(next.min(until)),
            (None, until) => until,
            (next, _) => next,
        };
    }

    /// True if it is time to look; then it is not for a while.
    fn is_due(&self, now: Instant) -> bool {
        let (next, last) = &mut *self.0.lock();
        let is_due = next.is_some_and(|next| next < now)
            && last.is_none_or(|last| now >= last + BETWEEN_LOOKS);
        if is_due {
            // Others may be over later than the one that was due.
            (*next, *last) = (Some(now + BETWEEN_LOOKS), Some(now));
        }
        is_due
    }
}

impl Channel {
    /// The position of the stored message of that second with that tag in this channel.
    #[must_use]
    pub fn position_of(&self, time: u64, tag: u32) -> Option<Position> {
        self.lock().log.position_of(time, tag)
    }

    /// The tag in this channel of its newest message of second `time` up to that tag of the server;
    /// see [`super::Start::After`].
    #[must_use]
    pub fn tag_at(&self, time: u64, tag: u32) -> Option<u32> {
        self.lock().log.tag_at(time, tag)
    }
}

//! Channel operations for requests that do not follow: expiring before a read, counting reads,
//! deleting with a successor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Channel, ChannelInfo};
use crate::message::{Position, unix_now};
use crate::server::broker::{Broker, CreateError};

/// Operations on channels for requests that do not follow them.
#[derive(Clone, Copy, Debug)]
pub struct ChannelRequests<'a> {
    pub(in crate::server::broker) broker: &'a Broker,
}

impl ChannelRequests<'_> {
    /// Expires the messages of a channel without waiting for the next tick. Returns the state of
    /// the channel.
    pub fn touch(&self, channel: &Channel) -> ChannelInfo {
        let newest_expired =
            unix_now().saturating_sub(self.broker.settings().message_ttl.as_secs());
        let (expired, info) = {
            let mut state = channel.lock();
            (state.log.expire(newest_expired), state.info(&channel.id))
        };
        self.broker.count_dropped(channel, expired);
        info
    }

    /// Keeps a channel for at least `keep` from now on, even if it is empty, as a request does in
    /// NHPM. Empty channels whose time has passed are collected.
    pub fn keep_alive(&self, id: &[u8], keep: Duration) {
        let now = Instant::now();
        let found = self.broker.find(id);
        if let Some(channel) = &found {
            let mut state = channel.lock();
            state.kept_until = Some(now + keep);
        }
        self.broker.0.idle.record(now, found.map(|_| now + keep));
        if self.broker.0.idle.is_due(now) {
            let is_over = |channel: &Channel| {
                channel.id != id && channel.lock().kept_until.is_some_and(|until| until < now)
            };
            self.broker
                .0
                .registry
                .list(is_over)
                .iter()
                .for_each(|channel| self.sweep_now(channel));
        }
    }

    fn sweep_now(&self, channel: &Arc<Channel>) {
        self.broker.sweep(
            channel,
            unix_now().saturating_sub(self.broker.settings().message_ttl.as_secs()),
        );
    }

    /// Records that a reader got the message with this id, which may delete it (see
    /// [`crate::server::broker::Attributes::delete_when_read`]).
    pub fn record_read(&self, channel: &Channel, id: u64) {
        let gone = channel.lock().log.record_read(id);
        self.broker.count_dropped(channel, usize::from(gone));
    }

    /// Deletes a channel and leaves an empty successor that continues its tags. Returns the state
    /// of the deleted channel; `None` if there was none.
    ///
    /// # Errors
    /// When there is no memory for the successor. The channel is deleted nevertheless.
    pub(in crate::server::broker) fn recreate(
        &self,
        id: &Bytes,
    ) -> Result<Option<ChannelInfo>, CreateError> {
        let Some(channel) = self.broker.find(id) else {
            return Ok(None);
        };
        let info = self.touch(&channel);
        // The configured text always fits.
        if channel.is_events
            || !self
                .broker
                .delete_locally(id, None)
                .map_err(CreateError::from)?
        {
            return Ok(None);
        }
        let successor = self.broker.find_or_create(id)?;
        let (tags, requested) = {
            let state = channel.lock();
            (state.log.tags, state.requested_second)
        };
        let mut state = successor.lock();
        if state.log.last_id() == 0 {
            state.log.tags = tags;
            state.requested_second = requested;
        }
        Ok(Some(info))
    }

    /// Requests the shards with followers of the channel to end its waiting one-shot followers (see
    /// [`Channel::take_eviction`]).
    pub fn evict_waiting(&self, channel: &Arc<Channel>) {
        let shards = channel.lock().followed_on();
        channel.request_eviction(shards);
        self.broker.0.notify_shards(channel, shards);
    }
}

/// When the next channel with a set lifetime may have to be collected. Limits scans of all channels
/// to one per second.
#[derive(Debug, Default)]
pub(in crate::server::broker) struct IdleWatch(Mutex<ScanTimes>);

/// When all channels are scanned.
#[derive(Debug, Default)]
struct ScanTimes {
    next: Option<Instant>,
    last: Option<Instant>,
}

/// A scan of all channels takes some milliseconds if there are many.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl IdleWatch {
    /// Records that a channel may have to be collected at `until`.
    fn record(&self, now: Instant, until: Option<Instant>) {
        let next = &mut self.0.lock().next;
        *next = match (*next, until) {
            (Some(next), Some(until)) if next > now => Some(next.min(until)),
            (None, until) => until,
            (next, _) => next,
        };
    }

    /// True if a scan is due; the next one is then due after the interval.
    fn is_due(&self, now: Instant) -> bool {
        let times = &mut *self.0.lock();
        let is_due = times.next.is_some_and(|next| next < now)
            && times.last.is_none_or(|last| now >= last + CHECK_INTERVAL);
        if is_due {
            // Other channels may have to be collected later.
            times.next = Some(now + CHECK_INTERVAL);
            times.last = Some(now);
        }
        is_due
    }
}

impl Channel {
    /// Position of the stored message with this second and channel tag.
    #[must_use]
    pub fn position_of(&self, time: u64, tag: u32) -> Option<Position> {
        self.lock().log.position_of(time, tag)
    }

    /// Channel tag of the newest message of second `time` up to the server-wide `tag`; see
    /// [`crate::server::broker::ChannelStart::After`].
    #[must_use]
    pub fn tag_at(&self, time: u64, tag: u32) -> Option<u32> {
        self.lock().log.tag_at(time, tag)
    }
}

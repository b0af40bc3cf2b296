//! Followers of several channels: their backlogs in path order, and their news in the order of
//! positions, the deletion of a channel among them.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::follower::Membership;
use super::format::SlowConsumers;
use super::frames::MAX_FRAME_TEXT_BYTES;
use super::round::encode;
use super::shard::ConnectionKey;
use super::state::{ShardContext, State};
use crate::message::Position;
use crate::server::broker::{Reader, Slice, Snapshot, read_together};
use crate::server::config::SlowPolicy;

/// Reading one of many channels takes about as long as looking at so many.
const LOOKS_PER_READ: usize = 8;

impl State {
    /// Sends the backlogs of several channels one after the other, as the module does, each with
    /// what was published to its channel meanwhile; true when all of it is sent.
    pub(super) fn deliver_backlog_in_path_order(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
    ) -> bool {
        let first = self
            .follower(key)
            .and_then(|follower| follower.backlog_in_path_order)
            .unwrap_or(0);
        for nth in first.. {
            let Some(member) = self.member(key, nth as usize) else {
                break;
            };
            self.turn.channels += 1;
            if member.place.is_in_backlog() {
                if let Some(follower) = self.follower(key) {
                    follower.backlog_in_path_order = Some(nth);
                }
                if self.turn.is_over() {
                    self.visit_again(moment, key, nth as usize);
                    return false;
                }
                self.deliver(moment, key, nth as usize, member.place.live_from);
                if self
                    .member(key, nth as usize)
                    .is_none_or(|member| member.place.is_in_backlog())
                {
                    return false;
                }
            }
        }
        let Some(follower) = self.follower(key) else {
            return false;
        };
        follower.backlog_in_path_order = None;
        // Rounds of the other channels came to nothing meanwhile: their news, or their end, is
        // still to be told.
        for nth in 0..follower.memberships.len() {
            self.visit_again(moment, key, nth);
        }
        true
    }

    /// Sends the news of one of several channels so that all messages come in the order of their
    /// positions, and tells of channels that were deleted.
    ///
    /// Usually only this channel has news; then its frame is shared as ever. The frame is made
    /// before the others are looked at: a message of theirs that precedes it is in their logs by
    /// then.
    pub(super) fn deliver_in_order(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
    ) {
        let frame = self.frame(key, nth, self.head_of(key, nth));
        let Some(follower) = &self.slots[key].follower else {
            return;
        };
        self.turn.channels += follower.memberships.len();
        let quiet =
            (0..follower.memberships.len()).all(|other| !self.has_news(key, other, other == nth));
        match frame {
            Some(frame) if quiet => {
                if self.send_frame(moment, key, nth, &frame) {
                    self.visit_again_if_behind(moment, key, nth);
                }
            }
            None if quiet => {}
            _ => self.deliver_merged(moment, key),
        }
    }

    /// True if a membership has messages (which do not count of the one that `is_served`), or its
    /// channel was deleted.
    fn has_news(&self, key: ConnectionKey, nth: usize, is_served: bool) -> bool {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        membership.is_some_and(|membership| {
            let local = &self.channels[membership.channel as usize];
            if is_served {
                local.channel.ended_at().is_some()
            } else {
                local
                    .channel
                    .has_news_after(local.members[membership.place as usize].place)
            }
        })
    }

    /// Sends the news of all channels of a follower, merged by position.
    fn deliver_merged(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        let Some(follower) = self.slots[key]
            .follower
            .as_ref()
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let SlowConsumers { policy, max_lag } = follower.format.slow_consumers();
        let reader = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            let place = local.members[membership.place as usize].place;
            Reader {
                channel: Arc::clone(&local.channel),
                place,
                max_lag,
            }
        };
        let mut readers: Vec<Reader> = follower.memberships.iter().map(reader).collect();
        self.turn.channels += readers.len() * LOOKS_PER_READ;
        let snapshot = read_as_policy_says(&mut readers, policy);
        let missed: u64 = snapshot.slices.iter().map(|slice| slice.missed).sum();
        if missed > 0 && !self.survives_gap(moment, key, missed) {
            return;
        }
        let is_cut = snapshot.slices.iter().any(|slice| slice.is_cut);
        let Some(follower) = self.slots[key].follower.as_mut() else {
            return;
        };
        for (membership, slice) in follower.memberships.iter().zip(&snapshot.slices) {
            self.channels[membership.channel as usize].members[membership.place as usize].place =
                slice.place;
        }
        let parts: Vec<(&Bytes, Slice)> = readers
            .iter()
            .map(|reader| &reader.channel.id)
            .zip(snapshot.slices)
            .collect();
        let (bytes, sum) = encode(&follower.format, &parts, snapshot.horizon);
        self.turn.bytes += bytes.len();
        // All that was new may have been unstored messages from before this follower's time.
        let is_answer = !bytes.is_empty() && follower.format.is_one_shot();
        if !bytes.is_empty() {
            follower.rearm(moment.now);
        }
        follower.write_sealed(&Rc::new(bytes), sum, moment.now);
        if is_answer {
            follower.ended = true;
            self.detach(moment, key);
            return;
        }
        if let Some(end) = snapshot.end {
            self.tell_ends(moment, key, end);
        }
        if is_cut || snapshot.end.is_some() {
            (0..readers.len()).for_each(|nth| self.visit_again(moment, key, nth));
        }
    }

    /// Tells a follower that is served up to `end` of the channels that were deleted there.
    fn tell_ends(&mut self, moment: ShardContext<'_>, key: ConnectionKey, end: Position) {
        // From the last: one that is taken out is replaced by one that was looked at already.
        for nth in (0..self.slots[key]
            .follower
            .as_ref()
            .map_or(0, |follower| follower.memberships.len()))
            .rev()
        {
            let membership = self.slots[key]
                .follower
                .as_ref()
                .and_then(|follower| follower.memberships.get(nth));
            let channel =
                membership.map(|membership| &self.channels[membership.channel as usize].channel);
            let text = channel
                .filter(|channel| channel.ended_at() == Some(end))
                .and_then(|channel| channel.deleted());
            if let Some(text) = text {
                self.tell_deleted(moment, key, nth, &text);
            }
        }
    }
}

/// Reads all channels at one moment; of those that miss messages, from where the policy lets the
/// follower go on.
fn read_as_policy_says(readers: &mut [Reader], policy: SlowPolicy) -> Snapshot {
    let snapshot = read_together(readers, MAX_FRAME_TEXT_BYTES);
    if policy != SlowPolicy::Latest || snapshot.slices.iter().all(|slice| slice.missed == 0) {
        return snapshot;
    }
    let mut left_out: Vec<u64> = Vec::with_capacity(readers.len());
    for (reader, slice) in readers.iter_mut().zip(&snapshot.slices) {
        let (place, missed) = if slice.missed > 0 {
            reader.channel.jump_to_newest(reader.place)
        } else {
            (reader.place, 0)
        };
        reader.place = place;
        left_out.push(missed);
    }
    let mut snapshot = read_together(readers, MAX_FRAME_TEXT_BYTES);
    for (slice, missed) in snapshot.slices.iter_mut().zip(left_out) {
        slice.missed += missed;
    }
    snapshot
}

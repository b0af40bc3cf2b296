//! Followers of several channels: backlogs in path order, then live messages and deletions in the
//! order of positions.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::encode::encode;
use super::follower::Membership;
use super::format::SlowConsumerSettings;
use super::frame_cache::MAX_FRAME_TEXT_BYTES;
use super::shard::ConnectionKey;
use super::state::{ShardContext, ShardState};
use crate::message::Position;
use crate::server::broker::{ChannelReader, LogSlice, Snapshot, read_snapshot};
use crate::server::config::SlowPolicy;

/// Reading one of many channels takes about as long as this number of checks.
const CHECKS_PER_READ: usize = 8;

impl ShardState {
    /// Sends the backlogs of several channels one after the other, as the module does, each
    /// followed by the messages published to its channel since the follower attached. Returns true
    /// when all of them are sent.
    pub(super) fn deliver_backlog_in_path_order(
        &mut self,
        context: ShardContext<'_>,
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
            if member.cursor.is_in_backlog() {
                if let Some(follower) = self.follower(key) {
                    follower.backlog_in_path_order = Some(nth);
                }
                if self.turn.is_over() {
                    self.schedule_round(context, key, nth as usize);
                    return false;
                }
                self.deliver(context, key, nth as usize, member.cursor.live_from);
                if self
                    .member(key, nth as usize)
                    .is_none_or(|member| member.cursor.is_in_backlog())
                {
                    return false;
                }
            }
        }
        let Some(follower) = self.follower(key) else {
            return false;
        };
        follower.backlog_in_path_order = None;
        // Rounds of the other channels were skipped until now, so their live messages and deletions
        // are still due.
        for nth in 0..follower.memberships.len() {
            self.schedule_round(context, key, nth);
        }
        true
    }

    /// Sends the new messages of one of several channels so that all messages arrive in the order
    /// of their positions, and notices of deleted channels.
    ///
    /// Usually only this channel has new messages. Its shared frame is used then. The frame is
    /// encoded before the other channels are checked: by then, any message that precedes it is in
    /// their logs.
    pub(super) fn deliver_in_order(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
    ) {
        let frame = self.frame(key, nth, self.head_of(key, nth));
        let Some(follower) = &self.slots[key].follower else {
            return;
        };
        self.turn.channels += follower.memberships.len();
        let others_are_quiet =
            (0..follower.memberships.len()).all(|other| !self.has_due(key, other, other == nth));
        match frame {
            Some(frame) if others_are_quiet => {
                if self.send_frame(context, key, nth, &frame) {
                    self.schedule_round_if_behind(context, key, nth);
                }
            }
            None if others_are_quiet => {}
            _ => self.deliver_merged(context, key),
        }
    }

    /// True if a membership has due messages (ignored for the channel that `is_served`), or its
    /// channel was deleted.
    fn has_due(&self, key: ConnectionKey, nth: usize, is_served: bool) -> bool {
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
                    .has_due_after(local.members[membership.member_index as usize].cursor)
            }
        })
    }

    /// Sends the new messages of all channels of a follower, merged by position.
    fn deliver_merged(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(follower) = self.slots[key]
            .follower
            .as_ref()
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let SlowConsumerSettings { policy, max_lag } = follower.format.slow_consumers();
        let reader = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            let cursor = local.members[membership.member_index as usize].cursor;
            ChannelReader {
                channel: Arc::clone(&local.channel),
                cursor,
                max_lag,
            }
        };
        let mut readers: Vec<ChannelReader> = follower.memberships.iter().map(reader).collect();
        self.turn.channels += readers.len() * CHECKS_PER_READ;
        let snapshot = read_by_policy(&mut readers, policy);
        let missed: u64 = snapshot.slices.iter().map(|slice| slice.missed).sum();
        if missed > 0 && !self.survives_gap(context, key, missed) {
            return;
        }
        let is_cut = snapshot.slices.iter().any(|slice| slice.is_cut);
        let Some(follower) = self.slots[key].follower.as_mut() else {
            return;
        };
        for (membership, slice) in follower.memberships.iter().zip(&snapshot.slices) {
            self.channels[membership.channel as usize].members[membership.member_index as usize]
                .cursor = slice.cursor;
        }
        let parts: Vec<(&Bytes, LogSlice)> = readers
            .iter()
            .map(|reader| &reader.channel.id)
            .zip(snapshot.slices)
            .collect();
        let (bytes, checksum) = encode(&follower.format, &parts, snapshot.horizon);
        self.turn.bytes += bytes.len();
        // Empty if all new messages were unstored ones from before the follower attached.
        let is_complete = !bytes.is_empty() && follower.format.is_one_shot();
        if !bytes.is_empty() {
            follower.restart_ttl(context.now);
        }
        follower.write_sealed(&Rc::new(bytes), checksum, context.now);
        if is_complete {
            follower.has_ended = true;
            self.detach(context, key);
            return;
        }
        if let Some(end) = snapshot.end {
            self.send_deletions(context, key, end);
        }
        if is_cut || snapshot.end.is_some() {
            (0..readers.len()).for_each(|nth| self.schedule_round(context, key, nth));
        }
    }

    /// Sends the deletion notices of the channels that were deleted at position `end`.
    fn send_deletions(&mut self, context: ShardContext<'_>, key: ConnectionKey, end: Position) {
        // From the last to the first: a membership that is removed is replaced by one that was
        // already checked.
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
                .and_then(|channel| channel.deletion_text());
            if let Some(text) = text {
                self.send_deleted(context, key, nth, &text);
            }
        }
    }
}

/// Reads a snapshot of all channels. Channels with missing messages are read from where the policy
/// lets the follower resume.
fn read_by_policy(readers: &mut [ChannelReader], policy: SlowPolicy) -> Snapshot {
    let snapshot = read_snapshot(readers, MAX_FRAME_TEXT_BYTES);
    if policy != SlowPolicy::Latest || snapshot.slices.iter().all(|slice| slice.missed == 0) {
        return snapshot;
    }
    let mut skipped: Vec<u64> = Vec::with_capacity(readers.len());
    for (reader, slice) in readers.iter_mut().zip(&snapshot.slices) {
        let (cursor, missed) = if slice.missed > 0 {
            reader.channel.skip_to_newest(reader.cursor)
        } else {
            (reader.cursor, 0)
        };
        reader.cursor = cursor;
        skipped.push(missed);
    }
    let mut snapshot = read_snapshot(readers, MAX_FRAME_TEXT_BYTES);
    for (slice, missed) in snapshot.slices.iter_mut().zip(skipped) {
        slice.missed += missed;
    }
    snapshot
}

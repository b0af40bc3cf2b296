//! Followers of several channels: backlogs in path order, then live messages and deletions in the
//! order of positions.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::FrameSender;
use crate::message::Position;
use crate::server::broker::{ChannelReader, LogSlice, Snapshot, read_snapshot};
use crate::server::config::SlowPolicy;
use crate::server::fanout::context::ShardContext;
use crate::server::fanout::encode::encode;
use crate::server::fanout::follower::Follower;
use crate::server::fanout::frame_cache::MAX_FRAME_TEXT_BYTES;
use crate::server::fanout::policy::SlowConsumerSettings;
use crate::server::fanout::table::{ConnectionKey, FollowedChannel};

/// Reading one of many channels takes about as long as this number of checks.
const CHECKS_PER_READ: usize = 8;

impl FrameSender {
    /// Sends the backlogs of several channels one after the other, as the module does, each
    /// followed by the messages published to its channel since the follower attached. Returns true
    /// when all of them are sent.
    pub(in crate::server::fanout) fn deliver_backlog_in_path_order(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
    ) -> bool {
        let first = self
            .followers
            .follower(key)
            .and_then(Follower::backlog_in_path_order)
            .unwrap_or(0);
        for nth in first.. {
            let Some(is_in_backlog) = self.is_in_backlog(key, nth) else {
                break;
            };
            self.turn.count_channels(1);
            if is_in_backlog && !self.deliver_backlog(context, key, nth) {
                return false;
            }
        }
        let channels = self.followers.table().channel_count(key);
        let Some(follower) = self.followers.follower_mut(key) else {
            return false;
        };
        follower.set_backlog_in_path_order(None);
        // Rounds of the other channels were skipped until now, so their live messages and deletions
        // are still due.
        for nth in 0..channels {
            self.schedule_round(context, key, nth);
        }
        true
    }

    /// Sends the backlog of channel `nth`. Returns true if all of it is sent.
    fn deliver_backlog(&mut self, context: ShardContext<'_>, key: ConnectionKey, nth: u32) -> bool {
        if let Some(follower) = self.followers.follower_mut(key) {
            follower.set_backlog_in_path_order(Some(nth));
        }
        let Some(followed) = self.followers.table().followed(key, nth as usize) else {
            return false;
        };
        if self.turn.is_over() {
            self.schedule_round(context, key, nth as usize);
            return false;
        }
        let end = followed.cursor.live_from;
        self.deliver(context, key, nth as usize, end);
        self.is_in_backlog(key, nth) == Some(false)
    }

    /// Whether a follower is in the backlog of channel `nth`; `None` if there is no such channel.
    fn is_in_backlog(&self, key: ConnectionKey, nth: u32) -> Option<bool> {
        let followed = self.followers.table().followed(key, nth as usize)?;
        Some(followed.cursor.is_in_backlog())
    }

    /// Sends the new messages of one of several channels so that all messages arrive in the order
    /// of their positions, and notices of deleted channels.
    ///
    /// Usually only this channel has new messages. Its shared frame is used then. The frame is
    /// encoded before the other channels are checked: by then, any message that precedes it is in
    /// their logs.
    pub(in crate::server::fanout) fn deliver_in_order(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
    ) {
        let Some(followed) = self.followers.table().followed(key, nth) else {
            return;
        };
        let head = followed.channel.last_id();
        let frame = self.frame(key, nth, head);
        let table = self.followers.table();
        self.turn.count_channels(table.channel_count(key));
        let others_are_quiet = table
            .all_followed(key)
            .enumerate()
            .all(|(other, followed)| !has_due(followed, other == nth));
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

    fn schedule_round_if_behind(&self, context: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        let followed = self.followers.table().followed(key, nth);
        if followed.is_some_and(|followed| followed.is_behind()) {
            self.schedule_round(context, key, nth);
        }
    }

    /// Sends the new messages of all channels of a follower, merged by position.
    fn deliver_merged(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(follower) = self
            .followers
            .follower(key)
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let SlowConsumerSettings { policy, max_lag } = follower.policy().slow_consumers;
        let reader = |followed: FollowedChannel<'_>| ChannelReader {
            channel: Arc::clone(followed.channel),
            cursor: followed.cursor,
            max_lag,
        };
        let table = self.followers.table();
        let mut readers: Vec<ChannelReader> = table.all_followed(key).map(reader).collect();
        self.turn.count_channels(readers.len() * CHECKS_PER_READ);
        let snapshot = read_by_policy(&mut readers, policy);
        let missed: u64 = snapshot.slices.iter().map(|slice| slice.missed).sum();
        if missed > 0 && !self.followers.survives_gap(context, key, missed) {
            return;
        }
        let is_cut = snapshot.slices.iter().any(|slice| slice.is_cut);
        let end = snapshot.end;
        if self.send_snapshot(context, key, &readers, snapshot) {
            return;
        }
        if let Some(end) = end {
            self.send_deletions(context, key, end);
        }
        if is_cut || end.is_some() {
            (0..readers.len()).for_each(|nth| self.schedule_round(context, key, nth));
        }
    }

    /// Sends the messages of a snapshot of all channels of a follower and advances its cursors.
    /// Returns true if the follower has ended.
    fn send_snapshot(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        readers: &[ChannelReader],
        snapshot: Snapshot,
    ) -> bool {
        let cursors = snapshot.slices.iter().map(|slice| slice.cursor);
        let Some(follower) = self.followers.table_mut().advance_all(key, cursors) else {
            return true;
        };
        let parts: Vec<(&Bytes, LogSlice)> = readers
            .iter()
            .map(|reader| &reader.channel.id)
            .zip(snapshot.slices)
            .collect();
        let frame = encode(follower.format(), &parts, snapshot.horizon);
        self.turn.count_bytes(frame.len());
        // Empty if all new messages were unstored ones from before the follower attached.
        let has_messages = !frame.is_empty();
        if has_messages {
            follower.deadlines().restart_ttl(context.now);
        }
        follower.write(&Rc::new(frame), context.now);
        if has_messages && follower.policy().is_one_shot {
            follower.body_mut().mark_ended();
            self.followers.table_mut().detach(context, key);
            return true;
        }
        false
    }

    /// Sends the deletion notices of the channels that were deleted at position `end`.
    fn send_deletions(&mut self, context: ShardContext<'_>, key: ConnectionKey, end: Position) {
        // From the last to the first: a membership that is removed is replaced by one that was
        // already checked.
        for nth in (0..self.followers.table().channel_count(key)).rev() {
            let text = self
                .followers
                .table()
                .followed(key, nth)
                .filter(|followed| followed.channel.ended_at() == Some(end))
                .and_then(|followed| followed.channel.deletion_text());
            if let Some(text) = text {
                self.followers.send_deleted(context, key, nth, &text);
            }
        }
    }
}

/// True if a follower has due messages in a channel (ignored for the channel that `is_served`), or
/// the channel was deleted.
fn has_due(followed: FollowedChannel<'_>, is_served: bool) -> bool {
    if is_served {
        followed.channel.ended_at().is_some()
    } else {
        followed.channel.has_due_after(followed.cursor)
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

//! A round: brings the followers of a channel from their cursors to its head. `round_queue`
//! schedules the rounds of the channels.
//!
//! Backlog, live messages and messages that a slow socket could not take are all the same read of
//! the channel's log.

use std::sync::Arc;

use smallvec::SmallVec;

use super::encode::encode_next;
use super::follower::{Membership, SubscriptionOutcome};
use super::frame_cache::{EncodedFrame, FrameContent, FrameKey};
use super::shard::ConnectionKey;
use super::state::{ChannelMember, ShardContext, ShardState, TurnUsage};
use crate::message::unix_now;
use crate::server::broker::{ChannelHead, Incident, LogCursor};
use crate::server::observe::failpoints;

/// Most frames that a follower gets in a row. A follower that is further behind continues in
/// another round, after the others.
const FRAMES_PER_TURN: usize = 4;

impl ShardState {
    /// Serves the members of a channel with an index below `unvisited` until the turn is over.
    /// Returns the number of members left.
    ///
    /// Members are visited from the last to the first. A member that leaves is replaced by one that
    /// was already served, and a new follower is served when it attaches, so every one is served
    /// exactly once.
    pub(super) fn serve_members(
        &mut self,
        context: ShardContext<'_>,
        local: u32,
        head: &ChannelHead,
        unvisited: usize,
    ) -> usize {
        let mut index = self.channels[local as usize].members.len().min(unvisited);
        while index > 0 && !self.turn.is_over() {
            index -= 1;
            self.turn.followers += 1;
            // A channel leaves the shard with its last member.
            let Some(channel) = self.channels.get(local as usize) else {
                return 0;
            };
            let Some(member) = channel.members.get(index) else {
                continue;
            };
            let key = member.slot as usize;
            let nth = member.membership_index as usize;
            self.run_isolated(context, key, |state| state.serve(context, key, nth, head));
        }
        index
    }

    /// Brings one follower up to `head` on one of its channels, and sends the deletion of the
    /// channel.
    fn serve(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        head: &ChannelHead,
    ) {
        // A follower with pending bytes reads nothing. It continues from its cursor when its socket
        // is writable, so a slow client never makes messages queue up here.
        let Some(follower) = self.slots[key]
            .follower
            .as_ref()
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let membership = follower.memberships[nth];
        let is_one_of_several = follower.memberships.len() > 1;
        if follower.backlog_in_path_order.is_some()
            && !self.deliver_backlog_in_path_order(context, key)
        {
            return self.after_write(context, key);
        }
        let member =
            self.channels[membership.channel as usize].members[membership.member_index as usize];
        failpoints::point("delivery");
        let is_behind = member.cursor.last_seen < head.last_id;
        if is_one_of_several {
            if is_behind || head.deletion_text.is_some() {
                self.deliver_in_order(context, key, nth);
            }
        } else {
            if is_behind {
                self.deliver(context, key, nth, head.last_id);
            }
            if let Some(text) = &head.deletion_text {
                self.send_deleted(context, key, nth, text);
            }
        }
        self.after_write(context, key);
    }

    /// The channel's entry for membership `nth` of a follower.
    pub(super) fn member(&self, key: ConnectionKey, nth: usize) -> Option<ChannelMember> {
        let membership = self.slots[key].follower.as_ref()?.memberships.get(nth)?;
        Some(self.channels[membership.channel as usize].members[membership.member_index as usize])
    }

    /// Sends the messages of one channel in frames that its followers share.
    pub(super) fn deliver(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        head: u64,
    ) {
        for _ in 0..FRAMES_PER_TURN {
            let Some(frame) = self.frame(key, nth, head) else {
                return;
            };
            let can_continue = self.send_frame(context, key, nth, &frame);
            self.frames.recycle(frame.bytes);
            if !can_continue {
                return;
            }
        }
        self.schedule_round(context, key, nth);
    }

    /// The next frame for a follower; `None` if it is up to date or cannot accept messages.
    pub(super) fn frame(
        &mut self,
        key: ConnectionKey,
        nth: usize,
        head: u64,
    ) -> Option<EncodedFrame> {
        let follower = self.slots[key]
            .follower
            .as_ref()
            .filter(|follower| follower.takes_messages())?;
        let membership = follower.memberships.get(nth)?;
        let local = &self.channels[membership.channel as usize];
        let member = local.members[membership.member_index as usize];
        if member.cursor.last_seen >= head {
            return None;
        }
        // Outside of a backlog only the last seen id matters for what is due. A key without the
        // rest of the cursor lets followers share frames that attached at different times.
        let is_one_shot = follower.format.is_one_shot();
        let frame_key = FrameKey {
            channel: local.channel.number(),
            format: FrameKey::format_address(&follower.format),
            cursor: if member.cursor.is_in_backlog() {
                member.cursor
            } else {
                LogCursor {
                    last_seen: member.cursor.last_seen,
                    ..LogCursor::default()
                }
            },
            second: if is_one_shot { unix_now() } else { 0 },
        };
        // The frames of an only follower are not shared. One-shot followers, however, come back one
        // by one after a round and share the frame of the first.
        let is_shared = local.members.len() > 1 || is_one_shot;
        if is_shared && let Some(frame) = self.frames.find(frame_key, head) {
            return Some(frame);
        }
        let (bytes, content) = encode_next(&local.channel, frame_key.cursor, &follower.format);
        if !is_shared {
            return Some(EncodedFrame {
                bytes: self.frames.wrap_unshared(bytes),
                content,
            });
        }
        Some(
            self.frames
                .insert(frame_key, &follower.format, bytes, content),
        )
    }

    /// Writes a frame and advances the cursor. Returns false if the follower was dropped or has
    /// ended.
    pub(super) fn send_frame(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        frame: &EncodedFrame,
    ) -> bool {
        let FrameContent {
            up_to,
            backlog,
            missed,
            checksum,
            ..
        } = frame.content;
        if missed > 0 && !self.survives_gap(context, key, missed) {
            return false;
        }
        let Some(follower) = self.slots[key].follower.as_mut() else {
            return false;
        };
        let membership = follower.memberships[nth];
        let cursor = &mut self.channels[membership.channel as usize].members
            [membership.member_index as usize]
            .cursor;
        // Before the write: what the socket does not accept becomes pending, and counts as sent.
        *cursor = LogCursor {
            last_seen: up_to,
            backlog,
            ..*cursor
        };
        if frame.bytes.is_empty() {
            return true;
        }
        self.turn.bytes += frame.bytes.len();
        follower.write_sealed(&frame.bytes, checksum, context.now);
        follower.restart_ttl(context.now);
        if follower.format.is_one_shot() {
            follower.has_ended = true;
            self.detach(context, key);
            return false;
        }
        true
    }

    /// Sends a new follower its backlog and the messages published since it attached.
    pub(super) fn start_follower(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        merges_backlog: bool,
    ) {
        self.turn = TurnUsage::default();
        let Some(follower) = &self.slots[key].follower else {
            return;
        };
        let is_one_shot = follower.format.is_one_shot();
        let has_several_channels = follower.memberships.len() > 1;
        if has_several_channels && !merges_backlog && !is_one_shot {
            if let Some(follower) = self.follower(key) {
                follower.backlog_in_path_order = Some(0);
            }
            self.deliver_backlog_in_path_order(context, key);
        }
        self.serve_all_channels(context, key);
        self.frames.drop_large();
    }

    /// Writes the pending bytes of a follower, then serves all its channels.
    pub(super) fn resume(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        self.turn = TurnUsage::default();
        self.serve_all_channels(context, key);
    }

    fn serve_all_channels(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let before = self.last_seen_ids(key);
        let Some(follower) = self.follower(key) else {
            return;
        };
        follower.flush(context.now);
        // From the last to the first: a deleted channel is removed, which may move another one to
        // its index.
        for nth in (0..follower.memberships.len()).rev() {
            let Some(membership) = self
                .follower(key)
                .and_then(|follower| follower.memberships.get(nth))
                .copied()
            else {
                continue;
            };
            if self.turn.is_over() {
                self.schedule_round(context, key, nth);
                continue;
            }
            let channel = Arc::clone(&self.channels[membership.channel as usize].channel);
            self.serve(context, key, nth, &channel.head());
        }
        self.after_write(context, key);
        // Its cursor has moved: a round of the channel releases the live messages that were held
        // for it.
        for (nth, (before, after)) in before.into_iter().zip(self.last_seen_ids(key)).enumerate() {
            if before != after {
                self.schedule_round(context, key, nth);
            }
        }
    }

    /// The channels of a follower with the id that it has seen in each.
    fn last_seen_ids(&self, key: ConnectionKey) -> SmallVec<[(u32, u64); 1]> {
        let Some(follower) = &self.slots[key].follower else {
            return SmallVec::new();
        };
        let last_seen = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            (
                membership.channel,
                local.members[membership.member_index as usize]
                    .cursor
                    .last_seen,
            )
        };
        follower.memberships.iter().map(last_seen).collect()
    }

    /// Handles the outcome of a write: the end of the follower, or a full socket. To be called
    /// after every write to a follower.
    pub(super) fn after_write(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let slot = &mut self.slots[key];
        let Some(follower) = &mut slot.follower else {
            return;
        };
        follower.settle();
        if follower.is_blocked()
            && follower
                .charge_pending(&mut self.pending_charges, context.broker)
                .is_err()
        {
            follower.abort_for(Incident::NoMemoryForPending);
        }
        if follower.outcome.is_none() && !follower.is_blocked() {
            return;
        }
        if follower.outcome == Some(SubscriptionOutcome::Dropped) {
            if let Some(reason) = follower.incident.take() {
                tracing::debug!(reason = reason.name(), "dropping a subscriber");
                context.broker.count(reason);
            }
            self.detach(context, key);
        }
        self.slots[key].wake();
        self.arm(key, context.send_timeout);
    }

    /// Id of the newest message in the channel of membership `nth`.
    pub(super) fn head_of(&self, key: ConnectionKey, nth: usize) -> u64 {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        membership.map_or(0, |membership| {
            self.channels[membership.channel as usize].channel.last_id()
        })
    }

    /// True if the follower has not seen the newest message of membership `nth`.
    pub(super) fn is_behind(&self, key: ConnectionKey, nth: usize) -> bool {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        membership.is_some_and(|membership| {
            let local = &self.channels[membership.channel as usize];
            local.members[membership.member_index as usize]
                .cursor
                .last_seen
                < local.channel.last_id()
        })
    }

    pub(super) fn schedule_round_if_behind(
        &self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
    ) {
        if self.is_behind(key, nth) {
            self.schedule_round(context, key, nth);
        }
    }

    /// Schedules a round of one of the follower's channels.
    pub(super) fn schedule_round(&self, context: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        if let Some(membership) = membership {
            context.broker.schedule_round(
                &self.channels[membership.channel as usize].channel,
                context.shard,
            );
        }
    }
}

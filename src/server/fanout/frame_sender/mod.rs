//! Sends messages to followers, in frames that they share: brings them from their cursors to the
//! heads of their channels. `round_queue` schedules the rounds of the channels.
//!
//! Backlog, live messages and messages that a slow socket could not take are all the same read of
//! the channel's log. `multi_channel` handles followers of several channels.

mod multi_channel;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::message::unix_now;
use crate::server::broker::{ChannelHead, Incident, LogCursor, SlowConsumerOutcome};
use crate::server::fanout::context::ShardContext;
use crate::server::fanout::encode::encode_next;
use crate::server::fanout::end_reason::EndReason;
use crate::server::fanout::follower_deadlines::ExpiredDeadline;
use crate::server::fanout::followers::Followers;
use crate::server::fanout::frame_cache::{EncodedFrame, FrameCache, FrameContent, FrameKey};
use crate::server::fanout::table::{ConnectionKey, FollowerAt};
use crate::server::fanout::turn::TurnUsage;
use crate::server::observe::failpoints;

/// Most frames that a follower gets in a row. A follower that is further behind continues in
/// another round, after the others.
const FRAMES_PER_TURN: usize = 4;

/// The followers of a shard with the frames that they share.
#[derive(Default)]
pub(super) struct FrameSender {
    followers: Followers,
    frames: FrameCache,
    /// Work done since the shard last yielded the thread.
    turn: TurnUsage,
}

impl FrameSender {
    pub(super) fn followers(&self) -> &Followers {
        &self.followers
    }

    pub(super) fn followers_mut(&mut self) -> &mut Followers {
        &mut self.followers
    }

    /// Starts a turn: other tasks had the thread since the last one.
    pub(super) fn begin_turn(&mut self) {
        self.turn = TurnUsage::default();
    }

    /// True if the shard has to yield the thread.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.is_over()
    }

    /// Exchanges the frames with those of a round that is suspended or resumed.
    pub(super) fn swap_frames(&mut self, frames: &mut FrameCache) {
        std::mem::swap(&mut self.frames, frames);
    }

    /// Stops keeping large frames alive, at the end of a round.
    pub(super) fn drop_large_frames(&mut self) {
        self.frames.drop_large();
    }

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
        let members = self.followers.table().members(local);
        let mut index = members.map_or(0, <[_]>::len).min(unvisited);
        while index > 0 && !self.turn.is_over() {
            index -= 1;
            self.turn.count_follower();
            // A channel leaves the shard with its last member.
            let Some(members) = self.followers.table().members(local) else {
                return 0;
            };
            let Some(member) = members.get(index).copied() else {
                continue;
            };
            self.run_isolated(context, member.key(), |sender| {
                sender.serve(context, member.key(), member.nth(), head);
            });
        }
        index
    }

    /// Runs `work` for a connection. If it panics, that connection is dropped and the others
    /// continue.
    pub(super) fn run_isolated(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        work: impl FnOnce(&mut Self),
    ) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            context.broker.count(Incident::Panic);
            self.followers.drop_broken(context, key);
        }
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
        let Some(follower) = self
            .followers
            .follower(key)
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let sends_backlogs = follower.backlog_in_path_order().is_some();
        let is_one_of_several = self.followers.table().channel_count(key) > 1;
        if sends_backlogs && !self.deliver_backlog_in_path_order(context, key) {
            return self.followers.after_write(context, key);
        }
        let Some(followed) = self.followers.table().followed(key, nth) else {
            return self.followers.after_write(context, key);
        };
        let is_behind = followed.cursor.last_seen < head.last_id;
        failpoints::point("delivery");
        if is_one_of_several {
            if is_behind || head.deletion_text.is_some() {
                self.deliver_in_order(context, key, nth);
            }
        } else {
            if is_behind {
                self.deliver(context, key, nth, head.last_id);
            }
            if let Some(text) = &head.deletion_text {
                self.followers.send_deleted(context, key, nth, text);
            }
        }
        self.followers.after_write(context, key);
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
            self.frames.recycle(frame.frame);
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
        let follower = self
            .followers
            .follower(key)
            .filter(|follower| follower.takes_messages())?;
        let followed = self.followers.table().followed(key, nth)?;
        let cursor = followed.cursor;
        if cursor.last_seen >= head {
            return None;
        }
        // Outside of a backlog only the last seen id matters for what is due. A key without the
        // rest of the cursor lets followers share frames that attached at different times.
        let format = follower.format();
        let is_one_shot = format.policy.is_one_shot;
        let frame_key = FrameKey {
            channel: followed.channel.number(),
            format: FrameKey::format_address(format),
            cursor: if cursor.is_in_backlog() {
                cursor
            } else {
                LogCursor {
                    last_seen: cursor.last_seen,
                    ..LogCursor::default()
                }
            },
            second: if is_one_shot { unix_now() } else { 0 },
        };
        // The frames of an only follower are not shared. One-shot followers, however, come back one
        // by one after a round and share the frame of the first.
        let is_shared = followed.has_others || is_one_shot;
        if is_shared && let Some(frame) = self.frames.find(frame_key, head) {
            return Some(frame);
        }
        let (frame, content) = encode_next(followed.channel, frame_key.cursor, format);
        if !is_shared {
            return Some(EncodedFrame {
                frame: self.frames.wrap_unshared(frame),
                content,
            });
        }
        Some(self.frames.insert(frame_key, format, frame, content))
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
            ..
        } = frame.content;
        if missed > 0 && !self.followers.survives_gap(context, key, missed) {
            return false;
        }
        let Some(FollowerAt { follower, cursor }) =
            self.followers.table_mut().follower_at(key, nth)
        else {
            return false;
        };
        // Before the write: what the socket does not accept becomes pending, and counts as sent.
        *cursor = LogCursor {
            last_seen: up_to,
            backlog,
            ..*cursor
        };
        if frame.frame.is_empty() {
            return true;
        }
        self.turn.count_bytes(frame.frame.len());
        follower.write(&frame.frame, context.now);
        follower.deadlines().restart_ttl(context.now);
        if follower.policy().is_one_shot {
            follower.body_mut().mark_ended();
            self.followers.table_mut().detach(context, key);
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
        self.begin_turn();
        let has_several_channels = self.followers.table().channel_count(key) > 1;
        let Some(follower) = self.followers.follower_mut(key) else {
            return;
        };
        if has_several_channels && !merges_backlog && !follower.policy().is_one_shot {
            follower.set_backlog_in_path_order(Some(0));
            self.deliver_backlog_in_path_order(context, key);
        }
        self.serve_all_channels(context, key);
        self.frames.drop_large();
    }

    /// Writes the pending bytes of a follower, then serves all its channels.
    pub(super) fn resume(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        self.begin_turn();
        self.serve_all_channels(context, key);
    }

    /// Handles an expired deadline: of a connection, or the end, ping or time-out of a follower.
    pub(super) fn expire(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(slot) = self.followers.table_mut().slot_mut(key) else {
            return;
        };
        let Some(follower) = slot.follower_mut() else {
            return slot.expire_if_due(context.now);
        };
        let Some(expired) = follower.take_expired(context) else {
            return;
        };
        match expired {
            ExpiredDeadline::Pong => self.followers.end_unanswered(context, key),
            ExpiredDeadline::Input => {
                self.followers
                    .drop_follower(context, key, Incident::BodyTimeout);
            }
            ExpiredDeadline::Send => {
                self.followers
                    .drop_slow(context, key, SlowConsumerOutcome::TimedOut, 0);
            }
            ExpiredDeadline::TimeToLive => {
                // Messages published before the end are sent first; their round may still be in
                // progress.
                self.resume(context, key);
                self.followers.end(context, key, EndReason::TimeToLive);
            }
            ExpiredDeadline::Ping => self.followers.ping(context, key),
        }
    }

    fn serve_all_channels(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let before = self.followers.table().last_seen_ids(key);
        let Some(follower) = self.followers.follower_mut(key) else {
            return;
        };
        follower.flush(context.now);
        // From the last to the first: a deleted channel is removed, which may move another one to
        // its index.
        for nth in (0..before.len()).rev() {
            let Some(followed) = self.followers.table().followed(key, nth) else {
                continue;
            };
            if self.turn.is_over() {
                self.schedule_round(context, key, nth);
                continue;
            }
            let channel = Arc::clone(followed.channel);
            self.serve(context, key, nth, &channel.head());
        }
        self.followers.after_write(context, key);
        // Its cursor has moved: a round of the channel releases the live messages that were held
        // for it.
        let after = self.followers.table().last_seen_ids(key);
        for (nth, (before, after)) in before.into_iter().zip(after).enumerate() {
            if before != after {
                self.schedule_round(context, key, nth);
            }
        }
    }

    /// Schedules a round of channel `nth` of a follower.
    pub(super) fn schedule_round(&self, context: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        self.followers.table().schedule_round(context, key, nth);
    }
}

//! Rounds: bringing followers from their cursors to the head of a channel; `rounds` says which
//! channel's turn it is.
//!
//! Backlog, live messages and what a slow socket could not take are all the same read of the
//! channel's log.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::follower::{Membership, Outcome};
use super::format::{Batch, Delivery, Ending, Format, Standing, Sum};
use super::frames::{Content, Frame, FrameKey};
use super::shard::ConnectionKey;
use super::slow;
use super::state::{Member, ShardContext, State, Turn};
use crate::message::{Position, unix_now};
use crate::server::broker::{Incident, Place, Slice};
use crate::server::buffer_pool;
use crate::server::failpoints;

/// The newest id of a channel and, if it was deleted, its farewell.
type News<'a> = (u64, Option<&'a Bytes>);

/// Frames that one follower gets in a row; one with a longer way to go takes its next turn after
/// the others.
const FRAMES_PER_TURN: usize = 4;

/// What a message takes in a frame beyond its text and channel, most often: our JSON has 110 bytes
/// of names, date and tag.
const ROOM_FOR_FIELDS: usize = 160;
/// What the head of a long-poll answer takes.
const ROOM_FOR_HEAD: usize = 400;

impl State {
    /// Serves members of a channel of the shard, below place `unvisited`, as many as a turn has;
    /// returns how many are left.
    ///
    /// Members are visited from the last to the first: one that leaves meanwhile is replaced by one
    /// that was served already, and one that comes is served on its own.
    pub(super) fn serve_members(
        &mut self,
        moment: ShardContext<'_>,
        local: u32,
        news: News<'_>,
        unvisited: usize,
    ) -> usize {
        let mut place = self.channels[local as usize].members.len().min(unvisited);
        while place > 0 && !self.turn.is_over() {
            place -= 1;
            self.turn.followers += 1;
            // The channel leaves the shard with its last member.
            let Some(channel) = self.channels.get(local as usize) else {
                return 0;
            };
            let Some(member) = channel.members.get(place) else {
                continue;
            };
            let key = member.slot as usize;
            let nth = member.nth as usize;
            self.isolated(moment, key, |state| state.serve(moment, key, nth, news));
        }
        place
    }

    /// Brings one follower up to `head` on one of its channels and tells it of the channel's end.
    fn serve(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        (head, deleted): News<'_>,
    ) {
        let Some(follower) = self.slots[key]
            .follower
            .as_ref()
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let membership = follower.memberships[nth];
        let one_of_several = follower.memberships.len() > 1;
        if follower.backlog_in_path_order.is_some()
            && !self.deliver_backlog_in_path_order(moment, key)
        {
            return self.after_write(moment, key);
        }
        let member = self.channels[membership.channel as usize].members[membership.place as usize];
        failpoints::point("delivery");
        let is_behind = member.place.cursor < head;
        if one_of_several {
            if is_behind || deleted.is_some() {
                self.deliver_in_order(moment, key, nth);
            }
        } else {
            if is_behind {
                self.deliver(moment, key, nth, head);
            }
            if let Some(text) = deleted {
                self.tell_deleted(moment, key, nth, text);
            }
        }
        self.after_write(moment, key);
    }

    /// The follower's membership number `nth`, as its channel knows it.
    pub(super) fn member(&self, key: ConnectionKey, nth: usize) -> Option<Member> {
        let membership = self.slots[key].follower.as_ref()?.memberships.get(nth)?;
        Some(self.channels[membership.channel as usize].members[membership.place as usize])
    }

    /// Sends the messages of one channel, in frames that are shared with others.
    pub(super) fn deliver(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        head: u64,
    ) {
        for _ in 0..FRAMES_PER_TURN {
            let Some(frame) = self.frame(key, nth, head) else {
                return;
            };
            let goes_on = self.send_frame(moment, key, nth, &frame);
            self.frames.give_back(frame.bytes);
            if !goes_on {
                return;
            }
        }
        self.visit_again(moment, key, nth);
    }

    /// The next frame for a follower; `None` if it has everything, or cannot take any.
    pub(super) fn frame(&mut self, key: ConnectionKey, nth: usize, head: u64) -> Option<Frame> {
        let follower = self.slots[key]
            .follower
            .as_ref()
            .filter(|follower| follower.takes_messages())?;
        let membership = follower.memberships.get(nth)?;
        let local = &self.channels[membership.channel as usize];
        let member = local.members[membership.place as usize];
        if member.place.cursor >= head {
            return None;
        }
        let is_one_shot = follower.format.is_one_shot();
        let frame_key = FrameKey {
            channel: local.channel.number(),
            format: FrameKey::format_address(&follower.format),
            place: if member.place.is_in_backlog() {
                member.place
            } else {
                Place {
                    cursor: member.place.cursor,
                    ..Place::default()
                }
            },
            second: if is_one_shot { unix_now() } else { 0 },
        };
        // Nobody shares the frames of the only follower; of one that comes back, those that come
        // with it do.
        let is_shared = local.members.len() > 1 || is_one_shot;
        if is_shared && let Some(frame) = self.frames.find(frame_key, head) {
            return Some(frame);
        }
        let slice = slow::read(
            &local.channel,
            frame_key.place,
            follower.format.slow_consumers(),
        );
        let Place {
            cursor: up_to,
            backlog,
            ..
        } = slice.place;
        let missed = slice.missed;
        let is_cut = slice.is_cut;
        let horizon = slice.horizon;
        let (bytes, sum) = encode(&follower.format, &[(&local.channel.id, slice)], horizon);
        let content = Content {
            up_to,
            backlog,
            missed,
            sum,
            is_cut,
        };
        if !is_shared {
            return Some(Frame {
                bytes: self.frames.unshared(bytes),
                content,
            });
        }
        Some(
            self.frames
                .keep(frame_key, &follower.format, bytes, content),
        )
    }

    /// Writes a frame and moves the cursor; false if the follower was given up.
    pub(super) fn send_frame(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        frame: &Frame,
    ) -> bool {
        let Content {
            up_to,
            backlog,
            missed,
            sum,
            ..
        } = frame.content;
        if missed > 0 && !self.survives_gap(moment, key, missed) {
            return false;
        }
        let Some(follower) = self.slots[key].follower.as_mut() else {
            return false;
        };
        let membership = follower.memberships[nth];
        let place = &mut self.channels[membership.channel as usize].members
            [membership.place as usize]
            .place;
        *place = Place {
            cursor: up_to,
            backlog,
            ..*place
        };
        if frame.bytes.is_empty() {
            return true;
        }
        self.turn.bytes += frame.bytes.len();
        follower.write_sealed(&frame.bytes, sum, moment.now);
        follower.rearm(moment.now);
        if follower.format.is_one_shot() {
            follower.ended = true;
            self.detach(moment, key);
            return false;
        }
        true
    }

    /// The first deliveries of a new follower.
    pub(super) fn begin(&mut self, moment: ShardContext<'_>, key: ConnectionKey, merges: bool) {
        self.turn = Turn::default();
        let Some(follower) = &self.slots[key].follower else {
            return;
        };
        let one_shot = follower.format.is_one_shot();
        let several = follower.memberships.len() > 1;
        if several && !merges && !one_shot {
            if let Some(follower) = self.follower(key) {
                follower.backlog_in_path_order = Some(0);
            }
            self.deliver_backlog_in_path_order(moment, key);
        }
        self.go_on(moment, key);
        self.frames.release_large();
    }

    /// Goes on with a follower: writes what is pending, then serves all its channels.
    pub(super) fn resume(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        self.turn = Turn::default();
        self.go_on(moment, key);
    }

    fn go_on(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        let before = self.cursors(key);
        let Some(follower) = self.follower(key) else {
            return;
        };
        follower.flush(moment.now);
        // From the last: a deleted channel is taken out and another one may move to its place.
        for nth in (0..follower.memberships.len()).rev() {
            let Some(membership) = self
                .follower(key)
                .and_then(|follower| follower.memberships.get(nth))
                .copied()
            else {
                continue;
            };
            if self.turn.is_over() {
                self.visit_again(moment, key, nth);
                continue;
            }
            let channel = Arc::clone(&self.channels[membership.channel as usize].channel);
            let (head, deleted) = channel.news();
            self.serve(moment, key, nth, (head, deleted.as_ref()));
        }
        self.after_write(moment, key);
        // Where it went on, a round finds out that the log need not keep so much any more.
        for (nth, (before, after)) in before.into_iter().zip(self.cursors(key)).enumerate() {
            if before != after {
                self.visit_again(moment, key, nth);
            }
        }
    }

    /// The channels of a follower and its cursors there.
    fn cursors(&self, key: ConnectionKey) -> SmallVec<[(u32, u64); 1]> {
        let Some(follower) = &self.slots[key].follower else {
            return SmallVec::new();
        };
        let cursor = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            (
                membership.channel,
                local.members[membership.place as usize].place.cursor,
            )
        };
        follower.memberships.iter().map(cursor).collect()
    }

    /// Where a follower stands that is to be answered without messages. The newest positions are
    /// read first: what is published meanwhile is newer, so either it is seen as due or it comes
    /// after all of them.
    fn standing(&self, key: ConnectionKey) -> Standing {
        let follower = self.slots.get(key).and_then(|slot| slot.follower.as_ref());
        let Some(follower) = follower.filter(|follower| follower.format.is_one_shot()) else {
            return Standing::default();
        };
        let max_lag = follower.format.slow_consumers().max_lag;
        let positions = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            local
                .channel
                .positions(local.members[membership.place as usize].place, max_lag)
        };
        let newest = follower
            .memberships
            .iter()
            .map(|membership| positions(membership).1)
            .max()
            .unwrap_or_default();
        let next = follower
            .memberships
            .iter()
            .filter_map(|membership| positions(membership).0)
            .min();
        let second = unix_now();
        let newest = if newest == Position::default() {
            Position::new(second, 0)
        } else {
            newest
        };
        Standing {
            second,
            newest,
            before_next: next.map(slow::before),
        }
    }

    pub(super) fn tell_deleted(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        text: &[u8],
    ) {
        if self.is_behind(key, nth) {
            return;
        }
        let mut standing = self.standing(key);
        let Some(follower) = self.slots[key]
            .follower
            .as_mut()
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let membership = follower.memberships[nth];
        let channel = &self.channels[membership.channel as usize].channel;
        // The messages of a successor come after the end of this channel.
        standing.before_next = standing
            .before_next
            .into_iter()
            .chain(channel.ended_at())
            .min();
        let mut bytes = Vec::new();
        follower
            .format
            .deleted(&channel.id, text, standing, &mut bytes);
        let (bytes, sum) = follower.format.seal(bytes);
        follower.write_sealed(&Rc::new(bytes), sum, moment.now);
        if follower.format.is_one_shot() {
            follower.ended = true;
            self.detach(moment, key);
        } else if follower.memberships.len() == 1 || follower.format.ends_with_any_channel() {
            self.end(moment, key, Ending::Deleted);
        } else {
            self.detach_one(moment, key, nth);
        }
    }

    /// Ends a subscription with what its format sends for this reason.
    pub(super) fn end(&mut self, moment: ShardContext<'_>, key: ConnectionKey, ending: Ending) {
        let standing = self.standing(key);
        let Some(follower) = self.follower(key).filter(|follower| !follower.ended) else {
            return;
        };
        if let Some(reason) = ending.incident() {
            tracing::debug!(reason = reason.name(), "a subscription is ended");
            moment.broker.count(reason);
        }
        follower.outlet.record_ending(ending);
        let mut bytes = Vec::new();
        follower.format.end(ending, standing, &mut bytes);
        let (mut bytes, sum) = follower.format.seal(bytes);
        follower.format.closing(follower.sum.then(sum), &mut bytes);
        self.end_with(moment, key, bytes);
    }

    /// Ends a subscription with these last bytes.
    pub(super) fn end_with(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        bytes: Vec<u8>,
    ) {
        let Some(follower) = self.follower(key).filter(|follower| !follower.ended) else {
            return;
        };
        follower.write(&Rc::new(bytes), moment.now);
        follower.ended = true;
        self.detach(moment, key);
        self.after_write(moment, key);
    }

    /// To be called after writing to a follower: notices its end, or that its socket is full.
    pub(super) fn after_write(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        let slot = &mut self.slots[key];
        let Some(follower) = &mut slot.follower else {
            return;
        };
        follower.settle();
        if follower.is_blocked()
            && follower
                .cover_pending(&mut self.pending_shares, moment.broker)
                .is_err()
        {
            follower.fail(Incident::NoMemoryForPending);
        }
        if follower.outcome.is_none() && !follower.is_blocked() {
            return;
        }
        if follower.outcome == Some(Outcome::Dropped) {
            if let Some(reason) = follower.failure.take() {
                tracing::debug!(reason = reason.name(), "a subscriber is dropped");
                moment.broker.count(reason);
            }
            self.detach(moment, key);
        }
        self.slots[key].wake();
        self.arm(key, moment.send_timeout);
    }

    pub(super) fn head_of(&self, key: ConnectionKey, nth: usize) -> u64 {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        membership.map_or(0, |membership| {
            self.channels[membership.channel as usize].channel.last_id()
        })
    }

    pub(super) fn is_behind(&self, key: ConnectionKey, nth: usize) -> bool {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        membership.is_some_and(|membership| {
            let local = &self.channels[membership.channel as usize];
            local.members[membership.place as usize].place.cursor < local.channel.last_id()
        })
    }

    pub(super) fn visit_again_if_behind(
        &self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
    ) {
        if self.is_behind(key, nth) {
            self.visit_again(moment, key, nth);
        }
    }

    /// Lets a further round come to the follower.
    pub(super) fn visit_again(&self, moment: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        let membership = self.slots[key]
            .follower
            .as_ref()
            .and_then(|follower| follower.memberships.get(nth));
        if let Some(membership) = membership {
            moment.broker.revisit(
                &self.channels[membership.channel as usize].channel,
                moment.shard,
            );
        }
    }
}

/// The bytes of these messages in a format, ordered by position if they are of several channels,
/// after what is missing before them, sealed; empty if there are none. A cursor at `horizon` leads
/// to what comes after them.
pub(super) fn encode(
    format: &Rc<dyn Format>,
    parts: &[(&Bytes, Slice)],
    horizon: Position,
) -> (Vec<u8>, Sum) {
    let mut deliveries: SmallVec<[Delivery<'_>; 1]> = SmallVec::new();
    for (channel, slice) in parts {
        deliveries.extend(
            slice
                .messages
                .iter()
                .map(|message| Delivery { channel, message }),
        );
    }
    if parts.len() > 1 {
        deliveries.sort_by_key(|delivery| delivery.message.position);
    }
    let gaps = slow::gaps(parts, &deliveries);
    if deliveries.is_empty() && gaps.is_empty() {
        return (Vec::new(), Sum::default());
    }
    // Growing step by step would cost more than the encoding.
    let texts: usize = deliveries
        .iter()
        .map(|delivery| delivery.message.text.len() + delivery.channel.len() + ROOM_FOR_FIELDS)
        .sum();
    let mut bytes = buffer_pool::take(texts + ROOM_FOR_HEAD);
    format.messages(
        Batch {
            gaps: &gaps,
            deliveries: &deliveries,
            horizon,
        },
        &mut bytes,
    );
    format.seal(bytes)
}

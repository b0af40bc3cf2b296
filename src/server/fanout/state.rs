//! State of a shard: its followers, and the rounds that deliver messages to them. `shard` is the
//! handle that connections use.

use std::rc::Rc;

use super::context::ShardContext;
use super::follower::Follower;
use super::followers::Followers;
use super::frame_sender::FrameSender;
use super::gaps;
use super::outlet::Outlet;
use super::round_queue::{Round, RoundProgress, RoundQueue};
use super::subscription::{Channels, Subscription};
use super::table::{AttachGuard, ConnectionKey};
use crate::server::broker::{AttachError, Channel, Inbox};
use crate::server::exchange::response::ResponseWriter;
use crate::server::observe::failpoints;

/// The followers of one thread, and their rounds.
#[derive(Default)]
pub(super) struct ShardState {
    sender: FrameSender,
    rounds: RoundQueue,
}

impl ShardState {
    pub(super) fn followers(&self) -> &Followers {
        self.sender.followers()
    }

    pub(super) fn followers_mut(&mut self) -> &mut Followers {
        self.sender.followers_mut()
    }

    pub(super) fn sender(&mut self) -> &mut FrameSender {
        &mut self.sender
    }

    /// True if no round is in progress or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Subscribes a connection, writes the head of its response and starts delivering to it.
    ///
    /// # Errors
    /// When a limit is reached. The connection then has no subscription and nothing was written.
    pub(super) fn attach(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        outlet: Rc<Outlet>,
        mut subscription: Subscription,
        writer: &dyn ResponseWriter,
    ) -> Result<Channels, AttachError> {
        let mut follower = Follower::new(outlet, &subscription, context.now);
        let traits = follower.traits(subscription.channels.len());
        let followers = self.sender.followers_mut();
        let attached = AttachGuard::attach(context, &mut subscription, traits, |channel| {
            followers.evict_waiting(context, channel);
        })?;
        let lost_at = subscription.cursor.lost_at;
        let gaps = gaps::at_attach(context, attached.channels(), traits.max_lag, lost_at);
        let is_subscriber = !attached.channels().is_empty();
        followers.table_mut().add_members(key, attached);
        if is_subscriber {
            context
                .broker
                .counters()
                .count_subscriber(context.shard, true);
        }
        failpoints::point("attaching");
        let is_complete = follower.write_head(&subscription, writer, &gaps, context.now);
        followers.table_mut().set_follower(key, follower);
        if is_complete {
            followers.table_mut().detach(context, key);
            followers.after_write(context, key);
        } else {
            self.sender
                .start_follower(context, key, subscription.merges_backlog);
        }
        Ok(subscription.channels)
    }

    /// Runs the rounds of one turn. Returns true if nothing is left to do.
    pub(super) fn run_turn(&mut self, context: ShardContext<'_>, inbox: &Inbox) -> bool {
        self.rounds.enqueue(inbox);
        while !self.sender.is_turn_over() {
            let Some(round) = self.rounds.pop() else {
                break;
            };
            self.run_round(context, round);
        }
        self.rounds.is_empty() && inbox.is_empty()
    }

    /// Runs a round until it is complete or the turn is over.
    fn run_round(&mut self, context: ShardContext<'_>, round: Round) {
        let Round { channel, progress } = round;
        let is_resumed = progress.is_some();
        let mut progress = progress.map_or_else(
            || RoundProgress::begin(&channel, context.shard),
            |progress| *progress,
        );
        // Before the deliveries: an evicted follower must not get the messages of this round.
        if channel.take_eviction(context.shard) {
            self.followers_mut()
                .evict_waiting(context, channel.number());
        }
        // A resumed round continues with its own frames, so that the rounds between its turns do
        // not evict them.
        if is_resumed {
            self.sender.swap_frames(&mut progress.frames);
        }
        let local = self.followers().table().channel_index(channel.number());
        progress.unvisited = local.map_or(0, |local| {
            self.sender
                .serve_members(context, local, &progress.head, progress.unvisited)
        });
        if progress.unvisited > 0 {
            self.sender.swap_frames(&mut progress.frames);
            self.rounds.suspend(channel, progress);
            return;
        }
        self.finish_round(context, &channel, local, progress.head.last_id);
        if progress.needs_another {
            self.rounds.repeat(channel);
        }
    }

    /// Reports to the channel how far its followers on this shard are.
    fn finish_round(
        &mut self,
        context: ShardContext<'_>,
        channel: &Channel,
        local: Option<u32>,
        head: u64,
    ) {
        // The channel is gone from the shard if its last member left. Its index is not reused
        // before the round ends, because followers attach between turns only.
        if let Some(members) = local.and_then(|local| self.followers().table().members(local)) {
            let floor = members
                .iter()
                .map(|member| member.cursor().last_seen.max(member.cursor().live_from))
                .min();
            channel.record_served(context.shard, floor.unwrap_or(head));
        }
        self.sender.drop_large_frames();
    }
}

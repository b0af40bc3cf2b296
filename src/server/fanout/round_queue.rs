//! Schedule of the rounds. A round of many followers takes several turns, and the rounds of other
//! channels run between them, so that no channel waits longer than one turn for each round in
//! progress.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frame_cache::FrameCache;
use super::state::{NumberMap, ShardContext, ShardState};
use crate::server::broker::{Channel, ChannelHead, Inbox};

/// Limit on the memory of the frames that suspended rounds keep for their next turn. Beyond it a
/// round encodes its frames again.
const MAX_WAITING_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The rounds of a shard. A channel has one round at a time; messages published during a round are
/// delivered by the next one.
#[derive(Default)]
pub(super) struct RoundQueue {
    /// Rounds to start or to continue, in the order of their turns.
    queue: VecDeque<Round>,
    /// Rounds for the next turn, behind the channels that are in the inbox by then. The next round
    /// of a channel waits here, too: it starts after publishers have had the thread, and so
    /// delivers more messages at once.
    waiting: Vec<Round>,
    /// Numbers of the channels with a suspended round, and whether they need another one after it.
    under_way: NumberMap<bool>,
    /// Bytes of the frames that suspended rounds keep.
    waiting_bytes: usize,
    /// Empty; keeps the memory of the list that is exchanged with the inbox.
    inbox_buffer: Vec<Arc<Channel>>,
}

/// A round of one channel; `progress` is `None` until it starts.
struct Round {
    channel: Arc<Channel>,
    progress: Option<Box<RoundProgress>>,
}

/// Progress of a round.
struct RoundProgress {
    /// Head of the channel when the round began.
    head: ChannelHead,
    /// Members from this index on are served.
    unvisited: usize,
    /// Frames of the round while it is suspended. During a turn they are in the shard's cache.
    frames: FrameCache,
    /// Bytes of these frames while the round is suspended.
    waiting_bytes: usize,
    /// The channel has been in the inbox since the round began.
    needs_another: bool,
}

impl RoundProgress {
    /// Starts a round. Messages published from now on put the channel into the inbox again.
    fn begin(channel: &Channel, shard: usize) -> Self {
        channel.clear_dirty(shard);
        Self {
            head: channel.head(),
            unvisited: usize::MAX,
            frames: FrameCache::default(),
            waiting_bytes: 0,
            needs_another: false,
        }
    }
}

impl RoundQueue {
    /// Queues the channels in the inbox, then the suspended rounds.
    pub(super) fn enqueue(&mut self, inbox: &Inbox) {
        inbox.take(&mut self.inbox_buffer);
        for channel in self.inbox_buffer.drain(..) {
            match self.under_way.get_mut(&channel.number()) {
                Some(needs_another) => *needs_another = true,
                None => self.queue.push_back(Round {
                    channel,
                    progress: None,
                }),
            }
        }
        if !self.waiting.is_empty() {
            self.queue.extend(self.waiting.drain(..));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty()
    }

    /// Suspends a round until the next turn.
    fn suspend(&mut self, channel: Arc<Channel>, mut progress: RoundProgress) {
        let bytes = progress.frames.held_bytes();
        if self.waiting_bytes + bytes > MAX_WAITING_FRAME_BYTES {
            progress.frames = FrameCache::default();
        } else {
            progress.waiting_bytes = bytes;
            self.waiting_bytes += bytes;
        }
        self.under_way
            .insert(channel.number(), progress.needs_another);
        self.waiting.push(Round {
            channel,
            progress: Some(Box::new(progress)),
        });
    }

    /// Takes the next round from the queue. While it runs it is not recorded as in progress, so
    /// that the channel can have another round after a panic.
    fn pop(&mut self) -> Option<Round> {
        let mut round = self.queue.pop_front()?;
        if let Some(progress) = &mut round.progress {
            self.waiting_bytes -= std::mem::take(&mut progress.waiting_bytes);
            progress.needs_another = self
                .under_way
                .remove(&round.channel.number())
                .unwrap_or(false);
        }
        Some(round)
    }
}

impl ShardState {
    /// Runs rounds until the turn is over or all are complete.
    pub(super) fn serve_rounds(&mut self, context: ShardContext<'_>) {
        while !self.turn.is_over() {
            let Some(Round { channel, progress }) = self.rounds.pop() else {
                return;
            };
            let mut progress = progress.map_or_else(
                || RoundProgress::begin(&channel, context.shard),
                |progress| *progress,
            );
            // Before the deliveries: an evicted follower must not get the messages of this round.
            if channel.take_eviction(context.shard) {
                self.evict_waiting(context, channel.number());
            }
            // A resumed round continues with its own frames, so that the rounds between its turns
            // do not evict them.
            if progress.unvisited != usize::MAX {
                std::mem::swap(&mut self.frames, &mut progress.frames);
            }
            let local = self.by_number.get(&channel.number()).copied();
            progress.unvisited = local.map_or(0, |local| {
                self.serve_members(context, local, &progress.head, progress.unvisited)
            });
            if progress.unvisited > 0 {
                std::mem::swap(&mut self.frames, &mut progress.frames);
                self.rounds.suspend(channel, progress);
                continue;
            }
            self.finish_round(context, &channel, local, progress.head.last_id);
            if progress.needs_another {
                self.rounds.waiting.push(Round {
                    channel,
                    progress: None,
                });
            }
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
        if let Some(local) = local.and_then(|local| self.channels.get(local as usize)) {
            debug_assert_eq!(
                local.channel.number(),
                channel.number(),
                "a round is one of its channel"
            );
            let floor = local
                .members
                .iter()
                .map(|member| member.cursor.last_seen.max(member.cursor.live_from))
                .min();
            channel.record_served(context.shard, floor.unwrap_or(head));
        }
        self.frames.drop_large();
    }
}

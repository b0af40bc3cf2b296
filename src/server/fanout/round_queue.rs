//! Schedule of the rounds. A round of many followers takes several turns, and the rounds of other
//! channels run between them, so that no channel waits longer than one turn for each round in
//! progress.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frame_cache::FrameCache;
use super::number_map::NumberMap;
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
pub(super) struct Round {
    pub(super) channel: Arc<Channel>,
    pub(super) progress: Option<Box<RoundProgress>>,
}

/// Progress of a round.
pub(super) struct RoundProgress {
    /// Head of the channel when the round began.
    pub(super) head: ChannelHead,
    /// Members from this index on are served.
    pub(super) unvisited: usize,
    /// Frames of the round while it is suspended. During a turn they are in the shard's cache.
    pub(super) frames: FrameCache,
    /// Bytes of these frames while the round is suspended.
    waiting_bytes: usize,
    /// The channel has been in the inbox since the round began.
    pub(super) needs_another: bool,
}

impl RoundProgress {
    /// Starts a round. Messages published from now on put the channel into the inbox again.
    pub(super) fn begin(channel: &Channel, shard: usize) -> Self {
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
    pub(super) fn suspend(&mut self, channel: Arc<Channel>, mut progress: RoundProgress) {
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

    /// Queues another round of the channel for the next turn.
    pub(super) fn repeat(&mut self, channel: Arc<Channel>) {
        self.waiting.push(Round {
            channel,
            progress: None,
        });
    }

    /// Takes the next round from the queue. While it runs it is not recorded as in progress, so
    /// that the channel can have another round after a panic.
    pub(super) fn pop(&mut self) -> Option<Round> {
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

//! Which channels have rounds, and when: a round of many followers takes several turns, and other
//! channels have theirs between them, so that nobody waits longer than a turn for each round under
//! way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::frames::Frames;
use super::state::{NumberMap, ShardContext, State};
use crate::server::broker::{Channel, Inbox};

/// Bytes of frames that rounds may hold while they wait for their next turn; beyond that they
/// encode them again.
const MAX_WAITING_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The rounds of a shard. A channel has one at a time: what comes during a round is for the next
/// one.
#[derive(Default)]
pub(super) struct Rounds {
    /// Rounds to begin or to go on with, in the order of their turns.
    queue: VecDeque<Round>,
    /// Rounds for the next turn, after what has come meanwhile. The next round of a channel is
    /// among them: it begins when publishers had the thread, and so takes more messages at once.
    waiting: Vec<Round>,
    /// Numbers of the channels whose rounds are under way, and whether there is to be another one
    /// after it.
    under_way: NumberMap<bool>,
    /// Bytes of the frames that waiting rounds hold.
    waiting_bytes: usize,
    /// Empty; its memory is used again.
    news: Vec<Arc<Channel>>,
}

/// A round of one channel.
struct Round {
    channel: Arc<Channel>,
    progress: Option<Box<Progress>>,
}

/// How far a round is.
struct Progress {
    /// Id of the newest message when it began.
    head: u64,
    /// The farewell, if the channel was deleted by then.
    deleted: Option<Bytes>,
    /// Members from this place on are served.
    unvisited: usize,
    /// Its frames, while it waits for its turn; during the turn those of the shard.
    frames: Frames,
    /// Bytes of its frames while it waits.
    waiting_bytes: usize,
    /// News came meanwhile.
    again: bool,
}

impl Progress {
    /// What is published from now on is for the next round.
    fn begin(channel: &Channel, shard: usize) -> Self {
        channel.clear_dirty(shard);
        let (head, deleted) = channel.news();
        Self {
            head,
            deleted,
            unvisited: usize::MAX,
            frames: Frames::default(),
            waiting_bytes: 0,
            again: false,
        }
    }
}

impl Rounds {
    /// Enters the channels that have news.
    pub(super) fn enter(&mut self, inbox: &Inbox) {
        inbox.take(&mut self.news);
        for channel in self.news.drain(..) {
            match self.under_way.get_mut(&channel.number()) {
                Some(again) => *again = true,
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

    /// There is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty()
    }

    /// Lets a round wait for its next turn.
    fn interrupt(&mut self, channel: Arc<Channel>, mut progress: Progress) {
        let bytes = progress.frames.held_bytes();
        if self.waiting_bytes + bytes > MAX_WAITING_FRAME_BYTES {
            progress.frames = Frames::default();
        } else {
            progress.waiting_bytes = bytes;
            self.waiting_bytes += bytes;
        }
        self.under_way.insert(channel.number(), progress.again);
        self.waiting.push(Round {
            channel,
            progress: Some(Box::new(progress)),
        });
    }

    /// The round whose turn it is. Until it is interrupted nothing here knows of it, so that after
    /// a panic the channel can have another one.
    fn next(&mut self) -> Option<Round> {
        let mut round = self.queue.pop_front()?;
        if let Some(progress) = &mut round.progress {
            self.waiting_bytes -= std::mem::take(&mut progress.waiting_bytes);
            progress.again = self
                .under_way
                .remove(&round.channel.number())
                .unwrap_or(false);
        }
        Some(round)
    }
}

impl State {
    /// Goes on with the rounds until the turn is over or all are done.
    pub(super) fn serve_rounds(&mut self, moment: ShardContext<'_>) {
        while !self.turn.is_over() {
            let Some(Round { channel, progress }) = self.rounds.next() else {
                return;
            };
            let mut progress = progress.map_or_else(
                || Progress::begin(&channel, moment.shard),
                |progress| *progress,
            );
            if channel.take_expulsion(moment.shard) {
                self.expel(moment, channel.number());
            }
            if progress.unvisited != usize::MAX {
                std::mem::swap(&mut self.frames, &mut progress.frames);
            }
            let local = self.by_number.get(&channel.number()).copied();
            let news = (progress.head, progress.deleted.as_ref());
            progress.unvisited = local.map_or(0, |local| {
                self.serve_members(moment, local, news, progress.unvisited)
            });
            if progress.unvisited > 0 {
                std::mem::swap(&mut self.frames, &mut progress.frames);
                self.rounds.interrupt(channel, progress);
                continue;
            }
            self.end_round(moment, &channel, local, progress.head);
            if progress.again {
                self.rounds.waiting.push(Round {
                    channel,
                    progress: None,
                });
            }
        }
    }

    /// Tells the channel how far its followers here are.
    fn end_round(
        &mut self,
        moment: ShardContext<'_>,
        channel: &Channel,
        local: Option<u32>,
        head: u64,
    ) {
        // It leaves the shard with its last member; none comes to its place, because nobody can
        // attach during a turn.
        if let Some(local) = local.and_then(|local| self.channels.get(local as usize)) {
            debug_assert_eq!(
                local.channel.number(),
                channel.number(),
                "a round is one of its channel"
            );
            let floor = local
                .members
                .iter()
                .map(|member| member.place.cursor.max(member.place.live_from))
                .min();
            channel.served(moment.shard, floor.unwrap_or(head));
        }
        self.frames.release_large();
    }
}

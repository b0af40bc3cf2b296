//! Snapshots of several channels, in which one cursor is valid for all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::{Channel, ChannelState};
use crate::message::Position;
use crate::server::broker::log::{
    ChannelStart, Cursor, LogCursor, LogReader, LogSlice, MissedCount,
};

/// A reader of one channel.
#[derive(Clone, Debug)]
pub struct ChannelReader {
    /// The channel.
    pub channel: Arc<Channel>,
    /// Cursor of the reader in the channel.
    pub cursor: LogCursor,
    /// Bytes that the reader may be behind.
    pub max_lag: u64,
}

impl ChannelReader {
    /// Resolves the cursor of a reader that does not subscribe. Returns the reader and the number
    /// of messages that it misses.
    #[must_use]
    pub fn open(channel: &Arc<Channel>, backtrack: u32, cursor: &Cursor) -> (Self, MissedCount) {
        let (cursor, missed) = channel.lock().log.resolve(backtrack, cursor);
        (Self::at(channel, cursor), missed)
    }

    /// As [`ChannelReader::open`], with a start within the channel.
    #[must_use]
    pub fn open_at(channel: &Arc<Channel>, start: ChannelStart) -> Self {
        let (cursor, _) = channel.lock().log.resolve_start(start);
        Self::at(channel, cursor)
    }

    fn at(channel: &Arc<Channel>, cursor: LogCursor) -> Self {
        Self {
            channel: Arc::clone(channel),
            cursor,
            max_lag: u64::MAX,
        }
    }
}

/// Messages of several channels up to a common horizon.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// One slice for each reader.
    pub slices: Vec<LogSlice>,
    /// Every message of these channels up to this position is in the slices or was served before;
    /// no later message is.
    pub horizon: Position,
    /// Set if the snapshot reaches the end of a deleted channel, at this position. The reader must
    /// be notified of it before it gets later messages, which messages of a successor of that
    /// channel may precede.
    pub end: Option<Position>,
}

/// Reads several channels at once, up to about `max_bytes` of text in all (at least one message).
///
/// All of them are locked together. Positions are assigned under the channel's lock, so no message
/// with a position below the horizon can appear later: a cursor at the horizon neither loses nor
/// repeats a message. The snapshot ends before missing messages, so that a gap always comes before
/// the first message of the next snapshot.
#[must_use]
pub fn read_snapshot(readers: &[ChannelReader], max_bytes: usize) -> Snapshot {
    let mut order: SmallVec<[&Arc<Channel>; 4]> =
        readers.iter().map(|reader| &reader.channel).collect();
    order.sort_by_key(|channel| channel.number);
    order.dedup_by_key(|channel| channel.number);
    let guards: SmallVec<[MutexGuard<'_, ChannelState>; 4]> =
        order.iter().map(|channel| channel.lock()).collect();
    let mut readings: Vec<LogReader<'_>> = Vec::with_capacity(readers.len());
    for reader in readers {
        if let Ok(index) =
            order.binary_search_by_key(&reader.channel.number, |channel| channel.number)
        {
            readings.push(LogReader::new(
                &guards[index].log,
                reader.cursor,
                reader.max_lag,
            ));
        }
    }
    let end = guards.iter().filter_map(|state| state.ended_at()).min();
    let (last, is_all) = merge(&mut readings, max_bytes, end);
    let slices: Vec<LogSlice> = readings.into_iter().map(LogReader::finish).collect();
    let horizon = if slices.iter().any(|slice| slice.is_cut) {
        last
    } else {
        let with_messages = slices.iter().filter(|slice| !slice.messages.is_empty());
        with_messages
            .map(|slice| slice.horizon)
            .max()
            .unwrap_or_default()
    };
    Snapshot {
        slices,
        horizon,
        end: end.filter(|_| is_all),
    }
}

/// Takes messages in the order of their positions, up to `end`. Returns the last position, and
/// whether no message up to `end` is left.
fn merge(
    readings: &mut [LogReader<'_>],
    max_bytes: usize,
    end: Option<Position>,
) -> (Position, bool) {
    let mut next = BinaryHeap::with_capacity(readings.len());
    for (index, reading) in readings.iter_mut().enumerate() {
        next.extend(
            reading
                .next_position()
                .map(|position| Reverse((position, index))),
        );
    }
    let mut bytes = 0;
    let mut last = Position::default();
    while let Some(Reverse((position, index))) = next.pop() {
        if end.is_some_and(|end| position > end) {
            break;
        }
        let is_first = last == Position::default();
        if bytes >= max_bytes || (!is_first && readings[index].is_at_gap()) {
            return (last, false);
        }
        last = position;
        bytes += readings[index].take();
        next.extend(
            readings[index]
                .next_position()
                .map(|position| Reverse((position, index))),
        );
    }
    (last, true)
}

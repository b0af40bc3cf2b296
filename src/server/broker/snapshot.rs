//! Reading several channels at one moment, so that one cursor holds for all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::channel::{Channel, State};
use super::log::Place;
use super::reading::{Reading, Slice};
use crate::message::Position;

/// A channel, and where a reader of it stands.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The channel.
    pub channel: Arc<Channel>,
    /// Where.
    pub place: Place,
    /// Bytes that it may be behind.
    pub max_lag: u64,
}

/// Messages of several channels up to one common horizon.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// One slice for each reader.
    pub slices: Vec<Slice>,
    /// Every message of these channels up to here is in the slices or was served before, none after
    /// it is.
    pub horizon: Position,
    /// With the messages of this snapshot the reader is at the end of a channel that was deleted,
    /// at this position. It is to be told before it gets anything that came later, which may be
    /// preceded by messages of a new channel of that name.
    pub end: Option<Position>,
}

/// Reads several channels at one moment, up to about `max_bytes` of text in all (at least one
/// message).
///
/// All of them are locked together. Positions are given out under the channel's lock, so no message
/// with a position below the horizon can turn up later: the horizon is a cursor that loses nothing
/// and repeats nothing. Where messages are missing the snapshot ends, so that a gap comes right
/// before the first message of the next one.
#[must_use]
pub fn read_together(readers: &[Reader], max_bytes: usize) -> Snapshot {
    let mut order: SmallVec<[&Arc<Channel>; 4]> =
        readers.iter().map(|reader| &reader.channel).collect();
    order.sort_by_key(|channel| channel.number);
    order.dedup_by_key(|channel| channel.number);
    let guards: SmallVec<[MutexGuard<'_, State>; 4]> =
        order.iter().map(|channel| channel.lock()).collect();
    let mut readings: Vec<Reading<'_>> = Vec::with_capacity(readers.len());
    for reader in readers {
        if let Ok(index) =
            order.binary_search_by_key(&reader.channel.number, |channel| channel.number)
        {
            readings.push(Reading::new(
                &guards[index].log,
                reader.place,
                reader.max_lag,
            ));
        }
    }
    let end = guards.iter().filter_map(|state| state.ended_at()).min();
    let (last, is_all) = merge(&mut readings, max_bytes, end);
    let slices: Vec<Slice> = readings.into_iter().map(Reading::finish).collect();
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

/// Takes messages in the order of their positions, up to `end`; returns the last position, and
/// whether these are all.
fn merge(
    readings: &mut [Reading<'_>],
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

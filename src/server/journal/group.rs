//! Groups: the records that are written and synced together.
//!
//! A group is the unit of recovery: it is there as a whole or not at all. Its header says how far
//! the journal was durable when it was written. That distinguishes a torn tail (the last groups,
//! which were not acknowledged) from damage (a group that was durable and is no longer readable).
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | `JGRP` |
//! | 4..8 | CRC-32 of the id of the journal and all bytes of the group after it |
//! | 8..12 | length of the records in bytes |
//! | 12..16 | number of records |
//! | 16..24 | number of the group |
//! | 24..32 | number of the group up to which (exclusive) all were durable |
//! | 32.. | the records: length of the body (4 bytes), kind (1 byte), body |
//!
//! All numbers are little-endian. The checksum begins with the id of the journal, which no client
//! knows: a message cannot contain bytes that pass for a group.

use super::encoding::{JournalId, read_u32, read_u64};

/// The first bytes of a group. They cannot overlap with themselves, so that a search finds each.
const MAGIC: [u8; 4] = *b"JGRP";

/// Bytes before the records.
pub(super) const HEADER_BYTES: usize = 32;

/// Bytes before the body of a record.
const RECORD_HEADER_BYTES: usize = 5;

/// Start of the part that the checksum covers.
const CHECKED_FROM: usize = 8;

/// The start of the checksums of a journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u32);

impl Seed {
    /// The seed of a journal.
    pub(super) fn of(journal: &JournalId) -> Self {
        Self(crc32fast::hash(journal))
    }

    fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// A record in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is; the journal itself uses [`RETIRED`](super::RETIRED) only.
    pub kind: u8,
    /// Its content.
    pub body: &'a [u8],
}

/// Records that are collected for the next group.
#[derive(Debug)]
pub struct GroupBuffer {
    /// Room for the header, and the records.
    bytes: Vec<u8>,
    records: u32,
}

impl Default for GroupBuffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            records: 0,
        }
    }
}

impl GroupBuffer {
    /// Appends a record, whose body `write` appends to the buffer.
    pub fn push(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        write(&mut self.bytes);
        let length = self.bytes.len() - start - RECORD_HEADER_BYTES;
        let length = u32::try_from(length).expect("a record is shorter than a group may be");
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    /// Returns whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Length of the group on disk, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Removes all records; the memory is kept up to `max_kept` bytes.
    pub fn clear(&mut self, max_kept: usize) {
        self.bytes.truncate(HEADER_BYTES);
        self.bytes.shrink_to(max_kept);
        self.records = 0;
    }

    /// Completes the header, and returns the bytes of the group.
    pub(super) fn seal(&mut self, seed: Seed, number: u64, durable: u64) -> &[u8] {
        let length = u32::try_from(self.bytes.len() - HEADER_BYTES)
            .expect("a group is ended before it is longer than its length can say");
        let header = &mut self.bytes[..HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header[12..16].copy_from_slice(&self.records.to_le_bytes());
        header[16..24].copy_from_slice(&number.to_le_bytes());
        header[24..32].copy_from_slice(&durable.to_le_bytes());
        let checksum = seed.checksum(&self.bytes[CHECKED_FROM..]);
        self.bytes[4..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes
    }
}

/// A group that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    /// Its number.
    pub(super) number: u64,
    /// All groups before this number were durable when it was written.
    pub(super) durable: u64,
    /// Number of its records.
    pub(super) count: u32,
    records: &'a [u8],
}

impl<'a> Group<'a> {
    /// Reads the group at the front of `bytes`; `None` if there is none, or not the whole of it.
    pub(super) fn parse(seed: Seed, bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        if header[..4] != MAGIC {
            return None;
        }
        let length = usize::try_from(read_u32(&header[8..12])).ok()?;
        let checked = bytes.get(CHECKED_FROM..HEADER_BYTES.checked_add(length)?)?;
        if seed.checksum(checked) != read_u32(&header[4..8]) {
            return None;
        }
        let group = Self {
            number: read_u64(&header[16..24]),
            durable: read_u64(&header[24..32]),
            count: read_u32(&header[12..16]),
            records: &bytes[HEADER_BYTES..HEADER_BYTES + length],
        };
        group.is_complete().then_some(group)
    }

    /// Finds all groups in `bytes`, wherever they start.
    pub(super) fn find_all(seed: Seed, bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        memchr::memmem::find_iter(bytes, &MAGIC)
            .filter_map(move |offset| Self::parse(seed, &bytes[offset..]))
    }

    /// Returns whether there may be groups of an unknown journal in `bytes`.
    pub(super) fn is_hinted_in(bytes: &[u8]) -> bool {
        memchr::memmem::find(bytes, &MAGIC).is_some()
    }

    /// Length on disk in bytes.
    pub(super) fn len(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The records in order.
    pub(super) fn records(&self) -> Records<'a> {
        Records { rest: self.records }
    }

    /// Returns whether the records fill the group exactly.
    fn is_complete(&self) -> bool {
        let mut records = self.records();
        records.by_ref().count() as u64 == u64::from(self.count) && records.rest.is_empty()
    }
}

/// The records of a group.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let header = self.rest.get(..RECORD_HEADER_BYTES)?;
        let length = usize::try_from(read_u32(&header[..4])).ok()?;
        let end = RECORD_HEADER_BYTES.checked_add(length)?;
        let record = Record {
            kind: header[4],
            body: self.rest.get(RECORD_HEADER_BYTES..end)?,
        };
        self.rest = &self.rest[end..];
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(0x1234_5678);

    fn sample() -> Vec<u8> {
        let mut buffer = GroupBuffer::default();
        buffer.push(1, |out| out.extend_from_slice(b"first"));
        buffer.push(2, |_| {});
        buffer.seal(SEED, 7, 6).to_vec()
    }

    #[test]
    fn a_group_is_read_as_it_was_written() {
        let bytes = sample();
        let group = Group::parse(SEED, &bytes).expect("a group");
        assert_eq!(
            (group.number, group.durable, group.len()),
            (7, 6, bytes.len())
        );
        let records: Vec<_> = group.records().collect();
        let expected = [
            Record {
                kind: 1,
                body: b"first",
            },
            Record { kind: 2, body: b"" },
        ];
        assert_eq!(records, expected);
    }

    #[test]
    fn a_cleared_buffer_makes_the_next_group() {
        let mut buffer = GroupBuffer::default();
        buffer.push(1, |out| out.extend_from_slice(b"old"));
        buffer.clear(0);
        assert!(buffer.is_empty());
        let bytes = buffer.seal(SEED, 1, 0).to_vec();
        assert_eq!(
            Group::parse(SEED, &bytes)
                .expect("a group")
                .records()
                .count(),
            0
        );
    }

    #[test]
    fn no_changed_bit_and_no_missing_end_goes_unnoticed() {
        let whole = sample();
        for cut in 0..whole.len() {
            assert!(Group::parse(SEED, &whole[..cut]).is_none(), "{cut} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Group::parse(SEED, &changed).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_group_is_found_behind_other_bytes() {
        let whole = [&b"JGRPgarbage JGR"[..], &sample()].concat();
        let numbers: Vec<_> = Group::find_all(SEED, &whole)
            .map(|group| group.number)
            .collect();
        assert_eq!(numbers, [7]);
    }

    #[test]
    fn a_group_of_another_journal_is_none() {
        assert!(Group::parse(Seed::of(b"0123456789abcdef"), &sample()).is_none());
    }
}

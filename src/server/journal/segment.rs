//! Segments: the files of a journal. Their names and headers.
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `pushctlJ` |
//! | 8..12 | version of the format, 1 |
//! | 12..16 | CRC-32 of all bytes of the header after it |
//! | 16..20 | length of the header in bytes |
//! | 20..24 | unused, 0 |
//! | 24..40 | id of the journal, random |
//! | 40..48 | number of the segment |
//! | 48..56 | number of its first group |
//! | 56.. | the older segments that belong to the journal: number and end, 8 bytes each |
//!
//! The groups follow. The end of a segment is the number after its last group. Groups from its end
//! on do not belong to the journal: the segment had failed before they were durable.

use super::encoding::{JournalId, read_u32, read_u64};

/// The first bytes of a segment.
const MAGIC: [u8; 8] = *b"pushctlJ";

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes of a header before the list of segments.
const FIXED_BYTES: usize = 56;

/// The header of a journal with 65,000 segments is as long.
pub(super) const MAX_HEADER_BYTES: usize = 1 << 20;

/// Bytes of an older segment in the list.
const OLDER_BYTES: usize = 16;

/// Start of the part that the checksum covers.
const CHECKED_FROM: usize = 16;

/// The end of the names of segments.
const SUFFIX: &str = ".journal";

/// Digits of the number in the name of a segment, so that names sort as numbers do.
const NAME_DIGITS: usize = 12;

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) journal: JournalId,
    pub(super) number: u64,
    pub(super) first_group: u64,
    /// The older segments that must be there, by number.
    pub(super) older: Vec<OlderSegment>,
}

/// An older segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OlderSegment {
    pub(super) number: u64,
    /// The number after that of its last group.
    pub(super) end_group: u64,
}

/// Why the front of a file is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidHeader {
    /// It is of another version.
    Version(u32),
    /// It is damaged, or was never complete.
    Unreadable,
}

impl SegmentHeader {
    /// The bytes of the header.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let length = FIXED_BYTES + OLDER_BYTES * self.older.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let length = u32::try_from(length).expect("a journal has fewer than a billion segments");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.journal);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_group.to_le_bytes());
        for older in &self.older {
            bytes.extend_from_slice(&older.number.to_le_bytes());
            bytes.extend_from_slice(&older.end_group.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes[CHECKED_FROM..]);
        bytes[12..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header at the front of `bytes`. Returns it with its length.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), InvalidHeader> {
        let fixed = bytes.get(..FIXED_BYTES).ok_or(InvalidHeader::Unreadable)?;
        if fixed[..8] != MAGIC {
            return Err(InvalidHeader::Unreadable);
        }
        match read_u32(&fixed[8..12]) {
            VERSION => {}
            0 => return Err(InvalidHeader::Unreadable),
            version => return Err(InvalidHeader::Version(version)),
        }
        let length = usize::try_from(read_u32(&fixed[16..20])).unwrap_or(usize::MAX);
        let checked = bytes
            .get(CHECKED_FROM..length)
            .filter(|_| length >= FIXED_BYTES && (length - FIXED_BYTES).is_multiple_of(OLDER_BYTES))
            .ok_or(InvalidHeader::Unreadable)?;
        if crc32fast::hash(checked) != read_u32(&fixed[12..CHECKED_FROM]) {
            return Err(InvalidHeader::Unreadable);
        }
        let header = Self {
            journal: fixed[24..40].try_into().expect("the id has 16 bytes"),
            number: read_u64(&fixed[40..48]),
            first_group: read_u64(&fixed[48..56]),
            older: bytes[FIXED_BYTES..length]
                .chunks_exact(OLDER_BYTES)
                .map(|older| OlderSegment {
                    number: read_u64(&older[..8]),
                    end_group: read_u64(&older[8..]),
                })
                .collect(),
        };
        Ok((header, length))
    }
}

/// The name of a segment.
pub(super) fn name_of(number: u64) -> String {
    format!("{number:0NAME_DIGITS$}{SUFFIX}")
}

/// The number of the segment with this name; `None` if it is no segment.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = digits.parse().ok()?;
    (name_of(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            journal: *b"0123456789abcdef",
            number: 12,
            first_group: 345,
            older: vec![
                OlderSegment {
                    number: 7,
                    end_group: 300,
                },
                OlderSegment {
                    number: 11,
                    end_group: 345,
                },
            ],
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = sample().to_bytes();
        let whole = [&bytes[..], b"groups"].concat();
        assert_eq!(SegmentHeader::parse(&whole), Ok((sample(), bytes.len())));
    }

    #[test]
    fn no_changed_bit_and_no_missing_end_of_a_header_goes_unnoticed() {
        let whole = sample().to_bytes();
        for cut in 0..whole.len() {
            assert!(SegmentHeader::parse(&whole[..cut]).is_err(), "{cut} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::parse(&changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn only_names_of_segments_have_numbers() {
        assert_eq!(name_of(12), "000000000012.journal");
        assert_eq!(number_of("000000000012.journal"), Some(12));
        for other in ["12.journal", "lock", "000000000012", "+00000000012.journal"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}

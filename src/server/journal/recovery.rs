//! Recovery: reads all segments of a journal in order, and decides what belongs to it.
//!
//! Recovery changes nothing. What it leaves out (a torn tail, segments that are no longer needed)
//! is made void by the header of the next segment, which
//! [`JournalWriter`](super::JournalWriter) creates.

use std::io;

use super::RETIRED;
use super::disk::{Disk, DiskFile};
use super::encoding::{JournalId, read_u64};
use super::group::{Group, Record, Seed};
use super::segment::{
    InvalidHeader, MAX_HEADER_BYTES, OlderSegment, SegmentHeader, name_of, number_of,
};

/// Why a journal cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The file system failed.
    #[error("cannot read {name}: {source}")]
    Unreadable {
        /// The file, or the directory.
        name: String,
        /// The error of the file system.
        source: io::Error,
    },
    /// A file is of another version of the program.
    #[error("{name} has format {version}, this version of pushctl reads format 1")]
    Version {
        /// The file.
        name: String,
        /// The version of its format.
        version: u32,
    },
    /// A file belongs to another journal.
    #[error("{name} belongs to another journal")]
    Foreign {
        /// The file.
        name: String,
    },
    /// A file is missing.
    #[error("{name} is missing")]
    Missing {
        /// The file.
        name: String,
    },
    /// The header of a file is damaged.
    #[error("the header of {name} is damaged")]
    DamagedHeader {
        /// The file.
        name: String,
    },
    /// Records that were durable are damaged.
    #[error("{name} is damaged at byte {offset} (group {group})")]
    Damaged {
        /// The file.
        name: String,
        /// Where the damaged group starts, in bytes.
        offset: u64,
        /// Its number.
        group: u64,
    },
}

/// Where a record is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPlace {
    /// Number of the segment.
    pub segment: u64,
    /// Number of the group.
    pub group: u64,
}

/// The end of the newest segment, which was being written when the server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub name: String,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What recovery has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Number of segments with records.
    pub segments: usize,
    /// Number of records.
    pub records: u64,
    /// Bytes of the groups.
    pub bytes: u64,
    /// The torn tail. What was in it was not acknowledged.
    pub torn: Option<TornTail>,
}

/// A journal that was read.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// `None` if there is no journal yet.
    pub(super) journal: Option<JournalId>,
    /// The segments with groups, by number.
    pub(super) segments: Vec<OlderSegment>,
    /// The newest segment with a readable header.
    pub(super) newest: Option<String>,
    /// Files that do not belong to the journal any more.
    pub(super) leftovers: Vec<String>,
    /// The number of the next group.
    pub(super) next_group: u64,
    /// The number of the next segment.
    pub(super) next_segment: u64,
    pub(super) report: RecoveryReport,
}

/// A segment with a readable header.
struct Segment {
    name: String,
    header: SegmentHeader,
    header_bytes: usize,
}

/// Where the scan of a segment is.
struct Scan<'a> {
    segment: &'a Segment,
    bytes: &'a [u8],
    seed: Seed,
    offset: usize,
    next_group: u64,
}

/// Reads a journal. `visit` gets its records in the order in which they were written.
pub(super) fn recover<D: Disk>(
    disk: &D,
    mut visit: impl FnMut(RecordPlace, Record<'_>),
) -> Result<Recovered, RecoveryError> {
    let mut recovered = Recovered {
        next_group: 1,
        next_segment: 1,
        ..Recovered::default()
    };
    let segments = find_segments(disk, &mut recovered)?;
    let Some(newest) = segments.last() else {
        return Ok(recovered);
    };
    recovered.journal = Some(newest.header.journal);
    recovered.newest = Some(newest.name.clone());
    let retired = find_retired(disk, newest)?;
    let mut older = newest.header.older.clone();
    older.retain(|older| !retired.contains(&older.number));
    let is_needed = |number| older.iter().any(|older| older.number == number);
    let leftovers = segments[..segments.len() - 1]
        .iter()
        .filter(|segment| !is_needed(segment.header.number));
    recovered
        .leftovers
        .extend(leftovers.map(|segment| segment.name.clone()));
    for OlderSegment { number, end_group } in older {
        let segment = segments
            .iter()
            .find(|segment| segment.header.number == number)
            .ok_or_else(|| RecoveryError::Missing {
                name: name_of(number),
            })?;
        let bytes = read_file(disk, &segment.name, usize::MAX)?;
        let mut scan = Scan::of(segment, &bytes);
        while scan.next_group < end_group {
            scan.read_group(&mut recovered.report, &mut visit)
                .ok_or_else(|| scan.damage())?;
        }
        recovered.record(&scan);
    }
    let bytes = read_file(disk, &newest.name, usize::MAX)?;
    let mut scan = Scan::of(newest, &bytes);
    while scan.read_group(&mut recovered.report, &mut visit).is_some() {}
    recovered.report.torn = scan.torn_tail()?;
    recovered.record(&scan);
    recovered.next_group = scan.next_group;
    Ok(recovered)
}

/// Finds the segments with a readable header, by number. Others are leftovers if no group is in
/// them: they were being created when the server ended.
fn find_segments<D: Disk>(
    disk: &D,
    recovered: &mut Recovered,
) -> Result<Vec<Segment>, RecoveryError> {
    let names = disk.names().map_err(|source| RecoveryError::Unreadable {
        name: "the directory".to_owned(),
        source,
    })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    recovered.next_segment = numbers.last().map_or(1, |last| last + 1);
    let mut segments = Vec::new();
    let mut unreadable = Vec::new();
    for name in numbers.into_iter().map(name_of) {
        let bytes = read_file(disk, &name, MAX_HEADER_BYTES)?;
        match SegmentHeader::parse(&bytes) {
            Ok((header, _)) if name_of(header.number) != name => {
                return Err(RecoveryError::Foreign { name });
            }
            Ok((header, header_bytes)) => segments.push(Segment {
                name,
                header,
                header_bytes,
            }),
            Err(InvalidHeader::Version(version)) => {
                return Err(RecoveryError::Version { name, version });
            }
            Err(InvalidHeader::Unreadable) => unreadable.push(name),
        }
    }
    check_unreadable(disk, unreadable, &segments, recovered)?;
    Ok(segments)
}

/// Checks that the segments are of one journal, and that those without a readable header have no
/// groups: they become leftovers.
fn check_unreadable<D: Disk>(
    disk: &D,
    unreadable: Vec<String>,
    segments: &[Segment],
    recovered: &mut Recovered,
) -> Result<(), RecoveryError> {
    let journal = match segments.last() {
        Some(newest) => newest.header.journal,
        // The checksums cannot be compared without the id of the journal.
        None => JournalId::default(),
    };
    if let Some(other) = segments
        .iter()
        .find(|segment| segment.header.journal != journal)
    {
        return Err(RecoveryError::Foreign {
            name: other.name.clone(),
        });
    }
    for name in unreadable {
        let bytes = read_file(disk, &name, usize::MAX)?;
        let has_groups = if segments.is_empty() {
            Group::is_hinted_in(&bytes)
        } else {
            Group::find_all(Seed::of(&journal), &bytes).next().is_some()
        };
        if has_groups {
            return Err(RecoveryError::DamagedHeader { name });
        }
        recovered.leftovers.push(name);
    }
    Ok(())
}

/// Returns the numbers of the segments that the newest one says are retired.
fn find_retired<D: Disk>(disk: &D, newest: &Segment) -> Result<Vec<u64>, RecoveryError> {
    let bytes = read_file(disk, &newest.name, usize::MAX)?;
    let mut scan = Scan::of(newest, &bytes);
    let mut retired = Vec::new();
    let mut visit = |_: RecordPlace, record: Record<'_>| {
        if record.kind == RETIRED {
            retired.extend(record.body.chunks_exact(8).map(read_u64));
        }
    };
    let mut report = RecoveryReport::default();
    while scan.read_group(&mut report, &mut visit).is_some() {}
    Ok(retired)
}

impl<'a> Scan<'a> {
    /// Starts at the first group of a segment.
    fn of(segment: &'a Segment, bytes: &'a [u8]) -> Self {
        Self {
            segment,
            bytes,
            seed: Seed::of(&segment.header.journal),
            offset: segment.header_bytes,
            next_group: segment.header.first_group,
        }
    }

    /// Reads the next group; `None` if it is not there.
    fn read_group(
        &mut self,
        report: &mut RecoveryReport,
        visit: &mut impl FnMut(RecordPlace, Record<'_>),
    ) -> Option<()> {
        let rest = self.bytes.get(self.offset..)?;
        let group =
            Group::parse(self.seed, rest).filter(|group| group.number == self.next_group)?;
        let place = RecordPlace {
            segment: self.segment.header.number,
            group: group.number,
        };
        for record in group.records() {
            visit(place, record);
        }
        report.records += u64::from(group.count);
        report.bytes += group.len() as u64;
        self.offset += group.len();
        self.next_group += 1;
        Some(())
    }

    /// The error when the next group should be there.
    fn damage(&self) -> RecoveryError {
        RecoveryError::Damaged {
            name: self.segment.name.clone(),
            offset: self.offset as u64,
            group: self.next_group,
        }
    }

    /// Decides what the bytes behind the last group of the newest segment are: nothing, a torn
    /// tail, or a group that was durable and is damaged. The latter shows in a later group.
    fn torn_tail(&self) -> Result<Option<TornTail>, RecoveryError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let was_durable =
            |group: Group<'_>| group.number > self.next_group && group.durable > self.next_group;
        if Group::find_all(self.seed, rest).any(was_durable) {
            return Err(self.damage());
        }
        let torn_bytes = rest.iter().rposition(|byte| *byte != 0);
        Ok(torn_bytes.map(|last| TornTail {
            name: self.segment.name.clone(),
            offset: self.offset as u64,
            bytes: last as u64 + 1,
        }))
    }
}

impl Recovered {
    /// Records a segment that was read to its end.
    fn record(&mut self, scan: &Scan<'_>) {
        if scan.next_group > scan.segment.header.first_group {
            self.report.segments += 1;
            self.segments.push(OlderSegment {
                number: scan.segment.header.number,
                end_group: scan.next_group,
            });
        } else {
            self.leftovers.push(scan.segment.name.clone());
        }
    }
}

/// Reads the first `max_bytes` bytes of a file.
fn read_file<D: Disk>(disk: &D, name: &str, max_bytes: usize) -> Result<Vec<u8>, RecoveryError> {
    disk.open(name)
        .and_then(|file| file.read(max_bytes))
        .map_err(|source| RecoveryError::Unreadable {
            name: name.to_owned(),
            source,
        })
}

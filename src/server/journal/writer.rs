//! The writer of a journal: appends groups to the newest segment, begins new segments, retires old
//! ones.
//!
//! A failed write or sync ends the segment: what the file system has kept of it is unknown. The
//! groups that were not durable are written again, to a new segment, by the next call. Until then
//! they are in memory.

use std::io;

use super::RETIRED;
use super::disk::{Disk, DiskFile};
use super::encoding::JournalId;
use super::group::{GroupBuffer, Record, Seed};
use super::recovery::{RecordPlace, RecoveryError, RecoveryReport, recover};
use super::segment::{OlderSegment, SegmentHeader, name_of};

/// Settings of a journal.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Length of a segment in bytes; one group may be longer.
    pub segment_bytes: u64,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// It cannot be written.
    #[error("cannot begin a segment: {0}")]
    Begin(io::Error),
}

/// The writer of a journal.
#[derive(Debug)]
pub struct JournalWriter<D: Disk> {
    disk: D,
    options: JournalOptions,
    journal: JournalId,
    seed: Seed,
    /// The segments before the current one.
    older: Vec<OlderSegment>,
    /// `None` after a failure.
    current: Option<CurrentSegment<D::File>>,
    next_segment: u64,
    next_group: u64,
    /// All groups before this number are durable.
    durable: u64,
    /// The groups from `durable` on, as they were written.
    unsynced: Vec<Vec<u8>>,
}

/// The segment that is written.
#[derive(Debug)]
struct CurrentSegment<F> {
    file: F,
    number: u64,
    first_group: u64,
    /// Where the next group goes, in bytes.
    offset: u64,
}

impl<D: Disk> JournalWriter<D> {
    /// Opens the journal in `disk`, or creates it with this random id. `visit` gets all records in
    /// the order in which they were written.
    ///
    /// # Errors
    /// If the journal is damaged or cannot be read, and if no segment can be begun. Nothing was
    /// changed then, but for files without records.
    pub fn open(
        disk: D,
        options: JournalOptions,
        new_id: [u8; 16],
        visit: impl FnMut(RecordPlace, Record<'_>),
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let recovered = recover(&disk, visit)?;
        // The last groups may be in the cache of the file system only.
        if let Some(newest) = &recovered.newest {
            disk.open(newest)
                .and_then(|mut file| file.sync())
                .map_err(OpenError::Begin)?;
        }
        let journal = recovered.journal.unwrap_or(new_id);
        let mut writer = Self {
            disk,
            options,
            journal,
            seed: Seed::of(&journal),
            older: recovered.segments,
            current: None,
            next_segment: recovered.next_segment,
            next_group: recovered.next_group,
            durable: recovered.next_group,
            unsynced: Vec::new(),
        };
        writer.begin_segment().map_err(OpenError::Begin)?;
        // Their removal only frees space: the new header does not name them.
        for name in &recovered.leftovers {
            let _ = writer.disk.remove(name);
        }
        Ok((writer, recovered.report))
    }

    /// Writes a group. It is durable when [`sync`](Self::sync) has returned. Returns its number.
    ///
    /// # Errors
    /// The group is not in the journal then. Those that were written before it and are not durable
    /// are kept for the next call.
    pub fn write(&mut self, group: &mut GroupBuffer) -> io::Result<u64> {
        self.make_room(group.len() as u64)?;
        let bytes = group.seal(self.seed, self.next_group, self.durable);
        let current = self
            .current
            .as_mut()
            .expect("make_room has begun a segment");
        if let Err(error) = current.file.write_at(current.offset, bytes) {
            self.end_segment();
            return Err(error);
        }
        current.offset += bytes.len() as u64;
        self.unsynced.push(bytes.to_vec());
        let number = self.next_group;
        self.next_group += 1;
        Ok(number)
    }

    /// Makes all groups durable that were written.
    ///
    /// # Errors
    /// It is unknown then whether a crash would keep them. They are kept for the next call, unless
    /// [`discard_unsynced`](Self::discard_unsynced) gives them up.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let current = match &mut self.current {
            Some(current) => current,
            // It syncs what it writes.
            None => return self.begin_segment(),
        };
        if current.file.sync().is_err() {
            self.end_segment();
            return self.begin_segment();
        }
        self.record_durable();
        Ok(())
    }

    /// Gives up the groups that were written and are not durable: their publishers got an error.
    pub fn discard_unsynced(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        self.unsynced.clear();
        self.next_group = self.durable;
        // The segment may have them: the next one says that they do not belong to the journal.
        self.end_segment();
    }

    /// Removes segments without records that are needed. The current segment cannot be removed.
    ///
    /// # Errors
    /// No segment was removed then, or some that are no longer part of the journal were not.
    pub fn retire(&mut self, numbers: &[u64]) -> io::Result<()> {
        let retired: Vec<u64> = numbers
            .iter()
            .copied()
            .filter(|number| self.older.iter().any(|older| older.number == *number))
            .collect();
        if retired.is_empty() {
            return Ok(());
        }
        let mut group = GroupBuffer::default();
        group.push(RETIRED, |out| {
            retired
                .iter()
                .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        });
        self.write(&mut group)?;
        self.sync()?;
        self.older.retain(|older| !retired.contains(&older.number));
        retired
            .into_iter()
            .try_for_each(|number| self.disk.remove(&name_of(number)))
    }

    /// Number of the segment of a durable group; `None` if it is not in the journal.
    #[must_use]
    pub fn segment_of(&self, group: u64) -> Option<u64> {
        if group >= self.durable {
            return None;
        }
        let index = self.older.partition_point(|older| older.end_group <= group);
        match (self.older.get(index), &self.current) {
            (Some(older), _) => Some(older.number),
            (None, current) => current.as_ref().map(|current| current.number),
        }
    }

    /// Number of the segment that is written; `None` after a failure.
    #[must_use]
    pub fn current_segment(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.number)
    }

    /// Begins a segment if there is none or `bytes` do not fit.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        match &self.current {
            Some(current)
                if current.first_group == self.next_group
                    || current.offset + bytes <= self.options.segment_bytes =>
            {
                return Ok(());
            }
            Some(_) => {
                // The older segments of a journal are complete.
                self.sync()?;
                self.end_segment();
            }
            None => {}
        }
        self.begin_segment()
    }

    /// Ends the current segment after its last durable group.
    fn end_segment(&mut self) {
        if let Some(CurrentSegment {
            number,
            first_group,
            ..
        }) = self.current.take()
            && first_group < self.durable
        {
            self.older.push(OlderSegment {
                number,
                end_group: self.durable,
            });
        }
    }

    /// Begins a segment with the groups that are not durable, and syncs it.
    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.next_segment;
        let header = SegmentHeader {
            journal: self.journal,
            number,
            first_group: self.durable,
            older: self.older.clone(),
        };
        let mut bytes = header.to_bytes();
        self.unsynced
            .iter()
            .for_each(|group| bytes.extend_from_slice(group));
        let reserved = self.options.segment_bytes.max(bytes.len() as u64);
        // The number is not used again: what a failure leaves behind has no groups.
        self.next_segment += 1;
        let name = name_of(number);
        let file = self.disk.create(&name, reserved)?;
        match self.write_front(file, &bytes) {
            Ok(file) => {
                self.current = Some(CurrentSegment {
                    file,
                    number,
                    first_group: self.durable,
                    offset: bytes.len() as u64,
                });
                self.record_durable();
                Ok(())
            }
            Err(error) => {
                let _ = self.disk.remove(&name);
                Err(error)
            }
        }
    }

    /// Writes the front of a new segment, and makes the segment durable.
    fn write_front(&self, mut file: D::File, bytes: &[u8]) -> io::Result<D::File> {
        file.write_at(0, bytes)?;
        file.sync()?;
        self.disk.sync_names()?;
        Ok(file)
    }

    fn record_durable(&mut self) {
        self.durable = self.next_group;
        self.unsynced.clear();
    }
}

//! The journal: a log of records in the files of one directory, which survives crashes. It knows
//! nothing of channels and messages: records are bytes with a kind.
//!
//! [`JournalWriter::open`] reads the records of earlier runs and begins a new segment. Records are
//! written in groups ([`GroupBuffer`]); a group is durable when [`JournalWriter::sync`] has
//! returned, and is there as a whole or not at all after a crash. Segments without needed records
//! are retired.
//!
//! | file | responsibility |
//! |---|---|
//! | `group` | records that are written together, their checksum |
//! | `segment` | files: names and headers |
//! | [`JournalWriter`] | appending, syncing, beginning and retiring segments, failures |
//! | `recovery` | reading a journal, torn tails, damage |
//! | [`disk`] | what the journal asks of a file system |
//!
//! The format is described in docs/journal-format.md.

pub mod disk;
mod encoding;
mod group;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use group::{GroupBuffer, Record};
pub use recovery::{RecordPlace, RecoveryError, RecoveryReport, TornTail};
pub use writer::{JournalOptions, JournalWriter, OpenError};

/// Kind of the records of the journal itself: numbers of segments that are retired, 8 bytes each.
pub const RETIRED: u8 = 0;

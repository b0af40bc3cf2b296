//! Crash simulation: random histories of a journal on a disk that forgets what was not synced,
//! with a crash or a failure at a random operation.
//!
//! `PUSHCTL_JOURNAL_SEEDS=N` sets the number of histories.

use std::collections::BTreeSet;

use super::disk::simulated::SimulatedDisk;
use super::*;
use crate::random_numbers::Random;

const OPTIONS: JournalOptions = JournalOptions { segment_bytes: 600 };

const ID: [u8; 16] = *b"id of this test.";

/// Kind of the records of the tests.
const KIND: u8 = 1;

/// Histories per run of the tests. Each has crashes at several operations: 10,000 in all.
const HISTORIES: u64 = 150;

/// What a publisher of a test knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// It was acknowledged.
    Stored,
    /// It was neither acknowledged nor rejected.
    Open,
    /// It was rejected.
    Rejected,
    /// Its segment was retired.
    Retired,
    /// Unknown: its segment was being retired, or it was rejected and the program was killed.
    Unknown,
}

/// A record of a history.
#[derive(Clone, Copy, Debug)]
struct Entry {
    value: u64,
    group: u64,
    promise: Promise,
}

/// A journal with what is known of its records.
struct History {
    random: Random,
    disk: SimulatedDisk,
    entries: Vec<Entry>,
    last_value: u64,
    /// Each write is followed by a sync.
    syncs_always: bool,
}

fn values_of(disk: &SimulatedDisk) -> Result<Vec<u64>, RecoveryError> {
    let mut values = Vec::new();
    recovery::recover(disk, |_, record| {
        if record.kind == KIND {
            let value = record.body[..8].try_into().expect("a value");
            values.push(u64::from_le_bytes(value));
        }
    })?;
    Ok(values)
}

fn open(disk: &SimulatedDisk) -> Result<JournalWriter<SimulatedDisk>, OpenError> {
    JournalWriter::open(disk.clone(), OPTIONS, ID, |_, _| {}).map(|(writer, _)| writer)
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            syncs_always: random.one_in(2),
            random,
            disk: SimulatedDisk::default(),
            entries: Vec::new(),
            last_value: 0,
        }
    }

    /// Runs up to `steps` steps, until the machine stops.
    fn run(&mut self, steps: u64) {
        let Ok(mut writer) = open(&self.disk) else {
            return;
        };
        for _ in 0..steps {
            if self.disk.has_stopped() {
                return;
            }
            match self.random.below(16) {
                0 => self.retire(&mut writer),
                1 => {
                    // The program is killed; the machine runs on.
                    drop(writer);
                    self.forget_rejections();
                    match open(&self.disk) {
                        Ok(opened) => writer = opened,
                        Err(_) => return,
                    }
                }
                _ => self.publish(&mut writer),
            }
        }
    }

    fn publish(&mut self, writer: &mut JournalWriter<SimulatedDisk>) {
        let mut group = GroupBuffer::default();
        let count = self.random.below(4);
        let first = self.entries.len();
        for _ in 0..count {
            self.last_value += 1;
            let padding = usize::try_from(self.random.below(150)).expect("small");
            group.push(KIND, |out| {
                out.extend_from_slice(&self.last_value.to_le_bytes());
                out.resize(out.len() + padding, 0xa5);
            });
            self.entries.push(Entry {
                value: self.last_value,
                group: 0,
                promise: Promise::Open,
            });
        }
        let Ok(number) = writer.write(&mut group) else {
            self.entries[first..]
                .iter_mut()
                .for_each(|entry| entry.promise = Promise::Rejected);
            return;
        };
        self.entries[first..]
            .iter_mut()
            .for_each(|entry| entry.group = number);
        if self.syncs_always || self.random.one_in(3) {
            match writer.sync() {
                Ok(()) => self.settle(Promise::Stored),
                Err(_) if self.random.one_in(2) => {
                    writer.discard_unsynced();
                    self.settle(Promise::Rejected);
                }
                Err(_) => {}
            }
        }
    }

    /// Decides about all open records.
    fn settle(&mut self, promise: Promise) {
        self.entries
            .iter_mut()
            .filter(|entry| entry.promise == Promise::Open)
            .for_each(|entry| entry.promise = promise);
    }

    /// Records that the newest rejected records may be in the journal.
    fn forget_rejections(&mut self) {
        self.entries
            .iter_mut()
            .rev()
            .take_while(|entry| entry.promise != Promise::Stored)
            .filter(|entry| entry.promise == Promise::Rejected)
            .for_each(|entry| entry.promise = Promise::Unknown);
    }

    /// Retires the segment of a random record.
    fn retire(&mut self, writer: &mut JournalWriter<SimulatedDisk>) {
        let Some(last) = self.entries.len().checked_sub(1) else {
            return;
        };
        let index = usize::try_from(self.random.below(last as u64 + 1)).expect("an index");
        let Some(segment) = writer.segment_of(self.entries[index].group) else {
            return;
        };
        if writer.current_segment() == Some(segment) {
            return;
        }
        let retired: Vec<bool> = self
            .entries
            .iter()
            .map(|entry| {
                matches!(entry.promise, Promise::Stored | Promise::Open)
                    && writer.segment_of(entry.group) == Some(segment)
            })
            .collect();
        let result = writer.retire(&[segment]);
        for (entry, is_retired) in self.entries.iter_mut().zip(retired) {
            if is_retired {
                entry.promise = if result.is_ok() {
                    Promise::Retired
                } else {
                    Promise::Unknown
                };
            }
        }
        // Retiring syncs all records.
        if result.is_ok() {
            self.settle(Promise::Stored);
        }
    }

    /// Checks the values that recovery has found.
    fn check(&self, values: &[u64], what: &str) {
        assert!(
            values.windows(2).all(|pair| pair[0] < pair[1]),
            "{what}: not in order: {values:?}"
        );
        let found: BTreeSet<u64> = values.iter().copied().collect();
        let last_kept = self
            .entries
            .iter()
            .rfind(|entry| entry.promise == Promise::Stored)
            .map_or(0, |entry| entry.value);
        let mut is_open_missing = false;
        for entry in &self.entries {
            let is_found = found.contains(&entry.value);
            let is_right = match entry.promise {
                Promise::Stored => is_found,
                Promise::Retired => !is_found,
                Promise::Unknown => true,
                // What was rejected last may be there: for its publisher that is unknown.
                Promise::Rejected => !is_found || entry.value > last_kept,
                Promise::Open => {
                    is_open_missing |= !is_found;
                    !is_found || !is_open_missing
                }
            };
            assert!(is_right, "{what}: {entry:?} in {values:?}");
        }
        let known: BTreeSet<u64> = self.entries.iter().map(|entry| entry.value).collect();
        assert!(found.is_subset(&known), "{what}: invented: {values:?}");
    }
}

/// Number of histories of this run.
fn histories() -> u64 {
    std::env::var("PUSHCTL_JOURNAL_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(HISTORIES)
}

/// Recovers from a crash, also if recovery itself is cut off by another crash.
fn check_crash(history: &History, random: &mut Random, what: &str) {
    let crashed = history.disk.after_crash(random);
    let values = values_of(&crashed).unwrap_or_else(|error| panic!("{what}: {error}"));
    history.check(&values, what);
    let began = crashed.operations();
    let whole = crashed.copy();
    drop(open(&whole).unwrap_or_else(|error| panic!("{what}: {error}")));
    let operations = whole.operations() - began;
    crashed.stop_at(began + random.below(operations + 1));
    drop(open(&crashed));
    let again = crashed.after_crash(random);
    let found = values_of(&again).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(found, values, "{what}, again");
}

#[test]
fn no_crash_loses_invents_or_reorders_a_record() {
    let mut crash_points = 0;
    for seed in 0..histories() {
        let mut whole = History::new(seed);
        whole.run(30);
        let values = values_of(&whole.disk).expect("an intact journal");
        whole.check(&values, "without a crash");
        for operation in (0..whole.disk.operations()).step_by(3) {
            let mut history = History::new(seed);
            history.disk.stop_at(operation);
            history.run(30);
            let mut random = Random::new(seed ^ (operation << 32));
            for _ in 0..3 {
                check_crash(&history, &mut random, &format!("seed {seed}, {operation}"));
                crash_points += 1;
            }
        }
    }
    assert!(crash_points >= 60 * histories(), "{crash_points} crashes");
}

#[test]
fn no_failed_operation_loses_an_acknowledged_record() {
    for seed in 0..histories() {
        let mut whole = History::new(seed);
        whole.run(30);
        for operation in (1..whole.disk.operations()).step_by(7) {
            let mut history = History::new(seed);
            history.disk.fail_at(operation, seed);
            history.run(30);
            let what = format!("seed {seed}, failure at {operation}");
            let mut random = Random::new(seed ^ (operation << 32));
            let crashed = history.disk.after_crash(&mut random);
            let values = values_of(&crashed).unwrap_or_else(|error| panic!("{what}: {error}"));
            history.check(&values, &what);
        }
    }
}

#[test]
fn a_damaged_group_is_reported_by_name_and_offset_unless_it_was_the_last_one() {
    let disk = SimulatedDisk::default();
    let mut writer = open(&disk).expect("room");
    for value in 1..=3_u64 {
        let mut group = GroupBuffer::default();
        group.push(KIND, |out| out.extend_from_slice(&value.to_le_bytes()));
        writer.write(&mut group).expect("room");
        writer.sync().expect("room");
    }
    drop(writer);
    let name = segment::name_of(1);
    let group_bytes = 32 + 5 + 8;
    let start = 56;
    for (number, is_durable) in [(0, true), (1, true), (2, false)] {
        let damaged = disk.copy();
        let offset = start + number * group_bytes;
        damaged.damage(&name, |content| content[offset + 40] ^= 1);
        let result = values_of(&damaged);
        if is_durable {
            let error = result.expect_err("the damage shows").to_string();
            let expected = format!("{name} is damaged at byte {offset} (group {})", number + 1);
            assert_eq!(error, expected);
        } else {
            // It cannot be distinguished from a group that was not durable.
            assert_eq!(result.expect("a torn tail"), [1, 2]);
        }
    }
}

#[test]
fn an_empty_group_shows_that_the_one_before_it_was_durable() {
    let disk = SimulatedDisk::default();
    let mut writer = open(&disk).expect("room");
    let mut group = GroupBuffer::default();
    group.push(KIND, |out| out.extend_from_slice(&1_u64.to_le_bytes()));
    writer.write(&mut group).expect("room");
    writer.sync().expect("room");
    writer.write(&mut GroupBuffer::default()).expect("room");
    drop(writer);
    disk.damage(&segment::name_of(1), |content| content[56 + 40] ^= 1);
    assert!(values_of(&disk).is_err());
}

#[test]
fn a_missing_segment_and_one_of_another_journal_are_reported() {
    let disk = SimulatedDisk::default();
    let mut history = History::new(5);
    history.disk = disk.clone();
    history.run(40);
    drop(open(&disk).expect("an intact journal"));
    let names = super::disk::Disk::names(&disk).expect("names");
    let missing = disk.copy();
    super::disk::Disk::remove(&missing, &names[0]).expect("it is there");
    let error = values_of(&missing).expect_err("a segment is missing");
    assert_eq!(error.to_string(), format!("{} is missing", names[0]));
    let other = SimulatedDisk::default();
    let writer = JournalWriter::open(other.clone(), OPTIONS, *b"another journal.", |_, _| {});
    drop(writer.expect("room"));
    let file = super::disk::Disk::open(&other, &segment::name_of(1)).expect("a segment");
    let content = super::disk::DiskFile::read(&file, usize::MAX).expect("its content");
    let mixed = disk.copy();
    mixed.damage(&names[0], |own| *own = content);
    assert!(values_of(&mixed).is_err());
}

#[test]
fn a_real_directory_is_locked_and_keeps_what_was_written() {
    let path = std::env::temp_dir().join(format!("pushctl-journal-{}", std::process::id()));
    let options = JournalOptions {
        segment_bytes: 1 << 20,
    };
    let open = || disk::Directory::open(&path);
    let mut seen = Vec::new();
    for run in 0..3_u8 {
        seen.clear();
        let directory = open().expect("a directory");
        let second = open().expect_err("it is locked");
        assert_eq!(second.kind(), std::io::ErrorKind::WouldBlock);
        let (mut writer, report) = JournalWriter::open(directory, options, ID, |_, record| {
            seen.extend_from_slice(record.body);
        })
        .expect("an intact journal");
        assert_eq!(report.torn, None);
        let mut group = GroupBuffer::default();
        group.push(KIND, |out| out.push(run));
        writer.write(&mut group).expect("room");
        writer.sync().expect("room");
    }
    assert_eq!(seen, [0, 1]);
    std::fs::remove_dir_all(&path).expect("it is there");
}

//! The log alone: cursors, both windows, gaps, and the bounds of its followers.

mod backlog;
mod resolving;

use bytes::Bytes;

use super::super::memory::MemoryMeter;
use super::dropped::MissedCount;
use super::*;

const ALL: AppendOptions = AppendOptions {
    store: true,
    keep_live: true,
    max_stored: 100,
    takes_channel_tag: true,
    max_live_bytes: 1000,
};

/// A log in which every message takes 100 bytes, with three messages in each second from 1000 on.
struct Bench {
    log: Log,
    meter: Arc<MemoryMeter>,
    accounts: Arc<LogAccounts>,
}

impl Bench {
    fn new() -> Self {
        let meter = MemoryMeter::new(1 << 20);
        let accounts = LogAccounts::new(&meter);
        Self {
            log: Log::new(Arc::clone(&accounts), None),
            meter,
            accounts,
        }
    }

    fn append(&mut self, count: u64, options: AppendOptions) {
        for id in self.log.last_id + 1..=self.log.last_id + count {
            let charge = self.meter.charge(100).expect("the meter has room");
            let position = Position::new(1000 + (id - 1) / 3, ((id - 1) % 3 + 1) as u32);
            let event_id = Some(Bytes::from(format!("e{id}")));
            let message = Message {
                id,
                position,
                text: Bytes::from("x"),
                event_id,
                event_type: None,
                attributes: None,
                channel_tag: 0,
                recipients: 0.into(),
                charge,
            };
            self.log.append(Arc::new(message), &options);
        }
    }
}

fn log(count: u64, options: AppendOptions) -> Log {
    let mut bench = Bench::new();
    bench.append(count, options);
    bench.log
}

/// Cursor of a follower that attached to the empty channel and has had the messages up to
/// `last_seen`.
fn live(last_seen: u64) -> LogCursor {
    LogCursor {
        last_seen,
        ..LogCursor::default()
    }
}

fn read(log: &Log, cursor: LogCursor) -> LogSlice {
    log.read(cursor, 1000, 1000)
}

fn ids(slice: &LogSlice) -> Vec<u64> {
    slice.messages.iter().map(|message| message.id).collect()
}

/// All slices up to the head: the number of missing messages before each, and its messages.
fn read_all(log: &Log, mut cursor: LogCursor, max_lag: u64) -> Vec<(u64, Vec<u64>)> {
    let mut slices = Vec::new();
    loop {
        let slice = log.read(cursor, max_lag, 1000);
        slices.push((slice.missed, ids(&slice)));
        cursor = slice.cursor;
        if !slice.is_cut {
            return slices;
        }
    }
}

#[test]
fn a_slow_follower_reads_what_is_dropped_from_the_store() {
    let log = log(
        5,
        AppendOptions {
            max_stored: 1,
            ..ALL
        },
    );
    let slice = read(&log, live(0));
    assert_eq!(
        (ids(&slice), slice.cursor.last_seen, slice.missed),
        (vec![1, 2, 3, 4, 5], 5, 0)
    );
}

#[test]
fn a_follower_beyond_both_windows_gets_the_number_of_missed_messages() {
    let mut log = log(
        9,
        AppendOptions {
            max_stored: 2,
            max_live_bytes: 300,
            ..ALL
        },
    );
    assert_eq!(read_all(&log, live(0), 1000), [(6, vec![7, 8, 9])]);
    log.release_live(9);
    assert_eq!(read_all(&log, live(3), 1000), [(4, vec![8, 9])]);
    log.expire(5000);
    let slice = read(&log, live(3));
    assert_eq!(
        (ids(&slice), slice.missed, slice.cursor.last_seen),
        (vec![], 6, 9)
    );
}

#[test]
fn each_follower_falls_out_at_its_own_bound() {
    let log = log(
        9,
        AppendOptions {
            store: false,
            max_live_bytes: 500,
            ..ALL
        },
    );
    assert_eq!(read_all(&log, live(2), 500), [(2, vec![5, 6, 7, 8, 9])]);
    assert_eq!(read_all(&log, live(2), 300), [(4, vec![7, 8, 9])]);
    assert_eq!(read_all(&log, live(6), 300), [(0, vec![7, 8, 9])]);
    assert_eq!(
        read_all(&log, live(2), 1),
        [(6, vec![9])],
        "the newest one is always there"
    );
}

#[test]
fn a_gap_stands_at_the_beginning_of_a_slice() {
    let mut bench = Bench::new();
    bench.append(3, ALL);
    bench.append(
        6,
        AppendOptions {
            store: false,
            ..ALL
        },
    );
    // 1 to 3 are stored, 4 to 6 are gone for a follower with this bound, 7 to 9 are live.
    assert_eq!(
        read_all(&bench.log, live(0), 300),
        [(0, vec![1, 2, 3]), (3, vec![7, 8, 9])]
    );
    let late = LogCursor {
        last_seen: 1,
        live_from: 5,
        backlog: 2,
    };
    assert_eq!(
        read_all(&bench.log, late, 300),
        [(0, vec![2, 3]), (1, vec![7, 8, 9])],
        "4 and 5 were never due"
    );
    let slice = bench.log.read(live(3), 300, 1);
    assert_eq!(
        (
            ids(&slice),
            slice.missed,
            slice.cursor.last_seen,
            slice.is_cut
        ),
        (vec![7], 3, 7, true)
    );
    let untaken = LogReader::new(&bench.log, live(3), 300).finish();
    assert_eq!(
        (untaken.cursor, untaken.missed, untaken.is_cut),
        (live(3), 0, true),
        "the gap is reported with the next message"
    );
}

/// Compares reading a single due message with reading in steps, for every cursor in `log`. Returns
/// how often a single message was due.
fn compare_single_reads(log: &Log) -> usize {
    let mut single = 0;
    let parts = |slice: LogSlice| {
        (
            ids(&slice),
            slice.cursor,
            slice.missed,
            slice.is_cut,
            slice.horizon,
        )
    };
    for last_seen in 0..=5 {
        for live_from in 0..=5 {
            for (backlog, max_lag) in [(0, 1000), (0, 0), (2, 1000)] {
                let cursor = LogCursor {
                    last_seen,
                    live_from,
                    backlog,
                };
                assert_eq!(
                    parts(log.read(cursor, max_lag, 1)),
                    parts(log.read_in_steps(cursor, max_lag, 1)),
                    "{cursor:?}, {max_lag}"
                );
                single += usize::from(log.single_due_message(cursor).is_some());
            }
        }
    }
    single
}

#[test]
fn a_single_due_message_is_read_as_in_steps() {
    let unstored = AppendOptions {
        store: false,
        ..ALL
    };
    let without_followers = AppendOptions {
        keep_live: false,
        ..ALL
    };
    let mut single = 0;
    for options in [ALL, unstored, without_followers] {
        let mut bench = Bench::new();
        bench.append(3, ALL);
        bench.append(
            2,
            AppendOptions {
                max_stored: 2,
                max_live_bytes: 200,
                ..options
            },
        );
        for floor in [0, 3, 5] {
            bench.log.release_live(floor);
            single += compare_single_reads(&bench.log);
        }
    }
    assert!(single > 0);
}

#[test]
fn a_log_needs_a_sweep_exactly_if_that_changes_it() {
    for (kept, second) in (0..=9).flat_map(|kept| (999..=1003).map(move |second| (kept, second))) {
        let mut log = log(kept, ALL);
        let before = (log.stored_count(), log.stored.capacity());
        let needs_sweep = log.needs_sweep(second);
        log.expire(second);
        assert_eq!(
            needs_sweep,
            before != (log.stored_count(), log.stored.capacity()),
            "{kept} messages, second {second}"
        );
        assert!(!log.needs_sweep(second), "a second sweep changes nothing");
    }
}

#[test]
fn slices_are_bounded() {
    let log = log(9, ALL);
    let slice = log.read(live(0), 1000, 100);
    assert_eq!(
        (ids(&slice), slice.cursor.last_seen, slice.missed),
        (vec![1, 2], 2, 0)
    );
    assert_eq!(ids(&log.read(live(2), 1000, 1)), [3]);
}

#[test]
fn live_messages_are_accounted() {
    let mut bench = Bench::new();
    let lag = |bench: &Bench| bench.accounts.lag_bytes.load(Ordering::Relaxed);
    bench.append(
        9,
        AppendOptions {
            store: false,
            max_live_bytes: 500,
            ..ALL
        },
    );
    assert_eq!(
        (lag(&bench), bench.log.live_bytes(), bench.meter.used()),
        (500, 500, 500)
    );
    bench.log.limit_live(200);
    assert_eq!((lag(&bench), bench.meter.used()), (200, 200));
    bench.log.release_live(8);
    assert_eq!(lag(&bench), 100);
    let Bench { log, accounts, .. } = bench;
    drop(log);
    assert_eq!(accounts.lag_bytes.load(Ordering::Relaxed), 0);
}

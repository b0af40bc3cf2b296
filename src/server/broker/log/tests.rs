//! The log alone: cursors, both windows, gaps, and the bounds of its followers.

use super::super::memory::MemoryMeter;
use super::*;

const ALL: Window = Window {
    store: true,
    keep_live: true,
    max_stored: 100,
    takes_tag: true,
    max_live_bytes: 1000,
};

/// Every message takes 100 bytes; three in each second from 1000 on.
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

    fn append(&mut self, count: u64, window: Window) {
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
            self.log.append(Arc::new(message), &window);
        }
    }
}

fn log(count: u64, window: Window) -> Log {
    let mut bench = Bench::new();
    bench.append(count, window);
    bench.log
}

/// A follower that came before everything and has had the messages up to `cursor`.
fn live(cursor: u64) -> Place {
    Place {
        cursor,
        ..Place::default()
    }
}

fn read(log: &Log, place: Place) -> Slice {
    log.read(place, 1000, 1000)
}

fn ids(slice: &Slice) -> Vec<u64> {
    slice.messages.iter().map(|message| message.id).collect()
}

/// All slices up to the head: what is missing before each, and its messages.
fn read_all(log: &Log, mut place: Place, max_lag: u64) -> Vec<(u64, Vec<u64>)> {
    let mut slices = Vec::new();
    loop {
        let slice = log.read(place, max_lag, 1000);
        slices.push((slice.missed, ids(&slice)));
        place = slice.place;
        if !slice.is_cut {
            return slices;
        }
    }
}

#[test]
fn cursors_resolve_as_the_reference_says() {
    let log = log(9, ALL); // seconds 1000, 1001, 1002 with tags 1 to 3
    let from = |backtrack, cursor: &Cursor| {
        let (place, missed) = log.resolve(backtrack, cursor);
        assert_eq!(
            (place.live_from, u64::from(place.backlog), missed),
            (9, 9 - place.cursor, Missed::default())
        );
        Some(place.cursor).filter(|cursor| *cursor < 9)
    };
    let at = |time, tag, event: Option<&'static str>| {
        from(
            0,
            &Cursor {
                time,
                tag,
                event_id: event.map(Bytes::from),
                finds_dropped: false,
                lost_at: None,
            },
        )
    };
    assert_eq!(at(None, None, None), None);
    assert_eq!(at(None, Some(1), None), None, "a tag without a time");
    assert_eq!(at(Some(1000), None, None), Some(3), "later seconds only");
    assert_eq!(at(Some(1000), Some(2), None), Some(2));
    assert_eq!(at(Some(1000), Some(0), None), Some(0));
    assert_eq!(
        at(Some(1000), Some(9), None),
        Some(3),
        "the tag is beyond that second"
    );
    assert_eq!(at(Some(0), None, None), Some(0));
    assert_eq!(at(Some(1002), Some(3), None), None);
    assert_eq!(at(Some(1003), Some(1), None), None);
    assert_eq!(at(None, None, Some("e4")), Some(4));
    assert_eq!(at(None, None, Some("nobody")), None);
    assert_eq!(
        at(Some(1000), Some(1), Some("e4")),
        Some(1),
        "whichever comes first"
    );
    assert_eq!(from(2, &Cursor::default()), Some(7));
    assert_eq!(from(u32::MAX, &Cursor::default()), Some(0));
}

#[test]
fn a_cursor_older_than_the_store_says_how_much_is_missed() {
    let log = log(
        9,
        Window {
            max_stored: 2,
            ..ALL
        },
    );
    let at = |time, tag, event: Option<&'static str>, finds_dropped| {
        let (place, missed) = log.resolve(
            0,
            &Cursor {
                time,
                tag,
                event_id: event.map(Bytes::from),
                finds_dropped,
                lost_at: None,
            },
        );
        assert!(!missed.at_least);
        (place.cursor, place.backlog, missed.count)
    };
    assert_eq!(
        at(Some(1000), Some(2), None, false),
        (7, 2, 5),
        "3 to 7 are gone, 8 and 9 are there"
    );
    assert_eq!(
        at(Some(1002), Some(1), None, false),
        (7, 2, 0),
        "7 was the last one seen"
    );
    assert_eq!(
        at(Some(0), None, None, false),
        (7, 2, 0),
        "whatever is stored"
    );
    assert_eq!(at(None, None, None, false), (9, 0, 0), "only news");
    assert_eq!(at(None, None, Some("e8"), true), (8, 1, 0));
    assert_eq!(
        at(None, None, Some("e3"), true),
        (7, 2, 4),
        "4 to 7 are gone"
    );
    assert_eq!(
        at(None, None, Some("e3"), false),
        (9, 0, 4),
        "as in the module it leads nowhere"
    );
    assert_eq!(at(None, None, Some("nobody"), true), (9, 0, 0));
}

#[test]
fn messages_that_expired_are_missed_and_unstored_ones_are_not() {
    let mut bench = Bench::new();
    bench.append(3, ALL);
    bench.append(
        3,
        Window {
            store: false,
            ..ALL
        },
    );
    bench.append(3, ALL);
    assert_eq!(bench.log.expire(1000), 3);
    let cursor = Cursor {
        time: Some(1000),
        tag: Some(1),
        ..Cursor::default()
    };
    let (place, missed) = bench.log.resolve(0, &cursor);
    assert_eq!((place.cursor, place.backlog, missed.count), (6, 3, 2));
}

#[test]
fn a_slow_follower_reads_what_is_dropped_from_the_store() {
    let log = log(
        5,
        Window {
            max_stored: 1,
            ..ALL
        },
    );
    let slice = read(&log, live(0));
    assert_eq!(
        (ids(&slice), slice.place.cursor, slice.missed),
        (vec![1, 2, 3, 4, 5], 5, 0)
    );
}

#[test]
fn a_follower_beyond_both_windows_is_told_how_much_it_missed() {
    let mut log = log(
        9,
        Window {
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
        (ids(&slice), slice.missed, slice.place.cursor),
        (vec![], 6, 9)
    );
}

#[test]
fn each_follower_falls_out_at_its_own_bound() {
    let log = log(
        9,
        Window {
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
        Window {
            store: false,
            ..ALL
        },
    );
    // 1 to 3 are stored, 4 to 6 are gone for a follower with this bound, 7 to 9 are live.
    assert_eq!(
        read_all(&bench.log, live(0), 300),
        [(0, vec![1, 2, 3]), (3, vec![7, 8, 9])]
    );
    let late = Place {
        cursor: 1,
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
        (ids(&slice), slice.missed, slice.place.cursor, slice.is_cut),
        (vec![7], 3, 7, true)
    );
    let untaken = Reading::new(&bench.log, live(3), 300).finish();
    assert_eq!(
        (untaken.place, untaken.missed, untaken.is_cut),
        (live(3), 0, true),
        "the gap is told with the next message"
    );
}

#[test]
fn a_backlog_holds_stored_messages_only() {
    let log = log(
        5,
        Window {
            max_stored: 2,
            ..ALL
        },
    );
    let slice = read(
        &log,
        Place {
            cursor: 0,
            live_from: 5,
            backlog: 2,
        },
    );
    assert_eq!(
        (ids(&slice), slice.missed, slice.place),
        (
            vec![4, 5],
            0,
            Place {
                cursor: 5,
                live_from: 5,
                backlog: 0
            }
        )
    );
    let slice = read(
        &log,
        Place {
            cursor: 0,
            live_from: 4,
            backlog: 1,
        },
    );
    assert_eq!(
        (ids(&slice), slice.missed),
        (vec![4, 5], 0),
        "4 is backlog, 5 is live"
    );
}

#[test]
fn a_backlog_that_is_dropped_before_it_is_read_is_missed() {
    let window = Window {
        max_stored: 4,
        ..ALL
    };
    let mut bench = Bench::new();
    bench.append(4, window);
    let (place, _) = bench.log.resolve(
        0,
        &Cursor {
            time: Some(0),
            ..Cursor::default()
        },
    );
    assert_eq!(
        place,
        Place {
            cursor: 0,
            live_from: 4,
            backlog: 4
        }
    );
    let place = bench.log.read(place, 1000, 1).place;
    assert_eq!(
        place,
        Place {
            cursor: 1,
            live_from: 4,
            backlog: 3
        }
    );
    bench.append(2, window);
    assert_eq!(
        read_all(&bench.log, place, 1000),
        [(1, vec![3, 4, 5, 6])],
        "2 is gone"
    );
    bench.append(6, window);
    assert_eq!(
        read_all(&bench.log, place, 1000),
        [(3, vec![5, 6, 7, 8, 9, 10, 11, 12])]
    );
    assert_eq!(
        read_all(&bench.log, place, 100),
        [(7, vec![9, 10, 11, 12])],
        "3 of the backlog and 4 live ones"
    );
}

#[test]
fn the_jump_to_the_newest_counts_what_it_leaves_out() {
    let mut bench = Bench::new();
    bench.append(4, ALL);
    bench.append(
        5,
        Window {
            store: false,
            ..ALL
        },
    );
    assert_eq!(bench.log.jump_to_newest(live(2)), (live(8), 6));
    assert_eq!(bench.log.jump_to_newest(live(8)), (live(8), 0));
    assert_eq!(bench.log.jump_to_newest(live(9)), (live(9), 0));
    // In the backlog: of 5 to 9, published before it came, none is due.
    let late = Place {
        cursor: 1,
        live_from: 9,
        backlog: 3,
    };
    assert_eq!(
        bench.log.jump_to_newest(late),
        (
            Place {
                cursor: 3,
                live_from: 9,
                backlog: 1
            },
            2
        )
    );
    let early = Place {
        cursor: 1,
        live_from: 4,
        backlog: 3,
    };
    assert_eq!(
        bench.log.jump_to_newest(early),
        (
            Place {
                cursor: 8,
                live_from: 4,
                backlog: 0
            },
            3 + 4
        )
    );
}

#[test]
fn the_newest_message_alone_is_read_as_in_steps() {
    let mut alone = 0;
    for (first, second) in [
        (ALL, ALL),
        (
            ALL,
            Window {
                store: false,
                ..ALL
            },
        ),
        (
            ALL,
            Window {
                keep_live: false,
                ..ALL
            },
        ),
    ] {
        let mut bench = Bench::new();
        bench.append(3, first);
        bench.append(
            2,
            Window {
                max_stored: 2,
                max_live_bytes: 200,
                ..second
            },
        );
        for release in [0, 3, 5] {
            bench.log.release_live(release);
            for (cursor, live_from) in
                (0..=5).flat_map(|cursor| (0..=5).map(move |live_from| (cursor, live_from)))
            {
                for (backlog, max_lag) in [(0, 1000), (0, 0), (2, 1000)] {
                    let place = Place {
                        cursor,
                        live_from,
                        backlog,
                    };
                    let parts = |slice: Slice| {
                        (
                            ids(&slice),
                            slice.place,
                            slice.missed,
                            slice.is_cut,
                            slice.horizon,
                        )
                    };
                    let read = bench.log.read(place, max_lag, 1);
                    let in_steps = bench.log.read_in_steps(place, max_lag, 1);
                    assert_eq!(
                        parts(read),
                        parts(in_steps),
                        "{place:?}, {max_lag}, {release}"
                    );
                    alone += usize::from(bench.log.newest_alone(place).is_some());
                }
            }
        }
    }
    assert!(alone > 0);
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
        assert!(!log.needs_sweep(second), "once is enough");
    }
}

#[test]
fn slices_are_bounded() {
    let log = log(9, ALL);
    let slice = log.read(live(0), 1000, 100);
    assert_eq!(
        (ids(&slice), slice.place.cursor, slice.missed),
        (vec![1, 2], 2, 0)
    );
    assert_eq!(ids(&log.read(live(2), 1000, 1)), [3]);
}

#[test]
fn what_is_kept_for_followers_is_accounted() {
    let mut bench = Bench::new();
    let lag = |bench: &Bench| bench.accounts.lag_bytes.load(Ordering::Relaxed);
    bench.append(
        9,
        Window {
            store: false,
            max_live_bytes: 500,
            ..ALL
        },
    );
    assert_eq!(
        (lag(&bench), bench.log.live_bytes(), bench.meter.used()),
        (500, 500, 500)
    );
    bench.log.bound_live(200);
    assert_eq!((lag(&bench), bench.meter.used()), (200, 200));
    bench.log.release_live(8);
    assert_eq!(lag(&bench), 100);
    let Bench { log, accounts, .. } = bench;
    drop(log);
    assert_eq!(accounts.lag_bytes.load(Ordering::Relaxed), 0);
}

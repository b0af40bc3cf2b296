//! Readers with backlog.

use super::*;

#[test]
fn a_backlog_holds_stored_messages_only() {
    let log = log(
        5,
        AppendOptions {
            max_stored: 2,
            ..ALL
        },
    );
    let slice = read(
        &log,
        LogCursor {
            last_seen: 0,
            live_from: 5,
            backlog: 2,
        },
    );
    assert_eq!(
        (ids(&slice), slice.missed, slice.cursor),
        (
            vec![4, 5],
            0,
            LogCursor {
                last_seen: 5,
                live_from: 5,
                backlog: 0
            }
        )
    );
    let slice = read(
        &log,
        LogCursor {
            last_seen: 0,
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
fn backlog_dropped_before_it_is_read_is_missed() {
    let options = AppendOptions {
        max_stored: 4,
        ..ALL
    };
    let mut bench = Bench::new();
    bench.append(4, options);
    let (cursor, _) = bench.log.resolve(
        0,
        &Cursor {
            time: Some(0),
            ..Cursor::default()
        },
    );
    assert_eq!(
        cursor,
        LogCursor {
            last_seen: 0,
            live_from: 4,
            backlog: 4
        }
    );
    let cursor = bench.log.read(cursor, 1000, 1).cursor;
    assert_eq!(
        cursor,
        LogCursor {
            last_seen: 1,
            live_from: 4,
            backlog: 3
        }
    );
    bench.append(2, options);
    assert_eq!(
        read_all(&bench.log, cursor, 1000),
        [(1, vec![3, 4, 5, 6])],
        "2 is gone"
    );
    bench.append(6, options);
    assert_eq!(
        read_all(&bench.log, cursor, 1000),
        [(3, vec![5, 6, 7, 8, 9, 10, 11, 12])]
    );
    assert_eq!(
        read_all(&bench.log, cursor, 100),
        [(7, vec![9, 10, 11, 12])],
        "3 of the backlog and 4 live ones"
    );
}

#[test]
fn skipping_to_the_newest_message_counts_the_skipped_ones() {
    let mut bench = Bench::new();
    bench.append(4, ALL);
    bench.append(
        5,
        AppendOptions {
            store: false,
            ..ALL
        },
    );
    assert_eq!(bench.log.skip_to_newest(live(2)), (live(8), 6));
    assert_eq!(bench.log.skip_to_newest(live(8)), (live(8), 0));
    assert_eq!(bench.log.skip_to_newest(live(9)), (live(9), 0));
    // In the backlog: messages 5 to 9 were published before the reader attached and are not stored,
    // so none of them is due.
    let late = LogCursor {
        last_seen: 1,
        live_from: 9,
        backlog: 3,
    };
    assert_eq!(
        bench.log.skip_to_newest(late),
        (
            LogCursor {
                last_seen: 3,
                live_from: 9,
                backlog: 1
            },
            2
        )
    );
    let early = LogCursor {
        last_seen: 1,
        live_from: 4,
        backlog: 3,
    };
    assert_eq!(
        bench.log.skip_to_newest(early),
        (
            LogCursor {
                last_seen: 8,
                live_from: 4,
                backlog: 0
            },
            3 + 4
        )
    );
}

//! Where cursors of clients lead, and how many messages they miss.

use super::*;

#[test]
fn cursors_resolve_as_in_the_reference() {
    let log = log(9, ALL); // seconds 1000, 1001, 1002 with tags 1 to 3
    let from = |backtrack, cursor: &Cursor| {
        let (cursor, missed) = log.resolve(backtrack, cursor);
        assert_eq!(
            (cursor.live_from, u64::from(cursor.backlog), missed),
            (9, 9 - cursor.last_seen, MissedCount::default())
        );
        Some(cursor.last_seen).filter(|cursor| *cursor < 9)
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
    assert_eq!(at(None, None, Some("unknown")), None);
    assert_eq!(
        at(Some(1000), Some(1), Some("e4")),
        Some(1),
        "whichever comes first"
    );
    assert_eq!(from(2, &Cursor::default()), Some(7));
    assert_eq!(from(u32::MAX, &Cursor::default()), Some(0));
}

#[test]
fn a_cursor_older_than_the_store_counts_the_missed_messages() {
    let log = log(
        9,
        AppendOptions {
            max_stored: 2,
            ..ALL
        },
    );
    let at = |time, tag, event: Option<&'static str>, finds_dropped| {
        let (cursor, missed) = log.resolve(
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
        (cursor.last_seen, cursor.backlog, missed.count)
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
        "all stored messages"
    );
    assert_eq!(at(None, None, None, false), (9, 0, 0), "new messages only");
    assert_eq!(at(None, None, Some("e8"), true), (8, 1, 0));
    assert_eq!(
        at(None, None, Some("e3"), true),
        (7, 2, 4),
        "4 to 7 are gone"
    );
    assert_eq!(
        at(None, None, Some("e3"), false),
        (9, 0, 4),
        "as in the module, no message follows it"
    );
    assert_eq!(at(None, None, Some("unknown"), true), (9, 0, 0));
}

#[test]
fn expired_messages_are_missed_and_unstored_ones_are_not() {
    let mut bench = Bench::new();
    bench.append(3, ALL);
    bench.append(
        3,
        AppendOptions {
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
    let (cursor, missed) = bench.log.resolve(0, &cursor);
    assert_eq!((cursor.last_seen, cursor.backlog, missed.count), (6, 3, 2));
}

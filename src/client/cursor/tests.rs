//! What a cursor sends, and which messages it lets pass.

use super::*;
use crate::message::http_date;

fn message(id: i64, time: u64, tag: u32) -> Message {
    Message {
        id: Some(id),
        time: Some(time),
        tag: Some(tag),
        ..Message::raw(b"x")
    }
}

fn channels(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn resume_at(time: u64, tag: u32) -> ResumePoint {
    ResumePoint {
        time: Some(http_date(time)),
        tag: Some(format!("W/{tag}")),
        event_id: None,
    }
}

#[test]
fn headers_go_back_as_they_came() {
    let mut cursor = Cursor::default();
    assert_eq!(cursor.for_request(&[]), ResumePoint::default());
    cursor.record_poll(Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some("W/7"));
    let sent = ResumePoint {
        time: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        tag: Some("W/7".to_owned()),
        event_id: None,
    };
    assert_eq!(cursor.for_request(&[]), sent);
    cursor.record_poll(None, None);
    assert_eq!(cursor.for_request(&[]), sent);
}

#[test]
fn without_etag_the_newest_message_has_the_tag() {
    let mut cursor = Cursor::default();
    assert!(
        cursor
            .record_message(&message(1, 100, 2), Some("a"), None)
            .is_some()
    );
    assert!(
        cursor
            .record_message(&message(1, 100, 3), Some("b"), None)
            .is_some()
    );
    cursor.record_poll(Some(&http_date(100)), None);
    assert_eq!(cursor.for_request(&[]), resume_at(100, 3));
}

#[test]
fn without_etag_and_positions_the_time_alone_goes_back() {
    let mut cursor = Cursor::default();
    cursor.record_server_clock(90);
    assert!(
        cursor
            .record_message(&Message::raw(b"x"), Some("a"), Some(101))
            .is_some()
    );
    cursor.record_poll(Some(&http_date(100)), None);
    assert_eq!(
        cursor.for_request(&[]),
        ResumePoint {
            tag: None,
            ..resume_at(100, 0)
        }
    );
}

#[test]
fn a_stream_resumes_at_the_oldest_position_and_drops_what_it_had() {
    let mut cursor = Cursor::default();
    cursor.record_server_clock(90);
    let both = channels(&["a", "b"]);
    assert!(
        cursor
            .record_message(&message(1, 100, 1), Some("a"), None)
            .is_some()
    );
    assert!(
        cursor
            .record_message(&message(2, 100, 2), Some("a"), None)
            .is_some()
    );
    assert_eq!(cursor.for_stream(&both), resume_at(90, 0));
    assert!(
        cursor
            .record_message(&message(1, 99, 5), Some("b"), None)
            .is_some()
    );
    assert_eq!(cursor.for_stream(&both), resume_at(99, 5));
    assert!(
        cursor
            .record_message(&message(1, 100, 1), Some("a"), None)
            .is_none()
    );
    assert!(
        cursor
            .record_message(&message(2, 100, 2), Some("a"), None)
            .is_none()
    );
    assert!(
        cursor
            .record_message(&message(3, 100, 3), Some("a"), None)
            .is_some()
    );
    assert_eq!(cursor.for_stream(&channels(&["a"])), resume_at(100, 3));
}

#[test]
fn a_backlog_before_the_start_is_shown_but_not_after_a_reconnect() {
    let mut cursor = Cursor::default();
    cursor.record_server_clock(100);
    assert!(
        cursor
            .record_message(&message(4, 50, 1), Some("a"), None)
            .is_some()
    );
    assert_eq!(cursor.for_stream(&channels(&["a", "b"])), resume_at(50, 1));
    assert!(
        cursor
            .record_message(&message(5, 60, 1), Some("a"), None)
            .is_some()
    );
    assert!(
        cursor
            .record_message(&message(9, 60, 2), Some("b"), None)
            .is_none(),
        "b was asked for new messages only"
    );
    assert!(
        cursor
            .record_message(&message(10, 100, 1), Some("b"), None)
            .is_some()
    );
}

#[test]
fn a_channel_that_came_back_and_a_clock_set_back_lose_nothing() {
    let mut cursor = Cursor::default();
    assert!(
        cursor
            .record_message(&message(8, 100, 1), Some("a"), None)
            .is_some()
    );
    assert!(
        cursor
            .record_message(&message(1, 101, 1), Some("a"), None)
            .is_some()
    );
    assert!(
        cursor
            .record_message(&message(2, 99, 1), Some("a"), None)
            .is_some()
    );
}

#[test]
fn ids_alone_recognise_repeats_and_event_ids_are_sent() {
    let mut cursor = Cursor::since(10);
    let bare = |id, event: &str| Message {
        id: Some(id),
        event_id: Some(event.to_owned()),
        ..Message::default()
    };
    assert!(
        cursor
            .record_message(&bare(1, "x"), Some("a"), None)
            .is_some()
    );
    assert!(
        cursor
            .record_message(&bare(1, "x"), Some("a"), None)
            .is_none()
    );
    assert!(
        cursor
            .record_message(&bare(2, "y"), Some("a"), None)
            .is_some()
    );
    let sent = cursor.for_stream(&channels(&["a"]));
    assert_eq!(
        sent,
        ResumePoint {
            event_id: Some("y".to_owned()),
            ..resume_at(10, 0)
        }
    );
}

#[test]
fn a_backlog_is_wanted_until_its_channel_has_given_something() {
    let mut cursor = Cursor::default().with_backlogs([("a".to_owned(), 5), ("b".to_owned(), 5)]);
    let both = channels(&["a", "b"]);
    cursor.record_server_clock(100);
    assert_eq!(
        cursor.for_stream(&both),
        ResumePoint::default(),
        "the backtracks say it all"
    );
    assert!(
        cursor
            .record_message(&message(1, 50, 1), Some("a"), None)
            .is_some()
    );
    assert_eq!((cursor.backlog("a"), cursor.backlog("b")), (None, Some(5)));
    assert_eq!(cursor.for_stream(&both), resume_at(50, 1));
    assert!(
        cursor
            .record_message(&message(1, 40, 1), Some("b"), None)
            .is_some(),
        "its backlog is older than the start"
    );
    cursor.complete_backlogs();
    assert_eq!(cursor.for_stream(&both), resume_at(40, 1));
}

#[test]
fn an_answer_that_was_cut_off_moves_only_the_channels_that_gave_something() {
    let mut cursor = Cursor::default();
    let both = channels(&["a", "b"]);
    cursor.record_poll(Some(&http_date(90)), Some("W/1"));
    cursor.record_server_clock(80);
    assert!(
        cursor
            .record_message(&message(1, 100, 1), Some("a"), None)
            .is_some()
    );
    cursor.record_cut_poll();
    assert_eq!(
        cursor.for_request(&both),
        resume_at(90, 1),
        "the whole response before it was for both"
    );
    cursor.record_poll(Some(&http_date(110)), Some("W/1"));
    assert_eq!(cursor.for_request(&both), resume_at(110, 1));
}

#[test]
fn bare_texts_move_the_start() {
    let mut cursor = Cursor::default();
    cursor.record_server_clock(100);
    assert!(
        cursor
            .record_message(&Message::raw(b"x"), Some("a"), Some(130))
            .is_some()
    );
    assert_eq!(cursor.for_stream(&channels(&["a"])), resume_at(129, 0));
}

/// The gap that the cursor reports before this message of channel `a`, if it is new.
fn gap_before(cursor: &mut Cursor, message: &Message) -> Option<Option<Gap>> {
    cursor
        .record_message(message, Some("a"), None)
        .map(|taken| taken.missing.map(|missing| missing.gap))
}

const UNKNOWN: Gap = Gap {
    missed: 0,
    at_least: true,
};

#[test]
fn an_id_that_goes_back_is_a_gap_of_unknown_size_once() {
    let mut cursor = Cursor::default();
    assert_eq!(gap_before(&mut cursor, &message(5, 100, 1)), Some(None));
    assert_eq!(
        gap_before(&mut cursor, &message(1, 200, 1)),
        Some(Some(UNKNOWN))
    );
    assert_eq!(gap_before(&mut cursor, &message(2, 200, 2)), Some(None));
    assert_eq!(
        gap_before(&mut cursor, &message(2, 300, 1)),
        Some(Some(UNKNOWN)),
        "the same id at a later place"
    );
    assert_eq!(
        gap_before(&mut cursor, &message(1, 200, 1)),
        None,
        "seen before"
    );
    cursor.forget("a");
    assert_eq!(
        gap_before(&mut cursor, &message(1, 400, 1)),
        Some(None),
        "it was seen to be deleted"
    );
}

#[test]
fn a_gap_moves_the_marks_behind_it() {
    let mut cursor = Cursor::default();
    assert!(
        cursor
            .record_message(&message(5, 100, 1), Some("a"), None)
            .is_some()
    );
    let taken = cursor
        .record_message(&message(1, 200, 1), Some("a"), None)
        .expect("it is new");
    let mut marks = Marks::default();
    marks.record(taken.missing.expect("a gap").step);
    let mut next = Cursor::at(marks);
    assert_eq!(gap_before(&mut next, &message(1, 200, 1)), Some(None));
}

#[test]
fn messages_of_another_worker_come_late_and_are_no_restart() {
    let mut cursor = Cursor::default();
    assert_eq!(gap_before(&mut cursor, &message(4, 100, 1)), Some(None));
    assert_eq!(
        gap_before(&mut cursor, &message(7, 100, 4)),
        Some(Some(Gap {
            missed: 2,
            at_least: false
        }))
    );
    assert_eq!(
        gap_before(&mut cursor, &message(5, 100, 2)),
        Some(None),
        "by its place it looks like a repetition"
    );
    assert_eq!(
        gap_before(&mut cursor, &message(6, 101, 1)),
        Some(None),
        "by its place it looks like a restart"
    );
    assert_eq!(
        gap_before(&mut cursor, &message(5, 100, 2)),
        None,
        "the hole is filled there"
    );
    assert_eq!(gap_before(&mut cursor, &message(8, 101, 2)), Some(None));
}

#[test]
fn ids_without_places_go_back_only_behind_something_new() {
    let bare = |id| Message {
        id: Some(id),
        ..Message::default()
    };
    let mut cursor = Cursor::default();
    assert_eq!(gap_before(&mut cursor, &bare(5)), Some(None));
    cursor.record_request(false);
    assert_eq!(gap_before(&mut cursor, &bare(4)), None, "a repetition");
    assert_eq!(gap_before(&mut cursor, &bare(6)), Some(None));
    assert_eq!(gap_before(&mut cursor, &bare(1)), Some(Some(UNKNOWN)));
    cursor.record_request(true);
    assert_eq!(
        gap_before(&mut cursor, &bare(3)),
        Some(Some(Gap {
            missed: 1,
            at_least: false
        }))
    );
    assert_eq!(
        gap_before(&mut cursor, &bare(1)),
        Some(Some(UNKNOWN)),
        "nothing is repeated behind an exact place"
    );
}

#[test]
fn a_gap_of_unknown_size_is_reported_once_until_the_next_message() {
    let mut cursor = Cursor::default();
    assert!(
        cursor
            .record_message(&message(5, 100, 1), Some("a"), None)
            .is_some()
    );
    assert!(cursor.skip("a", None, UNKNOWN).is_some());
    assert!(cursor.skip("a", None, UNKNOWN).is_none());
    assert!(!cursor.skip_somewhere(&channels(&["a"]), UNKNOWN));
    assert_eq!(
        gap_before(&mut cursor, &message(1, 200, 1)),
        Some(None),
        "the server has said so"
    );
    assert!(cursor.skip_somewhere(&channels(&["a"]), UNKNOWN));
}

//! Tests of the parsing of statistics.

use serde_json::Number;

use super::*;

#[test]
fn the_three_forms_are_distinguished() {
    let single =
        br#"{"channel": "ch1", "published_messages": 1, "stored_messages": 2, "subscribers": 3}"#;
    let group =
        b"{\"hostname\": \"vm\", \"time\": \"t\", \"channels\": 2, \"wildcard_channels\": 0, \
          \"uptime\": 0, \"infos\": [\r\n]}\r\n";
    let summary = b"{\"hostname\": \"h\", \"time\": \"t\", \"channels\": 0, \
                    \"wildcard_channels\": 0, \"published_messages\": 0, \"stored_messages\": \
                    0, \"messages_in_trash\": 0, \"channels_in_trash\": 0, \"subscribers\": 0, \
                    \"uptime\": 19755, \"by_worker\": [\r\n\
                    {\"pid\": \"21117\", \"subscribers\": 0, \"uptime\": 19755}\r\n]}\r\n";
    assert!(matches!(
        Report::from_json(single),
        Some(Report::Channels(infos)) if infos[0].stored_messages == 2
    ));
    assert_eq!(Report::from_json(group), Some(Report::Channels(Vec::new())));
    assert!(matches!(
        Report::from_json(summary),
        Some(Report::Summary(summary)) if summary.by_worker[0].pid == "21117"
    ));
    assert_eq!(Report::from_json(b"<html>"), None);
    assert!(!one_line(summary).expect("it is JSON").contains(&b'\n'));
}

#[test]
fn channel_ids_that_break_the_json_are_recovered() {
    for id in [r#"a"b"#, r"a\", "a\nb", "a\u{1}"] {
        let body = format!(
            "{{\"hostname\": \"h\", \"infos\": [\r\n\
             {{\"channel\": \"good\", \"published_messages\": 1, \"stored_messages\": 1, \
             \"subscribers\": 1}},\r\n{{\"channel\": \"{id}\", \"published_messages\": 2, \
             \"stored_messages\": 1, \"subscribers\": 0}}\r\n]}}"
        );
        let Some(Report::Channels(infos)) = Report::from_json(body.as_bytes()) else {
            panic!("{id:?} is not recovered")
        };
        assert_eq!(
            (
                infos[0].channel.as_str(),
                infos[1].channel.as_str(),
                infos[1].published_messages
            ),
            ("good", id, 2)
        );
        assert!(one_line(body.as_bytes()).is_some());
    }
    assert_eq!(one_line(b"<html>"), None);
}

#[test]
fn channel_ids_that_are_not_utf8_become_marks() {
    let body = b"{\"channel\": \"a\xff\", \"published_messages\": 1, \"stored_messages\": 2, \
                 \"subscribers\": 3}";
    let Some(Report::Channels(infos)) = Report::from_json(body) else {
        panic!("the id spoils the report")
    };
    assert_eq!(infos[0].channel, "a\u{fffd}");
    assert!(one_line(body).is_some_and(|line| std::str::from_utf8(&line).is_ok()));
}

#[test]
fn unknown_numbers_are_kept_as_details() {
    let body = concat!(
        r#"{"hostname": "h", "channels": "1", "published_messages": 2, "stored_messages": 0, "#,
        r#""subscribers": 3, "memory": {"used": 5, "limit": 9}, "load": 0.5, "note": "x"}"#
    )
    .as_bytes();
    let Some(Report::Summary(summary)) = Report::from_json(body) else {
        panic!("it is a summary")
    };
    let details: Vec<_> = summary
        .details
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        (summary.channels, details.join(" ").as_str()),
        (1, "load=0.5 memory.limit=9 memory.used=5")
    );
    assert_eq!(Report::from_json(br#"{"error": 1}"#), None);
}

#[test]
fn the_text_of_nchan_is_read() {
    let body = b"total published messages: 7\nstored messages: 3\nshared memory used: 16K\n\
                 channels: 2\nsubscribers: 5\nnchan version: 1.3.6\n";
    let Some(Report::Summary(summary)) = Report::from_json(body) else {
        panic!("it is a summary")
    };
    assert_eq!(
        (
            summary.hostname.as_str(),
            summary.published_messages,
            summary.subscribers
        ),
        ("nchan 1.3.6", 7, 5)
    );
    assert_eq!(
        summary.details["shared_memory_used_bytes"],
        Number::from(16384)
    );
    assert!(one_line(body).is_some());
}

#[test]
fn channels_are_taken_out_of_a_line_as_they_are() {
    let line = concat!(
        r#"{"hostname": "h", "infos": [{"channel": "a", "x":1},{"channel": "b"},"#,
        r#"{"channel": "c"}], "more": 1}"#
    )
    .as_bytes();
    let picked = with_channels(line, &[2, 0]).expect("a list");
    assert_eq!(
        String::from_utf8_lossy(&picked),
        r#"{"hostname": "h", "infos": [{"channel": "c"},{"channel": "a", "x":1}], "more": 1}"#
    );
}

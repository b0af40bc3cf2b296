//! Event streams of nchan whose messages hold carriage returns.

use super::fake::{DATE, Fake, Reply};

/// A message that would write another id, were its CRs line ends; and one after it.
const STREAM: &str = ": hi\n\nid: 1795219883:0\ndata: a\rid: 4000000000:0\rb\n\nid: 1795219883:1\n\
                      data: c\r\ndata: d\n\n";

#[test]
fn a_cr_of_a_message_is_no_line_end() {
    for dialect in [&["--dialect", "nchan"][..], &[]] {
        let fake = Fake::start(|_, _| {
            Reply::Close(format!(
                "HTTP/1.1 200 OK\r\nDate: {DATE}\r\n\
                 Content-Type: text/event-stream; charset=utf-8\r\n\r\n{STREAM}"
            ))
        });
        let args = [
            "sub",
            "c",
            "--mode",
            "ev",
            "--sub-path",
            "/sub/{channel}",
            "--since",
            "all",
            "--json",
            "--count",
            "2",
        ];
        let outcome = fake.run(&[&args[..], dialect].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let messages: Vec<serde_json::Value> = outcome
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object in each line"))
            .collect();
        let seen: Vec<_> = messages
            .iter()
            .map(|message| (message["eventid"].as_str(), message["text"].as_str()))
            .collect();
        let expected = [
            (Some("1795219883:0"), Some("a\rid: 4000000000:0\rb")),
            (Some("1795219883:1"), Some("c\r\nd")),
        ];
        assert_eq!(seen, expected, "{dialect:?}");
    }
}

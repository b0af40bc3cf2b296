//! The listeners and publishers of tutorials: polling loops that lose and repeat nothing.

use crate::support::{DEADLINE, Server, conf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// Signals of a listener to the publisher.
#[derive(PartialEq, Eq)]
enum Progress {
    Messages,
    TimedOut,
}

/// The listeners of the first two texts: poll, print, poll again with the received `Last-Modified`
/// (and, with this module, `Etag`), each time on a new connection.
fn listen(
    server: &Server,
    location: &str,
    until: usize,
    progress: &Sender<Progress>,
) -> Vec<String> {
    let mut cursor = vec![(
        "If-Modified-Since".to_owned(),
        "Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
    )];
    let mut texts: Vec<String> = Vec::new();
    let end = Instant::now() + 3 * DEADLINE;
    while texts.len() < until {
        assert!(
            Instant::now() < end,
            "there are only {} of {until} messages: {:?}",
            texts.len(),
            texts.last()
        );
        let headers: Vec<(&str, &str)> = cursor
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let response = server.connect().request("GET", location, &headers, None);
        let status = response.head.status;
        assert!(status == 200 || status == 304, "{response:?}");
        texts.extend(response.text().split_terminator(';').map(str::to_owned));
        cursor = response
            .head
            .cursor()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        // The publisher may have ended after its last burst.
        let _ = progress.send(if status == 200 {
            Progress::Messages
        } else {
            Progress::TimedOut
        });
    }
    texts
}

/// Publishes in bursts of one to nine. The next burst follows a delivery, so that listeners are
/// reconnecting; once in between it waits until both have timed out.
fn publish_in_bursts(server: &Server, count: usize, progress: &Receiver<Progress>) {
    let mut publisher = server.connect();
    let mut published = 0;
    for burst in 1.. {
        for _ in 0..(burst * 7 % 9 + 1).min(count - published) {
            published += 1;
            let text = format!("Hello {published}");
            let response = publisher.request("POST", "/publish?id=pub", &[], Some(text.as_bytes()));
            assert_eq!(response.head.status, 200, "{response:?}");
        }
        if published == count {
            return;
        }
        let waits = if burst == 30 { 2 } else { 1 };
        for _ in 0..waits {
            // Listeners that finish early disconnect; the received messages are checked.
            while let Ok(Progress::Messages) = progress.recv()
                && waits == 2
            {}
        }
    }
}

#[test]
fn the_if_modified_since_loop_loses_and_repeats_nothing() {
    const COUNT: usize = 500;
    // Longer than a second: a time-out returns the current second and tag 0, which must differ from
    // the second of a known message.
    let locations = r#"
        location /publish { push_stream_publisher admin; push_stream_channels_path $arg_id;
            push_stream_store_messages on; }
        location /activity {
            push_stream_subscriber long-polling; push_stream_channels_path $arg_id;
                push_stream_message_template "~text~;";
            push_stream_longpolling_connection_ttl 1500ms; default_type text/plain;
        }"#;
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 32m;", locations));
    let (sender, progress) = channel();
    let lists: Vec<Vec<String>> = std::thread::scope(|scope| {
        let listener = |_| {
            let server = &server;
            let sender = sender.clone();
            scope.spawn(move || listen(server, "/activity?id=pub", COUNT, &sender))
        };
        let listeners: Vec<_> = (0..2).map(listener).collect();
        drop(sender);
        publish_in_bursts(&server, COUNT, &progress);
        listeners
            .into_iter()
            .map(|listener| listener.join().expect("a listener ends without panic"))
            .collect()
    });
    let want: Vec<String> = (1..=COUNT)
        .map(|number| format!("Hello {number}"))
        .collect();
    for texts in lists {
        assert_eq!(texts, want, "each message once, in order");
    }
    server.stop();
}

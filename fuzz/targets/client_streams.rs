//! Input of clients: message streams, event streams, poll responses, and the raw responses and
//! frames of `bench`.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use pushctl::client::Message;
use pushctl::client::cursor::Cursor;
use pushctl::client::fuzzing::{ResponseKind, messages};
use pushctl::client::parse::{self, Splitter};
use pushctl::client::transport::raw_http::{frames, response};
use pushctl_fuzz::cut;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().build().expect("a runtime"));
}

fn answer(kind: ResponseKind, data: &[u8], seed: u64) -> Vec<Message> {
    let pieces = cut(data, seed).map(<[u8]>::to_vec).collect();
    RUNTIME.with_borrow(|runtime| runtime.block_on(messages(kind, pieces)))
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 7 {
        0 => split(data),
        1 => {
            let whole = answer(ResponseKind::EventSource, data, 2);
            assert_eq!(answer(ResponseKind::EventSource, data, 0), whole);
            plausible(&whole, data.len());
        }
        2 => plausible(&answer(ResponseKind::Streaming, data, 1), data.len()),
        3 => assert_eq!(
            answer(ResponseKind::LongPolling, data, 0),
            answer(ResponseKind::LongPolling, data, 1)
        ),
        4 => bare_frames(data),
        5 => bare_responses(data),
        _ => {
            for kind in [
                ResponseKind::Multipart,
                ResponseKind::Parts,
                ResponseKind::Lines,
            ] {
                let whole = answer(kind, data, 0);
                assert_eq!(answer(kind, data, 1), whole);
                assert!(
                    whole
                        .iter()
                        .map(|message| message.text.len())
                        .sum::<usize>()
                        <= 3 * data.len()
                );
            }
        }
    }
});

/// The output is no larger than the input (a byte that is not UTF-8 may become three), and can be
/// printed and recorded.
fn plausible(messages: &[Message], length: usize) {
    let texts: usize = messages.iter().map(|message| message.text.len()).sum();
    assert!(texts <= 3 * length);
    let mut cursor = Cursor::default();
    for message in messages {
        let shown = message.to_json();
        let back = Message::from_json(&serde_json::from_str(&shown).expect("we write JSON"));
        if let Some(back) = back {
            assert_eq!(back.text, message.text);
        }
        cursor.record_message(message, message.channel.as_deref(), Some(1_700_000_000));
        assert!(
            message.id.is_none()
                || message.channel.is_none()
                || cursor
                    .record_message(message, message.channel.as_deref(), None)
                    .is_none()
        );
        let _ = (
            cursor.for_stream(&["a".to_owned()]),
            cursor.for_request(&["a".to_owned()]),
        );
    }
}

fn split(data: &[u8]) {
    let mut splitter = Splitter::default();
    let mut all: Vec<Message> = cut(data, 1)
        .flat_map(|piece| splitter.push(piece))
        .collect();
    all.extend(splitter.finish(true).messages);
    plausible(&all, data.len());
    plausible(
        &[
            parse::framed(data),
            parse::event(&String::from_utf8_lossy(data)),
        ],
        2 * data.len(),
    );

    // Valid objects are unchanged, wherever they are cut and whatever is between them.
    let wanted: Vec<Message> = data
        .split(|byte| *byte == 0)
        .enumerate()
        .map(|(number, text)| Message {
            id: Some(number as i64 + 1),
            channel: Some("c".to_owned()),
            ..Message::raw(text)
        })
        .collect();
    for gap in ["", "\n", "\r\n"] {
        let wire: String = wanted
            .iter()
            .map(|message| message.to_json() + gap)
            .collect();
        for seed in [0, 1] {
            let mut splitter = Splitter::default();
            let mut found: Vec<Message> = cut(wire.as_bytes(), seed)
                .flat_map(|piece| splitter.push(piece))
                .collect();
            let rest = splitter.finish(true);
            found.extend(rest.messages);
            assert!(found == wanted && !rest.is_cut, "{wire}");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Data(Vec<u8>),
    Head(response::ResponseHead),
    End,
    Ping,
    Close,
    Wrong,
}

fn push_data(seen: &mut Vec<Seen>, data: &[u8]) {
    match seen.last_mut() {
        Some(Seen::Data(before)) => before.extend_from_slice(data),
        _ => seen.push(Seen::Data(data.to_vec())),
    }
}

fn bare_frames(data: &[u8]) {
    let read = |seed| {
        let mut decoder = frames::FrameDecoder::default();
        let mut seen = Vec::new();
        for mut bytes in cut(data, seed) {
            loop {
                match decoder.next(&mut bytes) {
                    frames::FramePart::More => break,
                    frames::FramePart::Data(data) => push_data(&mut seen, data),
                    frames::FramePart::End => seen.push(Seen::End),
                    frames::FramePart::Ping => seen.push(Seen::Ping),
                    frames::FramePart::Close(_) => {
                        seen.push(Seen::Close);
                        return seen;
                    }
                }
            }
            assert!(bytes.is_empty());
        }
        seen
    };
    assert_eq!(read(0), read(2));
}

fn bare_responses(data: &[u8]) {
    let read = |seed| {
        let mut decoder = response::ResponseDecoder::default();
        let mut seen = Vec::new();
        for mut bytes in cut(data, seed) {
            loop {
                match decoder.next(&mut bytes) {
                    Ok(response::ResponsePart::More) => break,
                    Ok(response::ResponsePart::Data(data)) => push_data(&mut seen, data),
                    Ok(response::ResponsePart::ResponseHead(head)) => seen.push(Seen::Head(head)),
                    Ok(response::ResponsePart::End) => seen.push(Seen::End),
                    Err(_) => {
                        seen.push(Seen::Wrong);
                        return seen;
                    }
                }
            }
            assert!(bytes.is_empty());
        }
        seen
    };
    assert_eq!(read(0), read(2));
}

//! The built-in message format: one valid JSON object per message, with the fields that the
//! module's JavaScript client expects.
//!
//! The module inserts texts into templates unescaped, which breaks its JSON at the first quote or
//! line break.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

use super::MessageView;
use crate::message::Position;
use crate::protocol::GAP_ID;
use crate::server::broker::MissedCount;
use crate::server::exchange::response::{push_date, push_number};

/// Space for the names and numbers of a message's fields, in bytes.
const ROOM_FOR_FIELDS: usize = 128;

/// A long text is scanned in pieces of this size, so that the scan can stop early if the text needs
/// escapes.
const PIECE_BYTES: usize = 4096;

/// Appends the message as `{"id":…,"channel":…,"text":…,"tag":…,"time":…,"eventid":…}`; a text that
/// is not UTF-8 is sent as `"base64"` instead of `"text"`.
pub(in crate::server) fn push(message: &MessageView<'_>, out: &mut Vec<u8>) {
    let Position { tag, .. } = message.position;
    let event_id = message.event_id.unwrap_or_default();
    // Growing the buffer step by step would cost more than the encoding.
    out.reserve(message.text.len() + message.channel.len() + event_id.len() + ROOM_FOR_FIELDS);
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(itoa::Buffer::new().format(message.id).as_bytes());
    out.extend_from_slice(b",\"channel\":");
    push_bytes(message.channel, out);
    if is_plain(message.text) {
        out.extend_from_slice(b",\"text\":");
        push_plain(message.text, out);
    } else if let Ok(text) = std::str::from_utf8(message.text) {
        out.extend_from_slice(b",\"text\":");
        push_string(text, out);
    } else {
        // Writing to a Vec cannot fail.
        drop(write!(
            out,
            ",\"base64\":\"{}\"",
            STANDARD.encode(message.text)
        ));
    }
    out.extend_from_slice(b",\"tag\":\"");
    push_number(u64::from(tag), out);
    out.extend_from_slice(b"\",\"time\":\"");
    push_date(message.position.time, out);
    out.extend_from_slice(b"\",\"eventid\":");
    push_bytes(event_id, out);
    out.push(b'}');
}

/// Appends a gap notice in the form of a message; `position` is a cursor that leads to the next
/// message.
pub(in crate::server) fn push_gap(
    channel: &[u8],
    missed: MissedCount,
    position: Position,
    out: &mut Vec<u8>,
) {
    let MissedCount { count, at_least } = missed;
    // Writing to a Vec cannot fail.
    drop(write!(out, "{{\"id\":{GAP_ID},\"channel\":"));
    push_bytes(channel, out);
    let at_least = if at_least { ",\"at_least\":true" } else { "" };
    drop(match count {
        0 => write!(out, ",\"text\":\"an unknown number of messages missed\""),
        _ => write!(out, ",\"text\":\"{count} messages missed\""),
    });
    drop(write!(out, ",\"missed\":{count}{at_least}"));
    drop(write!(
        out,
        ",\"tag\":\"{}\",\"time\":\"{}\",\"eventid\":\"\"}}",
        position.tag,
        position.http_date()
    ));
}

/// Whether a byte may need an escape; runs of other bytes are copied at once.
fn may_be_escaped(byte: u8) -> bool {
    // No early exit, here and below, so that the compiler vectorizes the loop.
    (byte < 0x20) | (byte == 0x7f) | (byte == b'"') | (byte == b'\\') | (byte == 0xe2)
}

/// Returns the index of the first byte that may need an escape.
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    let is_copied = |piece: &&[u8; 16]| {
        !piece
            .iter()
            .fold(false, |found, byte| found | may_be_escaped(*byte))
    };
    let (pieces, _) = bytes.as_chunks::<16>();
    let plain = pieces.iter().take_while(is_copied).count() * 16;
    bytes[plain..]
        .iter()
        .position(|byte| may_be_escaped(*byte))
        .map(|at| plain + at)
}

/// Whether all bytes are ASCII that needs no escape in JSON, as in most ids and texts.
fn is_plain(bytes: &[u8]) -> bool {
    let other = |byte: u8| !(b' '..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\');
    bytes
        .chunks(PIECE_BYTES)
        .all(|piece| !piece.iter().fold(false, |found, byte| found | other(*byte)))
}

/// Appends plain bytes as a JSON string.
fn push_plain(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// As [`push_string`], for bytes; invalid UTF-8 is replaced.
fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        push_plain(bytes, out)
    } else {
        push_string(&String::from_utf8_lossy(bytes), out)
    }
}

/// Appends a JSON string. U+2028 and U+2029 are escaped too: in JSONP the object is JavaScript
/// source, where older engines treat them as line ends.
pub(in crate::server) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    let mut next = 0;
    while let Some(skipped) = first_escaped(&bytes[next..]) {
        let at = next + skipped;
        let byte = &bytes[at];
        next = at + 1;
        let (escape, length): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            0..0x20 | 0x7f => {
                out.extend_from_slice(&bytes[copied..at]);
                drop(write!(out, "\\u{byte:04x}"));
                copied = at + 1;
                continue;
            }
            0xe2 if bytes[at..].starts_with(&[0xe2, 0x80, 0xa8]) => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with(&[0xe2, 0x80, 0xa9]) => (b"\\u2029", 3),
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(escape);
        copied = at + length;
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        let position = Position::new(784_111_777, 3);
        push(
            &MessageView {
                id: 1,
                channel: b"c\"h",
                text,
                position,
                event_id: Some(b"e\\1"),
                event_type: None,
            },
            &mut out,
        );
        String::from_utf8(out).expect("the encoder writes UTF-8")
    }

    #[test]
    fn every_text_survives() {
        for text in [
            "",
            "plain",
            "16 bytes of text",
            "17 bytes of text.\u{7f}",
            "\"quotes\" and \\",
            "a\r\nb\tc\u{0}\u{1f}\u{7f}",
            "\u{2028}|\u{2029}|\u{202a}|\u{1f600}",
            "\u{e2}",
        ] {
            let value: serde_json::Value =
                serde_json::from_str(&json(text.as_bytes())).expect("the encoder writes JSON");
            assert_eq!(value["text"], text);
            assert_eq!(
                (&value["channel"], &value["eventid"]),
                (&"c\"h".into(), &"e\\1".into())
            );
        }
        assert!(!json("\u{2028}".as_bytes()).contains('\u{2028}'));
    }

    #[test]
    fn plain_bytes_are_those_that_need_no_escapes() {
        for byte in 0..=255 {
            for before in [0, 1, 15, 16, 17, PIECE_BYTES - 1, PIECE_BYTES] {
                let bytes = [vec![b'x'; before], vec![byte]].concat();
                let mut short_cut = Vec::new();
                let mut checked = Vec::new();
                push_bytes(&bytes, &mut short_cut);
                push_string(&String::from_utf8_lossy(&bytes), &mut checked);
                assert!(short_cut == checked, "byte {byte} behind {before}");
            }
        }
        let mut empty = Vec::new();
        push_bytes(b"", &mut empty);
        assert_eq!(empty, b"\"\"");
    }

    #[test]
    fn the_shape_of_a_gap_is_fixed() {
        let gap = |at_least| {
            let mut out = Vec::new();
            push_gap(
                b"c\"h",
                MissedCount {
                    count: 17,
                    at_least,
                },
                Position::new(784_111_777, 0),
                &mut out,
            );
            String::from_utf8(out).expect("the encoder writes UTF-8")
        };
        let rest = r#""tag":"0","time":"Sun, 06 Nov 1994 08:49:37 GMT","eventid":""}"#;
        assert_eq!(
            gap(false),
            format!(r#"{{"id":-4,"channel":"c\"h","text":"17 messages missed","missed":17,{rest}"#)
        );
        assert_eq!(
            gap(true),
            gap(false).replace(r#""missed":17,"#, r#""missed":17,"at_least":true,"#)
        );
    }

    #[test]
    fn the_shape_is_fixed() {
        let rest = r#""tag":"3","time":"Sun, 06 Nov 1994 08:49:37 GMT","eventid":"e\\1"}"#;
        assert_eq!(
            json(b"x\ny"),
            format!(r#"{{"id":1,"channel":"c\"h","text":"x\ny",{rest}"#)
        );
        assert_eq!(
            json(b"\xff\x00"),
            format!(r#"{{"id":1,"channel":"c\"h","base64":"/wA=",{rest}"#)
        );
    }
}

//! The channels that a request names: the value of `push_stream_channels_path`, decoded and split
//! (push-stream.md, section 2).
//!
//! Does not validate the ids: the endpoints reject `ALL`, `*` and ids that are too long.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::server::config::expression::percent::escaped_byte;

/// A channel of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRef {
    /// Id of the channel; the empty id is valid.
    pub id: Bytes,
    /// `.bN`: number of stored messages to send first; `u32::MAX` = all. `.b0` counts as no
    /// backtrack. Publishers ignore it.
    pub backtrack: Option<u32>,
}

/// Decodes `path` once and splits it at `/`. The result is empty if the request has no channel id.
#[must_use]
pub fn parse(path: &[u8]) -> SmallVec<[ChannelRef; 1]> {
    split(decode(path))
}

/// Splits a decoded path at `/`.
#[must_use]
pub fn split(mut rest: Bytes) -> SmallVec<[ChannelRef; 1]> {
    let mut channels = SmallVec::new();
    while !rest.is_empty() {
        let piece = match memchr::memchr(b'/', &rest) {
            Some(slash) => {
                let piece = rest.split_to(slash);
                let _slash = rest.split_to(1);
                piece
            }
            None => std::mem::take(&mut rest),
        };
        channels.push(channel(piece));
    }
    channels
}

/// Memory held by the channels of one request and the path that contains them, in bytes.
#[must_use]
pub fn own_bytes(channels: &[ChannelRef]) -> usize {
    // A list that grew may have twice the capacity.
    size_of_val(channels).saturating_mul(2)
        + channels
            .iter()
            .map(|channel| channel.id.len() + 1)
            .sum::<usize>()
}

fn channel(piece: Bytes) -> ChannelRef {
    let digits = piece
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let name = &piece[..piece.len() - digits];
    match name.strip_suffix(b".b") {
        Some(id) if digits > 0 => {
            let number = &piece[piece.len() - digits..];
            let add = |sum: u32, digit: &u8| {
                sum.saturating_mul(10)
                    .saturating_add(u32::from(digit - b'0'))
            };
            let backtrack = Some(number.iter().fold(0, add)).filter(|number| *number > 0);
            ChannelRef {
                id: piece.slice(..id.len()),
                backtrack,
            }
        }
        _ => ChannelRef {
            id: piece,
            backtrack: None,
        },
    }
}

/// Decodes `%XX` and drops a lone `%`. A `?` ends the decoding, and also the text if anything was
/// decoded.
fn decode(path: &[u8]) -> Bytes {
    if memchr::memchr2(b'%', b'?', path).is_none() {
        return Bytes::copy_from_slice(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    let mut changed = false;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'?' {
            decoded.push(b'?');
            if !changed {
                decoded.extend_from_slice(rest);
            }
            break;
        }
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        changed = true;
        if let Some(escaped) = escaped_byte(rest) {
            rest = escaped.rest;
            decoded.push(escaped.byte);
            if decoded.ends_with(b"?") {
                break;
            }
        }
    }
    Bytes::from(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(path: &str) -> Vec<(Vec<u8>, Option<u32>)> {
        parse(path.as_bytes())
            .into_iter()
            .map(|channel| (channel.id.to_vec(), channel.backtrack))
            .collect()
    }

    #[test]
    fn paths_are_decoded_once() {
        for (path, id) in [
            ("ch", "ch"),
            ("a%20b", "a b"),
            ("a%2520b", "a%20b"),
            ("a+b", "a+b"),
            ("100%", "100"),
            ("%zz", "zz"),
            ("a%3Fb", "a?"),
            ("a?b%20c", "a?b%20c"),
            ("%61?b", "a?"),
            ("%c3%A9", "é"),
            ("a%0A", "a\n"),
            ("a%00b", "a\0b"),
        ] {
            assert_eq!(channels(path), [(id.as_bytes().to_vec(), None)], "{path}");
        }
    }

    #[test]
    fn pieces_are_channels_and_may_be_empty() {
        for (path, ids) in [
            ("", &[][..]),
            ("/", &[""]),
            ("a/b/c", &["a", "b", "c"]),
            ("a%2Fb", &["a", "b"]),
            ("a/", &["a"]),
            ("/a", &["", "a"]),
            ("a//b", &["a", "", "b"]),
            ("a//", &["a", ""]),
            ("a/a", &["a", "a"]),
            ("%", &[]),
        ] {
            let found: Vec<_> = channels(path).into_iter().map(|(id, _)| id).collect();
            assert_eq!(
                found,
                ids.iter()
                    .map(|id| id.as_bytes().to_vec())
                    .collect::<Vec<_>>(),
                "{path}"
            );
        }
    }

    #[test]
    fn a_backtrack_ends_a_piece() {
        for (piece, id, backtrack) in [
            ("ch.b5", "ch", Some(5)),
            ("ch.b0005", "ch", Some(5)),
            ("ch.b0", "ch", None),
            ("ch.b", "ch.b", None),
            ("ch.b5y", "ch.b5y", None),
            ("ch.B5", "ch.B5", None),
            ("chb5", "chb5", None),
            ("x.b5.b6", "x.b5", Some(6)),
            (".b3", "", Some(3)),
            ("ch.b99999999999999999999", "ch", Some(u32::MAX)),
            ("5", "5", None),
        ] {
            assert_eq!(
                channels(piece),
                [(id.as_bytes().to_vec(), backtrack)],
                "{piece}"
            );
        }
        assert_eq!(
            channels("a.b1/b/c.b2")
                .iter()
                .map(|(_, backtrack)| *backtrack)
                .collect::<Vec<_>>(),
            [Some(1), None, Some(2)]
        );
    }
}

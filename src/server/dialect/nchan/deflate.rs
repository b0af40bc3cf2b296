//! Compression of websocket messages (RFC 7692; nhpm-nchan.md, section 2.8): what is negotiated,
//! and messages that are compressed once for all followers.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::server::config::nchan::DeflateSettings;

/// What every flushed block ends in; it is left out on the wire.
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// Compresses a message on its own, so that it needs no context; `None` if that fails.
#[must_use]
pub fn compressed(text: &[u8], deflate: DeflateSettings) -> Option<Bytes> {
    let mut compressor =
        Compress::new_with_window_bits(Compression::new(deflate.level), false, deflate.window);
    let mut out = Vec::with_capacity(text.len() / 2 + 64);
    loop {
        let taken = usize::try_from(compressor.total_in()).ok()?;
        let status = compressor
            .compress_vec(text.get(taken..)?, &mut out, FlushCompress::Sync)
            .ok()?;
        let is_complete = compressor.total_in() == text.len() as u64 && out.len() < out.capacity();
        if is_complete || status == Status::StreamEnd {
            break;
        }
        out.reserve(out.len().max(256));
    }
    if out.ends_with(TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    out.shrink_to_fit();
    Some(out.into())
}

/// Appends what inflates to `head` and then to what `body` inflates to; `body` is of
/// [`compressed`]. The head is not compressed, so that the message can be compressed once for all
/// followers, whose heads are not the same.
pub fn push_with_head(head: &[u8], body: &[u8], out: &mut Vec<u8>) {
    // A stored block (RFC 1951, section 3.2.4) has at most that many bytes.
    for part in head.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(body);
}

/// What a client wants its messages, and gets the server's, compressed like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The value of `Sec-WebSocket-Extensions`.
    pub answer: String,
    /// Messages of the client are compressed on their own.
    pub client_has_no_context: bool,
}

/// Reads the extensions that a client offers and takes the first one that is acceptable (RFC 7692,
/// section 5.1); `None` if there is none that is known.
///
/// # Errors
/// What is wrong with the parameters of the first known one, if none is acceptable: nchan answers
/// with 400 then.
pub fn negotiate(
    offers: Option<&[u8]>,
    deflate: DeflateSettings,
) -> Result<Option<Negotiated>, &'static str> {
    let offers = String::from_utf8_lossy(offers.unwrap_or_default()).into_owned();
    let mut wrong = None;
    for offer in offers.split(',') {
        let mut parts = offer.split(';').map(str::trim);
        match parts.next().unwrap_or_default() {
            "permessage-deflate" => match permessage(parts, deflate) {
                Ok(negotiated) => return Ok(Some(negotiated)),
                Err(reason) => wrong = wrong.or(reason),
            },
            name @ ("x-webkit-deflate-frame" | "deflate-frame") => {
                match frame(name, parts, deflate) {
                    Ok(negotiated) => return Ok(Some(negotiated)),
                    Err(reason) => wrong = wrong.or(reason),
                }
            }
            _ => {}
        }
    }
    wrong.map_or(Ok(None), Err)
}

/// Why an offer is not accepted: nchan answers with 400 and the text; without one the connection
/// goes on uncompressed.
type Declined = Option<&'static str>;

/// A parameter of an offer; an empty value is none.
fn parameter(text: &str) -> (&str, Option<&str>) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (
        name.trim_end(),
        Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty()),
    )
}

/// Bits of a window: 9 to 15.
fn window_bits(value: &str) -> Option<u8> {
    value
        .parse::<u8>()
        .ok()
        .filter(|bits| (9..=15).contains(bits))
}

/// `deflate-frame` of the drafts before RFC 7692.
fn frame<'a>(
    name: &str,
    parameters: impl Iterator<Item = &'a str>,
    deflate: DeflateSettings,
) -> Result<Negotiated, Declined> {
    let mut bits = None;
    for text in parameters {
        if let ("max_window_bits", Some(value)) = parameter(text) {
            let wanted = window_bits(value)
                .ok_or(Some("invalid max_window_bits perframe-deflate setting"))?;
            if wanted < deflate.window {
                return Err(Some("max_window_bits perframe-deflate is too small"));
            }
            if bits
                .replace(wanted)
                .is_some_and(|earlier| earlier != wanted)
            {
                return Err(None);
            }
        }
    }
    let answer = if bits.is_some() {
        format!("{name}; max_window_bits={}", deflate.window)
    } else {
        name.to_owned()
    };
    Ok(Negotiated {
        answer,
        client_has_no_context: false,
    })
}

/// The parameters of `permessage-deflate` (RFC 7692, section 7.1); those of which there are two
/// different ones cannot both be honoured, so that the offer is declined.
fn permessage<'a>(
    parameters: impl Iterator<Item = &'a str>,
    deflate: DeflateSettings,
) -> Result<Negotiated, Declined> {
    let mut server_has_no_context = false;
    let mut client_has_no_context = false;
    let mut server_bits = None;
    let mut client_bits = None;
    for text in parameters {
        let (name, value) = parameter(text);
        let is_repeated = match name {
            "server_no_context_takeover" => {
                server_has_no_context = true;
                false
            }
            "client_no_context_takeover" => {
                client_has_no_context = true;
                false
            }
            "server_max_window_bits" => {
                let bits = value.map(|value| {
                    window_bits(value)
                        .ok_or("invalid server_max_window_bits permessage-deflate setting")
                });
                let bits = bits.transpose().map_err(Some)?;
                if bits.is_some_and(|bits| bits < deflate.window) {
                    return Err(Some("server_max_window_bits perframe-deflate is too small"));
                }
                server_bits
                    .replace(bits)
                    .is_some_and(|earlier| earlier != bits)
            }
            "client_max_window_bits" => {
                let bits = value.map(|value| {
                    window_bits(value)
                        .ok_or("invalid client_max_window_bits permessage-deflate setting")
                });
                let bits = bits.transpose().map_err(Some)?;
                client_bits
                    .replace(bits)
                    .is_some_and(|earlier| earlier != bits)
            }
            _ => false,
        };
        if is_repeated {
            return Err(None);
        }
    }
    let mut answer = "permessage-deflate".to_owned();
    for (is_there, name) in [
        (server_has_no_context, "; server_no_context_takeover"),
        (client_has_no_context, "; client_no_context_takeover"),
    ] {
        answer.push_str(if is_there { name } else { "" });
    }
    if server_bits.flatten().is_some() {
        answer.push_str(&format!("; server_max_window_bits={}", deflate.window));
    }
    if let Some(bits) = client_bits.flatten() {
        answer.push_str(&format!("; client_max_window_bits={bits}"));
    }
    Ok(Negotiated {
        answer,
        client_has_no_context,
    })
}

/// Takes messages of a client apart.
#[derive(Debug)]
pub struct Inflater {
    inflater: Decompress,
    has_no_context: bool,
}

/// A message could not be inflated: it is broken, or larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInflated {
    /// It is not what the client says.
    Broken,
    /// It would be larger than allowed.
    TooLarge,
}

impl Inflater {
    /// For messages that are compressed on their own, or after one another.
    #[must_use]
    pub fn new(has_no_context: bool) -> Self {
        Self {
            inflater: Decompress::new(false),
            has_no_context,
        }
    }

    /// The message, which may have `most` bytes.
    ///
    /// # Errors
    /// When it is broken or too large.
    pub fn inflate(&mut self, payload: &[u8], most: usize) -> Result<Vec<u8>, NotInflated> {
        if self.has_no_context {
            self.inflater.reset(false);
        }
        let input = [payload, TAIL].concat();
        let begin = self.inflater.total_in();
        let mut out = Vec::with_capacity((payload.len() * 3).clamp(256, most.max(256)));
        loop {
            let taken = usize::try_from(self.inflater.total_in() - begin)
                .map_err(|_| NotInflated::Broken)?;
            let rest = input.get(taken..).unwrap_or_default();
            let status = self
                .inflater
                .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                .map_err(|_| NotInflated::Broken)?;
            if out.len() > most {
                return Err(NotInflated::TooLarge);
            }
            if status == Status::StreamEnd {
                // A block that is said to be the last one ends the stream; the next message begins
                // another.
                self.inflater.reset(false);
                return Ok(out);
            }
            if out.len() < out.capacity() {
                let is_complete = usize::try_from(self.inflater.total_in() - begin)
                    .is_ok_and(|taken| taken == input.len());
                return if is_complete {
                    Ok(out)
                } else {
                    Err(NotInflated::Broken)
                };
            }
            out.reserve(out.len().min(most).max(256));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_a_round_trip() {
        let mut inflater = Inflater::new(true);
        for text in [
            &b""[..],
            b"hello hello hello hello",
            &[b'x'; 300_000],
            b"\0\x01\xff",
        ] {
            for window in [9, 10, 15] {
                let small = compressed(text, DeflateSettings { level: 6, window })
                    .expect("compression works");
                assert_eq!(inflater.inflate(&small, 1 << 20).as_deref(), Ok(text));
                assert!(!small.ends_with(TAIL));
            }
        }
        assert!(
            compressed(&[b'x'; 300_000], DeflateSettings::default())
                .expect("compression works")
                .len()
                < 3000
        );
    }

    #[test]
    fn heads_go_in_front_of_compressed_messages() {
        let body = compressed(b"hello hello hello", DeflateSettings::default())
            .expect("compression works");
        for length in [0, 1, 60, 65_535, 65_536, 200_000] {
            let head = vec![b'h'; length];
            let mut joined = Vec::new();
            push_with_head(&head, &body, &mut joined);
            let inflated = Inflater::new(true)
                .inflate(&joined, 1 << 20)
                .expect("it inflates");
            assert!(
                inflated == [&head[..], b"hello hello hello"].concat(),
                "{length}"
            );
        }
    }

    #[test]
    fn bombs_and_garbage_are_refused() {
        let bomb =
            compressed(&[0; 1 << 20], DeflateSettings::default()).expect("compression works");
        assert_eq!(
            Inflater::new(false).inflate(&bomb, 10_000),
            Err(NotInflated::TooLarge)
        );
        assert_eq!(
            Inflater::new(false).inflate(&[0xff; 100], 10_000),
            Err(NotInflated::Broken)
        );
    }

    #[test]
    fn extensions_are_answered_as_recorded() {
        let answer = |offer: &str| {
            negotiate(Some(offer.as_bytes()), DeflateSettings::default())
                .map(|found| found.map(|found| found.answer))
        };
        for (offer, expected) in [
            ("foo", Ok(None)),
            (
                "permessage-deflate; client_max_window_bits",
                Ok(Some("permessage-deflate")),
            ),
            (
                "permessage-deflate; client_max_window_bits=12",
                Ok(Some("permessage-deflate; client_max_window_bits=12")),
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                Ok(Some("permessage-deflate; server_max_window_bits=10")),
            ),
            (
                "permessage-deflate; server_max_window_bits=9",
                Err("server_max_window_bits perframe-deflate is too small"),
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                Err("invalid client_max_window_bits permessage-deflate setting"),
            ),
            (
                "permessage-deflate; server_max_window_bits=x",
                Err("invalid server_max_window_bits permessage-deflate setting"),
            ),
            (
                "permessage-deflate; server_max_window_bits=9, permessage-deflate",
                Ok(Some("permessage-deflate")),
            ),
            (
                "permessage-deflate; server_max_window_bits=9, permessage-deflate; \
                 client_max_window_bits=8",
                Err("server_max_window_bits perframe-deflate is too small"),
            ),
            (
                "permessage-deflate; server_max_window_bits",
                Ok(Some("permessage-deflate")),
            ),
            (
                "permessage-deflate; server_max_window_bits=\"12\"",
                Ok(Some("permessage-deflate; server_max_window_bits=10")),
            ),
            (
                "permessage-deflate; client_max_window_bits=",
                Ok(Some("permessage-deflate")),
            ),
            (
                "permessage-deflate;client_no_context_takeover;server_no_context_takeover;\
                 server_max_window_bits=15",
                Ok(Some(
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=10",
                )),
            ),
            (
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                Ok(Some("permessage-deflate; server_no_context_takeover")),
            ),
            (
                "permessage-deflate; server_max_window_bits=12; server_max_window_bits=15",
                Ok(None),
            ),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
                Ok(None),
            ),
            ("x-webkit-deflate-frame", Ok(Some("x-webkit-deflate-frame"))),
            (
                "x-webkit-deflate-frame; max_window_bits=12",
                Ok(Some("x-webkit-deflate-frame; max_window_bits=10")),
            ),
            (
                "deflate-frame; max_window_bits=10; no_context_takeover",
                Ok(Some("deflate-frame; max_window_bits=10")),
            ),
            (
                "deflate-frame; max_window_bits=9",
                Err("max_window_bits perframe-deflate is too small"),
            ),
            (
                "deflate-frame; max_window_bits=8",
                Err("invalid max_window_bits perframe-deflate setting"),
            ),
            (
                "deflate-frame; max_window_bits=16",
                Err("invalid max_window_bits perframe-deflate setting"),
            ),
            (
                "deflate-frame; max_window_bits=8, permessage-deflate",
                Ok(Some("permessage-deflate")),
            ),
            ("foo, deflate-frame", Ok(Some("deflate-frame"))),
        ] {
            assert_eq!(
                answer(offer),
                expected.map(|answer| answer.map(str::to_owned)),
                "{offer}"
            );
        }
    }
}

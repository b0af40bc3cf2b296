//! Compressed answers: whether a client gets one (nginx's `gzip`), and the bytes in the gzip format
//! (RFC 1952).
//!
//! Deflating is `flate2`'s. A stream is made of blocks that stand alone (RFC 1951, after a full
//! flush), so that a block is compressed once for all followers of a round, whenever they came; a
//! follower keeps only the checksum and length of what it has had, for the trailer at its end. That
//! costs compression: what messages have in common with earlier ones is not used.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress};

use super::config::compression::{GzipSettings, ProxiedCondition};
use super::fanout::Checksum;
use super::request::Request;
use super::response::{Response, ResponseBody};
use crate::message::{parse_http_date, unix_now};

/// What a stream in gzip begins with: deflate, no name, no time, Unix.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// An empty last block.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Memory of a compressor: its window and tables.
pub const STATE_BYTES: usize = 272 * 1024;

/// Bytes by which the room for a block grows.
const STEP_BYTES: usize = 4 * 1024;

thread_local! {
    /// The compressor of each level of this thread, made when it is needed first.
    static COMPRESSORS: RefCell<[Option<Compress>; 10]> = const { RefCell::new([const { None }; 10]) };
}

/// What a location and a client have agreed about.
#[derive(Clone, Debug, Default)]
pub struct Compression {
    /// `None` = the location does not compress.
    settings: Option<Arc<GzipSettings>>,
    client: ClientTraits,
}

impl Compression {
    /// They do the same, by the same settings.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.settings.as_ref().map(Arc::as_ptr) == other.settings.as_ref().map(Arc::as_ptr)
            && self.client == other.client
    }
}

/// What counts of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTraits {
    accepts: bool,
    is_proxied: bool,
    is_authorized: bool,
}

/// The head of an answer, as far as it counts.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFacts<'a> {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: &'a [u8],
    /// Length of its body; `None` = not known.
    pub length: Option<u64>,
    /// It has `Last-Modified`.
    pub has_last_modified: bool,
    /// Its further header lines.
    pub headers: &'a [u8],
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionDecision {
    /// It is compressed at this level.
    pub level: Option<u32>,
    /// It says that it depends on `Accept-Encoding`.
    pub varies: bool,
}

impl CompressionDecision {
    /// The header lines that tell of it.
    #[must_use]
    pub fn lines(self) -> &'static [u8] {
        match (self.varies, self.level.is_some()) {
            (false, false) => b"",
            (true, false) => b"Vary: Accept-Encoding\r\n",
            (false, true) => b"Content-Encoding: gzip\r\n",
            (true, true) => b"Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n",
        }
    }
}

impl Compression {
    /// What the settings of a location mean for a request.
    #[must_use]
    pub fn of(settings: Option<&Arc<GzipSettings>>, request: &Request<'_>) -> Self {
        let Some(settings) = settings else {
            return Self::default();
        };
        let accepts = request.minor_version >= settings.least_minor_version
            && request.header("accept-encoding").is_some_and(accepts_gzip)
            && settings.serves_agent(request.header("user-agent").unwrap_or_default());
        let client = ClientTraits {
            accepts,
            is_proxied: request.header("via").is_some(),
            is_authorized: request.header("authorization").is_some(),
        };
        Self {
            settings: Some(Arc::clone(settings)),
            client,
        }
    }

    /// What makes the answers of one location differ.
    #[must_use]
    pub fn client(&self) -> ClientTraits {
        self.client
    }

    /// What becomes of an answer.
    #[must_use]
    pub fn decide(&self, answer: &ResponseFacts<'_>) -> CompressionDecision {
        let Some(settings) = &self.settings else {
            return CompressionDecision::default();
        };
        if !matches!(answer.status, 200 | 403 | 404)
            || answer
                .length
                .is_some_and(|length| length < settings.min_length)
            || !settings.has_type(answer.content_type)
        {
            return CompressionDecision::default();
        }
        let may = self.client.accepts
            && (!self.client.is_proxied || self.may_be_sent_to_proxies(settings, answer));
        CompressionDecision {
            level: may.then_some(settings.level),
            varies: settings.vary,
        }
    }

    /// nginx's `gzip_proxied`: of several conditions the first that the answer has something of
    /// decides.
    fn may_be_sent_to_proxies(&self, settings: &GzipSettings, answer: &ResponseFacts<'_>) -> bool {
        let is = |wanted| settings.proxied.contains(&wanted);
        if settings.proxied.is_empty() {
            return false;
        }
        if is(ProxiedCondition::Any) || (self.client.is_authorized && is(ProxiedCondition::Auth)) {
            return true;
        }
        if let Some(expires) = header(answer.headers, b"expires") {
            return is(ProxiedCondition::Expired)
                && parse_http_date(expires).is_some_and(|time| time < unix_now());
        }
        if let Some(control) = header(answer.headers, b"cache-control") {
            let control = control.to_ascii_lowercase();
            return settings.proxied.iter().any(|proxied| match proxied {
                ProxiedCondition::CacheControl(word) => {
                    memchr::memmem::find(&control, word.as_bytes()).is_some()
                }
                _ => false,
            });
        }
        let lacks_time = !(is(ProxiedCondition::NoLastModified) && answer.has_last_modified);
        lacks_time && !(is(ProxiedCondition::NoEtag) && header(answer.headers, b"etag").is_some())
    }

    /// The answer as it is sent. Its body is compressed in one piece.
    #[must_use]
    pub fn apply(&self, response: Response, is_head: bool) -> Response {
        if self.settings.is_none() || response.bodiless {
            return response;
        }
        let length = match &response.body {
            // It has no body, rather than an empty one.
            ResponseBody::Sized(body) if body.is_empty() => return response,
            ResponseBody::Sized(body) => Some(body.len() as u64),
            ResponseBody::Pieces(_) => None,
        };
        let decision = self.decide(&ResponseFacts {
            status: response.status.0,
            content_type: response.content_type.as_deref().unwrap_or_default(),
            length,
            has_last_modified: response.last_modified.is_some(),
            headers: &response.headers,
        });
        let response = response.with_headers(decision.lines());
        let Some(level) = decision.level else {
            return response;
        };
        if is_head {
            // Neither length nor framing are told, as by nginx.
            return Response {
                body: ResponseBody::Sized(Bytes::new()),
                bodiless: true,
                ..response
            };
        }
        Response {
            body: ResponseBody::Pieces(vec![Bytes::from(member(level, &response.body))]),
            ..response
        }
    }
}

/// The value of the first of these header lines with that name, which is in lower case.
fn header<'a>(lines: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon]
            .eq_ignore_ascii_case(name)
            .then(|| line[colon + 1..].trim_ascii())
    })
}

/// Whether `Accept-Encoding` names gzip, and not with a quality of zero, as nginx reads it: `*`
/// does not count.
fn accepts_gzip(header: &[u8]) -> bool {
    let named = header.split(|byte| *byte == b',').find_map(|coding| {
        let mut parts = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"))
            .then(|| parts.next())
    });
    match named {
        None => false,
        Some(None | Some(b"")) => true,
        Some(Some([b'q' | b'Q', b'=', quality @ ..])) => is_positive(quality),
        Some(Some(_)) => false,
    }
}

/// A quality (RFC 9110, section 12.4.2) that is more than zero.
fn is_positive(quality: &[u8]) -> bool {
    let (whole, fraction) = match quality {
        [whole @ (b'0' | b'1')] => (*whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return false,
    };
    let is_some = fraction.iter().any(|digit| (b'1'..=b'9').contains(digit));
    fraction.iter().all(u8::is_ascii_digit) && if whole == b'1' { !is_some } else { is_some }
}

/// A body as a complete gzip member.
fn member(level: u32, body: &ResponseBody) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    let mut sum = Checksum::default();
    match body {
        ResponseBody::Sized(body) => sum = block(level, body, &mut out),
        ResponseBody::Pieces(pieces) => {
            let whole: Vec<u8> = pieces.concat();
            if !whole.is_empty() {
                sum = block(level, &whole, &mut out);
            }
        }
    }
    end(sum, &mut out);
    out
}

/// Appends `plain` as blocks that need nothing before them and end at a byte; returns its sum.
pub fn block(level: u32, plain: &[u8], out: &mut Vec<u8>) -> Checksum {
    COMPRESSORS.with_borrow_mut(|compressors| {
        let slot = &mut compressors[(level.clamp(1, 9)) as usize];
        let compressor =
            slot.get_or_insert_with(|| Compress::new(Level::new(level.clamp(1, 9)), false));
        compressor.reset();
        deflate(compressor, plain, FlushCompress::Full, out);
    });
    Checksum::of(plain)
}

/// Feeds a compressor and appends all that it gives.
fn deflate(compressor: &mut Compress, plain: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    let begin = compressor.total_in();
    out.reserve(plain.len() / 2 + 64);
    loop {
        let fed = usize::try_from(compressor.total_in() - begin).unwrap_or(usize::MAX);
        // It fails only where input and flush do not fit together, which they do.
        let result = compressor.compress_vec(plain.get(fed..).unwrap_or_default(), out, flush);
        let fed = usize::try_from(compressor.total_in() - begin).unwrap_or(usize::MAX);
        if result.is_err() || (fed >= plain.len() && out.len() < out.capacity()) {
            return;
        }
        out.reserve(STEP_BYTES);
    }
}

/// Appends the end of a member with this sum.
pub fn end(sum: Checksum, out: &mut Vec<u8>) {
    out.extend_from_slice(&LAST_BLOCK);
    out.extend_from_slice(&sum.crc.to_le_bytes());
    out.extend_from_slice(&sum.length.to_le_bytes());
}

/// A body that is compressed while it comes in, of which the end is not known.
pub struct Deflating {
    compressor: Compress,
    sum: Checksum,
}

impl Deflating {
    /// Begins a body.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            compressor: Compress::new(Level::new(level.clamp(1, 9)), false),
            sum: Checksum::default(),
        }
    }

    /// Appends what there is to send of it so far.
    pub fn push(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.sum = self.sum.concat(Checksum::of(plain));
        deflate(&mut self.compressor, plain, FlushCompress::None, out);
    }

    /// Appends the rest and the end of the member.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        deflate(&mut self.compressor, b"", FlushCompress::Sync, out);
        end(self.sum, out);
    }
}

#[cfg(test)]
mod tests;

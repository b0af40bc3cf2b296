//! Response compression: whether a response is compressed (nginx's `gzip`), and the gzip format
//! (RFC 1952) on top of `flate2`.
//!
//! A stream consists of independent blocks (RFC 1951, each after a full flush). So a block is
//! compressed once for all followers of a round, regardless of when they subscribed; a follower
//! keeps only the checksum and the length of its stream, for the trailer. The price is a lower
//! compression ratio: redundancy between messages is not used.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress};

use super::request::Request;
use super::response::{Response, ResponseBody};
use crate::message::{parse_http_date, unix_now};
use crate::server::config::model::compression::{GzipSettings, ProxiedCondition};
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::response::{HeaderList, header_list};

/// Header of a gzip member: deflate, no name, no time, Unix.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// An empty final deflate block.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Memory of a compressor in bytes: its window and tables.
pub const STATE_BYTES: usize = 272 * 1024;

/// Growth of the output buffer in bytes.
const STEP_BYTES: usize = 4 * 1024;

thread_local! {
    /// One compressor per level, created on first use.
    static COMPRESSORS: RefCell<[Option<Compress>; 10]> =
        const { RefCell::new([const { None }; 10]) };
}

/// The compression settings of a location, and the traits of a client that they depend on.
#[derive(Clone, Debug, Default)]
pub struct Compression {
    /// `None` = the location does not compress.
    settings: Option<Arc<GzipSettings>>,
    client: ClientTraits,
}

impl Compression {
    /// Whether both give the same results: the same settings and client traits.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.settings.as_ref().map(Arc::as_ptr) == other.settings.as_ref().map(Arc::as_ptr)
            && self.client == other.client
    }
}

/// The traits of a request on which compression depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTraits {
    accepts: bool,
    is_proxied: bool,
    is_authorized: bool,
}

/// The properties of a response on which compression depends.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFacts<'a> {
    /// The status.
    pub status: u16,
    /// `Content-Type`
    pub content_type: &'a [u8],
    /// Length of the body in bytes; `None` = not known in advance.
    pub length: Option<u64>,
    /// The response has `Last-Modified`.
    pub has_last_modified: bool,
    /// Its other headers.
    pub headers: &'a HeaderList,
}

/// Whether a response is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionDecision {
    /// The compression level, 1 to 9; `None` = not compressed.
    pub level: Option<u32>,
    /// The response has `Vary: Accept-Encoding`.
    pub varies: bool,
}

impl CompressionDecision {
    /// Returns the headers of the decision.
    #[must_use]
    pub fn headers(self) -> HeaderList {
        match (self.varies, self.level.is_some()) {
            (false, false) => HeaderList::default(),
            (true, false) => header_list!("Vary": "Accept-Encoding"),
            (false, true) => header_list!("Content-Encoding": "gzip"),
            (true, true) => {
                header_list!("Vary": "Accept-Encoding", "Content-Encoding": "gzip")
            }
        }
    }
}

impl Compression {
    /// Applies the settings of a location to a request.
    #[must_use]
    pub fn for_request(settings: Option<&Arc<GzipSettings>>, request: &Request<'_>) -> Self {
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

    /// Returns the traits of the client by which responses of one location differ.
    #[must_use]
    pub fn client(&self) -> ClientTraits {
        self.client
    }

    /// Returns whether responses of the location may be compressed.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.settings.is_some()
    }

    /// Decides whether a response is compressed.
    #[must_use]
    pub fn decide(&self, response: &ResponseFacts<'_>) -> CompressionDecision {
        let Some(settings) = &self.settings else {
            return CompressionDecision::default();
        };
        if !matches!(response.status, 200 | 403 | 404)
            || response
                .length
                .is_some_and(|length| length < settings.min_length)
            || !settings.has_type(response.content_type)
        {
            return CompressionDecision::default();
        }
        let is_allowed = self.client.accepts
            && (!self.client.is_proxied || self.is_allowed_for_proxies(settings, response));
        CompressionDecision {
            level: is_allowed.then_some(settings.level),
            varies: settings.vary,
        }
    }

    /// Applies nginx's `gzip_proxied`. The first condition whose header the response has decides.
    fn is_allowed_for_proxies(
        &self,
        settings: &GzipSettings,
        response: &ResponseFacts<'_>,
    ) -> bool {
        let is = |condition| settings.proxied.contains(&condition);
        if settings.proxied.is_empty() {
            return false;
        }
        if is(ProxiedCondition::Any) || (self.client.is_authorized && is(ProxiedCondition::Auth)) {
            return true;
        }
        if let Some(expires) = response.headers.get("expires") {
            return is(ProxiedCondition::Expired)
                && parse_http_date(expires).is_some_and(|time| time < unix_now());
        }
        if let Some(control) = response.headers.get("cache-control") {
            let control = control.to_ascii_lowercase();
            return settings.proxied.iter().any(|proxied| match proxied {
                ProxiedCondition::CacheControl(word) => {
                    memchr::memmem::find(&control, word.as_bytes()).is_some()
                }
                _ => false,
            });
        }
        let has_excluded_date = is(ProxiedCondition::NoLastModified) && response.has_last_modified;
        let has_excluded_etag =
            is(ProxiedCondition::NoEtag) && response.headers.get("etag").is_some();
        !has_excluded_date && !has_excluded_etag
    }

    /// Compresses a response, if the settings and the client allow it.
    #[must_use]
    pub fn apply(&self, response: Response, is_head: bool) -> Response {
        if self.settings.is_none() {
            return response;
        }
        let length = match &response.body {
            // nginx does not compress a response without a body.
            ResponseBody::None => return response,
            ResponseBody::Pieces(_) => None,
            body if body.is_empty() => return response,
            body => Some(body.len()),
        };
        let decision = self.decide(&ResponseFacts {
            status: response.head.status.0,
            content_type: response.head.content_type.as_deref().unwrap_or_default(),
            length,
            has_last_modified: response.head.last_modified.is_some(),
            headers: &response.head.headers,
        });
        let response = response.with_headers(&decision.headers());
        let Some(level) = decision.level else {
            return response;
        };
        if is_head {
            // As in nginx, the head has neither a length nor a transfer coding.
            return response.with_body(ResponseBody::None);
        }
        let compressed = Bytes::from(member(level, &response.body));
        response.with_body(ResponseBody::Pieces(vec![compressed]))
    }
}

/// Whether `Accept-Encoding` accepts gzip. As in nginx, a quality of zero rejects it, and `*` has
/// no effect.
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

/// Whether a quality value (RFC 9110, section 12.4.2) is valid and greater than zero.
fn is_positive(quality: &[u8]) -> bool {
    let (whole, fraction) = match quality {
        [whole @ (b'0' | b'1')] => (*whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return false,
    };
    let is_some = fraction.iter().any(|digit| (b'1'..=b'9').contains(digit));
    fraction.iter().all(u8::is_ascii_digit) && if whole == b'1' { !is_some } else { is_some }
}

/// Compresses a body to a complete gzip member.
fn member(level: u32, body: &ResponseBody) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    let mut sum = Checksum::default();
    match body {
        ResponseBody::None => {}
        ResponseBody::Sized(body) => sum = block(level, body, &mut out),
        ResponseBody::Buffer(body) => sum = block(level, body, &mut out),
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

/// Appends `plain` as independent blocks that end at a byte boundary. Returns the checksum and
/// length of `plain`.
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

/// Feeds `plain` to a compressor and appends its output.
fn deflate(compressor: &mut Compress, plain: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    let begin = compressor.total_in();
    out.reserve(plain.len() / 2 + 64);
    loop {
        let fed = usize::try_from(compressor.total_in() - begin).unwrap_or(usize::MAX);
        // Fails only if the flush mode is invalid for the state of the compressor.
        let result = compressor.compress_vec(plain.get(fed..).unwrap_or_default(), out, flush);
        let fed = usize::try_from(compressor.total_in() - begin).unwrap_or(usize::MAX);
        if result.is_err() || (fed >= plain.len() && out.len() < out.capacity()) {
            return;
        }
        out.reserve(STEP_BYTES);
    }
}

/// Appends the end of a gzip member: the final block and the trailer.
pub fn end(sum: Checksum, out: &mut Vec<u8>) {
    out.extend_from_slice(&LAST_BLOCK);
    out.extend_from_slice(&sum.crc.to_le_bytes());
    out.extend_from_slice(&sum.length.to_le_bytes());
}

/// A body that is compressed while it is read, such as a file.
pub struct Deflating {
    compressor: Compress,
    sum: Checksum,
}

impl Deflating {
    /// Starts a body at a compression level of 1 to 9.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            compressor: Compress::new(Level::new(level.clamp(1, 9)), false),
            sum: Checksum::default(),
        }
    }

    /// Compresses a piece of the body; appends the output that is complete so far.
    pub fn push(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.sum = self.sum.concat(Checksum::of(plain));
        deflate(&mut self.compressor, plain, FlushCompress::None, out);
    }

    /// Appends the remaining output and the end of the gzip member.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        deflate(&mut self.compressor, b"", FlushCompress::Sync, out);
        end(self.sum, out);
    }
}

#[cfg(test)]
mod tests;

//! The formats of a shard's followers. Followers whose responses have the same form share one
//! format, and with it encoded frames.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::SharedFormat;
use crate::server::compression::ClientTraits;
use crate::server::config::LocationSettings;
use crate::server::dialect::nchan::negotiation::Mode;
use crate::server::fanout::Format;
use crate::server::response::{Framing, ResponseContext};

/// Maximum number of cached formats (every origin or callback creates one). Beyond it the cache is
/// cleared, which costs only sharing.
const MAX_FORMATS: usize = 256;

/// Maximum size of a key, in bytes. A format with a larger key is unlikely to be shared, and is not
/// cached.
const MAX_KEY_BYTES: usize = 1024;

/// All inputs of a format.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FormatKey {
    /// Address of the location's settings, which the cache keeps alive.
    pub(super) settings: *const LocationSettings,
    pub(super) kind: FormatKind,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) content_type: Bytes,
    pub(super) cors: Vec<u8>,
    pub(super) callback: Option<Bytes>,
    pub(super) padding: Option<(usize, usize)>,
    pub(super) added: Vec<u8>,
    pub(super) compression: ClientTraits,
    /// Compression level of a stream.
    pub(super) level: Option<u32>,
    /// Further inputs, encoded by the dialect.
    pub(super) detail: Vec<u8>,
}

/// The modes that have formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FormatKind {
    Streaming,
    EventSource,
    LongPolling,
    EventSourceLongPolling,
    WebSocket,
    Nhpm,
    NchanLongPoll,
    NchanStream(Mode),
    NchanWebSocket {
        has_meta: bool,
        takes_deflated: bool,
    },
}

impl FormatKey {
    /// Creates a key with default values for everything else.
    pub(super) fn new(
        settings: &Arc<LocationSettings>,
        kind: FormatKind,
        framing: Framing,
        keep_alive: bool,
    ) -> Self {
        let settings = Arc::as_ptr(settings);
        Self {
            settings,
            kind,
            framing,
            keep_alive,
            content_type: Bytes::new(),
            cors: Vec::new(),
            callback: None,
            padding: None,
            added: Vec::new(),
            compression: ClientTraits::default(),
            level: None,
            detail: Vec::new(),
        }
    }
}

impl FormatKey {
    fn own_bytes(&self) -> usize {
        self.content_type.len()
            + self.cors.len()
            + self.detail.len()
            + self.callback.as_ref().map_or(0, Bytes::len)
    }
}

/// Caches the formats in use and the newest responses to polls.
#[derive(Default)]
pub struct Formats {
    formats: RefCell<HashMap<FormatKey, (Arc<LocationSettings>, SharedFormat)>>,
    responses: RefCell<VecDeque<(PollResponseKey, Arc<LocationSettings>, PreparedResponse)>>,
    boundary: OnceCell<String>,
}

/// An encoded response, and whether its connection stays open.
pub(super) type PreparedResponse = (Rc<Vec<u8>>, bool);

/// Maximum number of cached responses to polls: many clients poll from the same position in the
/// same second.
const MAX_CACHED_RESPONSES: usize = 8;

/// Maximum size of a cached response, in bytes.
const MAX_CACHED_RESPONSE_BYTES: usize = 64 * 1024;

/// All inputs of a response to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PollResponseKey {
    pub(super) traits: PollResponseTraits,
    pub(super) content: PollResponseContent,
}

/// The inputs that come from the request and its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PollResponseTraits {
    pub(super) settings: *const LocationSettings,
    pub(super) is_eventsource: bool,
    pub(super) connection: ResponseContext,
    pub(super) compression: ClientTraits,
    pub(super) content_type: Bytes,
    /// Header lines that the location adds.
    pub(super) added: Bytes,
}

/// The inputs that come from the channel and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollResponseContent {
    /// Number of the channel, the id after which messages are sent, and the newest id.
    pub(super) messages: (u64, u64, u64),
    /// The second of the Date header.
    pub(super) second: u64,
}

impl Formats {
    /// The boundary of multipart streams, which their heads and frames share.
    pub(super) fn boundary(&self, make: impl FnOnce() -> String) -> String {
        self.boundary.get_or_init(make).clone()
    }

    /// Returns the response with these inputs, if it is cached.
    pub(super) fn cached_response(
        &self,
        traits: &PollResponseTraits,
        content: PollResponseContent,
    ) -> Option<PreparedResponse> {
        let cached = self.responses.borrow();
        let is_it = |key: &PollResponseKey| key.content == content && key.traits == *traits;
        cached
            .iter()
            .find(|(key, ..)| is_it(key))
            .map(|(.., response)| response.clone())
    }

    /// Returns the cached response for `key`, or inserts the result of `make`.
    pub(super) fn response_or_insert(
        &self,
        key: PollResponseKey,
        settings: &Arc<LocationSettings>,
        make: impl FnOnce() -> Option<PreparedResponse>,
    ) -> Option<PreparedResponse> {
        if let Some(response) = self.cached_response(&key.traits, key.content) {
            return Some(response);
        }
        let response = make()?;
        let mut cached = self.responses.borrow_mut();
        if response.0.len() <= MAX_CACHED_RESPONSE_BYTES {
            cached.truncate(MAX_CACHED_RESPONSES - 1);
            // Holding the settings keeps their address unique.
            cached.push_front((key, Arc::clone(settings), response.clone()));
        }
        Some(response)
    }

    /// Returns the cached format for `key`, or inserts the result of `make`.
    pub(super) fn shared<F: Format + 'static>(
        &self,
        key: FormatKey,
        settings: &Arc<LocationSettings>,
        make: impl FnOnce() -> F,
    ) -> SharedFormat {
        let mut cached = self.formats.borrow_mut();
        if let Some((_, format)) = cached.get(&key) {
            return Rc::clone(format);
        }
        let format: SharedFormat = Rc::new(make());
        if key.own_bytes() > MAX_KEY_BYTES {
            return format;
        }
        if cached.len() >= MAX_FORMATS {
            cached.clear();
        }
        // Holding the settings keeps their address unique.
        cached.insert(key, (Arc::clone(settings), Rc::clone(&format)));
        format
    }
}

//! The formats of a shard's followers. Followers whose responses have the same form share one
//! format, and with it encoded frames.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::server::config::LocationSettings;
use crate::server::exchange::compression::ClientTraits;
use crate::server::exchange::response::{
    HeaderList, Response, ResponseContext, ResponseWriter, Status, WrittenResponse,
};
use crate::server::fanout::{Encoder, Format};

/// A format that many followers share.
pub(in crate::server) type SharedFormat = Rc<Format>;

/// Maximum number of cached formats (every origin or callback creates one). Beyond it the cache is
/// cleared, which costs only sharing.
const MAX_FORMATS: usize = 256;

/// Maximum size of a key, in bytes. A format with a larger key is unlikely to be shared, and is not
/// cached.
const MAX_KEY_BYTES: usize = 1024;

/// All inputs of a format.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::server) struct FormatKey {
    /// Address of the location's settings, which the cache keeps alive.
    pub(in crate::server) settings: *const LocationSettings,
    pub(in crate::server) kind: FormatKind,
    /// What a one-shot response depends on of its request; `None` for streams.
    pub(in crate::server) connection: Option<ResponseContext>,
    pub(in crate::server) content_type: Bytes,
    pub(in crate::server) cors: HeaderList,
    pub(in crate::server) callback: Option<Bytes>,
    pub(in crate::server) padding: Option<(usize, usize)>,
    pub(in crate::server) added: HeaderList,
    pub(in crate::server) compression: ClientTraits,
    /// Compression level of a stream.
    pub(in crate::server) level: Option<u32>,
    /// Further inputs, encoded by the dialect.
    pub(in crate::server) detail: Vec<u8>,
}

/// The modes that have formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::server) enum FormatKind {
    Streaming,
    EventSource,
    LongPolling,
    EventSourceLongPolling,
    WebSocket,
    Nhpm,
    NchanLongPoll,
    /// With the number of its mode.
    NchanStream(u8),
    NchanWebSocket {
        has_meta: bool,
        takes_deflated: bool,
    },
}

impl FormatKey {
    /// Creates a key with default values for everything else.
    pub(in crate::server) fn new(settings: &Arc<LocationSettings>, kind: FormatKind) -> Self {
        let settings = Arc::as_ptr(settings);
        Self {
            settings,
            kind,
            connection: None,
            content_type: Bytes::new(),
            cors: HeaderList::default(),
            callback: None,
            padding: None,
            added: HeaderList::default(),
            compression: ClientTraits::default(),
            level: None,
            detail: Vec::new(),
        }
    }
}

impl FormatKey {
    fn own_bytes(&self) -> usize {
        self.content_type.len()
            + self.cors.byte_len()
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

/// A response that was written for all clients that get it.
#[derive(Clone, Debug)]
pub struct PreparedResponse {
    /// Its bytes on the wire.
    pub(in crate::server) bytes: Rc<Vec<u8>>,
    pub(in crate::server) status: Status,
    pub(in crate::server) written: WrittenResponse,
}

/// Maximum number of cached responses to polls: many clients poll from the same position in the
/// same second.
const MAX_CACHED_RESPONSES: usize = 8;

/// Maximum size of a cached response, in bytes.
const MAX_CACHED_RESPONSE_BYTES: usize = 64 * 1024;

/// All inputs of a response to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct PollResponseKey {
    pub(in crate::server) traits: PollResponseTraits,
    pub(in crate::server) content: PollResponseContent,
}

/// The inputs that come from the request and its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct PollResponseTraits {
    pub(in crate::server) settings: *const LocationSettings,
    pub(in crate::server) is_eventsource: bool,
    pub(in crate::server) connection: ResponseContext,
    pub(in crate::server) compression: ClientTraits,
    pub(in crate::server) content_type: Bytes,
    /// Headers that the location adds.
    pub(in crate::server) added: HeaderList,
}

/// The inputs that come from the channel and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct PollResponseContent {
    /// Number of the channel, the id after which messages are sent, and the newest id.
    pub(in crate::server) messages: (u64, u64, u64),
    /// The second of the Date header.
    pub(in crate::server) second: u64,
}

impl Formats {
    /// The boundary of multipart streams, which their heads and frames share.
    pub(in crate::server) fn boundary(&self, make: impl FnOnce() -> String) -> String {
        self.boundary.get_or_init(make).clone()
    }

    /// Returns the response with these inputs, if it is cached.
    pub(in crate::server) fn cached_response(
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

    /// Returns the cached response for `key`, or inserts the result of `make`, as `writer` writes
    /// it.
    pub(in crate::server) fn response_or_insert(
        &self,
        key: PollResponseKey,
        settings: &Arc<LocationSettings>,
        writer: &dyn ResponseWriter,
        make: impl FnOnce() -> Option<Response>,
    ) -> Option<PreparedResponse> {
        if let Some(response) = self.cached_response(&key.traits, key.content) {
            return Some(response);
        }
        let mut bytes = Vec::new();
        let made = make()?;
        let written = writer.write_response(&made, key.traits.connection, &mut bytes);
        let response = PreparedResponse {
            bytes: Rc::new(bytes),
            status: made.head.status,
            written,
        };
        let mut cached = self.responses.borrow_mut();
        if response.bytes.len() <= MAX_CACHED_RESPONSE_BYTES {
            cached.truncate(MAX_CACHED_RESPONSES - 1);
            // Holding the settings keeps their address unique.
            cached.push_front((key, Arc::clone(settings), response.clone()));
        }
        Some(response)
    }

    /// Returns the cached format for `key`, or inserts the result of `make`.
    pub(in crate::server) fn shared<E: Encoder + 'static>(
        &self,
        key: FormatKey,
        settings: &Arc<LocationSettings>,
        make: impl FnOnce() -> Format<E>,
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

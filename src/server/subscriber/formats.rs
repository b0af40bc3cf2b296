//! The formats of a shard's followers: followers that look the same share one, so that they share
//! encoded frames.

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

/// Formats that are remembered; when there are more (every origin or callback makes one) all are
/// forgotten, which costs sharing and nothing else.
const MOST: usize = 256;

/// A format that has more of its request than this is nobody else's, and not remembered.
const MAX_KEY_BYTES: usize = 1024;

/// What makes formats differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Address of the location's settings, which live as long as the server.
    pub(super) settings: *const LocationSettings,
    pub(super) kind: Kind,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) content_type: Bytes,
    pub(super) cors: Vec<u8>,
    pub(super) callback: Option<Bytes>,
    pub(super) padding: Option<(usize, usize)>,
    pub(super) added: Vec<u8>,
    pub(super) compression: ClientTraits,
    /// Level of a compressed stream.
    pub(super) level: Option<u32>,
    /// What else the dialect's answers depend on.
    pub(super) detail: Vec<u8>,
}

/// The modes that have formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
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

impl Key {
    /// The key of a plain format of these settings.
    pub(super) fn new(
        settings: &Arc<LocationSettings>,
        kind: Kind,
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

impl Key {
    fn own_bytes(&self) -> usize {
        self.content_type.len()
            + self.cors.len()
            + self.detail.len()
            + self.callback.as_ref().map_or(0, Bytes::len)
    }
}

/// The formats that are in use, and the newest answers to polls.
#[derive(Default)]
pub struct Formats {
    formats: RefCell<HashMap<Key, (Arc<LocationSettings>, SharedFormat)>>,
    answers: RefCell<VecDeque<(AnswerKey, Arc<LocationSettings>, PreparedAnswer)>>,
    boundary: OnceCell<String>,
}

/// A response as bytes, and whether its connection goes on.
pub(super) type PreparedAnswer = (Rc<Vec<u8>>, bool);

/// Answers to polls that are remembered: many clients poll from the same place in the same second.
const MOST_ANSWERS: usize = 8;

/// Largest answer that is remembered.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What makes answers to polls differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerKey {
    pub(super) look: AnswerLook,
    pub(super) content: AnswerContent,
}

/// How an answer looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerLook {
    pub(super) settings: *const LocationSettings,
    pub(super) is_eventsource: bool,
    pub(super) connection: ResponseContext,
    pub(super) compression: ClientTraits,
    pub(super) content_type: Bytes,
    /// Header lines that the location adds.
    pub(super) added: Bytes,
}

/// What is in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerContent {
    /// Number of the channel, the id after which messages are sent, and the newest one.
    pub(super) messages: (u64, u64, u64),
    /// The second of its Date.
    pub(super) second: u64,
}

impl Formats {
    /// The boundary of multipart streams, which is in their heads and their frames.
    pub(super) fn boundary(&self, make: impl FnOnce() -> String) -> String {
        self.boundary.get_or_init(make).clone()
    }

    /// The answer of that look and content, if it is known.
    pub(super) fn known_answer(
        &self,
        look: &AnswerLook,
        content: AnswerContent,
    ) -> Option<PreparedAnswer> {
        let known = self.answers.borrow();
        let is_it = |key: &AnswerKey| key.content == content && key.look == *look;
        known
            .iter()
            .find(|(key, ..)| is_it(key))
            .map(|(.., answer)| answer.clone())
    }

    /// The answer of `key`, made by `make` where there is none.
    pub(super) fn answer(
        &self,
        key: AnswerKey,
        settings: &Arc<LocationSettings>,
        make: impl FnOnce() -> Option<PreparedAnswer>,
    ) -> Option<PreparedAnswer> {
        if let Some(answer) = self.known_answer(&key.look, key.content) {
            return Some(answer);
        }
        let answer = make()?;
        let mut known = self.answers.borrow_mut();
        if answer.0.len() <= MAX_ANSWER_BYTES {
            known.truncate(MOST_ANSWERS - 1);
            // The settings are held, so that their address stays theirs.
            known.push_front((key, Arc::clone(settings), answer.clone()));
        }
        Some(answer)
    }

    /// The format of `key`, made by `make` where there is none.
    pub(super) fn shared<F: Format + 'static>(
        &self,
        key: Key,
        settings: &Arc<LocationSettings>,
        make: impl FnOnce() -> F,
    ) -> SharedFormat {
        let mut known = self.formats.borrow_mut();
        if let Some((_, format)) = known.get(&key) {
            return Rc::clone(format);
        }
        let format: SharedFormat = Rc::new(make());
        if key.own_bytes() > MAX_KEY_BYTES {
            return format;
        }
        if known.len() >= MOST {
            known.clear();
        }
        // The settings are held, so that their address stays theirs.
        known.insert(key, (Arc::clone(settings), Rc::clone(&format)));
        format
    }
}

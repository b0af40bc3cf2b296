//! The formats of a shard's followers: followers that look the same share one, so that they share encoded frames.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::SharedFormat;
use crate::server::config::LocationSettings;
use crate::server::fanout::Format;
use crate::server::response::Framing;

/// Formats that are remembered; when there are more (every origin or callback makes one) all are forgotten, which costs
/// sharing and nothing else.
const MOST: usize = 256;

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
}

/// The modes that have formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Streaming,
    EventSource,
    LongPolling,
    EventSourceLongPolling,
    WebSocket,
}

impl Key {
    /// The key of a plain format of these settings.
    pub(super) fn new(settings: &Arc<LocationSettings>, kind: Kind, framing: Framing, keep_alive: bool) -> Self {
        let settings = Arc::as_ptr(settings);
        Self { settings, kind, framing, keep_alive, content_type: Bytes::new(), cors: Vec::new(), callback: None, padding: None }
    }
}

/// The formats that are in use.
#[derive(Default)]
pub struct Formats(RefCell<HashMap<Key, (Arc<LocationSettings>, SharedFormat)>>);

impl Formats {
    /// The format of `key`, made by `make` where there is none.
    pub(super) fn shared<F: Format + 'static>(&self, key: Key, settings: &Arc<LocationSettings>, make: impl FnOnce() -> F) -> SharedFormat {
        let mut known = self.0.borrow_mut();
        if let Some((_, format)) = known.get(&key) {
            return Rc::clone(format);
        }
        if known.len() >= MOST {
            known.clear();
        }
        let format: SharedFormat = Rc::new(make());
        // The settings are held, so that their address stays theirs.
        known.insert(key, (Arc::clone(settings), Rc::clone(&format)));
        format
    }
}

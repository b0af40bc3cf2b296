//! The cache of one connection for one kind of request: at most one entry, and a count that turns
//! caching off for clients whose requests differ.

use std::rc::Rc;

use super::HeadTemplate;
use crate::server::broker::{Broker, Charge};
use crate::server::http::listen::listener_snapshot::ListenerSnapshot;

/// Caching stops for a connection when this many more entries were unused than used.
const MAX_UNUSED: u8 = 4;

/// The last request of one kind that can be replayed.
pub(in crate::server) struct RequestCache<T> {
    cached: Option<Box<CachedRequest<T>>>,
    /// Entries that were replaced without having been replayed, less those that were replayed.
    unused: u8,
}

/// A request that can be replayed.
pub(super) struct CachedRequest<T> {
    pub(super) template: HeadTemplate,
    /// The configuration that routed it.
    pub(super) snapshot: Rc<ListenerSnapshot>,
    /// The result of routing it.
    pub(super) entry: T,
    /// It was replayed at least once.
    pub(super) is_used: bool,
    _charges: [Charge; 2],
}

impl<T> Default for RequestCache<T> {
    fn default() -> Self {
        Self {
            cached: None,
            unused: 0,
        }
    }
}

impl<T> RequestCache<T> {
    /// Returns whether requests of this client are repeated often enough to be cached.
    pub(super) fn is_worthwhile(&self) -> bool {
        self.unused < MAX_UNUSED
    }

    /// Returns the cached request, if `snapshot` has routed it.
    pub(super) fn get(&self, snapshot: &Rc<ListenerSnapshot>) -> Option<&CachedRequest<T>> {
        self.cached
            .as_deref()
            .filter(|cached| Rc::ptr_eq(&cached.snapshot, snapshot))
    }

    /// Returns the cached request for a replay. An entry of another snapshot is removed: after a
    /// reload it would keep the old configuration alive.
    pub(super) fn get_or_evict(
        &mut self,
        snapshot: &Rc<ListenerSnapshot>,
    ) -> Option<&mut CachedRequest<T>> {
        if !Rc::ptr_eq(&self.cached.as_ref()?.snapshot, snapshot) {
            self.cached = None;
        }
        self.cached.as_deref_mut()
    }

    /// Replaces the entry by a request that `snapshot` has routed. `entry_bytes` is the heap
    /// memory of `entry`. Without memory for it nothing is cached.
    pub(super) fn insert(
        &mut self,
        broker: &Broker,
        snapshot: &Rc<ListenerSnapshot>,
        template: HeadTemplate,
        entry: T,
        entry_bytes: usize,
    ) {
        self.evict();
        let bytes = size_of::<CachedRequest<T>>() + template.own_bytes() + entry_bytes;
        let Ok(charges) = broker.memory().charge_cached_request(bytes) else {
            return;
        };
        self.cached = Some(Box::new(CachedRequest {
            template,
            snapshot: Rc::clone(snapshot),
            entry,
            is_used: false,
            _charges: charges,
        }));
    }

    /// Removes the entry, because the client has sent another request.
    pub(super) fn evict(&mut self) {
        match self.cached.take() {
            Some(before) if before.is_used => self.unused = self.unused.saturating_sub(1),
            Some(_) => self.record_unused(),
            None => {}
        }
    }

    /// Counts a request that could not be cached.
    pub(super) fn record_unused(&mut self) {
        self.unused = self.unused.saturating_add(1);
    }
}

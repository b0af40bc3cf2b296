//! The configuration of a listener on a shard, which a reload replaces.
//!
//! A request takes the current snapshot when its head is parsed; a follower keeps the snapshot of
//! its request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::server::config::{ConnectionLimits, Listener};
use crate::server::endpoint::formats::Formats;
use crate::server::http::listen::location_index::{LocationAddress, LocationIndex};
use crate::server::http::upstream::backend::BackendClient;

/// Configuration shared by the connections of a shard behind one listener, between two reloads.
pub(in crate::server) struct ListenerSnapshot {
    /// The listener with its servers.
    pub(in crate::server) listener: Listener,
    /// Limits of connections.
    pub(in crate::server) limits: ConnectionLimits,
    /// Formats of the shard's followers.
    pub(in crate::server) formats: Rc<Formats>,
    /// Client for the back-ends of hooks, `auth_request` and `proxy_pass`.
    pub(in crate::server) backend: Arc<BackendClient>,
    /// Identities of the listener's locations.
    locations: Arc<LocationIndex>,
    is_closed: Cell<bool>,
}

impl ListenerSnapshot {
    /// Creates the snapshot of a listener with these locations.
    pub(in crate::server) fn new(
        listener: Listener,
        locations: Arc<LocationIndex>,
        limits: ConnectionLimits,
        formats: Rc<Formats>,
        backend: Arc<BackendClient>,
    ) -> Self {
        Self {
            listener,
            limits,
            formats,
            backend,
            locations,
            is_closed: Cell::new(false),
        }
    }

    /// Returns whether a reload has removed the listener.
    pub(in crate::server) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }
}

/// A listener across reloads: holds its current snapshot.
pub(in crate::server) struct ListenerSlot(RefCell<Rc<ListenerSnapshot>>);

impl ListenerSlot {
    /// Creates a slot with its first snapshot.
    pub(in crate::server) fn new(snapshot: ListenerSnapshot) -> Self {
        Self(RefCell::new(Rc::new(snapshot)))
    }

    /// Installs the snapshot of a new configuration.
    pub(in crate::server) fn replace(&self, snapshot: ListenerSnapshot) {
        *self.0.borrow_mut() = Rc::new(snapshot);
    }

    /// Closes the listener: its connections accept no further request.
    pub(in crate::server) fn close(&self) {
        self.0.borrow().is_closed.set(true);
    }

    /// Returns whether the listener is closed.
    pub(in crate::server) fn is_closed(&self) -> bool {
        self.0.borrow().is_closed()
    }

    /// Returns the current snapshot.
    pub(in crate::server) fn snapshot(&self) -> Rc<ListenerSnapshot> {
        Rc::clone(&self.0.borrow())
    }

    /// Returns whether a location of `snapshot`, the current or an earlier one, still exists.
    pub(in crate::server) fn serves(
        &self,
        snapshot: &Rc<ListenerSnapshot>,
        location: LocationAddress,
    ) -> bool {
        let current = self.0.borrow();
        !current.is_closed()
            && (Rc::ptr_eq(&current, snapshot)
                || current.locations.continues(&snapshot.locations, location))
    }
}

//! What connections are served with: the site of a listener on a shard, which a reload of the
//! configuration replaces.
//!
//! A request takes the site of the moment when its head is looked at; a follower keeps the one of
//! its request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::backend::Backend;
use crate::server::config::{ConnectionLimits, Listener};
use crate::server::generation::{LocationAddress, LocationIndex};
use crate::server::subscriber::Formats;

/// What the connections of a shard behind one listener have in common.
pub(in crate::server) struct Site {
    /// The listener.
    pub(in crate::server) listener: Listener,
    /// Limits.
    pub(in crate::server) limits: ConnectionLimits,
    /// The formats of the shard's followers.
    pub(in crate::server) formats: Rc<Formats>,
    /// Back-ends of hooks.
    pub(in crate::server) backend: Arc<Backend>,
    /// The locations of the listener.
    census: Arc<LocationIndex>,
    is_closed: Cell<bool>,
}

impl Site {
    /// The site of a listener whose locations are those of `census`.
    pub(in crate::server) fn new(
        listener: (Listener, Arc<LocationIndex>),
        limits: ConnectionLimits,
        formats: Rc<Formats>,
        backend: Arc<Backend>,
    ) -> Self {
        let (listener, census) = listener;
        Self {
            listener,
            limits,
            formats,
            backend,
            census,
            is_closed: Cell::new(false),
        }
    }

    /// The listener was taken out of the configuration.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }
}

/// A listener as the connections of a shard know it, over all reloads.
pub(in crate::server) struct Place(RefCell<Rc<Site>>);

impl Place {
    /// A place whose first site is this one.
    pub(in crate::server) fn new(site: Site) -> Self {
        Self(RefCell::new(Rc::new(site)))
    }

    /// Goes on with another site.
    pub(in crate::server) fn replace(&self, site: Site) {
        *self.0.borrow_mut() = Rc::new(site);
    }

    /// Ends the place: no further request of its connections is waited for.
    pub(in crate::server) fn close(&self) {
        self.0.borrow().is_closed.set(true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.borrow().is_closed()
    }

    /// The site of this moment.
    pub(super) fn site(&self) -> Rc<Site> {
        Rc::clone(&self.0.borrow())
    }

    /// The location that was found in `site`, of now or earlier, is still there.
    pub(super) fn serves(&self, site: &Rc<Site>, location: LocationAddress) -> bool {
        let current = self.0.borrow();
        !current.is_closed()
            && (Rc::ptr_eq(&current, site) || current.census.continues(&site.census, location))
    }
}

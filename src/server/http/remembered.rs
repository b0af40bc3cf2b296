//! What a connection remembers of a request, so that those like it need not be understood again:
//! the books, whatever the request is.

use std::rc::Rc;

use super::shape::Shape;
use super::site::Site;
use crate::server::broker::{Broker, Charge};

/// So many heads that were remembered and not seen again are enough: this client's differ.
const MAX_UNUSED: u8 = 4;

/// The last request of one kind that can be repeated, with what was found out about it.
pub(super) struct Remembered<T> {
    known: Option<Box<Known<T>>>,
    /// Known requests that were not repeated, beyond those that were.
    unused: u8,
}

/// A request that may be repeated.
pub(super) struct Known<T> {
    pub(super) shape: Shape,
    /// What it was routed with.
    pub(super) site: Rc<Site>,
    /// What was found out about it.
    pub(super) found: T,
    /// It was repeated.
    pub(super) is_used: bool,
    _shares: [Charge; 2],
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            known: None,
            unused: 0,
        }
    }
}

impl<T> Remembered<T> {
    /// Requests of this client tend to be repeated, or may.
    pub(super) fn is_worth_it(&self) -> bool {
        self.unused < MAX_UNUSED
    }

    /// The request that is known, if it was routed with this site.
    pub(super) fn known(&self, site: &Rc<Site>) -> Option<&Known<T>> {
        self.known
            .as_deref()
            .filter(|known| Rc::ptr_eq(&known.site, site))
    }

    /// The same, to be repeated. One of another site is forgotten: after a reload it holds what
    /// nobody needs any more.
    pub(super) fn known_or_forget(&mut self, site: &Rc<Site>) -> Option<&mut Known<T>> {
        if !Rc::ptr_eq(&self.known.as_ref()?.site, site) {
            self.known = None;
        }
        self.known.as_deref_mut()
    }

    /// Remembers a request that was routed with `site`, with what was found out, which keeps
    /// `own_bytes` of memory; instead of the one before.
    pub(super) fn put(
        &mut self,
        broker: &Broker,
        site: &Rc<Site>,
        shape: Shape,
        found: T,
        own_bytes: usize,
    ) {
        self.forget();
        // Without room for it the usual way is taken.
        let Ok(shares) =
            broker.charge_cached_request(size_of::<Known<T>>() + shape.own_bytes() + own_bytes)
        else {
            return;
        };
        self.known = Some(Box::new(Known {
            shape,
            site: Rc::clone(site),
            found,
            is_used: false,
            _shares: shares,
        }));
    }

    /// Forgets the request that is known, as another one came.
    pub(super) fn forget(&mut self) {
        match self.known.take() {
            Some(before) if before.is_used => self.unused = self.unused.saturating_sub(1),
            Some(_) => self.note_unused(),
            None => {}
        }
    }

    /// Notes a request that cannot be remembered.
    pub(super) fn note_unused(&mut self) {
        self.unused = self.unused.saturating_add(1);
    }
}

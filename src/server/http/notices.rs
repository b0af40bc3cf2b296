//! Notices to back-ends: requests that nobody waits for (`nchan_subscribe_request`,
//! `nchan_unsubscribe_request`).
//!
//! Each is charged to the memory bound until it is over, and a shard has so many of them pending; a
//! further one is dropped, counted and logged. At the end of the server they are waited for within
//! the time of grace.

use std::sync::Arc;

use axum::http::header::HeaderMap;
use axum::http::{Method, Uri};
use bytes::Bytes;
use tokio::sync::watch;

use super::backend::{Ask, Backend, BackendRequest, BackendRoute, Unreachable};
use super::hook_response::header;
use crate::server::broker::{Broker, Charge, Incident, OutOfMemory};
use crate::server::log_throttle::LogThrottle;

/// What a notice takes beside its bytes while it waits: its task.
const TASK_BYTES: usize = 1024;

/// Clients make notices, so that they must not fill the log.
static RARELY: LogThrottle = LogThrottle::new();

/// A request without a body, kept small: one for each subscriber waits until that leaves.
#[derive(Debug)]
pub(super) struct Notice {
    method: Method,
    route: Arc<BackendRoute>,
    target: Uri,
    tells_length: bool,
    /// The headers, each as `name:value` and a line end.
    lines: Box<[u8]>,
    _charge: Charge,
}

/// How many notices of a shard are pending, over all reloads.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct PendingNotices(watch::Sender<usize>);

/// One of them, until it is dropped.
struct Pending(PendingNotices);

impl Notice {
    /// Keeps what a request needs; `None` for one that needs no back-end.
    ///
    /// # Errors
    /// When the memory bound has no room for it.
    pub(super) fn new(broker: &Broker, ask: Ask) -> Result<Option<Self>, OutOfMemory> {
        let Ask::Request(request) = ask else {
            return Ok(None);
        };
        let BackendRequest {
            method,
            route,
            target,
            headers,
            tells_length,
            passes_body: _,
        } = *request;
        let length = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 2)
            .sum();
        let target_bytes = target.path().len() + target.query().map_or(0, str::len);
        let own_bytes = size_of::<Self>() + size_of::<BackendRoute>();
        let charge = broker.charge_pending(length + target_bytes + own_bytes + TASK_BYTES)?;
        let mut lines = Vec::with_capacity(length);
        for (name, value) in &headers {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.push(b':');
            lines.extend_from_slice(value.as_bytes());
            lines.push(b'\n');
        }
        Ok(Some(Self {
            method,
            route,
            target,
            tells_length,
            lines: lines.into(),
            _charge: charge,
        }))
    }

    fn request(&self) -> BackendRequest {
        let mut headers = HeaderMap::new();
        for line in self.lines.split(|byte| *byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            if let Some((name, value)) = header(&line[..colon], &line[colon + 1..]) {
                headers.append(name, value);
            }
        }
        BackendRequest {
            method: self.method.clone(),
            route: Arc::clone(&self.route),
            target: self.target.clone(),
            headers,
            tells_length: self.tells_length,
            passes_body: false,
        }
    }
}

impl PendingNotices {
    /// Waits until there are none.
    pub(in crate::server) async fn drained(&self) {
        // The sender is here, so that it does not go away meanwhile.
        drop(self.0.subscribe().wait_for(|count| *count == 0).await);
    }

    /// How many there are.
    pub(in crate::server) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Counts another one, if there are less than `most`.
    fn enter(&self, most: usize) -> Option<Pending> {
        self.0
            .send_if_modified(|count| {
                let has_room = *count < most;
                *count += usize::from(has_room);
                has_room
            })
            .then(|| Pending(self.clone()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Backend {
    /// Sends a notice without waiting; nobody looks at the answer.
    pub(super) fn tell(self: &Arc<Self>, broker: &Broker, notice: Notice) {
        let pending = self.notices.enter(self.max_notices);
        // Outside of a runtime the server is at its end.
        let (Some(pending), Ok(runtime)) = (pending, tokio::runtime::Handle::try_current()) else {
            broker.count(Incident::DroppedNotice);
            let most = self.max_notices;
            RARELY.warn(|left_out| {
                tracing::warn!(
                    most,
                    left_out,
                    "a notice to a back-end is dropped: too many wait for it (--max-hook-notices)"
                );
            });
            return;
        };
        let backend = Arc::clone(self);
        runtime.spawn(async move {
            // Whether it arrived is in the log.
            let _ = backend.send(&notice).await;
            drop((notice, pending));
        });
    }

    async fn send(&self, notice: &Notice) -> Result<(), Unreachable> {
        // Notices leave places to requests that somebody waits for.
        let _turn = self
            .notice_places
            .acquire()
            .await
            .map_err(|_closed| Unreachable::Failed)?;
        self.exchange(|| notice.request(), Bytes::new())
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pending_notices_are_bounded_and_waited_for() {
        let notices = PendingNotices::default();
        let first = notices.enter(2).expect("there is room");
        let second = notices.enter(2).expect("there is room");
        assert!(notices.enter(2).is_none() && notices.count() == 2);
        drop(first);
        let third = notices.enter(2).expect("there is room again");
        let waits = tokio::spawn({
            let notices = notices.clone();
            async move { notices.drained().await }
        });
        drop((second, third));
        waits.await.expect("no panic");
    }
}

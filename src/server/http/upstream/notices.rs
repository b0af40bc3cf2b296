//! Notices to back-ends: requests whose response is not awaited (`nchan_subscribe_request`,
//! `nchan_unsubscribe_request`).
//!
//! Each is charged to the memory bound while it is pending. Their number per shard is limited; a
//! further one is dropped, counted and logged. When the server stops it waits for pending ones, for
//! at most the grace period.

use std::sync::Arc;

use super::backend::BackendClient;
use super::backend_request::{BackendRequest, BackendRoute, HookCall, HookError};
use super::hook_response::parse_header;
use crate::server::broker::{Broker, Charge, Incident, OutOfMemory};
use crate::server::observe::log_throttle::LogThrottle;
use axum::http::header::HeaderMap;
use axum::http::{Method, Uri};
use bytes::Bytes;

/// Memory of the task of a pending notice.
const TASK_BYTES: usize = 1024;

/// Throttled, because clients cause notices.
static WARNINGS: LogThrottle = LogThrottle::new();

/// A request without a body, stored compactly: every subscriber has one for its end.
#[derive(Debug)]
pub(in crate::server) struct Notice {
    method: Method,
    route: Arc<BackendRoute>,
    target: Uri,
    sends_length: bool,
    /// The headers, each as `name:value` and a line end.
    lines: Box<[u8]>,
    _charge: Charge,
}

impl Notice {
    /// Prepares a notice; `None` for a call that needs no back-end.
    ///
    /// # Errors
    /// When the memory bound has no room for it.
    pub(in crate::server) fn new(
        broker: &Broker,
        ask: HookCall,
    ) -> Result<Option<Self>, OutOfMemory> {
        let HookCall::Request(request) = ask else {
            return Ok(None);
        };
        let BackendRequest {
            method,
            route,
            target,
            headers,
            sends_length,
            passes_body: _,
        } = *request;
        let length = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 2)
            .sum();
        let target_bytes = target.path().len() + target.query().map_or(0, str::len);
        let own_bytes = size_of::<Self>() + size_of::<BackendRoute>();
        let charge = broker
            .memory()
            .charge_pending(length + target_bytes + own_bytes + TASK_BYTES)?;
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
            sends_length,
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
            if let Some((name, value)) = parse_header(&line[..colon], &line[colon + 1..]) {
                headers.append(name, value);
            }
        }
        BackendRequest {
            method: self.method.clone(),
            route: Arc::clone(&self.route),
            target: self.target.clone(),
            headers,
            sends_length: self.sends_length,
            passes_body: false,
        }
    }
}

impl BackendClient {
    /// Sends a notice without waiting for its response.
    pub(in crate::server) fn send_notice(self: &Arc<Self>, broker: &Broker, notice: Notice) {
        let pending = self.notices.enter(self.max_notices);
        // There is no runtime while the server ends.
        let (Some(pending), Ok(runtime)) = (pending, tokio::runtime::Handle::try_current()) else {
            broker.count(Incident::DroppedNotice);
            let max = self.max_notices;
            WARNINGS.warn(|suppressed| {
                tracing::warn!(
                    max,
                    suppressed,
                    "dropped a notice to a back-end: too many are pending (--max-hook-notices)"
                );
            });
            return;
        };
        let backend = Arc::clone(self);
        runtime.spawn(async move {
            // Errors have been logged.
            let _ = backend.send(&notice).await;
            drop((notice, pending));
        });
    }

    async fn send(&self, notice: &Notice) -> Result<(), HookError> {
        // Leaves permits for requests whose response is awaited.
        let _permit = self
            .notice_permits
            .acquire()
            .await
            .map_err(|_closed| HookError::Failed)?;
        self.send_request(|| notice.request(), Bytes::new())
            .await
            .map(drop)
    }
}

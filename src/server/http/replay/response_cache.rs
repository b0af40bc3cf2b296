//! The head of the last response to a replayed request: in the same second, a response that differs
//! only in its body has the same head.

use bytes::Bytes;

use crate::message::unix_now;
use crate::server::exchange::response::{HeaderList, Response, ResponseBody, Status};
use crate::server::http::h1::response;
use crate::server::http::route::ResponsePlan;

/// The head of a response. Completing and writing one costs more than comparing what it depends on.
#[derive(Default)]
pub(super) struct ResponseHeadCache(Option<CachedHead>);

struct CachedHead {
    bytes: Vec<u8>,
    second: u64,
    status: Status,
    content_type: Option<Bytes>,
    /// Before the plan has added its own.
    headers: HeaderList,
    body_bytes: usize,
}

impl ResponseHeadCache {
    /// Completes a response by `plan`, which is the same for all responses of the cache, and
    /// appends it to `out`. Returns whether the connection stays open.
    pub(super) fn write(
        &mut self,
        response: Response,
        plan: &ResponsePlan,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(body) = usual_body(&response, plan) else {
            return write_completed(response, plan, out);
        };
        let now = unix_now();
        if let Some(cached) = &self.0
            && cached.is_head_of(&response, body, now)
        {
            response::push_parts(&cached.bytes, body, out);
            response.body.reuse();
            return plan.connection.keep_alive;
        }
        let mut cached = CachedHead {
            bytes: Vec::new(),
            second: now,
            status: response.head.status,
            content_type: response.head.content_type.clone(),
            headers: response.head.headers.clone(),
            body_bytes: body.len(),
        };
        let start = out.len();
        let keeps_alive = write_completed(response, plan, out);
        cached
            .bytes
            .extend_from_slice(&out[start..out.len() - cached.body_bytes]);
        self.0 = Some(cached);
        keeps_alive
    }
}

impl CachedHead {
    fn is_head_of(&self, response: &Response, body: &[u8], now: u64) -> bool {
        self.second == now
            && self.body_bytes == body.len()
            && self.status == response.head.status
            && self.content_type == response.head.content_type
            && self.headers.is_same(&response.head.headers)
    }
}

/// Completes and appends a response. Returns whether the connection stays open.
fn write_completed(response: Response, plan: &ResponsePlan, out: &mut Vec<u8>) -> bool {
    response::write(&plan.complete(response), plan.connection, out).keeps_alive
}

/// The body of a response whose head depends on nothing else than what is compared.
fn usual_body<'r>(response: &'r Response, plan: &ResponsePlan) -> Option<&'r [u8]> {
    let is_usual = response.head.last_modified.is_none()
        && !response.head.close
        && !plan.connection.is_head
        && !plan.compression.is_enabled();
    match &response.body {
        ResponseBody::Sized(body) if is_usual => Some(body),
        ResponseBody::Buffer(body) if is_usual => Some(body),
        _ => None,
    }
}

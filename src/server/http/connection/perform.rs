//! Carrying out the result of routing: reads or discards the body of a request, and responds.

use super::Disconnected;
use super::read::LINGER_BYTES;
use super::requests::{Requests, ServeOutcome};
use crate::server::exchange::response::Response;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::pages;
use crate::server::http::route::publish_plan::PublishPlan;
use crate::server::http::route::{NextStep, PendingBody, RequestBody, ResponsePlan, RoutedRequest};
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::push_stream::statistics::Listing;

impl Requests<'_> {
    /// Carries out the result of routing. What few requests need is boxed, so that the others do
    /// not hold its state.
    pub(in crate::server) async fn perform(
        &mut self,
        routed: RoutedRequest,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let RoutedRequest {
            next,
            body,
            location,
            mut context,
        } = routed;
        match next {
            NextStep::Read(plan, hook) => {
                let response = self.publish(plan, hook, body, &mut context).await?;
                self.finish(response, context).await
            }
            NextStep::Respond(response) => {
                self.respond_without_body(response, &body, context).await
            }
            NextStep::Page(method, target) => {
                let response = Box::pin(pages::render(&method, &target)).await;
                self.respond_without_body(response, &body, context).await
            }
            NextStep::Follow(plan) => Ok(Some(self.follow(plan, context.log, location))),
            NextStep::SendPrepared(bytes, keeps_alive, replay) => {
                self.connection
                    .cache_poll(self.replay.template.take(), replay, location);
                self.send_rendered(&bytes, keeps_alive, context.log).await
            }
            NextStep::SendAndClose(bytes) => self.send_rendered(&bytes, false, context.log).await,
            NextStep::ReadBatch(batch) => {
                Box::pin(self.publish_batch(batch, body.pending(), context))
                    .await
                    .map(|()| None)
            }
            NextStep::List(listing) => {
                Box::pin(self.respond_with_list(*listing, &body, context)).await
            }
            NextStep::Stream(file) => {
                let (response, file) = *file;
                let response = self.without_body(response, &body).await?;
                Box::pin(self.stream(response, file, context)).await
            }
        }
    }

    /// Completes the response to a routed request, and sends it.
    pub(in crate::server) async fn finish(
        &mut self,
        response: Response,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let response = context.complete(response);
        self.respond(response, context.connection, context.log)
            .await
    }

    /// Discards the body, and sends the response.
    pub(in crate::server) async fn respond_without_body(
        &mut self,
        response: Response,
        body: &RequestBody,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let response = self.without_body(response, body).await?;
        self.finish(response, context).await
    }

    /// Queues a rendered response, and closes the connection if it is the last one.
    async fn send_rendered(
        &mut self,
        bytes: &[u8],
        keeps_alive: bool,
        log: Option<Box<LogEntry>>,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let start = self.out.len();
        self.out.extend_from_slice(bytes);
        self.log(log, start, 0);
        if keeps_alive {
            Ok(None)
        } else {
            self.close().await
        }
    }

    /// Reads the message of a publisher, and carries out its plan.
    async fn publish(
        &mut self,
        plan: PublishPlan,
        hook: Option<Box<Result<HookCall, HookError>>>,
        body: RequestBody,
        context: &mut ResponsePlan,
    ) -> Result<Response, Disconnected> {
        self.held = plan.own_bytes();
        let max_body = body.pending().max_bytes;
        let body = match body {
            RequestBody::Unread(body) => self.read_body(body).await?,
            RequestBody::Read(body) => Ok(body),
        };
        if let (Ok(body), Some(log)) = (&body, &mut context.log) {
            log.record_body(body);
        }
        Ok(match body {
            Ok(body) if hook.is_some() => Box::pin(self.publish_checked(&plan, hook, body)).await,
            Ok(body) => {
                let response = plan.finish(self.connection.shard.broker(), body);
                self.record_published();
                self.cache_publish(plan, max_body, context);
                response
            }
            Err(response) => response.with_headers(plan.headers()),
        })
    }

    /// Sends a list of channels.
    async fn respond_with_list(
        &mut self,
        listing: Listing,
        body: &RequestBody,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let has_no_body = self.discard_body(body).await?;
        let compression = context.compression.clone();
        match self.list(listing, &context.added, compression).await? {
            Ok(list) => self.send_list(list, has_no_body, context).await,
            Err(response) if has_no_body => self.finish(response, context).await,
            Err(response) => self.finish(response.closing(), context).await,
        }
    }

    /// Discards an unused body, so that the next request can be read; the response closes the
    /// connection where the body is too large for that.
    pub(in crate::server) async fn without_body(
        &mut self,
        response: Response,
        body: &RequestBody,
    ) -> Result<Response, Disconnected> {
        if response.close {
            return Ok(response);
        }
        self.held = response.own_bytes();
        Ok(if self.discard_body(body).await? {
            response
        } else {
            response.closing()
        })
    }

    /// Discards an unused body before there is a response; returns whether the next request can be
    /// read.
    async fn discard_body(&mut self, body: &RequestBody) -> Result<bool, Disconnected> {
        let body = body.pending();
        if body.length == BodyLength::None {
            return Ok(true);
        }
        // After a final response the client may or may not send the body (RFC 9110, section
        // 10.1.1).
        if body.expects_continue && self.connection.buffer.is_empty() {
            return Ok(false);
        }
        let max_bytes = if body.max_bytes == 0 {
            LINGER_BYTES as u64
        } else {
            body.max_bytes
        };
        let discarded = PendingBody {
            max_bytes,
            expects_continue: false,
            ..body
        };
        Ok(self.read_body(discarded).await?.is_ok())
    }
}

//! Carrying out the result of routing: reads or discards the body of a request, and responds, as
//! fast as the socket accepts the response and within its time limit.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;

use super::super::socket::LINGER_BYTES;
use super::super::{Connection, Disconnected};
use super::batches::BatchUpload;
use super::parts::PartSender;
use super::{Requests, ServeOutcome, answering, writing};
use crate::server::broker::Incident;
use crate::server::endpoint::PublishOutcome;
use crate::server::exchange::response::{Response, ResponseContext};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::listen::location_index::LocationAddress;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::pages;
use crate::server::http::publish_plan::PublishPlan;
use crate::server::http::route::{
    NextStep, PendingBody, RequestBody, ResponsePlan, RoutedRequest, Waiting,
};
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::message_hook;
use crate::server::push_stream::subscribe::PollReplay;

impl Requests<'_> {
    /// Carries out the result of routing. What few requests need is boxed, so that the others do
    /// not hold its state.
    pub(super) async fn perform(
        &mut self,
        routed: RoutedRequest,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        answering::answer_all(self).await?;
        let RoutedRequest {
            next,
            body,
            location,
            mut context,
        } = routed;
        match next {
            NextStep::Read(plan, hook) => {
                let outcome = self.publish(plan, hook, body, &mut context).await?;
                answering::respond(self, outcome, context).await
            }
            NextStep::Wait(pending) => {
                context.connection.keep_alive &= self.discard_body(&body).await?;
                let outcome = PublishOutcome::Pending(pending);
                answering::respond(self, outcome, context).await
            }
            NextStep::Respond(response) => {
                self.respond_without_body(response, &body, context).await
            }
            NextStep::Page(method, target) => {
                let response = Box::pin(pages::render(&method, &target)).await;
                self.respond_without_body(response, &body, context).await
            }
            // Routing has waited for it.
            NextStep::Open(..) => Err(Disconnected),
            NextStep::Follow(plan) => Ok(Some(self.follow(plan, context.log, location))),
            NextStep::SendPrepared(response, replay) => {
                self.cache_poll(replay, location);
                let keeps_alive = writing::write_prepared(self, &response, context.log);
                self.end_response(keeps_alive).await
            }
            NextStep::Close(reply) => {
                writing::write_last(self, &reply, context.log);
                self.close().await
            }
            NextStep::ReadBatch(batch) => {
                let upload = BatchUpload::new(self, batch, body.pending());
                Box::pin(upload.serve(context)).await.map(|()| None)
            }
            NextStep::List(listing) => {
                let keep_alive = self.discard_body(&body).await?;
                let sender = PartSender::new(self);
                Box::pin(sender.send_list(*listing, keep_alive, context)).await
            }
            NextStep::Stream(file) => {
                let (mut head, file) = *file;
                head.close |= !self.discard_body(&body).await?;
                Box::pin(PartSender::new(self).send_file(head, file, context)).await
            }
        }
    }

    /// Completes the response to a routed request, and sends it.
    pub(super) async fn finish(
        &mut self,
        response: Response,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let response = context.complete(response);
        self.respond(response, context.connection, context.log)
            .await
    }

    /// Discards the body, and sends the response.
    pub(super) async fn respond_without_body(
        &mut self,
        response: Response,
        body: &RequestBody,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let response = self.without_body(response, body).await?;
        self.finish(response, context).await
    }

    /// Caches the current poll; without `replay` it cannot be replayed.
    pub(super) fn cache_poll(
        &mut self,
        replay: Option<Box<PollReplay>>,
        location: LocationAddress,
    ) {
        let Connection {
            socket,
            snapshot,
            poll_cache,
            ..
        } = &mut *self.connection;
        let broker = socket.broker();
        self.replay
            .cache_poll(poll_cache, broker, snapshot, replay, location);
    }

    /// Answers a request that needs no wait. Returns whether the connection can serve another one.
    ///
    /// # Errors
    /// The request, if it needs a wait.
    pub(super) fn respond_at_once(
        &mut self,
        routed: RoutedRequest,
    ) -> Result<bool, Box<RoutedRequest>> {
        let pending = routed.body.pending();
        let is_answered = matches!(
            routed.next,
            NextStep::Read(_, None) | NextStep::Respond(_) | NextStep::SendPrepared(..)
        );
        if !is_answered || pending.expects_continue || !self.has_body(pending.length) {
            return Err(Box::new(routed));
        }
        let RoutedRequest {
            next,
            body,
            location,
            mut context,
        } = routed;
        let outcome = match next {
            NextStep::Read(plan, None) => {
                let body = self.take_body(pending.length);
                self.execute(plan, pending.max_bytes, body, &mut context)
            }
            NextStep::Respond(response) => {
                if !response.head.close {
                    self.take_body(pending.length);
                }
                PublishOutcome::Ready(response)
            }
            NextStep::SendPrepared(response, replay) if self.unanswered.is_empty() => {
                self.cache_poll(replay, location);
                return Ok(writing::write_prepared(self, &response, context.log));
            }
            next => {
                return Err(Box::new(RoutedRequest {
                    next,
                    body,
                    location,
                    context,
                }));
            }
        };
        match outcome {
            PublishOutcome::Ready(response) if self.unanswered.is_empty() => {
                let response = context.complete(response);
                Ok(writing::write_response(
                    self,
                    &response,
                    context.connection,
                    context.log,
                ))
            }
            outcome => {
                answering::leave_unanswered(self, outcome, context);
                Ok(true)
            }
        }
    }

    /// Reads the message of a publisher, and carries out its plan, unless a hook decides otherwise.
    async fn publish(
        &mut self,
        plan: PublishPlan,
        hook: Option<Box<Result<HookCall, HookError>>>,
        body: RequestBody,
        context: &mut ResponsePlan,
    ) -> Result<PublishOutcome, Disconnected> {
        self.held = plan.own_bytes();
        let max_body = body.pending().max_bytes;
        let body = match body {
            RequestBody::Unread(body) => self.read_body(body).await?,
            RequestBody::Read(body) => Ok(body),
        };
        Ok(match (body, hook) {
            (Ok(body), Some(hook)) => {
                context.record_body(&body);
                Waiting::begin(self).await?;
                let backend = &self.connection.snapshot.backend;
                let broker = self.connection.socket.broker();
                Box::pin(message_hook::publish(&plan, *hook, body, backend, broker)).await
            }
            (Ok(body), None) => self.execute(plan, max_body, body, context),
            (Err(response), _) => PublishOutcome::Ready(response.with_headers(&plan.headers())),
        })
    }

    /// Carries out the plan of a publisher.
    fn execute(
        &mut self,
        plan: PublishPlan,
        max_body: u64,
        body: Bytes,
        context: &mut ResponsePlan,
    ) -> PublishOutcome {
        context.record_body(&body);
        let Connection {
            socket, snapshot, ..
        } = &*self.connection;
        let outcome = plan.finish(socket.broker(), body);
        self.writer.record_published(socket.shard());
        self.replay
            .cache_publish(socket.broker(), snapshot, plan, max_body, context);
        outcome
    }

    /// Discards an unused body, so that the next request can be read; the response closes the
    /// connection where the body is too large for that.
    pub(super) async fn without_body(
        &mut self,
        response: Response,
        body: &RequestBody,
    ) -> Result<Response, Disconnected> {
        if response.head.close {
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
        if body.expects_continue && self.connection.socket.input().is_empty() {
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

    /// Sends a response, and ends the connection if it is the last one.
    pub(super) async fn respond(
        &mut self,
        response: Response,
        connection: ResponseContext,
        log: Option<Box<LogEntry>>,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let keeps_alive = writing::write_response(self, &response, connection, log);
        // Not held while the connection lingers.
        drop(response);
        self.end_response(keeps_alive).await
    }

    /// After a response: closes the connection if it was the last one.
    pub(super) async fn end_response(
        &mut self,
        keeps_alive: bool,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        if keeps_alive {
            Ok(None)
        } else {
            self.close().await
        }
    }

    /// Writes all responses and ends the connection.
    pub(super) async fn close<T>(&mut self) -> Result<T, Disconnected> {
        self.flush().await?;
        self.linger().await;
        Err(Disconnected)
    }

    /// Writes all responses: those of publishers together with others, if their messages wait for
    /// the shard's next turn.
    pub(super) async fn flush_with_others(&mut self) -> Result<(), Disconnected> {
        let socket = &self.connection.socket;
        let others = self
            .writer
            .write_with_others(socket.shard(), socket.outlet());
        others.await;
        self.flush().await
    }

    /// Writes all responses.
    pub(super) async fn flush(&mut self) -> Result<(), Disconnected> {
        loop {
            match self.writer.try_write(self.connection.socket.outlet()) {
                Ok(true) => return Ok(()),
                Ok(false) => self.writable().await?,
                Err(error) => {
                    self.connection.socket.record_failure(&error);
                    return Err(Disconnected);
                }
            }
        }
    }

    /// Waits until the socket accepts data.
    async fn writable(&mut self) -> Result<(), Disconnected> {
        self.reserve(self.writer.capacity())
            .map_err(|_| Disconnected)?;
        let socket = &self.connection.socket;
        let limits = &self.connection.snapshot.limits;
        socket
            .shard()
            .set_deadline(socket.key(), Some(limits.send_timeout));
        let written = poll_fn(|cx| {
            let has_room = || socket.outlet().has_room();
            let interruption = socket
                .shard()
                .interruption(socket.key(), false, has_room, cx);
            if interruption.is_some() {
                socket.record_end(Incident::SendTimeout);
                return Poll::Ready(Err(Disconnected));
            }
            let ready = socket.outlet().poll_write_ready(cx);
            ready.map_err(|_| Disconnected)
        });
        let written = written.await;
        socket.shard().set_deadline(socket.key(), None);
        written
    }
}

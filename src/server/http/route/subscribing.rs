//! Subscribers: their follower is attached while the request is routed.

use std::rc::Rc;

use axum::http::Method;

use super::{FollowMode, NextStep, Router};
use crate::server::broker::AttachError;
use crate::server::config::model::web::AddedHeaders;
use crate::server::config::{Endpoint, LocationSettings};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::response::{Response, Status};
use crate::server::exchange::variables::RequestVariables;
use crate::server::fanout::{Channels, Subscription};
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::hooks;
use crate::server::http::upstream::hooks::Notices;
use crate::server::http::upstream::live_hooks::LiveHooks;
use crate::server::nchan::negotiation;
use crate::server::nchan::negotiation::RequestedAction;
use crate::server::nchan::subscribe::SubscriberHooks;
use crate::server::push_stream::subscribe::poll_replay;
use crate::server::{nchan, nhpm, push_stream};

impl Router<'_> {
    /// Answers a subscriber. With `is_cached` the result is prepared for a replay.
    pub(super) fn subscribe(
        &self,
        call: &SubscribeCall<'_>,
        added: &AddedHeaders,
        is_cached: bool,
    ) -> NextStep {
        if !call.settings.web.access_logs.is_empty() {
            self.outlet.begin_tap();
        }
        let attached = match respond(call) {
            SubscribeReply::Follow(subscription) => {
                let mut mode = follow_mode(&subscription);
                if let FollowMode::LongPoll(replay) = &mut mode {
                    *replay = if is_cached {
                        poll_replay::replay(call)
                    } else {
                        None
                    };
                }
                self.attach(call, *subscription, &added.good)
                    .map(|_| self.follow(call, mode, SubscriberHooks::default()))
            }
            SubscribeReply::FollowWebSocket(subscription, publishing) => self
                .attach(call, *subscription, &added.any)
                .map(|channels| {
                    NextStep::Follow(FollowMode::WebSocket(publishing.to(&channels)), None)
                }),
            SubscribeReply::FollowWith(subscription, hooks) => {
                let mode = follow_mode(&subscription);
                self.attach(call, *subscription, &added.good)
                    .map(|_| self.follow(call, mode, *hooks))
            }
            SubscribeReply::FollowSocket(subscription, socket, hooks) => {
                self.attach(call, *subscription, &added.any).map(|_| {
                    let wanted = RequestedAction::PublishWebSocket;
                    let hook = Self::message_hook(call.settings, call.variables, wanted);
                    self.follow(call, FollowMode::Socket(socket, hook), *hooks)
                })
            }
            reply => Err(reply),
        };
        let reply = match attached {
            Ok(next) => return next,
            Err(reply) => reply,
        };
        // Without a follower there is nothing to record.
        drop(self.outlet.take_tap());
        match reply {
            SubscribeReply::Respond(response) => NextStep::Respond(response),
            SubscribeReply::Prepared(bytes, keeps_alive) => {
                let replay = if is_cached {
                    poll_replay::replay(call)
                } else {
                    None
                };
                NextStep::SendPrepared(bytes, keeps_alive, replay)
            }
            SubscribeReply::Last(bytes) => NextStep::SendAndClose(bytes),
            // A rejection never follows.
            SubscribeReply::Follow(_)
            | SubscribeReply::FollowWebSocket(..)
            | SubscribeReply::FollowWith(..)
            | SubscribeReply::FollowSocket(..) => {
                NextStep::Respond(Response::error_page(Status::INTERNAL).closing())
            }
        }
    }

    /// Attaches the follower of a subscription, whose head gets these additional lines. The error
    /// is the response to a rejected subscriber.
    fn attach(
        &self,
        call: &SubscribeCall<'_>,
        mut subscription: Subscription,
        lines: &[u8],
    ) -> Result<Channels, SubscribeReply> {
        insert_lines(&mut subscription.head, lines);
        self.shard
            .attach(self.key, Rc::clone(&self.outlet), subscription)
            .map_err(|error| reject(call, &error))
    }

    /// Follows with an attached subscription, and begins its hooks.
    fn follow(
        &self,
        call: &SubscribeCall<'_>,
        mode: FollowMode,
        hooks: SubscriberHooks,
    ) -> NextStep {
        let notices = Self::subscription_notices(call);
        if hooks.is_empty() && notices.subscribed.is_none() && notices.unsubscribed.is_none() {
            return NextStep::Follow(mode, None);
        }
        match LiveHooks::begin(self.shard.broker(), hooks, &self.snapshot.backend, notices) {
            Ok(hooks) => NextStep::Follow(mode, Some(hooks)),
            Err(_out_of_memory) => {
                self.shard.release(self.key);
                NextStep::SendAndClose(Vec::new())
            }
        }
    }

    /// Notices about a subscriber, where its location sends any.
    fn subscription_notices(call: &SubscribeCall<'_>) -> Notices {
        match (&call.settings.nchan, call.endpoint) {
            (Some(nchan), Endpoint::Nchan(roles)) => hooks::notices(
                nchan,
                call.variables,
                negotiation::requested_action(call.request, roles),
            ),
            _ => Notices::default(),
        }
    }

    /// The hook that checks a message, where the location has one
    /// (`nchan_publisher_upstream_request`).
    pub(super) fn message_hook(
        settings: &LocationSettings,
        variables: &RequestVariables<'_>,
        wanted: RequestedAction,
    ) -> Option<Box<Result<HookCall, HookError>>> {
        let nchan = settings.nchan.as_ref()?;
        let uri = nchan.hooks.publisher_upstream.as_ref()?;
        let values = hooks::values(nchan, variables, wanted);
        Some(Box::new(hooks::build_hook_call(
            uri,
            variables,
            &values,
            &Method::POST,
            true,
        )))
    }
}

/// Responds in the protocol family of the location.
fn respond(call: &SubscribeCall<'_>) -> SubscribeReply {
    match (call.endpoint, &call.settings.nhpm, &call.settings.nchan) {
        (Endpoint::NchanSubscriberInfo, _, Some(settings)) => {
            nchan::subscribe::subscriber_info::respond(call, settings)
        }
        (Endpoint::NhpmSubscriber { interval_poll }, Some(settings), _) => {
            nhpm::subscribe::respond(call, settings, interval_poll)
        }
        (Endpoint::Nchan(roles), _, Some(settings)) => {
            nchan::subscribe::respond_to_any(call, settings, roles)
        }
        _ => push_stream::subscribe::respond(call),
    }
}

/// The reply to a subscriber whose follower could not be attached.
fn reject(call: &SubscribeCall<'_>, error: &AttachError) -> SubscribeReply {
    if call.settings.nhpm.is_some() {
        return SubscribeReply::Respond(nhpm::subscribe::reject(error));
    }
    match (call.endpoint, &call.settings.nchan) {
        (Endpoint::Nchan(roles), Some(settings)) => {
            nchan::subscribe::reject_any(call, settings, roles, error)
        }
        _ => push_stream::subscribe::reject(call, error),
    }
}

/// Returns how a connection follows with a subscription other than a websocket.
fn follow_mode(subscription: &Subscription) -> FollowMode {
    match (
        subscription.format.policy.is_one_shot,
        subscription.format.policy.ends_with_input,
    ) {
        (false, _) => FollowMode::Stream,
        (true, false) => FollowMode::LongPoll(None),
        (true, true) => FollowMode::Interruptible,
    }
}

/// Inserts header lines at the end of the head at the front of `bytes`; an empty head is written
/// later.
fn insert_lines(bytes: &mut Vec<u8>, lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
    if let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
        bytes.splice(end + 2..end + 2, lines.iter().copied());
    }
}

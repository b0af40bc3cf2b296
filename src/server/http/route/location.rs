//! What a location does with a request that may enter it.

use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;

use super::pending_check::Check;
use super::publish_plan::PublishPlan;
use super::{LocationRequest, NextStep, Resolution, Router, find_file};
use crate::server::config::{Endpoint, Location, LocationSettings, SubscriberMode};
use crate::server::endpoint::{PublishCall, PublishReply, SubscribeCall};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{Response, Status};
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::replay;
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::proxy_request;
use crate::server::nchan::group_location;
use crate::server::nchan::negotiation::{self, RequestedAction};
use crate::server::nchan::status;
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream::statistics;
use crate::server::{nchan, nhpm, push_stream};

impl Router<'_> {
    /// Checks the limits and hooks of a location, and passes the request to its endpoint.
    pub(super) fn enter_location(
        &self,
        location: &Location,
        settings: &Arc<LocationSettings>,
        incoming: &LocationRequest<'_>,
    ) -> Resolution {
        let variables = incoming.variables;
        let request = variables.request;
        // A location without content has no static files either.
        let has_content = location.endpoint != Endpoint::None || settings.proxy.is_some();
        if has_content && !self.passes(settings.web.content_gate, &settings.web, variables.peer) {
            return NextStep::error_page(Status::FORBIDDEN).into();
        }
        let max_body = self.max_body(settings);
        // The limit is that of a message; a batch has its own.
        let is_batch = push_stream::publish::is_batch(request, settings, location.endpoint);
        if !is_batch
            && matches!(incoming.length, BodyLength::Bytes(announced) if announced > max_body)
        {
            Limit::Body.log();
            return NextStep::Respond(Response::error_page(Status(413)).closing()).into();
        }
        if let (Endpoint::Nchan(roles), Some(nchan)) = (location.endpoint, &settings.nchan)
            && let Some(authorization) = self.authorization(
                nchan,
                variables,
                negotiation::requested_action(request, roles),
            )
        {
            let next = self.check_first(Check::Hook(authorization));
            return Resolution { next, max_body };
        }
        let next = match location.endpoint {
            Endpoint::None => pass_to_content(settings, variables),
            Endpoint::NchanStubStatus => NextStep::Respond(status::respond(self.shard.broker())),
            Endpoint::Statistics => {
                statistics::respond(request, variables, settings, self.shard.broker()).into()
            }
            endpoint if is_publish(endpoint, request) => {
                self.publish(location, settings, variables, is_batch, max_body)
            }
            endpoint if must_discard_body(endpoint, request, incoming.length) => {
                NextStep::DiscardBody(Box::new(self.state.clone()))
            }
            _ => self.subscribe_at(location, settings, incoming),
        };
        Resolution { next, max_body }
    }

    /// Largest body at a location.
    fn max_body(&self, settings: &LocationSettings) -> u64 {
        let limits = &self.snapshot.limits;
        match limits
            .max_body_bytes
            .unwrap_or(settings.client_max_body_size)
        {
            0 => self.shard.broker().settings().shared_memory_size,
            max => max,
        }
    }

    /// Passes a request to the publisher endpoint.
    fn publish(
        &self,
        location: &Location,
        settings: &Arc<LocationSettings>,
        variables: &RequestVariables<'_>,
        is_batch: bool,
        max_body: u64,
    ) -> NextStep {
        let call = PublishCall {
            request: variables.request,
            variables,
            settings,
            admin: matches!(location.endpoint, Endpoint::Publisher { admin: true }),
            broker: self.shard.broker(),
            max_channels: self.snapshot.limits.max_channels_per_request,
            max_body,
        };
        if is_batch {
            return match push_stream::publish::respond_to_batch(&call) {
                Ok(batch) => NextStep::ReadBatch(batch),
                Err(response) => NextStep::Respond(response),
            };
        }
        match (location.endpoint, &settings.nhpm, &settings.nchan) {
            (Endpoint::NchanGroup(verbs), _, Some(nchan)) => {
                NextStep::Respond(group_location::respond(&call, nchan, verbs))
            }
            (_, Some(nhpm), _) => {
                read_body(nhpm::publish::respond(&call, nhpm), PublishPlan::Nhpm, None)
            }
            (_, None, Some(nchan)) => {
                let reply = nchan::publish::respond(&call, nchan);
                let hook = Self::message_hook(settings, variables, RequestedAction::Publish);
                read_body(reply, PublishPlan::Nchan, hook)
            }
            (_, None, None) => {
                let mut reply = push_stream::publish::respond(&call);
                if let PublishReply::Read(plan) = &mut reply {
                    plan.set_argument_alone(only_argument(variables, location, settings));
                }
                read_body(reply, PublishPlan::PushStream, None)
            }
        }
    }

    /// Passes a request to the subscriber endpoint.
    fn subscribe_at(
        &self,
        location: &Location,
        settings: &Arc<LocationSettings>,
        incoming: &LocationRequest<'_>,
    ) -> NextStep {
        let variables = incoming.variables;
        let request = variables.request;
        let mode = if let Endpoint::Subscriber(mode) = location.endpoint {
            mode
        } else {
            SubscriberMode::LongPolling
        };
        let call = SubscribeCall {
            request,
            variables,
            settings,
            endpoint: location.endpoint,
            mode,
            broker: self.shard.broker(),
            formats: &self.snapshot.formats,
            max_channels: self.snapshot.limits.max_channels_per_request,
            connection: self.response_connection(request),
            compression: incoming.compression,
            added: &incoming.added.good,
        };
        let is_cached = self.caches_polls
            && variables.frame.uri.is_none()
            && replay::is_replayable(variables.server, location, settings);
        self.subscribe(&call, incoming.added, is_cached)
    }
}

/// Reads the body for the plan of a publisher's request, unless it has a response already.
fn read_body<P>(
    reply: PublishReply<P>,
    family: impl FnOnce(Box<P>) -> PublishPlan,
    hook: Option<Box<Result<HookCall, HookError>>>,
) -> NextStep {
    match reply {
        PublishReply::Respond(response) => NextStep::Respond(response),
        PublishReply::Read(plan) => NextStep::Read(family(plan), hook),
    }
}

/// Passes a request to the back-end of a location without an endpoint, or to its static files.
fn pass_to_content(settings: &LocationSettings, variables: &RequestVariables<'_>) -> NextStep {
    let Some(proxy) = &settings.proxy else {
        return find_file(settings, variables);
    };
    let request = variables.request;
    let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
    let traits = proxy_request::CallTraits {
        is_rewritten: variables.frame.stays,
        method,
        sends_length: false,
    };
    let call = proxy_request::build_call(proxy, request, variables, &traits);
    NextStep::Proxy(Box::new(call))
}

/// Returns the argument that carries the channel id, if similar requests differ in nothing else
/// that matters.
fn only_argument(
    variables: &RequestVariables<'_>,
    location: &Location,
    settings: &LocationSettings,
) -> Option<Bytes> {
    let name = replay::only_argument(variables.server, location, settings)?;
    // A rewritten request depends on the directives of another location, too.
    variables.frame.uri.is_none().then(|| name.clone())
}

/// Returns whether the request is one of a publisher.
fn is_publish(endpoint: Endpoint, request: &Request<'_>) -> bool {
    match endpoint {
        Endpoint::Publisher { .. } | Endpoint::NhpmPublisher | Endpoint::NchanGroup(_) => true,
        Endpoint::Nchan(roles) => {
            negotiation::requested_action(request, roles) == RequestedAction::Publish
        }
        _ => false,
    }
}

/// Returns whether the request of a subscriber has a body, which a follower has no place for.
fn must_discard_body(endpoint: Endpoint, request: &Request<'_>, length: BodyLength) -> bool {
    let is_subscriber = match endpoint {
        Endpoint::Subscriber(_) => true,
        Endpoint::NhpmSubscriber { .. } | Endpoint::Nchan(_) | Endpoint::NchanSubscriberInfo => {
            request.method == "GET"
        }
        _ => false,
    };
    is_subscriber && !matches!(length, BodyLength::None | BodyLength::Bytes(0))
}

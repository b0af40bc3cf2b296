//! The endpoint of a location: what it does with a request that may enter it.

use std::cell::RefCell;
use std::sync::Arc;

use super::subscribing::{NewFollower, message_hook};
use super::{EndpointRequest, NextStep, Router};
use crate::server::access::grant::Grant;
use crate::server::config::{Endpoint, LocationSettings, SubscriberMode};
use crate::server::endpoint::{PublishCall, PublishReply, SubscribeCall};
use crate::server::exchange::request::Request;
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::h1::response_writer::Http1Writer;
use crate::server::http::publish_plan::PublishPlan;
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::nchan::group_location;
use crate::server::nchan::negotiation::{self, RequestedAction};
use crate::server::nchan::status;
use crate::server::push_stream::statistics;
use crate::server::{nchan, nhpm, push_stream};

impl Router<'_> {
    /// Passes an admitted request to the endpoint of its location.
    pub(super) fn enter_endpoint(
        &self,
        settings: &Arc<LocationSettings>,
        incoming: &EndpointRequest<'_>,
    ) -> NextStep {
        let variables = incoming.variables;
        let request = variables.request;
        match &settings.endpoint {
            Endpoint::NchanStubStatus => {
                NextStep::Respond(status::respond(incoming.grant, self.shard.broker()))
            }
            Endpoint::Statistics => {
                let broker = self.shard.broker();
                statistics::respond(request, variables, settings, incoming.grant, broker).into()
            }
            endpoint if is_publish(endpoint, request) => {
                self.publish(settings, variables, incoming.grant)
            }
            _ => self.subscribe_at(settings, incoming),
        }
    }

    /// Passes a request to the publisher endpoint.
    fn publish(
        &self,
        settings: &Arc<LocationSettings>,
        variables: &RequestVariables<'_>,
        grant: Grant,
    ) -> NextStep {
        let call = PublishCall {
            request: variables.request,
            variables,
            settings,
            grant,
            admin: matches!(settings.endpoint, Endpoint::Publisher { admin: true }),
            broker: self.shard.broker(),
            max_channels: self.snapshot.limits.max_channels_per_request,
            max_body: self.max_body(settings),
        };
        if push_stream::publish::is_batch(variables.request, settings) {
            return match push_stream::publish::respond_to_batch(&call) {
                Ok(batch) => NextStep::ReadBatch(batch),
                Err(response) => NextStep::Respond(*response),
            };
        }
        match &settings.endpoint {
            Endpoint::NchanGroup { methods, settings } => {
                group_location::respond(&call, settings, *methods).into()
            }
            Endpoint::NhpmPublisher(settings) => {
                let reply = nhpm::publish::respond(&call, settings);
                read_body(reply, PublishPlan::Nhpm, None)
            }
            Endpoint::Nchan { settings, .. } => {
                let reply = nchan::publish::respond(&call, settings);
                let hook = message_hook(settings, variables, RequestedAction::Publish);
                read_body(reply, PublishPlan::Nchan, hook)
            }
            _ => {
                let reply = push_stream::publish::respond(&call);
                read_body(reply, PublishPlan::PushStream, None)
            }
        }
    }

    /// Passes a request to the subscriber endpoint.
    fn subscribe_at(
        &self,
        settings: &Arc<LocationSettings>,
        incoming: &EndpointRequest<'_>,
    ) -> NextStep {
        let variables = incoming.variables;
        let request = variables.request;
        let mode = if let Endpoint::Subscriber(mode) = settings.endpoint {
            mode
        } else {
            SubscriberMode::LongPolling
        };
        let call = SubscribeCall {
            request,
            variables,
            settings,
            grant: incoming.grant,
            mode,
            broker: self.shard.broker(),
            formats: &self.snapshot.formats,
            max_channels: self.snapshot.limits.max_channels_per_request,
            connection: self.response_connection(request),
            writer: &Http1Writer,
            compression: incoming.compression,
            added: &incoming.added.good,
            openings: RefCell::default(),
        };
        NewFollower { router: self }.subscribe(&call, incoming.added)
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
        PublishReply::Wait(pending) => NextStep::Wait(pending),
        PublishReply::Read(plan) => NextStep::Read(family(plan), hook),
    }
}

/// Returns whether the request is one of a publisher.
fn is_publish(endpoint: &Endpoint, request: &Request<'_>) -> bool {
    match endpoint {
        Endpoint::Publisher { .. } | Endpoint::NhpmPublisher(_) | Endpoint::NchanGroup { .. } => {
            true
        }
        Endpoint::Nchan { roles, .. } => {
            negotiation::requested_action(request, *roles) == RequestedAction::Publish
        }
        _ => false,
    }
}

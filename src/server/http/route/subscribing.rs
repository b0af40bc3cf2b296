//! Subscribers: their follower is attached while the request is routed.

use std::rc::Rc;

use axum::http::Method;

use super::{FollowPlan, LastReply, NextStep, Router};
use crate::server::broker::{AttachError, PendingTickets};
use crate::server::config::{Endpoint, NchanSettings};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::response::AddedHeaders;
use crate::server::exchange::variables::RequestVariables;
use crate::server::fanout::Subscription;
use crate::server::http::client_input::{ClientInput, OpenWebSocket};
use crate::server::http::h1::response::find_head_end;
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::hooks;
use crate::server::http::upstream::hooks::Notices;
use crate::server::http::upstream::live_hooks::LiveHooks;
use crate::server::nchan::negotiation;
use crate::server::nchan::negotiation::RequestedAction;
use crate::server::nchan::subscribe::{NchanFollower, SubscriberHooks};
use crate::server::push_stream::subscribe::websocket::WebSocketPublisher;
use crate::server::push_stream::subscribe::{PollReplay, SubscribeRejection};
use crate::server::{nchan, nhpm, push_stream};

/// What the protocol family of a subscription adds to it.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives on the stack, between two calls"
)]
enum FamilyFollower {
    PushStream(Option<WebSocketPublisher>),
    Nhpm,
    Nchan(NchanFollower),
}

impl FamilyFollower {
    fn is_websocket(&self) -> bool {
        match self {
            Self::PushStream(publisher) => publisher.is_some(),
            Self::Nhpm => false,
            Self::Nchan(follower) => follower.socket.is_some(),
        }
    }
}

/// A subscriber that becomes a follower of its connection.
pub(super) struct NewFollower<'r, 's> {
    pub(super) router: &'r Router<'s>,
}

impl NewFollower<'_, '_> {
    /// Answers a subscriber. The result of a poll is prepared for a replay if polls are cached.
    pub(super) fn subscribe(&self, call: &SubscribeCall<'_>, added: &AddedHeaders) -> NextStep {
        if !call.settings.web.access_logs.is_empty() {
            self.router.outlet.begin_tap(find_head_end);
        }
        let replay = || {
            let replay = self.router.caches_polls.then(|| PollReplay::of(call));
            replay.flatten().map(Box::new)
        };
        let reply = respond(call);
        let openings = call.openings.take();
        if !openings.is_empty() {
            drop(self.router.outlet.take_tap());
            return NextStep::Open(PendingTickets::new(openings), call.grant);
        }
        let next = match reply {
            SubscribeReply::Follow(mut subscription, family) => {
                let added = if family.is_websocket() {
                    &added.any
                } else {
                    &added.good
                };
                if let Some(opening) = &mut subscription.opening {
                    opening.head.extend(added);
                }
                match self.follow(call, *subscription, family, replay) {
                    Ok(next) => return next,
                    Err(error) => reject(call, &error),
                }
            }
            SubscribeReply::Respond(response) => NextStep::Respond(response),
            SubscribeReply::Prepared(response) => NextStep::SendPrepared(response, replay()),
            SubscribeReply::RejectWebSocket(rejected) => {
                NextStep::Close(LastReply::WebSocket(rejected))
            }
        };
        // Without a follower there is nothing to record.
        drop(self.router.outlet.take_tap());
        next
    }

    /// Attaches the follower of a subscription, and begins its hooks.
    ///
    /// # Errors
    /// When a limit is reached. The connection then has no subscription and nothing was written.
    fn follow(
        &self,
        call: &SubscribeCall<'_>,
        subscription: Subscription,
        family: FamilyFollower,
        replay: impl Fn() -> Option<Box<PollReplay>>,
    ) -> Result<NextStep, AttachError> {
        let mut plan = FollowPlan {
            input: ClientInput::of(&subscription.format.policy),
            replay: None,
            hooks: None,
        };
        if plan.input.is_further_requests() {
            plan.replay = replay();
        }
        let channels = self.router.shard.attach(
            self.router.key,
            Rc::clone(&self.router.outlet),
            subscription,
            call.writer,
        )?;
        match family {
            FamilyFollower::PushStream(None) | FamilyFollower::Nhpm => {}
            FamilyFollower::PushStream(Some(publisher)) => {
                let socket = publisher.to(call.broker, &channels).open();
                plan.input = ClientInput::WebSocket(OpenWebSocket::new(socket, None));
            }
            FamilyFollower::Nchan(NchanFollower { hooks, socket }) => {
                if let Some(socket) = socket {
                    let hook = websocket_hook(call);
                    plan.input = ClientInput::NchanWebSocket(OpenWebSocket::new(socket, hook));
                }
                return Ok(self.begin_hooks(call, plan, hooks));
            }
        }
        Ok(NextStep::Follow(plan))
    }

    /// Begins the hooks of an attached subscription.
    fn begin_hooks(
        &self,
        call: &SubscribeCall<'_>,
        mut plan: FollowPlan,
        hooks: SubscriberHooks,
    ) -> NextStep {
        let notices = subscription_notices(call);
        if hooks.is_empty() && notices.subscribed.is_none() && notices.unsubscribed.is_none() {
            return NextStep::Follow(plan);
        }
        match LiveHooks::begin(
            self.router.shard.broker(),
            hooks,
            &self.router.snapshot.backend,
            notices,
        ) {
            Ok(hooks) => {
                plan.hooks = Some(hooks);
                NextStep::Follow(plan)
            }
            Err(_out_of_memory) => {
                self.router.shard.release(self.router.key);
                NextStep::Close(LastReply::None)
            }
        }
    }
}

/// Notices about a subscriber, where its location sends any.
fn subscription_notices(call: &SubscribeCall<'_>) -> Notices {
    match &call.settings.endpoint {
        Endpoint::Nchan { roles, settings } => {
            let wanted = negotiation::requested_action(call.request, *roles);
            hooks::notices(settings, call.variables, wanted)
        }
        _ => Notices::default(),
    }
}

/// The hook that checks the messages of a websocket, where the location has one.
fn websocket_hook(call: &SubscribeCall<'_>) -> Option<Box<Result<HookCall, HookError>>> {
    match &call.settings.endpoint {
        Endpoint::Nchan { settings, .. } | Endpoint::NchanSubscriberInfo(settings) => {
            message_hook(settings, call.variables, RequestedAction::PublishWebSocket)
        }
        _ => None,
    }
}

/// The hook that checks a message, where the location has one
/// (`nchan_publisher_upstream_request`).
pub(super) fn message_hook(
    settings: &NchanSettings,
    variables: &RequestVariables<'_>,
    wanted: RequestedAction,
) -> Option<Box<Result<HookCall, HookError>>> {
    let uri = settings.hooks.publisher_upstream.as_ref()?;
    let values = hooks::values(settings, variables, wanted);
    Some(Box::new(hooks::build_hook_call(
        uri,
        variables,
        &values,
        &Method::POST,
        true,
    )))
}

/// Responds in the protocol family of the location.
fn respond(call: &SubscribeCall<'_>) -> SubscribeReply<FamilyFollower> {
    match &call.settings.endpoint {
        Endpoint::NchanSubscriberInfo(settings) => {
            nchan::subscribe::subscriber_info::respond(call, settings).map(FamilyFollower::Nchan)
        }
        Endpoint::NhpmSubscriber {
            interval_poll,
            settings,
        } => {
            nhpm::subscribe::respond(call, settings, *interval_poll).map(|()| FamilyFollower::Nhpm)
        }
        Endpoint::Nchan { roles, settings } => {
            nchan::subscribe::respond_to_any(call, settings, *roles).map(FamilyFollower::Nchan)
        }
        _ => push_stream::subscribe::respond(call).map(FamilyFollower::PushStream),
    }
}

/// The reply to a subscriber whose follower could not be attached.
fn reject(call: &SubscribeCall<'_>, error: &AttachError) -> NextStep {
    match &call.settings.endpoint {
        Endpoint::NhpmSubscriber { .. } => NextStep::Respond(nhpm::subscribe::reject(error)),
        Endpoint::Nchan { roles, settings } => {
            NextStep::Respond(nchan::subscribe::reject_any(call, settings, *roles, error))
        }
        _ => match push_stream::subscribe::reject(call, error) {
            SubscribeRejection::Respond(response) => NextStep::Respond(response),
            SubscribeRejection::WebSocket(rejected) => {
                NextStep::Close(LastReply::WebSocket(rejected))
            }
        },
    }
}

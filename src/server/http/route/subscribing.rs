//! Subscribers: their follower is attached while the request is routed.

use std::rc::Rc;

use axum::http::Method;

use super::super::backend::{Ask, Unreachable};
use super::super::companion::LiveCompanion;
use super::super::hooks::{self, Notices};
use super::{Following, Next, Router};
use crate::server::config::web::AddedHeaders;
use crate::server::config::{Endpoint, LocationSettings};
use crate::server::dialect::nchan::negotiation::{self, RequestedAction};
use crate::server::fanout::Subscription;
use crate::server::request::RequestVariables;
use crate::server::response::{Response, Status};
use crate::server::subscriber::{self, SubscriberHooks};

impl Router<'_> {
    /// What is told of a subscriber that stays, if its location says so.
    fn notices_of(call: &subscriber::SubscribeCall<'_>) -> Notices {
        match (&call.settings.nchan, call.endpoint) {
            (Some(nchan), Endpoint::Nchan(roles)) => Self::notices(
                nchan,
                call.variables,
                negotiation::requested_action(call.request, roles),
            ),
            _ => Notices::default(),
        }
    }

    /// The request that asks a back-end about a message, if the location says so.
    pub(super) fn message_hook(
        settings: &LocationSettings,
        variables: &RequestVariables<'_>,
        wanted: RequestedAction,
    ) -> Option<Box<Result<Ask, Unreachable>>> {
        let nchan = settings.nchan.as_ref()?;
        let uri = nchan.hooks.publisher_upstream.as_ref()?;
        let values = hooks::values(nchan, variables, wanted);
        Some(Box::new(hooks::ask_hook(
            uri,
            variables,
            &values,
            (Method::POST, true),
        )))
    }

    /// A subscription that was opened, with what goes on beside it.
    fn accompanied(
        &self,
        following: Following,
        companion: SubscriberHooks,
        notices: Notices,
    ) -> Next {
        if companion.is_empty() && notices.came.is_none() && notices.left.is_none() {
            return Next::Follow(following, None);
        }
        match LiveCompanion::begin(
            self.shard.broker(),
            companion,
            (&self.site.backend, notices),
        ) {
            Ok(companion) => Next::Follow(following, Some(companion)),
            Err(_no_room) => {
                self.shard.release(self.key);
                Next::Last(Vec::new())
            }
        }
    }

    /// Answers a subscriber; with `notes` polls like this one are remembered.
    pub(super) fn subscribe(
        &self,
        call: &subscriber::SubscribeCall<'_>,
        added: &AddedHeaders,
        notes: bool,
    ) -> Next {
        use subscriber::SubscribeReply;
        let again = || if notes { call.again() } else { None };
        if !call.settings.web.access_logs.is_empty() {
            self.outlet.begin_tap();
        }
        let answer = match call.respond() {
            SubscribeReply::Follow(mut subscription) => {
                insert_lines(&mut subscription.head, &added.good);
                let mut following = following(&subscription);
                if let Following::LongPoll(poll) = &mut following {
                    *poll = again();
                }
                match self
                    .shard
                    .attach(self.key, Rc::clone(self.outlet), *subscription)
                {
                    Ok(_) => {
                        return self.accompanied(
                            following,
                            SubscriberHooks::default(),
                            Self::notices_of(call),
                        );
                    }
                    Err(error) => call.reject(&error),
                }
            }
            SubscribeReply::FollowWebSocket(mut subscription, publishing) => {
                insert_lines(&mut subscription.head, &added.any);
                match self
                    .shard
                    .attach(self.key, Rc::clone(self.outlet), *subscription)
                {
                    Ok(channels) => {
                        return Next::Follow(Following::WebSocket(publishing.to(&channels)), None);
                    }
                    Err(error) => call.reject(&error),
                }
            }
            SubscribeReply::FollowWith(mut subscription, companion) => {
                insert_lines(&mut subscription.head, &added.good);
                let following = following(&subscription);
                match self
                    .shard
                    .attach(self.key, Rc::clone(self.outlet), *subscription)
                {
                    Ok(_) => {
                        return self.accompanied(following, *companion, Self::notices_of(call));
                    }
                    Err(error) => call.reject(&error),
                }
            }
            SubscribeReply::FollowSocket(mut subscription, socket, companion) => {
                insert_lines(&mut subscription.head, &added.any);
                match self
                    .shard
                    .attach(self.key, Rc::clone(self.outlet), *subscription)
                {
                    Ok(_) => {
                        let upstream = Self::message_hook(
                            call.settings,
                            call.variables,
                            RequestedAction::PublishWebSocket,
                        );
                        return self.accompanied(
                            Following::Socket(socket, upstream),
                            *companion,
                            Self::notices_of(call),
                        );
                    }
                    Err(error) => call.reject(&error),
                }
            }
            answer => answer,
        };
        // It does not follow.
        drop(self.outlet.take_tap());
        match answer {
            SubscribeReply::Respond(response) => Next::Respond(response),
            SubscribeReply::Prepared(bytes, keeps) => Next::Prepared(bytes, keeps, again()),
            SubscribeReply::Last(bytes) => Next::Last(bytes),
            // A refusal never follows.
            SubscribeReply::Follow(_)
            | SubscribeReply::FollowWebSocket(..)
            | SubscribeReply::FollowWith(..)
            | SubscribeReply::FollowSocket(..) => {
                Next::Respond(Response::error_page(Status::INTERNAL).closing())
            }
        }
    }
}

/// How a connection follows that speaks no websocket frames.
fn following(subscription: &Subscription) -> Following {
    match (
        subscription.format.is_one_shot(),
        subscription.format.ends_with_input(),
    ) {
        (false, _) => Following::Stream,
        (true, false) => Following::LongPoll(None),
        (true, true) => Following::Interruptible,
    }
}

/// Puts header lines at the end of the head that `bytes` begin with; an empty one is written later.
fn insert_lines(bytes: &mut Vec<u8>, lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
    if let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
        bytes.splice(end + 2..end + 2, lines.iter().copied());
    }
}

//! What a publisher location does with the body of a request, once it is complete.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::rejection_for;
use crate::protocol::EXPLAIN;
use crate::server::access::grant::{Action, Grant};
use crate::server::broker::{
    Broker, Channel, ChannelInfo, NewMessage, PublishError, StoreOptions, Ticket, Tickets,
};
use crate::server::endpoint::PublishOutcome;
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::explain::Rejection;
use crate::server::push_stream::info;
use crate::server::push_stream::permission;

/// What to do with the body of a request, and how to respond.
pub struct Plan {
    grant: Grant,
    action: PlanAction,
    reply: ReplyTraits,
    /// See [`Plan::channel_argument`].
    channel_argument: Option<Bytes>,
}

/// The parts of a response that do not depend on the message.
#[derive(Clone)]
pub(in crate::server) struct ReplyTraits {
    pub(in crate::server) notation: AcceptedNotation,
    /// The response has the channel info as its body.
    pub(in crate::server) shows_info: bool,
    pub(in crate::server) headers: HeaderList,
}

/// What to do with a body.
pub(in crate::server) enum PlanAction {
    Publish {
        channels: SmallVec<[Arc<Channel>; 1]>,
        event_id: Option<Bytes>,
        event_type: Option<Bytes>,
        store: bool,
    },
    Delete {
        ids: SmallVec<[ChannelRef; 1]>,
    },
}

impl Plan {
    pub(in crate::server) fn new(
        grant: Grant,
        action: PlanAction,
        reply: ReplyTraits,
        channel_argument: Option<Bytes>,
    ) -> Self {
        Self {
            grant,
            action,
            reply,
            channel_argument,
        }
    }

    /// The query argument that names the channels of a message, if nothing else does.
    #[must_use]
    pub fn channel_argument(&self) -> Option<&Bytes> {
        match self.action {
            PlanAction::Publish { .. } => self.channel_argument.as_ref(),
            PlanAction::Delete { .. } => None,
        }
    }

    /// Directs the plan to another channel, which the argument names without escapes. Returns false
    /// if the channel does not exist or does not accept messages.
    #[must_use]
    pub fn redirect(&mut self, broker: &Broker, id: &[u8]) -> bool {
        let PlanAction::Publish { channels, .. } = &mut self.action else {
            return false;
        };
        let found = broker.find(id).filter(|channel| {
            permission::check_found(&self.grant, Action::Publish, broker, id, Some(channel)).is_ok()
        });
        *channels = found.into_iter().collect();
        !channels.is_empty()
    }

    /// Releases the channels; the plan can be directed to another one.
    pub fn release_channels(&mut self) {
        if let PlanAction::Publish { channels, .. } = &mut self.action {
            channels.clear();
        }
    }

    /// Header lines of every response of the location.
    #[must_use]
    pub fn headers(&self) -> &HeaderList {
        &self.reply.headers
    }

    /// Memory held for the request while its body arrives, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let action = match &self.action {
            PlanAction::Publish {
                channels,
                event_id,
                event_type,
                ..
            } => {
                let text = |text: &Option<Bytes>| text.as_ref().map_or(0, Bytes::len);
                size_of_val(&channels[..]) + text(event_id) + text(event_type)
            }
            PlanAction::Delete { ids } => channels_path::own_bytes(ids),
        };
        size_of::<Self>() + self.reply.headers.byte_len() + action
    }

    /// Executes the plan on the body.
    pub fn finish(&self, broker: &Broker, body: Bytes) -> PublishOutcome {
        match &self.action {
            PlanAction::Delete { ids } => self.delete(broker, ids, &body),
            PlanAction::Publish { .. } if body.is_empty() => {
                PublishOutcome::Ready(self.reply.reject(Rejection::EmptyBody))
            }
            PlanAction::Publish {
                channels,
                event_id,
                event_type,
                store,
            } => {
                let message = NewMessage {
                    text: body,
                    event_id: event_id.clone(),
                    event_type: event_type.clone(),
                    ..NewMessage::default()
                };
                self.publish(broker, channels, message, *store)
            }
        }
    }

    fn publish(
        &self,
        broker: &Broker,
        channels: &[Arc<Channel>],
        message: NewMessage,
        store: bool,
    ) -> PublishOutcome {
        if let [channel] = channels {
            return self.publish_to_one(broker, channel, message, StoreOptions::new(store));
        }
        match broker.publish_to_all(channels, message, StoreOptions::new(store)) {
            Tickets::Ready(Ok(_)) => {
                // The request may name a channel twice: report the counts after the last message.
                let infos: Vec<_> = channels.iter().map(|channel| channel.info()).collect();
                PublishOutcome::Ready(self.reply.respond(&infos, broker))
            }
            Tickets::Ready(Err(error)) => PublishOutcome::Ready(self.reply.reject_publish(error)),
            Tickets::Pending(tickets) => {
                let reply = self.reply.clone();
                let broker = broker.clone();
                PublishOutcome::pending(async move {
                    match tickets.settle().await {
                        Ok(infos) => reply.respond(&with_last_counts(infos), &broker),
                        Err(error) => reply.reject_publish(error),
                    }
                })
            }
        }
    }

    /// Publishes to one channel, as almost every request does.
    fn publish_to_one(
        &self,
        broker: &Broker,
        channel: &Arc<Channel>,
        message: NewMessage,
        options: StoreOptions,
    ) -> PublishOutcome {
        match broker.publish(channel, message, options) {
            Ticket::Ready(Ok(info)) => {
                PublishOutcome::Ready(self.reply.respond(std::slice::from_ref(&info), broker))
            }
            Ticket::Ready(Err(error)) => PublishOutcome::Ready(self.reply.reject_publish(error)),
            Ticket::Pending(waiter) => {
                let reply = self.reply.clone();
                let broker = broker.clone();
                PublishOutcome::pending(async move {
                    match waiter.await {
                        Ok(info) => reply.respond(&[info], &broker),
                        Err(error) => reply.reject_publish(error),
                    }
                })
            }
        }
    }

    fn delete(&self, broker: &Broker, ids: &[ChannelRef], body: &Bytes) -> PublishOutcome {
        let text = Some(body).filter(|body| !body.is_empty());
        let deletions = ids.iter().map(|id| broker.delete(&id.id, text.cloned()));
        match Tickets::collect(deletions) {
            Tickets::Ready(result) => PublishOutcome::Ready(self.reply.respond_to_deletion(result)),
            Tickets::Pending(tickets) => {
                let reply = self.reply.clone();
                PublishOutcome::pending(
                    async move { reply.respond_to_deletion(tickets.settle().await) },
                )
            }
        }
    }
}

impl ReplyTraits {
    /// The response to a published message, with the state of its channels.
    fn respond(&self, infos: &[ChannelInfo], broker: &Broker) -> Response {
        if !self.shows_info {
            return self.respond_without_info();
        }
        let headers = self.headers.clone();
        info::response(self.notation, infos, broker, false, headers)
    }

    /// The response to a message that was not published, or may not have been.
    fn reject_publish(&self, error: PublishError) -> Response {
        match error {
            PublishError::Rejected(_no_room) => self.respond_out_of_memory(),
            PublishError::TooManyPending | PublishError::Unacknowledged => {
                self.reject(rejection_for(error))
            }
        }
    }

    /// The response to a deletion; `result` has which of the channels existed.
    fn respond_to_deletion(&self, result: Result<SmallVec<[bool; 1]>, PublishError>) -> Response {
        let headers = self.headers.clone();
        match result {
            Ok(deleted) if deleted.contains(&true) => Response::header_only(Status::OK, headers)
                .with_headers(&HeaderList::of(EXPLAIN, "Channel deleted.")),
            Ok(_) => Response::header_only(Status::NOT_FOUND, headers),
            Err(PublishError::Rejected(_)) => Response::header_only(Status::INTERNAL, headers),
            Err(error) => self.reject(rejection_for(error)),
        }
    }

    fn reject(&self, rejection: Rejection) -> Response {
        rejection.response(&self.headers)
    }

    fn respond_without_info(&self) -> Response {
        Response::header_only(Status::OK, self.headers.clone())
    }

    fn respond_out_of_memory(&self) -> Response {
        Response::error_page(Status::INTERNAL)
            .with_headers(&self.headers)
            .closing()
    }
}

/// The states of channels as their messages were published; those of a channel that occurs twice
/// have the counts after its last message.
fn with_last_counts(mut infos: SmallVec<[ChannelInfo; 1]>) -> SmallVec<[ChannelInfo; 1]> {
    let last: HashMap<Bytes, ChannelInfo> = infos
        .iter()
        .map(|info| (info.id.clone(), info.clone()))
        .collect();
    for info in &mut infos {
        info.clone_from(&last[&info.id]);
    }
    infos
}

//! The call of a publisher location, and its outcome.

use super::outcome::{PendingPublish, PublishOutcome};
use crate::server::access::grant::{Action, ChannelFacts, Grant, may};
use crate::server::broker::Broker;
use crate::server::config::{LocationSettings, Variables};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::Response;

/// A request at a publisher location.
pub struct PublishCall<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Its variables.
    pub variables: &'a dyn Variables,
    /// The settings of the location, after its conditions.
    pub settings: &'a LocationSettings,
    /// What the request may do.
    pub grant: Grant,
    /// `admin` mode.
    pub admin: bool,
    /// The broker.
    pub broker: &'a Broker,
    /// Maximum number of channels in one request.
    pub max_channels: usize,
    /// Maximum length of a message, in bytes.
    pub max_body: u64,
}

impl PublishCall<'_> {
    /// What the method of the request does with a channel.
    pub(in crate::server) fn action(&self) -> Action {
        match self.request.method {
            "POST" | "PUT" => Action::Publish,
            "DELETE" => Action::Delete,
            _ => Action::ReadInfo,
        }
    }

    /// Whether the client may do that with the channel of this name.
    pub(in crate::server) fn is_permitted(&self, name: &[u8]) -> bool {
        let facts = ChannelFacts::of_name(self.broker, name);
        may(&self.grant, self.action(), &facts).is_ok()
    }
}

/// Outcome of a publisher's request. `P` is the plan of the protocol family.
pub enum PublishReply<P> {
    /// A response; the body of the request is discarded.
    Respond(Response),
    /// The response depends on acknowledgements; the body of the request is discarded.
    Wait(PendingPublish),
    /// Read the body, then execute the plan.
    Read(Box<P>),
}

impl<P> From<PublishOutcome> for PublishReply<P> {
    fn from(outcome: PublishOutcome) -> Self {
        match outcome {
            PublishOutcome::Ready(response) => Self::Respond(response),
            PublishOutcome::Pending(pending) => Self::Wait(pending),
        }
    }
}

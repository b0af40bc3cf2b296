//! What a publisher's request does with its body, in any protocol family.

use bytes::Bytes;

use crate::server::broker::Broker;
use crate::server::exchange::response::Response;
use crate::server::nchan::publish::NchanPublishing;
use crate::server::nhpm::publish::NhpmPublication;
use crate::server::push_stream::publish::{Plan, PublishReplay};

/// What to do with the body of a request once it is complete.
pub(in crate::server) enum PublishPlan {
    PushStream(Box<Plan>),
    Nhpm(Box<NhpmPublication>),
    Nchan(Box<NchanPublishing>),
}

impl PublishPlan {
    /// Executes the plan on the body and returns the response.
    pub(in crate::server) fn finish(&self, broker: &Broker, body: Bytes) -> Response {
        match self {
            Self::PushStream(plan) => plan.finish(broker, body),
            Self::Nhpm(publication) => publication.finish(broker, body),
            Self::Nchan(publishing) => publishing.finish(broker, body),
        }
    }

    /// As [`PublishPlan::finish`], with a message that a hook has made of the body.
    pub(in crate::server) fn finish_with(
        &self,
        broker: &Broker,
        text: Bytes,
        content_type: Option<Bytes>,
    ) -> Response {
        match self {
            Self::Nchan(publishing) => publishing.finish_with(broker, text, content_type),
            _ => self.finish(broker, text),
        }
    }

    /// The content type of the message, if the request decides it.
    pub(in crate::server) fn content_type(&self) -> Option<Bytes> {
        match self {
            Self::Nchan(publishing) => publishing.content_type(),
            _ => None,
        }
    }

    /// Header lines of every response of the location.
    pub(in crate::server) fn headers(&self) -> &[u8] {
        match self {
            Self::PushStream(plan) => plan.headers(),
            _ => b"",
        }
    }

    /// Memory held for the request while its body arrives, in bytes.
    pub(in crate::server) fn own_bytes(&self) -> usize {
        match self {
            Self::PushStream(plan) => plan.own_bytes(),
            Self::Nhpm(publication) => publication.own_bytes(),
            Self::Nchan(publishing) => publishing.own_bytes(),
        }
    }

    /// The query argument that names the channels, if equal requests may differ in it alone.
    pub(in crate::server) fn argument_alone(&self) -> Option<&Bytes> {
        match self {
            Self::PushStream(plan) => plan.argument_alone(),
            _ => None,
        }
    }

    /// Turns the plan into one for further messages; see [`Plan::replay`].
    pub(in crate::server) fn replay(self, added: &[u8]) -> Option<PublishReplay> {
        match self {
            Self::PushStream(plan) => plan.replay(added),
            _ => None,
        }
    }
}

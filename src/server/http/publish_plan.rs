//! What a publisher's request does with its body, in any protocol family.

use bytes::Bytes;

use crate::server::broker::Broker;
use crate::server::endpoint::PublishOutcome;
use crate::server::exchange::response::HeaderList;
use crate::server::nchan::publish::NchanPublishing;
use crate::server::nhpm::publish::NhpmPublication;
use crate::server::push_stream::publish::Plan;

/// What to do with the body of a request once it is complete.
pub(in crate::server) enum PublishPlan {
    PushStream(Box<Plan>),
    Nhpm(Box<NhpmPublication>),
    Nchan(Box<NchanPublishing>),
}

impl PublishPlan {
    /// Executes the plan on the body.
    pub(in crate::server) fn finish(&self, broker: &Broker, body: Bytes) -> PublishOutcome {
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
    ) -> PublishOutcome {
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

    /// Headers of every response of the location.
    pub(in crate::server) fn headers(&self) -> HeaderList {
        match self {
            Self::PushStream(plan) => plan.headers().clone(),
            _ => HeaderList::default(),
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

    /// The query argument that names the only channel of a message, if plans for other channels
    /// differ in nothing else.
    pub(in crate::server) fn channel_argument(&self) -> Option<&Bytes> {
        match self {
            Self::PushStream(plan) => plan.channel_argument(),
            Self::Nhpm(_) => None,
            Self::Nchan(publishing) => publishing.publication.channel_argument(),
        }
    }

    /// Directs the plan to the channel that the argument names. Returns false if that channel does
    /// not exist or does not accept messages.
    pub(in crate::server) fn redirect(&mut self, broker: &Broker, id: &[u8]) -> bool {
        match self {
            Self::PushStream(plan) => plan.redirect(broker, id),
            Self::Nhpm(_) => false,
            Self::Nchan(publishing) => publishing.publication.redirect(broker, id),
        }
    }

    /// Releases the channels of a plan that is kept: a deleted channel must not stay in memory.
    pub(in crate::server) fn release_channels(&mut self) {
        match self {
            Self::PushStream(plan) => plan.release_channels(),
            Self::Nhpm(_) => {}
            Self::Nchan(publishing) => publishing.publication.release_channels(),
        }
    }
}

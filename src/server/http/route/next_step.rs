//! Results of routing: what the connection does next, and how it responds.

use bytes::Bytes;

use crate::server::access::grant::Grant;
use crate::server::broker::PendingTickets;
use crate::server::endpoint::formats::PreparedResponse;
use crate::server::endpoint::{PendingPublish, PublishOutcome, RejectedWebSocket};
use crate::server::exchange::compression::Compression;
use crate::server::exchange::response::{
    AddedHeaders, Response, ResponseContext, ResponseHead, Status,
};
use crate::server::http::client_input::ClientInput;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::listen::location_index::LocationAddress;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::publish_plan::PublishPlan;
use crate::server::http::static_files::FileBody;
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::live_hooks::LiveHooks;
use crate::server::push_stream::publish::batch::Batch;
use crate::server::push_stream::statistics;
use crate::server::push_stream::statistics::Listing;
use crate::server::push_stream::subscribe::PollReplay;

/// What the connection does next.
pub(in crate::server) enum NextStep {
    /// Send this response.
    Respond(Response),
    /// Discard the body, and send the response that depends on acknowledgements.
    Wait(PendingPublish),
    /// Read the body and finish the plan with it, after a hook has been called if there is one.
    Read(PublishPlan, Option<Box<Result<HookCall, HookError>>>),
    /// Read the body line by line; each line is a message.
    ReadBatch(Box<Batch>),
    /// Wait until these channels are open, and enter the endpoint again with this grant. Routing
    /// does that.
    Open(PendingTickets<()>, Grant),
    /// Send this response to a poll.
    SendPrepared(PreparedResponse, Option<Box<PollReplay>>),
    /// Send this, and close the connection.
    Close(LastReply),
    /// Follow: the subscription is attached already.
    Follow(FollowPlan),
    /// Respond with the page for this method and target.
    Page(String, String),
    /// Make a list of channels, and send it.
    List(Box<Listing>),
    /// Send this head and the file after it.
    Stream(Box<(ResponseHead, FileBody)>),
}

/// What is sent before the connection is closed.
pub(in crate::server) enum LastReply {
    /// Nothing.
    None,
    /// This response, as it is.
    Response(Response),
    /// A websocket is opened and closed.
    WebSocket(RejectedWebSocket),
}

impl NextStep {
    /// Responds with nginx's error page.
    pub(super) fn error_page(status: Status) -> Self {
        Self::Respond(Response::error_page(status))
    }

    /// Responds with the error page of an internal error, and closes the connection.
    pub(super) fn internal_error() -> Self {
        Self::Respond(Response::error_page(Status::INTERNAL).closing())
    }
}

impl From<PublishOutcome> for NextStep {
    fn from(outcome: PublishOutcome) -> Self {
        match outcome {
            PublishOutcome::Ready(response) => Self::Respond(response),
            PublishOutcome::Pending(pending) => Self::Wait(pending),
        }
    }
}

impl From<statistics::StatisticsReply> for NextStep {
    fn from(reply: statistics::StatisticsReply) -> Self {
        match reply {
            statistics::StatisticsReply::Respond(response) => NextStep::Respond(response),
            statistics::StatisticsReply::List(listing) => NextStep::List(listing),
        }
    }
}

/// How a connection follows.
pub(in crate::server) struct FollowPlan {
    /// How input from the client is handled.
    pub(in crate::server) input: ClientInput,
    /// Replays polls like this one.
    pub(in crate::server) replay: Option<Box<PollReplay>>,
    /// Report the end of the subscription.
    pub(in crate::server) hooks: Option<Box<LiveHooks>>,
}

/// The body of a request.
#[derive(Clone)]
pub(in crate::server) enum RequestBody {
    Unread(PendingBody),
    /// It was read for a back-end.
    Read(Bytes),
}

/// A body that has not been read yet.
#[derive(Clone, Copy)]
pub(in crate::server) struct PendingBody {
    pub(in crate::server) length: BodyLength,
    /// Largest body that is read; 0 without a limit of the location.
    pub(in crate::server) max_bytes: u64,
    /// The client waits for `100 Continue` before it sends the body.
    pub(in crate::server) expects_continue: bool,
}

impl RequestBody {
    /// Its length, if that is known.
    pub(super) fn announced(&self) -> Option<u64> {
        match self {
            Self::Unread(PendingBody {
                length: BodyLength::Bytes(length),
                ..
            }) => Some(*length),
            Self::Unread(_) => None,
            Self::Read(body) => Some(body.len() as u64).filter(|length| *length > 0),
        }
    }

    /// Sets the largest length.
    pub(super) fn limit(&mut self, max_bytes: u64) {
        if let Self::Unread(body) = self {
            body.max_bytes = max_bytes;
        }
    }

    /// The part that has not been read yet.
    pub(in crate::server) fn pending(&self) -> PendingBody {
        match self {
            Self::Unread(body) => *body,
            Self::Read(_) => PendingBody {
                length: BodyLength::None,
                max_bytes: 0,
                expects_continue: false,
            },
        }
    }
}

/// A routed request.
pub(in crate::server) struct RoutedRequest {
    pub(in crate::server) next: NextStep,
    pub(in crate::server) body: RequestBody,
    /// The location that responds.
    pub(in crate::server) location: LocationAddress,
    pub(in crate::server) context: ResponsePlan,
}

/// What completes the response to a routed request.
pub(in crate::server) struct ResponsePlan {
    pub(in crate::server) connection: ResponseContext,
    pub(in crate::server) added: AddedHeaders,
    pub(in crate::server) compression: Compression,
    /// Access log entry.
    pub(in crate::server) log: Option<Box<LogEntry>>,
    /// Content type of an error page.
    pub(in crate::server) page_type: Bytes,
}

impl ResponsePlan {
    /// Keeps the body of the request for the access log.
    pub(in crate::server) fn record_body(&mut self, body: &Bytes) {
        if let Some(log) = &mut self.log {
            log.record_body(body);
        }
    }

    /// Adds the headers of the location, and compresses the body.
    pub(in crate::server) fn complete(&self, response: Response) -> Response {
        let added = self.added.for_status(response.head.status);
        let response = response.with_page_type(&self.page_type).with_headers(added);
        self.compression.apply(response, self.connection.is_head)
    }

    /// The plan for further responses like the first one.
    pub(in crate::server) fn without_log(&self) -> Self {
        Self {
            connection: self.connection,
            added: self.added.clone(),
            compression: self.compression.clone(),
            log: None,
            page_type: self.page_type.clone(),
        }
    }
}

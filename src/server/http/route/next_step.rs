//! Results of routing: what the connection does next, and how it responds.

use std::rc::Rc;

use bytes::Bytes;

use crate::server::compression::Compression;
use crate::server::config::web::AddedHeaders;
use crate::server::generation::LocationAddress;
use crate::server::http::backend::{HookCall, HookError};
use crate::server::http::live_hooks::LiveHooks;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::pending_check::{PendingCheck, RoutingState};
use crate::server::http::static_files::FileRequest;
use crate::server::publisher::{Plan, batch::Batch};
use crate::server::response::{Response, ResponseContext, Status};
use crate::server::statistics::{self, Listing};
use crate::server::subscriber::{PollReplay, Socket, websocket::WebSocketPublisher};

/// What the connection does next.
pub(in crate::server::http) enum NextStep {
    /// Send this response.
    Respond(Response),
    /// Read the body and finish the plan with it, after a hook has been called if there is one.
    Read(Box<Plan>, Option<Box<Result<HookCall, HookError>>>),
    /// Run a check, and route the request again.
    Check(Box<PendingCheck>),
    /// Pass the request to a back-end.
    Proxy(Box<Result<HookCall, HookError>>),
    /// Read the body line by line; each line is a message.
    ReadBatch(Box<Batch>),
    /// Send these bytes, a whole response to a poll; the flag is whether the connection stays
    /// open.
    SendPrepared(Rc<Vec<u8>>, bool, Option<Box<PollReplay>>),
    /// Send these bytes and close the connection.
    SendAndClose(Vec<u8>),
    /// Follow: the subscription is attached already.
    Follow(FollowMode, Option<Box<LiveHooks>>),
    /// Read and discard the body, and route the request again: a follower has no place for it.
    DiscardBody(Box<RoutingState>),
    /// Respond with the page for this method and target.
    Page(String, String),
    /// Make a list of channels, and send it.
    List(Box<Listing>),
    /// Look for a static file.
    File(Box<FileRequest>),
}

impl NextStep {
    /// Returns whether the head of the request is parsed again.
    pub(in crate::server::http) fn needs_head(&self) -> bool {
        matches!(
            self,
            Self::DiscardBody(_) | Self::File(_) | Self::Check(_) | Self::Proxy(_)
        )
    }

    /// Responds with nginx's error page.
    pub(super) fn error_page(status: Status) -> Self {
        Self::Respond(Response::error_page(status))
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
pub(in crate::server::http) enum FollowMode {
    /// A response without end; input is ignored.
    Stream,
    /// One response; input is further requests. Polls like this one can be replayed.
    LongPoll(Option<Box<PollReplay>>),
    /// Websocket frames.
    WebSocket(WebSocketPublisher),
    /// One response; any input ends the wait.
    Interruptible,
    /// Websocket frames of nchan, whose messages may be checked by a hook.
    Socket(Box<Socket>, Option<Box<Result<HookCall, HookError>>>),
}

/// A routed request.
pub(in crate::server::http) struct RoutedRequest {
    pub(in crate::server::http) next: NextStep,
    /// The client waits for `100 Continue` before it sends the body.
    pub(in crate::server::http) expects_continue: bool,
    /// Largest body that is read; 0 without a limit of the location.
    pub(in crate::server::http) max_body: u64,
    /// The location that responds.
    pub(in crate::server::http) location: LocationAddress,
    pub(in crate::server::http) context: ResponsePlan,
}

/// What completes the response to a routed request.
pub(in crate::server::http) struct ResponsePlan {
    pub(in crate::server::http) connection: ResponseContext,
    /// Additional header lines.
    pub(in crate::server::http) added: AddedHeaders,
    pub(in crate::server::http) compression: Compression,
    /// Access log entry.
    pub(in crate::server::http) log: Option<Box<LogEntry>>,
    /// Content type of an error page.
    pub(in crate::server::http) page_type: Bytes,
}

impl ResponsePlan {
    /// Discards the log entry, because the request is routed again.
    pub(in crate::server::http) fn forget_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.forget();
        }
    }
}

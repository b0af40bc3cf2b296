//! Input of a client while its connection follows. [`ClientInput`] selects how it is handled;
//! `connection::following` reads it.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;

use super::pace::ArrivingMessage;
use super::upstream::backend_request::{HookCall, HookError};
use crate::server::endpoint::PublishOutcome;
use crate::server::endpoint::websocket_input::{IncomingMessage, InputAction, WebSocketInput};
use crate::server::fanout::FollowerPolicy;
use crate::server::nchan::subscribe::NchanSocket;
use crate::server::push_stream::subscribe::websocket::PushStreamSocket;

/// How input from a client is handled while it follows.
pub(in crate::server) enum ClientInput {
    /// It is discarded: the response has no end.
    Discard,
    /// It is kept as further requests: there is one response.
    Requests {
        /// The first bytes of it end the subscription.
        end_following: bool,
    },
    /// It is websocket frames of push-stream.
    WebSocket(Box<OpenWebSocket<PushStreamSocket>>),
    /// It is websocket frames of nchan.
    NchanWebSocket(Box<OpenWebSocket<NchanSocket>>),
}

/// The websocket of a follower.
pub(in crate::server) struct OpenWebSocket<I> {
    input: I,
    /// The hook that checks each message.
    hook: Option<Box<Result<HookCall, HookError>>>,
    /// The message that waits for the hook.
    pending_message: Option<IncomingMessage>,
    /// Time limit of an incomplete message.
    arriving: ArrivingMessage,
    /// It was closed: further input is discarded.
    is_closed: bool,
    /// Replies that wait for an acknowledgement, and those behind them.
    replies: VecDeque<FrameReply>,
}

/// The reply to a frame of a websocket client, if there is one.
pub(in crate::server) type FrameReply = PublishOutcome<Option<InputAction>>;

/// Most messages of a websocket client that wait for their acknowledgement. The engine charges the
/// memory of each.
const MAX_UNACKNOWLEDGED: usize = 16;

impl ClientInput {
    /// How input is handled that is no websocket.
    pub(in crate::server) fn of(policy: &FollowerPolicy) -> Self {
        if policy.is_one_shot {
            Self::Requests {
                end_following: policy.ends_with_input,
            }
        } else {
            Self::Discard
        }
    }

    /// Returns whether it is kept as further requests, which wait for the response.
    pub(in crate::server) fn is_further_requests(&self) -> bool {
        matches!(
            self,
            Self::Requests {
                end_following: false
            }
        )
    }

    /// Bytes held outside of the connection's buffer.
    pub(in crate::server) fn pending_bytes(&self) -> usize {
        match self {
            Self::Discard | Self::Requests { .. } => 0,
            Self::WebSocket(websocket) => websocket.input.pending_bytes(),
            Self::NchanWebSocket(websocket) => websocket.input.pending_bytes(),
        }
    }

    /// Returns whether further input waits for a hook or for acknowledgements.
    pub(in crate::server) fn is_blocked(&self) -> bool {
        match self {
            Self::Discard | Self::Requests { .. } => false,
            Self::WebSocket(websocket) => websocket.is_blocked(),
            Self::NchanWebSocket(websocket) => websocket.is_blocked(),
        }
    }

    /// Waits for the next reply to a frame that is not known yet; pending if there is none.
    pub(in crate::server) fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<InputAction>> {
        match self {
            Self::Discard | Self::Requests { .. } => Poll::Pending,
            Self::WebSocket(websocket) => websocket.poll_reply(cx),
            Self::NchanWebSocket(websocket) => websocket.poll_reply(cx),
        }
    }

    /// Returns whether it is a websocket that the client has not closed.
    pub(in crate::server) fn expects_close(&self) -> bool {
        match self {
            Self::Discard | Self::Requests { .. } => false,
            Self::WebSocket(websocket) => !websocket.is_closed,
            Self::NchanWebSocket(websocket) => !websocket.is_closed,
        }
    }
}

impl<I: WebSocketInput> OpenWebSocket<I> {
    /// Opens the websocket. With a hook, messages wait for its decision.
    pub(in crate::server) fn new(
        input: I,
        hook: Option<Box<Result<HookCall, HookError>>>,
    ) -> Box<Self> {
        Box::new(Self {
            input,
            hook,
            pending_message: None,
            arriving: ArrivingMessage::default(),
            is_closed: false,
            replies: VecDeque::new(),
        })
    }

    /// Adds a reply behind those that are not known yet; returns it if it can be sent.
    pub(in crate::server) fn push_reply(&mut self, reply: FrameReply) -> Option<InputAction> {
        match reply {
            PublishOutcome::Ready(reply) if self.replies.is_empty() => return reply,
            // No reply: there is nothing to keep in order.
            PublishOutcome::Ready(None) => {}
            reply => self.replies.push_back(reply),
        }
        None
    }

    /// Waits for the next reply that is not known yet; pending if there is none.
    pub(in crate::server) fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<InputAction>> {
        let reply = match self.replies.front_mut() {
            None => return Poll::Pending,
            Some(PublishOutcome::Ready(reply)) => reply.take(),
            Some(PublishOutcome::Pending(pending)) => ready!(pending.poll_unpin(cx)),
        };
        self.replies.pop_front();
        Poll::Ready(reply)
    }

    /// Returns whether further frames wait for the hook or for acknowledgements.
    pub(in crate::server) fn is_blocked(&self) -> bool {
        !self.is_closed && (self.pending_message.is_some() || self.has_max_unacknowledged())
    }

    /// Returns whether further frames wait until messages are acknowledged.
    pub(in crate::server) fn has_max_unacknowledged(&self) -> bool {
        self.replies.len() >= MAX_UNACKNOWLEDGED
    }

    /// Returns whether a reply that is not sent yet closes the websocket.
    fn is_closing(&self) -> bool {
        matches!(
            self.replies.back(),
            Some(PublishOutcome::Ready(Some(InputAction::Close(_))))
        )
    }

    /// The state of the input.
    pub(in crate::server) fn input(&mut self) -> &mut I {
        &mut self.input
    }

    /// The hook that checks each message.
    pub(in crate::server) fn hook(&self) -> Option<&Result<HookCall, HookError>> {
        self.hook.as_deref()
    }

    /// Keeps a message that waits for the hook.
    pub(in crate::server) fn set_pending_message(&mut self, message: IncomingMessage) {
        self.pending_message = Some(message);
    }

    /// The message that waits for the hook.
    pub(in crate::server) fn take_pending_message(&mut self) -> Option<IncomingMessage> {
        self.pending_message.take()
    }

    /// Returns whether a message waits for the hook.
    pub(in crate::server) fn has_pending_message(&self) -> bool {
        self.pending_message.is_some()
    }

    /// Returns whether further frames are handled now.
    pub(in crate::server) fn takes_frames(&self) -> bool {
        !self.is_closed
            && self.pending_message.is_none()
            && !self.has_max_unacknowledged()
            && !self.is_closing()
    }

    /// Returns whether further input is discarded.
    pub(in crate::server) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Discards an incomplete message and further input.
    pub(in crate::server) fn close(&mut self) {
        self.is_closed = true;
        self.replies = VecDeque::new();
        self.input.discard();
    }

    /// Time limit of an incomplete message.
    pub(in crate::server) fn arriving(&mut self) -> &mut ArrivingMessage {
        &mut self.arriving
    }
}

//! The hook that checks messages (`nchan_publisher_upstream_request`): what becomes of a message,
//! by the response of the back-end.

use bytes::Bytes;

use super::backend::BackendClient;
use super::backend_request::{HookCall, HookError};
use super::hook_response::HookResponse;
use crate::server::broker::Broker;
use crate::server::endpoint::PublishOutcome;
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::http::publish_plan::PublishPlan;

/// Decision of a hook about a message.
pub(in crate::server) enum MessageDecision {
    /// Publish this text with this content type: those of the message, or of the response.
    Publish(Bytes, Option<Bytes>),
    /// Do not publish it; the publisher gets a success.
    Drop,
    /// Reject it.
    Reject,
    /// The hook has failed.
    Failed(HookError),
}

impl MessageDecision {
    /// Interprets the response of a hook about the message with this text and content type.
    pub(in crate::server) fn of(
        response: Result<HookResponse, HookError>,
        text: Bytes,
        content_type: Option<Bytes>,
    ) -> Self {
        match response {
            Ok(response) => match response.status {
                // For nchan a `return` has no body: the message is published without its type.
                200..=202 if response.returned.is_some() => Self::Publish(text, None),
                200..=202 => Self::Publish(response.body.clone(), response.content_type()),
                304 => Self::Publish(text, content_type),
                204 => Self::Drop,
                _ => Self::Reject,
            },
            Err(error) => Self::Failed(error),
        }
    }
}

/// Carries out the plan of a publisher as the hook decides about the message in `body`.
pub(in crate::server) async fn publish(
    plan: &PublishPlan,
    hook: Result<HookCall, HookError>,
    body: Bytes,
    backend: &BackendClient,
    broker: &Broker,
) -> PublishOutcome {
    let response = backend.call_without_redirect(hook, body.clone()).await;
    PublishOutcome::Ready(
        match MessageDecision::of(response, body, plan.content_type()) {
            MessageDecision::Publish(text, content_type) => {
                return plan.finish_with(broker, text, content_type);
            }
            MessageDecision::Drop => Response::bodiless(Status(204), HeaderList::default()),
            MessageDecision::Reject => Response::error_page(Status::FORBIDDEN),
            MessageDecision::Failed(HookError::Unsupported) => Response::error_page(Status(503)),
            MessageDecision::Failed(_) => Response::error_page(Status::INTERNAL).closing(),
        },
    )
}

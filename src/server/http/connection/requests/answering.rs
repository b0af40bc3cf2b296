//! Answering the requests of publishers whose response was left for later: when their messages are
//! acknowledged.

use futures_util::FutureExt;

use super::super::Disconnected;
use super::{Requests, ServeOutcome, writing};
use crate::server::endpoint::PublishOutcome;
use crate::server::http::route::ResponsePlan;
use crate::server::http::unanswered::UnansweredRequest;

/// Responds to the current request of a publisher, now or when its message is acknowledged.
pub(super) async fn respond(
    requests: &mut Requests<'_>,
    outcome: PublishOutcome,
    context: ResponsePlan,
) -> Result<Option<ServeOutcome>, Disconnected> {
    match outcome {
        PublishOutcome::Ready(response) => requests.finish(response, context).await,
        PublishOutcome::Pending(_) => {
            leave_unanswered(requests, outcome, context);
            Ok(None)
        }
    }
}

/// Leaves the current request unanswered for now.
pub(super) fn leave_unanswered(
    requests: &mut Requests<'_>,
    outcome: PublishOutcome,
    context: ResponsePlan,
) {
    requests.unanswered.push(UnansweredRequest {
        outcome,
        context,
        received: requests.received,
    });
}

/// Answers all requests that were left unanswered.
pub(super) async fn answer_all(requests: &mut Requests<'_>) -> Result<(), Disconnected> {
    if requests.unanswered.is_empty() {
        return Ok(());
    }
    // Boxed, so that other connections do not hold its state.
    Box::pin(wait_and_answer(requests)).await
}

/// Waits for the outcome of each request, and writes its response. A connection that ends while it
/// waits leaves the requests to the engine.
async fn wait_and_answer(requests: &mut Requests<'_>) -> Result<(), Disconnected> {
    let mut unanswered = requests.unanswered.take();
    while let Some(request) = unanswered.pop_front() {
        let UnansweredRequest {
            outcome,
            context,
            received,
        } = request;
        let response = match outcome {
            PublishOutcome::Ready(response) => response,
            PublishOutcome::Pending(mut pending) => match (&mut pending).now_or_never() {
                Some(response) => response,
                None => {
                    requests.prepare_wait().await?;
                    pending.await
                }
            },
        };
        let response = context.complete(response);
        requests.received = received;
        let write = if unanswered.is_empty() {
            writing::write_response
        } else {
            writing::write_response_before_others
        };
        if !write(requests, &response, context.connection, context.log) {
            return requests.close().await;
        }
        if requests.writer.is_full() {
            requests.flush().await?;
        }
    }
    Ok(())
}

//! Formats whose followers get one response (long-polling).

use crate::server::exchange::response::{Response, ResponseContext, ResponseWriter};
use crate::server::fanout::{
    DeliveryBatch, Encoder, EndReason, FollowerPolicy, Format, PayloadBuffer, ResumePoint,
};

/// Makes the response to one kind of follower. The methods run as those of an [`Encoder`].
pub(in crate::server) trait OneShotEncoder {
    /// The response with these gaps and messages; `None` if there are only gaps and the format does
    /// not report them.
    fn messages(&self, batch: DeliveryBatch<'_>) -> Option<Response>;

    /// The response to the deletion of a channel.
    fn deletion(&self, channel: &[u8], text: &[u8], resume_point: ResumePoint) -> Response;

    /// The response at the end of the subscription.
    fn end(&self, ending: EndReason, resume_point: ResumePoint) -> Response;
}

/// How a version of HTTP writes the responses to one kind of follower.
#[derive(Clone, Copy)]
pub(in crate::server) struct ResponseWire {
    pub(in crate::server) writer: &'static dyn ResponseWriter,
    pub(in crate::server) connection: ResponseContext,
}

/// The payload of a one-shot format: whole responses, each written once for all its followers.
struct WrittenResponses<E> {
    encoder: E,
    wire: ResponseWire,
}

/// Creates the format with these responses.
pub(in crate::server) fn format<E: OneShotEncoder>(
    policy: FollowerPolicy,
    encoder: E,
    wire: ResponseWire,
) -> Format<impl Encoder> {
    Format::new(policy, WrittenResponses { encoder, wire })
}

impl<E> WrittenResponses<E> {
    fn write(&self, response: &Response, out: &mut PayloadBuffer) {
        let ResponseWire { writer, connection } = self.wire;
        out.piece(|out| {
            writer.write_response(response, connection, out);
        });
    }
}

impl<E: OneShotEncoder> Encoder for WrittenResponses<E> {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer) {
        if let Some(response) = self.encoder.messages(batch) {
            self.write(&response, out);
        }
    }

    fn encode_ping(&self, _: &mut PayloadBuffer) {}

    fn encode_deletion(
        &self,
        channel: &[u8],
        text: &[u8],
        resume_point: ResumePoint,
        out: &mut PayloadBuffer,
    ) {
        self.write(&self.encoder.deletion(channel, text, resume_point), out);
    }

    fn encode_end(&self, ending: EndReason, resume_point: ResumePoint, out: &mut PayloadBuffer) {
        self.write(&self.encoder.end(ending, resume_point), out);
    }
}

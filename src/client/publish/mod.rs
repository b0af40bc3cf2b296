//! Publishing: one POST per message. It is never sent twice, because the server may have accepted
//! the first request.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | accepted; the body is the channel info, or empty |
//! | 200 with an HTML page | not accepted: the response of a proxy or another web server |
//! | 301, 302, … | redirected; not followed |
//! | 400, 403, 413, … | rejected, with the reason in `X-Nginx-PushStream-Explain` |
//!
//! [`publish`] sends one message. A [`Publisher`] sends many: pipelined over plain HTTP
//! ([`pipeline`]), one after the other over https or a proxy.

pub mod pipeline;
mod publication;
mod publisher;

pub use publication::{Posting, Publication, PublishOutcome, publish};
pub use publisher::Publisher;

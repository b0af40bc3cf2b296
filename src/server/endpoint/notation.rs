//! The notations of info bodies. The protocol families negotiate them in their own ways.

use crate::server::exchange::response::{HeaderList, Response, Status};

/// The notation of an info body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// Lines of text.
    Plain,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// XML
    Xml,
}

/// The notation of a response, and the Content-Type by which the client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedNotation {
    /// Notation of the body.
    pub notation: Notation,
    /// Value of Content-Type.
    pub content_type: &'static str,
}

impl AcceptedNotation {
    /// A response with this body.
    #[must_use]
    pub fn response(
        self,
        status: Status,
        headers: impl Into<HeaderList>,
        body: Vec<u8>,
    ) -> Response {
        Response::sized(status, self.content_type, headers, body)
    }
}

//! Cross-origin headers (nhpm-nchan.md, section 2.12), sent only if the request names its origin.

use crate::server::config::{NchanSettings, Variables};
use crate::server::exchange::response::push_line;

/// Result of checking the origin of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Header lines of every response.
    pub lines: Vec<u8>,
    /// The origin is not allowed at this location: 403.
    pub is_rejected: bool,
}

/// Checks the origin of a request.
#[must_use]
pub fn of_request(settings: &NchanSettings, variables: &dyn Variables) -> Cors {
    let Some(origin) = variables
        .header("origin")
        .filter(|origin| !origin.is_empty())
    else {
        return Cors::default();
    };
    let allowed = settings
        .allow_origin
        .as_ref()
        .map(|allowed| allowed.evaluate(variables));
    let mut words = allowed
        .iter()
        .flat_map(|allowed| allowed.split(|byte| *byte == b' '));
    let (shown, is_allowed) = match &allowed {
        None => (origin, true),
        Some(_) if words.clone().any(|word| word == b"*") => (&b"*"[..], true),
        Some(_) => (origin, words.any(|word| word == origin)),
    };
    let mut lines = Vec::new();
    if settings.allow_credentials {
        lines.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
    }
    push_line(b"Access-Control-Allow-Origin: ", shown, &mut lines);
    Cors {
        lines,
        is_rejected: !is_allowed,
    }
}

impl Cors {
    /// The line that lets scripts read the message headers; empty without an origin.
    #[must_use]
    pub fn expose(&self, settings: &NchanSettings) -> Vec<u8> {
        let mut line = Vec::new();
        if !self.lines.is_empty() {
            let names = [
                b"Last-Modified, ",
                &settings.etag_header[..],
                b", Content-Type",
            ]
            .concat();
            push_line(b"Access-Control-Expose-Headers: ", &names, &mut line);
        }
        line
    }
}

/// The header lines of a response to OPTIONS.
#[must_use]
pub fn options(cors: &Cors, methods: &str, headers: &str) -> Vec<u8> {
    let mut lines = format!("Allow: {methods}\r\n").into_bytes();
    if !cors.lines.is_empty() {
        let more = format!(
            "Access-Control-Allow-Headers: {headers}\r\nAccess-Control-Allow-Methods: {methods}\r\n"
        );
        lines.extend_from_slice(more.as_bytes());
        lines.extend_from_slice(&cors.lines);
    }
    lines
}

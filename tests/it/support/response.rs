//! Responses as they were received.

use super::show;

/// How the end of a response body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Remaining bytes.
    Length(usize),
    /// Chunks remain.
    Chunked,
    /// The body is complete.
    Ended,
    /// It ends with the connection.
    UntilClose,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The status line and the header lines, with their line ends and the empty line.
    pub(crate) raw: String,
    /// Status code.
    pub(crate) status: u16,
    /// Names and values in the order sent.
    pub(crate) headers: Vec<(String, String)>,
}

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Its head.
    pub(crate) head: Head,
    /// Its body without chunk framing.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

impl Head {
    /// The value of the first header of that name, in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The reason that the server gives.
    pub(crate) fn explain(&self) -> Option<&str> {
        self.get("X-Nginx-PushStream-Explain")
    }

    /// The time and tag of the response, to be sent back as a cursor: `If-Modified-Since` and
    /// `If-None-Match`.
    pub(crate) fn cursor(&self) -> [(&str, &str); 2] {
        let get = |name| {
            self.get(name)
                .unwrap_or_else(|| panic!("no {name} in {self:?}"))
        };
        [
            ("If-Modified-Since", get("Last-Modified")),
            ("If-None-Match", get("Etag")),
        ]
    }

    pub(super) fn parse(raw: &[u8]) -> Self {
        let raw = String::from_utf8(raw.to_vec())
            .unwrap_or_else(|_| panic!("a head that is not UTF-8: {}", show(raw)));
        let mut lines = raw.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or_else(|| panic!("a malformed status line: {status_line:?}"));
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| {
                line.split_once(": ")
                    .unwrap_or_else(|| panic!("a malformed header line: {line:?}"))
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            raw: raw.clone(),
        }
    }

    pub(super) fn framing(&self) -> Framing {
        if self
            .get("Transfer-Encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            Framing::Chunked
        } else if let Some(length) = self.get("Content-Length") {
            Framing::Length(
                length
                    .parse()
                    .unwrap_or_else(|_| panic!("a malformed length: {self:?}")),
            )
        } else if matches!(self.status, 204 | 304) || self.status < 200 {
            Framing::Ended
        } else {
            Framing::UntilClose
        }
    }
}

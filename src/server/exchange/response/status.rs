//! HTTP status codes with nginx's reason phrases.

/// A status with nginx's reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// 101
    pub const SWITCHING_PROTOCOLS: Status = Status(101);
    /// 200
    pub const OK: Status = Status(200);
    /// 304
    pub const NOT_MODIFIED: Status = Status(304);
    /// 400
    pub const BAD_REQUEST: Status = Status(400);
    /// 403
    pub const FORBIDDEN: Status = Status(403);
    /// 404
    pub const NOT_FOUND: Status = Status(404);
    /// 405
    pub const NOT_ALLOWED: Status = Status(405);
    /// 500
    pub const INTERNAL: Status = Status(500);

    /// Returns the reason phrase of RFC 9110.
    #[must_use]
    pub fn standard_reason(self) -> &'static str {
        match self.0 {
            408 => "Request Timeout",
            _ => self.reason(),
        }
    }

    /// Returns the reason phrase; empty for statuses without one in nginx.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            204 => "No Content",
            206 => "Partial Content",
            301 => "Moved Permanently",
            302 => "Moved Temporarily",
            303 => "See Other",
            304 => "Not Modified",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Not Allowed",
            406 => "Not Acceptable",
            408 => "Request Time-out",
            409 => "Conflict",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Large",
            415 => "Unsupported Media Type",
            416 => "Requested Range Not Satisfiable",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            502 => "Bad Gateway",
            504 => "Gateway Time-out",
            507 => "Insufficient Storage",
            501 => "Not Implemented",
            503 => "Service Temporarily Unavailable",
            505 => "HTTP Version Not Supported",
            500 => "Internal Server Error",
            _ => "",
        }
    }
}

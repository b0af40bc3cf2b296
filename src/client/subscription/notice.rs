//! Conditions that a subscription reports besides messages and failures.

use std::fmt;
use std::time::Duration;

/// A condition that the user should know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The server has not responded for a while. It may have no message, or a proxy buffers its
    /// response.
    NoResponse {
        /// URL of the request.
        url: String,
        /// Time since the request.
        after: Duration,
    },
    /// It is unknown whether the server honours the start.
    UncertainStart {
        /// URL at which the counters of the channel were requested.
        url: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponse { url, after } => {
                let after = humantime::format_duration(*after);
                write!(
                    formatter,
                    "{url} has not responded for {after}; if a proxy buffers its responses, use \
                     --mode auto or lp"
                )
            }
            Self::UncertainStart { url } => write!(
                formatter,
                "the start may have no effect: {url} has no counters of the channel (see \
                 --pub-path), so the server may ignore the start if nchan_subscriber_first_message \
                 is 'newest'"
            ),
        }
    }
}

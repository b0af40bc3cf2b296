//! What a subscription tells its user besides messages and failures.

use std::fmt;
use std::time::Duration;

/// Something that the user may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The server has not answered for a while. It may have nothing to say, or a proxy holds its
    /// answer back.
    NoAnswer {
        /// What was asked for.
        url: String,
        /// For how long.
        after: Duration,
    },
    /// It is not known whether the server honours the start.
    UncertainStart {
        /// Where the channel's counters were looked for.
        url: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { url, after } => {
                let after = humantime::format_duration(*after);
                write!(
                    formatter,
                    "{url} has not answered for {after}; if a proxy buffers its responses, use \
                     --mode auto or lp"
                )
            }
            Self::UncertainStart { url } => write!(
                formatter,
                "the start may have no effect: {url} shows no counters of the channel (see \
                 --pub-path), so it is not known whether it \
                 has messages, and where nchan_subscriber_first_message is 'newest' only new ones \
                 come"
            ),
        }
    }
}

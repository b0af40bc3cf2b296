//! Exit codes, and the code of each error.

use std::io::ErrorKind;
use std::process::ExitCode;

use crate::client::Error;

/// Text of [`TABLE`]; a macro, so that commands can append it to their examples.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
    0  success, also when the reader of a pipe went away
    1  another failure
    2  wrong usage
    3  the server cannot be reached
    4  rejected (401, 403)
    5  not found (404)
    6  timed out
    7  another HTTP error, or an invalid response
    8  an assertion failed (--assert), or bench found messages lost, duplicated,
       reordered or damaged
    9  a message matched --fail-on, or a command of --exec failed
   10  messages were missed: the server dropped them before they were read
   11  a followed channel was deleted
   12  fewer subscribers than --require-subscribers
  130  interrupted"
    };
}
pub(crate) use exit_codes;

/// Table of the exit codes, for `pushctl --help` and the man page.
pub const TABLE: &str = exit_codes!();

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Success.
    Success = 0,
    /// Any other failure.
    Failure = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The server cannot be reached, or a connection broke and was not resumed.
    Unreachable = 3,
    /// 401 or 403.
    Refused = 4,
    /// 404.
    NotFound = 5,
    /// Timed out.
    TimedOut = 6,
    /// Any other HTTP error.
    Http = 7,
    /// `--assert` does not hold, or `bench` found messages lost, duplicated, reordered or damaged.
    Faulty = 8,
    /// A message matched `--fail-on`, or a command of `--exec` failed.
    Failed = 9,
    /// Messages were missed: the server had dropped them before they could be read.
    Gap = 10,
    /// A followed channel was deleted.
    Deleted = 11,
    /// Fewer subscribers than `--require-subscribers`.
    TooFewSubscribers = 12,
    /// Ended by a signal.
    Interrupted = 130,
}

/// All of them.
const ALL: [Code; 14] = {
    use Code::*;
    [
        Success,
        Failure,
        Usage,
        Unreachable,
        Refused,
        NotFound,
        TimedOut,
        Http,
        Faulty,
        Failed,
        Gap,
        Deleted,
        TooFewSubscribers,
        Interrupted,
    ]
};

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A usage error that clap cannot detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// A message was published to a channel with too few subscribers.
#[derive(Debug, thiserror::Error)]
#[error(
    "a channel has {found} subscribers, fewer than {wanted} (see --require-subscribers; the \
     message is published nevertheless)"
)]
pub struct TooFewSubscribers {
    /// Lowest number of subscribers of a channel.
    pub found: u64,
    /// Required number.
    pub wanted: u64,
}

/// Error of another process of this program: its message and exit code.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ExitInfo {
    /// Its exit code.
    pub code: u8,
    /// The message.
    pub text: String,
}

/// Exit code of an error: that of its first cause which has one.
#[must_use]
pub fn of(error: &anyhow::Error) -> Code {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return of_client(error);
        }
        if cause.is::<TooFewSubscribers>() {
            return Code::TooFewSubscribers;
        }
        if let Some(info) = cause.downcast_ref::<ExitInfo>() {
            return ALL
                .into_iter()
                .find(|code| *code as u8 == info.code)
                .unwrap_or(Code::Failure);
        }
        if cause.is::<Usage>() {
            return Code::Usage;
        }
        if cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
        {
            return Code::Success;
        }
    }
    Code::Failure
}

fn of_client(error: &Error) -> Code {
    match error {
        Error::Unreachable { .. }
        | Error::ProxyUnreachable { .. }
        | Error::Untrusted { .. }
        | Error::WrongScheme { .. }
        | Error::Broken { .. } => Code::Unreachable,
        Error::Status {
            status: 401 | 403, ..
        } => Code::Refused,
        Error::Status { status: 404, .. } | Error::NoChannel { .. } => Code::NotFound,
        Error::Status { .. }
        | Error::Moved { .. }
        | Error::Protocol { .. }
        | Error::TooLarge { .. } => Code::Http,
        Error::TimedOut { .. } | Error::Silent { .. } => Code::TimedOut,
        Error::Request(_) => Code::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table() {
        for code in ALL {
            let start = format!("{:>5}  ", code as u8);
            assert!(
                TABLE.lines().any(|line| line.starts_with(&start)),
                "{code:?}"
            );
        }
    }

    #[test]
    fn causes_are_found_below_their_context() {
        let error = anyhow::Error::new(Error::Request("x".to_owned())).context("cannot do it");
        assert_eq!(of(&error), Code::Usage);
        let pipe =
            anyhow::Error::new(std::io::Error::from(ErrorKind::BrokenPipe)).context("cannot write");
        assert_eq!(of(&pipe), Code::Success);
        assert_eq!(of(&anyhow::anyhow!("x")), Code::Failure);
    }
}

//! The end of a run: stop conditions, the clock and signals; and their exit codes.

use std::pin::Pin;
use std::time::Duration;

use parking_lot::Mutex;
use regex::bytes::Regex;

use super::cursor_file::format_position;
use super::options::StopOptions;
use crate::client::Message;
use crate::cmd::exit::Code;
use crate::cmd::output::note;

/// Reason why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The number of messages of `--count`.
    Count,
    /// A message matched `--until`.
    Until,
    /// A message matched `--fail-on`.
    FailOn,
    /// Messages were missed, with `--fail-on-gap`.
    Gap,
    /// The last channel was deleted.
    Deleted,
    /// No message for the time of `--idle-timeout`.
    Idle,
    /// The time of `--timeout` is over.
    TimedOut,
    /// The reader of standard output has closed it.
    Unread,
    /// A signal.
    Interrupted,
    /// A command failed, with `--ack-on-success`.
    CommandFailed,
}

/// Completes when the deadline or a signal ends the run.
pub(super) type Stop<'a> = Pin<Box<dyn Future<Output = anyhow::Result<End>> + 'a>>;

/// Stop conditions on messages.
pub(super) struct Watch {
    missing: Option<u64>,
    until: Option<Regex>,
    fail_on: Option<Regex>,
}

impl Watch {
    pub(super) fn new(args: &StopOptions) -> Self {
        Self {
            missing: args.count,
            until: args.until.clone(),
            fail_on: args.fail_on.clone(),
        }
    }

    /// Checks a message. Returns the reason if it is the last one.
    pub(super) fn check(&mut self, message: &Message) -> Option<End> {
        self.missing = self.missing.map(|missing| missing.saturating_sub(1));
        let matches = |pattern: &Option<Regex>| {
            pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_match(&message.text))
        };
        if matches(&self.fail_on) {
            return Some(End::FailOn);
        }
        if matches(&self.until) {
            return Some(End::Until);
        }
        (self.missing == Some(0)).then_some(End::Count)
    }

    /// Reports an end that is not obvious, and returns the exit code.
    pub(super) fn conclude(&self, args: &StopOptions, end: End, tally: &HandledTally) -> Code {
        let open = match (self.missing.filter(|missing| *missing > 0), &self.until) {
            (Some(missing), _) => Some(format!(
                "{missing} {} before --count",
                if missing == 1 { "message" } else { "messages" }
            )),
            (None, Some(_)) => Some("before a message matched --until".to_owned()),
            (None, None) => None,
        };
        match end {
            End::Count if self.until.is_some() => {
                note("no message matched --until before --count was reached");
                Code::TimedOut
            }
            End::Count | End::Until | End::Unread => Code::Success,
            End::FailOn => {
                note("a message matched --fail-on");
                Code::Failed
            }
            End::CommandFailed => Code::Failed,
            End::Gap => Code::Gap,
            End::Deleted => {
                if let Some(open) = &open {
                    note(format_args!("the last channel was deleted {open}"));
                }
                if args.deleted_ok && open.is_none() {
                    Code::Success
                } else {
                    Code::Deleted
                }
            }
            End::Idle | End::TimedOut => {
                if open.is_none() {
                    return Code::Success;
                }
                let wanted = match (args.count, self.missing) {
                    (Some(count), Some(missing)) => format!(
                        "received {} of {count} messages (--count)",
                        count.saturating_sub(missing)
                    ),
                    _ => "no message matched --until".to_owned(),
                };
                let time =
                    |time: Option<Duration>| humantime::format_duration(time.unwrap_or_default());
                if end == End::Idle {
                    note(format_args!(
                        "{wanted}: none arrived for {}",
                        time(args.idle_timeout)
                    ));
                } else {
                    note(format_args!("{wanted} within {}", time(args.timeout)));
                }
                Code::TimedOut
            }
            End::Interrupted => {
                note(tally);
                Code::Interrupted
            }
        }
    }
}

/// Handled messages.
#[derive(Debug, Default)]
pub(super) struct HandledTally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    messages: u64,
    position: Option<ResumePoint>,
}

/// Position at which another run can resume without a gap.
#[derive(Debug)]
enum ResumePoint {
    /// The last message: they are handled in order.
    Last(String),
    /// The last message before the oldest unfinished one.
    AllDone(String),
}

impl HandledTally {
    /// Adds messages, and the position of the last one if it is known.
    pub(super) fn add(&self, count: u64, last: Option<String>) {
        let mut tally = self.0.lock();
        tally.messages += count;
        tally.position = last.map(ResumePoint::Last).or(tally.position.take());
    }

    /// Records the position up to which all messages are finished, if they are handled out of
    /// order.
    pub(super) fn all_done_to(&self, position: Option<String>) {
        self.0.lock().position = position.map(ResumePoint::AllDone);
    }
}

/// Position of a message in the format of `--since`.
pub(super) fn position_of(message: &Message) -> Option<String> {
    message.position().map(format_position)
}

impl std::fmt::Display for HandledTally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counted { messages, position } = &*self.0.lock();
        write!(
            formatter,
            "interrupted after {messages} {}",
            if *messages == 1 {
                "message"
            } else {
                "messages"
            }
        )?;
        match position {
            Some(ResumePoint::Last(position)) => write!(
                formatter,
                ", the last at {position} (resume with --since {position})"
            ),
            Some(ResumePoint::AllDone(position)) => write!(
                formatter,
                ", all up to {position} (resume with --since {position})"
            ),
            None => Ok(()),
        }
    }
}

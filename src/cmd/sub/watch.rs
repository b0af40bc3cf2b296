//! What ends a run: conditions on messages, the clock and the user; and the exit codes of these
//! ends.

use std::pin::Pin;
use std::time::Duration;

use parking_lot::Mutex;
use regex::bytes::Regex;

use super::cursor_file::place;
use super::options::StopOptions;
use crate::client::Message;
use crate::cmd::exit::Code;
use crate::cmd::output::note;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As many messages as asked for.
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
    /// The reader of standard output has gone.
    Unread,
    /// A signal.
    Interrupted,
    /// A command failed, with `--ack-on-success`.
    CommandFailed,
}

/// What comes from outside to end a run.
pub(super) type Stop<'a> = Pin<Box<dyn Future<Output = anyhow::Result<End>> + 'a>>;

/// The conditions on messages.
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

    /// Counts a message; tells if it is the last.
    pub(super) fn see(&mut self, message: &Message) -> Option<End> {
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

    /// Tells the user why the run ended, where that is not plain, and returns the exit code.
    pub(super) fn conclude(&self, args: &StopOptions, end: End, tally: &Tally) -> Code {
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
                        "{wanted}: none came for {}",
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

/// What was dealt with.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    messages: u64,
    place: Option<Place>,
}

/// From where another run may go on without missing anything.
#[derive(Debug)]
enum Place {
    /// The last message, since they are dealt with in order.
    Last(String),
    /// The last message before the oldest that is not done.
    AllDone(String),
}

impl Tally {
    /// Adds messages and where the last of them stands, if that is known.
    pub(super) fn add(&self, count: u64, last: Option<String>) {
        let mut tally = self.0.lock();
        tally.messages += count;
        tally.place = last.map(Place::Last).or(tally.place.take());
    }

    /// Notes the message up to which all are done, where they are not dealt with in order.
    pub(super) fn all_done_to(&self, place: Option<String>) {
        self.0.lock().place = place.map(Place::AllDone);
    }
}

/// Where a message stands, as `--since` takes it.
pub(super) fn place_of(message: &Message) -> Option<String> {
    message.position().map(place)
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counted { messages, place } = &*self.0.lock();
        write!(
            formatter,
            "interrupted after {messages} {}",
            if *messages == 1 {
                "message"
            } else {
                "messages"
            }
        )?;
        match place {
            Some(Place::Last(place)) => write!(
                formatter,
                ", the last at {place} (--since {place} goes on there)"
            ),
            Some(Place::AllDone(place)) => write!(
                formatter,
                ", all up to {place} (--since {place} goes on there)"
            ),
            None => Ok(()),
        }
    }
}

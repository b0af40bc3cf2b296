//! Which channels are followed, in which modes, and from where: the arguments of `sub` as the
//! client wants them. Pure.

use crate::client::endpoint::split_backtrack;
use crate::client::mode::Mode;
use crate::client::subscription::{FollowedChannel, SubscriptionStart};
use crate::cmd::args;
use crate::cmd::exit::Usage;
use crate::message::Position;

/// A delivery mode, or the first one that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ModeChoice {
    /// The first of ws, ev and lp that works
    Auto,
    /// Long-polling: one request per batch of messages
    Lp,
    /// WebSocket
    Ws,
    /// EventSource (server-sent events)
    Ev,
    /// One continuous HTTP response
    Stream,
    /// Polling: a request per --interval
    Poll,
}

impl From<Mode> for ModeChoice {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Lp => Self::Lp,
            Mode::Ws => Self::Ws,
            Mode::Ev => Self::Ev,
            Mode::Stream => Self::Stream,
            Mode::Poll => Self::Poll,
        }
    }
}

impl ModeChoice {
    fn modes(self) -> &'static [Mode] {
        match self {
            Self::Auto => &[Mode::Ws, Mode::Ev, Mode::Lp],
            Self::Lp => &[Mode::Lp],
            Self::Ws => &[Mode::Ws],
            Self::Ev => &[Mode::Ev],
            Self::Stream => &[Mode::Stream],
            Self::Poll => &[Mode::Poll],
        }
    }
}

/// The modes to try, each once, in this order.
pub(super) fn modes(first: ModeChoice, fallback: &[ModeChoice]) -> Vec<Mode> {
    let mut modes = Vec::new();
    for mode in std::iter::once(&first)
        .chain(fallback)
        .flat_map(|choice| choice.modes())
    {
        if !modes.contains(mode) {
            modes.push(*mode);
        }
    }
    modes
}

/// A value of `--since`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// `-N`: the last N messages of each channel.
    Last(u64),
    /// Anything else.
    Start(SubscriptionStart),
}

const SINCE_FORMS: &str = "write now, all, -10, 5m, 2026-11-21T08:00:00Z, an HTTP date, unix \
                           seconds, TIME:TAG such as 1795248000:3, or id:EVENT-ID";

/// Parses a value of `--since`.
///
/// # Errors
/// The reason why it is invalid.
pub(super) fn since(text: &str) -> Result<Since, String> {
    since_at(text, crate::message::unix_now())
}

fn since_at(text: &str, now: u64) -> Result<Since, String> {
    let refuse = || format!("not a start position ({SINCE_FORMS})");
    let start = match text {
        "now" => SubscriptionStart::New,
        // Some servers do not accept second 0.
        "all" => SubscriptionStart::Since(1),
        _ => {
            if let Some(event_id) = text.strip_prefix("id:") {
                return if event_id.is_empty() {
                    Err("the event id is empty".to_owned())
                } else {
                    Ok(Since::Start(SubscriptionStart::AfterEvent(
                        event_id.to_owned(),
                    )))
                };
            }
            if let Some(count) = text.strip_prefix('-') {
                return count
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .map(Since::Last)
                    .ok_or_else(refuse);
            }
            if let Some(time) = clock_time(text) {
                return Err(format!(
                    "'{time}' is not a full time (add a date: 2026-11-21T{time}Z; TIME:TAG has \
                     unix seconds)"
                ));
            }
            match position(text, now) {
                Some(position) => SubscriptionStart::After(position),
                None => SubscriptionStart::Since(args::since(text, now).map_err(|_| refuse())?),
            }
        }
    };
    Ok(Since::Start(start))
}

/// Parses `TIME:TAG`. The minutes and seconds of a time without zone are not a tag.
fn position(text: &str, now: u64) -> Option<Position> {
    let (time, tag) = text.rsplit_once(':')?;
    if !(time.ends_with('Z')
        || time.ends_with("GMT")
        || time.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return None;
    }
    Some(Position::new(
        args::since(time, now).ok()?,
        tag.parse().ok()?,
    ))
}

/// Minimum time of a `TIME:TAG`: 1973, long before any server.
const FIRST_TIME: u64 = 100_000_000;

/// A time of day that looks like `TIME:TAG`.
fn clock_time(text: &str) -> Option<&str> {
    let time = text.split(':').next()?.parse::<u64>().ok()?;
    (text.contains(':') && time < FIRST_TIME).then_some(text)
}

/// The channels without duplicates, which would deliver every message twice. A backlog in the
/// syntax of the module (`news.b5`) is parsed, unless the server has none (`is_bare`).
pub(super) fn channels(
    names: &[String],
    backlog: Option<u64>,
    is_unframed: bool,
) -> Result<Vec<FollowedChannel>, Usage> {
    let mut channels: Vec<FollowedChannel> = Vec::new();
    for name in names.iter().flat_map(|name| name.split('/')) {
        let (id, own) = if is_unframed {
            (name, None)
        } else {
            split_backtrack(name)
        };
        if id.is_empty() {
            return Err(Usage(format!(
                "cannot follow '{}': a channel id is empty",
                names.join(" ")
            )));
        }
        if !channels.iter().any(|channel| channel.id == id) {
            channels.push(FollowedChannel {
                id: id.to_owned(),
                backlog: own.or(backlog),
            });
        }
    }
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_followed_once_and_backtracks_are_understood() {
        let names = [
            "a/b".to_owned(),
            "b".to_owned(),
            "c.b3".to_owned(),
            "d.b".to_owned(),
        ];
        let channels = channels(&names, Some(1), false).expect("good names");
        let found: Vec<_> = channels
            .iter()
            .map(|channel| (channel.id.as_str(), channel.backlog))
            .collect();
        assert_eq!(
            found,
            [
                ("a", Some(1)),
                ("b", Some(1)),
                ("c", Some(3)),
                ("d.b", Some(1))
            ]
        );
        assert!(super::channels(&["a//b".to_owned()], None, false).is_err());
    }

    #[test]
    fn modes_are_tried_once_each() {
        assert_eq!(
            modes(
                ModeChoice::Ws,
                &[ModeChoice::Ev, ModeChoice::Ws, ModeChoice::Lp]
            ),
            [Mode::Ws, Mode::Ev, Mode::Lp]
        );
        assert_eq!(
            modes(ModeChoice::Auto, &[ModeChoice::Poll]),
            [Mode::Ws, Mode::Ev, Mode::Lp, Mode::Poll]
        );
    }

    #[test]
    fn places_to_start_are_read_in_all_forms() {
        for (text, start) in [
            ("now", SubscriptionStart::New),
            ("all", SubscriptionStart::Since(1)),
            ("5m", SubscriptionStart::Since(700)),
            ("784111777", SubscriptionStart::Since(784_111_777)),
            ("1994-11-06 08:49:37", SubscriptionStart::Since(784_111_777)),
            (
                "784111777:3",
                SubscriptionStart::After(Position::new(784_111_777, 3)),
            ),
            (
                "1994-11-06T08:49:37Z:4",
                SubscriptionStart::After(Position::new(784_111_777, 4)),
            ),
            (
                "Sun, 06 Nov 1994 08:49:37 GMT:5",
                SubscriptionStart::After(Position::new(784_111_777, 5)),
            ),
            ("id:x y", SubscriptionStart::AfterEvent("x y".to_owned())),
        ] {
            assert_eq!(since_at(text, 1000), Ok(Since::Start(start)), "{text}");
        }
        assert_eq!(since_at("-10", 0), Ok(Since::Last(10)));
        for text in [
            "",
            "yesterday",
            "-0",
            "-x",
            "id:",
            "5:x",
            ":",
            "x:1",
            "12:00",
            "12:00:00",
            "99999999:1",
        ] {
            assert!(since_at(text, 0).is_err(), "{text}");
        }
    }
}

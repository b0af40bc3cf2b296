//! Options of `sub`, by subject.

use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use super::start::{self, ModeChoice, Since};
use super::template::MessageTemplate;
use crate::cmd::args;

/// Where a run starts, and where the next one resumes.
#[derive(Debug, clap::Args)]
pub(super) struct StartOptions {
    /// Start at: now, all, -N, 5m (ago), a time, ... [default: now]
    ///
    /// Forms: now, all, -N, 5m (ago), a time, TIME:TAG and id:EVENT-ID. -N starts with the last N
    /// stored messages of each channel. A time is RFC 3339 (UTC without a
    /// zone; a date alone means its first second), an HTTP date or unix seconds. TIME:TAG starts
    /// after the message with that time and tag, id:EVENT-ID after the one with that event id.
    #[arg(
        short,
        long,
        value_name = "START",
        value_parser = start::since,
        allow_hyphen_values = true
    )]
    pub(super) since: Option<Since>,
    /// Start with the last N stored messages of each channel
    #[arg(
        short,
        long,
        value_name = "N",
        conflicts_with = "since",
        hide_short_help = true
    )]
    pub(super) backlog: Option<u64>,
    /// Save the position in FILE, and resume from it
    ///
    /// FILE is replaced atomically after standard output has accepted a message (or its command has
    /// ended), and holds the position in every channel: the next run resumes exactly there, in any
    /// mode. The starting position is saved as soon as it is known, so that a run without messages
    /// loses none. --since and --backlog apply only if FILE does not exist. FILE is for one run at
    /// a time (FILE.lock guards it and is not removed), and for the same server and channels only.
    /// If FILE is a link, its target is replaced; FILE.tmp and FILE.lock must not be links.
    #[arg(long, value_name = "FILE")]
    pub(super) cursor_file: Option<PathBuf>,
    /// Do not sync the cursor file to disk: a power failure may damage it
    #[arg(long, requires = "cursor_file", hide_short_help = true)]
    pub(super) no_fsync: bool,
}

/// How messages are printed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output and commands")]
pub(super) struct OutputOptions {
    /// Print each message as a line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print each message in this format
    ///
    /// Such as '{time} {channel}: {text}'. Fields: {channel} {text} {time} (HTTP date) {unix}
    /// (seconds) {tag} {cursor} (unix:tag, for --since) {id} {event_id} {event_type} {size} {json};
    /// a field that the server does not send is empty. Escapes: {{ }} \n \t \r \0 \e \\ \xHH. A
    /// line break follows, unless FORMAT ends in \c.
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = MessageTemplate::parse,
        conflicts_with_all = ["json", "raw"]
    )]
    pub(super) template: Option<MessageTemplate>,
    /// Print the bytes of the messages only, without line breaks and escapes
    ///
    /// Control characters are not escaped on a terminal.
    #[arg(long, conflicts_with = "json", hide_short_help = true)]
    pub(super) raw: bool,
    /// Format of the output [default: text]
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORM",
        conflicts_with_all = ["json", "raw"],
        hide_short_help = true
    )]
    pub(super) output: Option<OutputForm>,
}

/// Format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputForm {
    /// The text of the message and a line break
    Text,
    /// All fields, as one line of JSON
    Json,
    /// The format of --template
    Template,
}

/// The command to run for each message.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output and commands")]
pub(super) struct ExecOptions {
    /// Run a shell command for each message
    ///
    /// The message is not printed. 'sh -c' runs the command, with the message on standard input and
    /// its fields in the environment: PUSHCTL_CHANNEL, _ID, _TIME (HTTP date), _UNIX, _TAG,
    /// _CURSOR, _EVENT_ID, _EVENT_TYPE. PUSHCTL_TOKEN and the user and password of PUSHCTL_URL are
    /// not passed to it. If a command fails, the exit code of the run is 9.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["json", "raw", "template", "output"])]
    pub(super) exec: Option<String>,
    /// Number of commands that run concurrently
    #[arg(
        long,
        value_name = "N",
        requires = "exec",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=1000),
        hide_short_help = true
    )]
    pub(super) jobs: u16,
    /// Stop at the first command that fails, with the cursor before its message
    ///
    /// With several jobs the cursor is the position of the oldest unfinished message, so that later
    /// messages that were finished are repeated in the next run.
    #[arg(
        long,
        requires = "exec",
        requires = "cursor_file",
        hide_short_help = true
    )]
    pub(super) ack_on_success: bool,
}

/// What ends the run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Stop conditions")]
pub(super) struct StopOptions {
    /// Stop after N messages
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Stop after a message that matches
    ///
    /// With --count, the exit code is 6 if none of the N messages matches.
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub(super) until: Option<Regex>,
    /// Stop after a message that matches, with exit code 9
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub(super) fail_on: Option<Regex>,
    /// Stop after this time
    ///
    /// Exit code 0; 6 if --count or --until is given and not met.
    #[arg(short, long, value_name = "DURATION", value_parser = args::duration)]
    pub(super) timeout: Option<Duration>,
    /// Stop after this time without a message, with the exit code of --timeout
    #[arg(long, value_name = "DURATION", value_parser = args::duration, hide_short_help = true)]
    pub(super) idle_timeout: Option<Duration>,
    /// Stop when messages were missed, with exit code 10
    #[arg(long, hide_short_help = true)]
    pub(super) fail_on_gap: bool,
    /// Exit with 0 instead of 11 when the last channel is deleted
    #[arg(long, hide_short_help = true)]
    pub(super) deleted_ok: bool,
}

/// How messages are delivered, and when connections are resumed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct DeliveryOptions {
    /// Modes to try in turn if --mode does not work
    ///
    /// The next mode is used when the server or a proxy rejects a mode or holds back its data (see
    /// --silence-timeout), or when it fails three times in a row without a message. No message is
    /// lost or repeated. 401 and 403 end the run in any mode.
    #[arg(
        long,
        value_name = "MODE,...",
        value_enum,
        value_delimiter = ',',
        hide_short_help = true
    )]
    pub(super) fallback: Vec<ModeChoice>,
    /// Give up after N failed attempts in a row
    ///
    /// The default is 0 before the first connection and forever after it. Statuses 401, 403, 404
    /// and most others from 400 to 499 are never retried.
    #[arg(
        long,
        alias = "retries",
        value_name = "N|forever",
        value_parser = retries,
        hide_short_help = true
    )]
    pub(super) retry: Option<u32>,
    /// Reconnect after this time without data, not even a ping; 0: never
    ///
    /// For the modes ev, ws and stream. The connection resumes after the last message. The default
    /// is two and a half times the ping interval of the server, once two pings came in a row, and
    /// never for a server without pings. While another mode is left to try (--mode auto,
    /// --fallback), a mode is also given up after 15s without any data: a proxy that buffers
    /// responses holds back streams.
    #[arg(long, value_name = "DURATION", value_parser = args::duration, hide_short_help = true)]
    pub(super) silence_timeout: Option<Duration>,
    /// Interval between two requests of mode poll, at least 100ms
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1s",
        value_parser = args::interval,
        hide_short_help = true
    )]
    pub(super) interval: Duration,
    /// Maximum size of a message, and of a response in the modes lp and poll
    ///
    /// A larger one ends the run with exit code 7.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64m",
        value_parser = args::size::<usize>,
        hide_short_help = true
    )]
    pub(super) max_message_size: usize,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

fn retries(text: &str) -> Result<u32, String> {
    if text == "forever" {
        return Ok(u32::MAX);
    }
    text.parse()
        .map_err(|_| "expected a number or 'forever'".to_owned())
}

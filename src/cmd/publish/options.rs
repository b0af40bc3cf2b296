//! Options of `pub` about many messages.

use clap::builder::RangedU64ValueParser;

/// Options about many messages.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Many messages")]
pub(super) struct ManyOptions {
    /// Publish each line as a message
    ///
    /// Empty lines are skipped, and a CR before the line break is removed. With plain HTTP, all
    /// requests share one connection and are pipelined; with HTTPS or a proxy, each request waits
    /// for its response. The first rejection stops the run, which reports the acknowledged
    /// messages.
    #[arg(short, long)]
    pub(super) lines: bool,
    /// Publish each line as a JSON object
    ///
    /// Keys: "text" or "base64" (required), "channel", "event_id", "event_type". CHANNEL and the
    /// options replace missing keys. Lines of 'pushctl sub --json' are accepted, too. Otherwise
    /// like --lines.
    #[arg(long, conflicts_with = "lines")]
    pub(super) ndjson: bool,
    /// Publish everything N times
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(super) repeat: u64,
    /// Maximum rate: 100/s, 5/m or 3/h [default: unlimited]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Replace {number}, {time}, {random} and the like
    ///
    /// Applies to texts, channels and the event id. {number} is the number of the message or line,
    /// {number:6} has at least 6 digits, {number%10} is the remainder; {time} is the time (RFC
    /// 3339), {ms} in milliseconds since 1970; {random} is 16 letters and digits, {random:100} is
    /// 100. Other braces are kept.
    #[arg(long)]
    pub(super) template: bool,
    /// Continue after a rejection
    ///
    /// All rejections are counted, and the exit code is that of the first.
    #[arg(long, hide_short_help = true)]
    pub(super) keep_going: bool,
    /// Resend unanswered messages after a connection broke
    ///
    /// A message may then be published twice.
    #[arg(long, hide_short_help = true)]
    pub(super) retry_unanswered: bool,
    /// Maximum number of pipelined requests
    #[arg(
        long,
        value_name = "N",
        default_value = "512",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=65_536),
        hide_short_help = true
    )]
    pub(super) in_flight: usize,
}

/// Parses `100`, `100/s`, `5/m` or `3/h` into messages per second.
fn rate(text: &str) -> Result<f64, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write for example 100/s, 5/m or 3/h".to_owned()),
    };
    match number.parse::<f64>() {
        // The minimum is one message per day.
        Ok(number) if number / seconds >= 1.0 / 86_400.0 && number / seconds <= 1e9 => {
            Ok(number / seconds)
        }
        _ => Err(
            "not a number of messages per second (write for example 100/s, 5/m or 3/h)".to_owned(),
        ),
    }
}

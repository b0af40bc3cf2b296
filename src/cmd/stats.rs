//! `pushctl stats`: the counters of a server or of channels.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exit::{Code, exit_codes};
use super::table::Table;
use super::{args, output};
use crate::client::Error;
use crate::client::error::shown;
use crate::client::statistics::{self, ChannelInfo, Report, Summary};

macro_rules! examples {
    () => {
        "Examples:\n  pushctl stats\n  pushctl stats 'news*' --watch=1s\n  pushctl stats ALL --json | jq .infos[].subscribers"
    };
}

/// Arguments of `stats`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples!(),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channel, `prefix*`, or ALL; the whole server if absent
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with '=')
    ///
    /// The shortest interval is 100ms. When the server cannot be reached any more, that is told and tried again.
    #[arg(short, long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_parser = args::interval)]
    watch: Option<Duration>,
    /// Time to wait for the answer; with --watch, the time after which to stop
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Print the server's own JSON on one line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) server: args::Server,
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks and prints.
///
/// # Errors
/// When there is no answer, or no such channel.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    let endpoints = args.server.endpoints(url)?;
    let client = args.server.client()?;
    let url = endpoints.statistics(args.channel.as_deref())?;
    let stdout = output::Stdout::start()?;
    let start = Instant::now();
    let mut has_shown = false;
    loop {
        let left = args.timeout.map_or(DEFAULT_TIMEOUT, |timeout| match args.watch {
            Some(_) => timeout.saturating_sub(start.elapsed()).min(DEFAULT_TIMEOUT),
            None => timeout,
        });
        match statistics::fetch(&client, &url, left).await.and_then(|body| render(&body, &args, &url)) {
            Ok(text) => {
                // Home and clear: the table stays in place.
                let clears = args.watch.is_some() && !args.json && std::io::stdout().is_terminal();
                stdout.text(&[if clears { b"\x1b[H\x1b[2J".as_slice() } else { b"" }, &text].concat()).await?;
                has_shown = true;
            }
            // A server that comes back is watched on.
            Err(error) if has_shown => output::note(error),
            Err(error) => return Err(explained(error, &args)),
        }
        match args.watch {
            Some(interval) if args.timeout.is_none_or(|timeout| start.elapsed() + interval < timeout) => sleep(interval).await,
            _ => return Ok(Code::Success),
        }
    }
}

/// `--watch 1s` is easily written for `--watch=1s`; then the interval is a channel that nobody knows.
fn explained(error: Error, args: &Args) -> anyhow::Error {
    match &args.channel {
        Some(channel) if args.watch.is_some() && args::duration(channel).is_ok() && matches!(error, Error::Status { status: 404, .. }) => {
            anyhow::Error::new(error).context(format!("'{channel}' was taken for a channel (an interval is written --watch={channel})"))
        }
        _ => error.into(),
    }
}

fn render(body: &[u8], args: &Args, url: &reqwest::Url) -> Result<Vec<u8>, Error> {
    let strange = || Error::Protocol { url: shown(url), reason: "it is no JSON of channel statistics".to_owned() };
    if args.json {
        let mut line = statistics::one_line(body).ok_or_else(strange)?;
        line.push(b'\n');
        return Ok(line);
    }
    Ok(match Report::from_json(body).ok_or_else(strange)? {
        Report::Summary(summary) => describe_summary(&summary).into_bytes(),
        Report::Channels(infos) => describe_channels(&infos).into_bytes(),
    })
}

fn describe_channels(infos: &[ChannelInfo]) -> String {
    let mut table = Table::new(&["channel", "published", "stored", "subscribers"]);
    for info in infos {
        table.row(&[
            info.channel.clone(),
            info.published_messages.to_string(),
            info.stored_messages.to_string(),
            info.subscribers.to_string(),
        ]);
    }
    table.render()
}

fn describe_summary(summary: &Summary) -> String {
    let mut table = Table::default();
    let rows = [
        ("hostname", summary.hostname.clone()),
        ("time", summary.time.clone()),
        ("uptime", uptime(summary.uptime)),
        ("channels", summary.channels.to_string()),
        ("wildcard channels", summary.wildcard_channels.to_string()),
        ("subscribers", summary.subscribers.to_string()),
        ("published messages", summary.published_messages.to_string()),
        ("stored messages", summary.stored_messages.to_string()),
        ("messages in trash", summary.messages_in_trash.to_string()),
        ("channels in delete", summary.channels_in_delete.to_string()),
        ("channels in trash", summary.channels_in_trash.to_string()),
    ];
    for (name, value) in rows {
        table.row(&[name.to_owned(), value]);
    }
    let mut text = table.render();
    if !summary.by_worker.is_empty() {
        let mut workers = Table::new(&["worker", "subscribers", "uptime"]);
        for worker in &summary.by_worker {
            workers.row(&[worker.pid.clone(), worker.subscribers.to_string(), uptime(worker.uptime)]);
        }
        text.push('\n');
        text.push_str(&workers.render());
    }
    text
}

fn uptime(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

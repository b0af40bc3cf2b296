//! `pushctl stats`: the counters of a server or of channels.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exit::Code;
use super::table::Table;
use super::{args, output};
use crate::client::Error;
use crate::client::statistics::{self, ChannelInfo, Report, Summary};

/// Arguments of `stats`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pushctl stats\n  pushctl stats 'news*' --watch=1s\n  pushctl stats ALL --json | jq .infos[].subscribers"
)]
pub struct Args {
    /// Channel, `prefix*`, or ALL; the whole server if absent
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// Show it again and again, until interrupted or for the time of --timeout
    #[arg(short, long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_parser = args::duration)]
    watch: Option<Duration>,
    /// Time to wait for the answer; with --watch, the time after which to stop
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Print the server's own JSON on one line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: args::Server,
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
    let start = Instant::now();
    let Some(interval) = args.watch else {
        let body = statistics::fetch(&client, &url, args.timeout.unwrap_or(DEFAULT_TIMEOUT)).await?;
        show(&body, &args, &url)?;
        return Ok(Code::Success);
    };
    let is_over = |ahead| args.timeout.is_some_and(|timeout| start.elapsed() + ahead >= timeout);
    loop {
        let body = statistics::fetch(&client, &url, DEFAULT_TIMEOUT).await?;
        if std::io::stdout().is_terminal() && !args.json {
            // Home and clear: the table stays in place.
            output::text(b"\x1b[H\x1b[2J")?;
        }
        show(&body, &args, &url)?;
        if is_over(interval) {
            return Ok(Code::Success);
        }
        sleep(interval).await;
    }
}

fn show(body: &[u8], args: &Args, url: &reqwest::Url) -> anyhow::Result<()> {
    if args.json {
        output::line(&statistics::one_line(body))?;
        return Ok(());
    }
    let text = match Report::from_json(body) {
        Some(Report::Summary(summary)) => describe_summary(&summary),
        Some(Report::Channels(infos)) => describe_channels(&infos),
        None => {
            return Err(Error::Protocol {
                url: url.to_string(),
                reason: "it is no JSON of channel statistics (see it with --json)".to_owned(),
            }
            .into());
        }
    };
    output::text(text.as_bytes())?;
    Ok(())
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

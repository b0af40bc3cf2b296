//! `pushctl stats`: counters of a server or of channels.
//!
//! `select` sorts and filters channels, `show` formats tables, `check` evaluates `--assert`, `diff`
//! compares two saved responses, `watch` is the full-screen view.

mod check;
mod counter_source;
mod diff;
mod select;
mod show;
mod watch;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::counter_source::{CounterSource, DEFAULT_TIMEOUT};
use self::select::Selection;
use super::assertion::{self, Conditions};
use super::exit::{Code, exit_codes};
use super::{args, output};
use crate::client::Error;
use crate::client::statistics::{self, ChannelInfo, Report};

macro_rules! examples {
    () => {
        "Examples:
  pushctl stats
  pushctl stats --sort subscribers --top 10
  pushctl stats 'news*' --watch=1s
  pushctl stats ch1 --assert 'subscribers>=1,stored=0'
  pushctl stats ALL --json | jq .infos[].subscribers
  pushctl stats --diff before.json after.json    # saved with: stats --json"
    };
}

/// Arguments of `stats`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", args::more_options!()),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channel, `prefix*`, or ALL; the whole server if absent
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// Repeat at this interval until interrupted or until --timeout (as --watch=1s, with '=')
    ///
    /// On a terminal this is a full-screen view with rates and the top channels (press ? for the
    /// keys); otherwise, and with --json, the counters are printed repeatedly. The shortest
    /// interval is 100ms. If the server becomes unreachable, this is reported and the request is
    /// retried.
    #[arg(
        short,
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = args::interval
    )]
    watch: Option<Duration>,
    /// Time limit for the response [default: 30s]; with --watch, time after which to stop
    /// [default: none]
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Print the server's own JSON on one line
    #[arg(long)]
    json: bool,
    /// Compare two saved results of --json (the last lines of the files)
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        conflicts_with_all = ["channel", "watch", "assert"]
    )]
    diff: Option<Vec<PathBuf>>,
    /// Exit with 8 unless these conditions hold (a comma means 'and')
    ///
    /// The values that violate a condition are reported. With several channels, the conditions
    /// must hold for each selected one. Fields are those of --json; published and stored are short
    /// for published_messages and stored_messages. A channel that does not exist has zeros.
    #[arg(
        long,
        value_name = "CONDITIONS",
        value_parser = assertion::parse,
        conflicts_with = "watch"
    )]
    assert: Option<Conditions>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    pub(super) server: args::ServerOptions,
}

/// Requests and prints the counters.
///
/// # Errors
/// Returns an error if there is no response, or the channel does not exist.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    if let Some([old, new]) = args.diff.as_deref() {
        return diff::run(old, new, &args.selection, args.json);
    }
    // Sorting and filtering imply channels.
    let channel = args
        .channel
        .clone()
        .or_else(|| args.selection.is_given().then(|| "ALL".to_owned()));
    let source = CounterSource {
        client: args.server.client()?,
        endpoints: args.server.endpoints(url)?,
        channel,
    };
    match args.watch {
        Some(interval) if !args.json && has_screen() => {
            let settings = watch::WatchSettings {
                interval,
                selection: args.selection.clone(),
                timeout: args.timeout,
            };
            watch::run(source, settings)
                .await
                .map_err(|error| explained(error, &args))
        }
        Some(interval) => repeat(&source, &args, interval).await,
        None => once(&source, &args).await,
    }
}

/// True if a full-screen view is possible.
fn has_screen() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !output::is_dumb()
}

async fn once(source: &CounterSource, args: &Args) -> anyhow::Result<Code> {
    let request = async {
        let response = source
            .request(args.timeout.unwrap_or(DEFAULT_TIMEOUT))
            .await?;
        let report = response.report()?;
        Ok((
            render(&response.body, &report, args).ok_or_else(|| response.unreadable())?,
            report,
        ))
    };
    let (text, report) = match (request.await, &args.channel) {
        // An unused channel has counters of 0, as for `wait`.
        (
            Err(Error::NoChannel {
                hides_published, ..
            }),
            Some(channel),
        ) if args.assert.is_some() => {
            output::note(format_args!(
                "channel '{channel}' does not exist, so all its counters are 0"
            ));
            let info = ChannelInfo {
                channel: channel.clone(),
                hides_published,
                ..ChannelInfo::default()
            };
            (Vec::new(), Report::Channels(vec![info]))
        }
        (result, _) => result.map_err(|error: Error| explained(error.into(), args))?,
    };
    let failures = args.assert.as_ref().map_or(Ok(Vec::new()), |conditions| {
        check::failures(conditions, &report, &args.selection)
    })?;
    output::Stdout::start()?.text(&text).await?;
    for failure in &failures {
        output::note(format_args!("assertion failed: {failure}"));
    }
    Ok(if failures.is_empty() {
        Code::Success
    } else {
        Code::Faulty
    })
}

/// Prints the counters repeatedly, for files and pipes.
async fn repeat(source: &CounterSource, args: &Args, interval: Duration) -> anyhow::Result<Code> {
    let stdout = output::Stdout::start()?;
    let start = Instant::now();
    let mut has_shown = false;
    loop {
        let left = args.timeout.map_or(DEFAULT_TIMEOUT, |timeout| {
            timeout.saturating_sub(start.elapsed()).min(DEFAULT_TIMEOUT)
        });
        let rendered = source.request(left).await.and_then(|response| {
            let report = response.report()?;
            render(&response.body, &report, args).ok_or_else(|| response.unreadable())
        });
        match rendered {
            Ok(text) => {
                let gap: &[u8] = if has_shown && !args.json { b"\n" } else { b"" };
                stdout.text(&[gap, &text].concat()).await?;
                has_shown = true;
            }
            // Continue when the server is reachable again.
            Err(error) if has_shown => output::note(error),
            Err(error) => return Err(explained(error.into(), args)),
        }
        if args
            .timeout
            .is_some_and(|timeout| start.elapsed() + interval >= timeout)
        {
            return Ok(Code::Success);
        }
        sleep(interval).await;
    }
}

/// Hints at a frequent mistake: `--watch 1s` instead of `--watch=1s`, which makes the interval a
/// channel that does not exist.
fn explained(error: anyhow::Error, args: &Args) -> anyhow::Error {
    let is_missing = matches!(
        error.downcast_ref(),
        Some(Error::Status { status: 404, .. } | Error::NoChannel { .. })
    );
    match &args.channel {
        Some(channel) if args.watch.is_some() && args::duration(channel).is_ok() && is_missing => {
            error.context(format!(
                "'{channel}' was used as a channel id (an interval is written --watch={channel})"
            ))
        }
        _ => error,
    }
}

/// Returns the output; `None` if the response is invalid.
fn render(body: &[u8], report: &Report, args: &Args) -> Option<Vec<u8>> {
    if !args.json {
        return Some(match report {
            Report::Summary(summary) => show::summary(summary).into_bytes(),
            Report::Channels(infos) => show::channels(infos, &args.selection).into_bytes(),
        });
    }
    let mut line = statistics::one_line(body)?;
    if let (Report::Channels(infos), true) = (report, args.selection.is_given()) {
        // A single channel is an object without a list around it.
        line = statistics::with_channels(&line, &args.selection.pick(infos)).unwrap_or(line);
    }
    line.push(b'\n');
    Some(output::json(&line).into_owned())
}

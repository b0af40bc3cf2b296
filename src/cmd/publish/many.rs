//! Publishes many messages: reads them from the input, paces them, counts the results, and stops in
//! an orderly way.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Url;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::args::Args;
use super::channel_info::fewest_subscribers;
use super::input::{self, Batch, InputMessage, InputSource, LineFormat};
use super::posting::PostingBuilder;
use super::tally::PublishTally;
use crate::client::publish::pipeline::PipelineLimits;
use crate::client::publish::{PublishOutcome, Publisher};
use crate::client::{Endpoints, Error};
use crate::cmd::exit::{Code, TooFewSubscribers, Usage};
use crate::cmd::output;
use crate::cmd::output::figures;

/// Time limit for pending responses after a first signal.
const SETTLE: Duration = Duration::from_secs(2);
/// Time after which a run shows its progress.
const LONG: Duration = Duration::from_secs(1);

/// Publishes all messages of the arguments.
///
/// # Errors
/// When a message was rejected or the connection broke; the error has the counts.
pub async fn run(
    args: &Args,
    source: InputSource,
    endpoints: &Endpoints,
    default: Option<Url>,
) -> anyhow::Result<Code> {
    let stdout = output::Stdout::start()?;
    let start = Instant::now();
    let mut work = Work::new(args, source, endpoints, default).await?;
    let end = work.run().await;
    work.bar.finish_and_clear();
    work.tally.unanswered = work.publisher.unanswered();
    let tally = &work.tally;
    let time = start.elapsed();
    let outcome = match end {
        RunEnd::Done if tally.rejected == 0 => Ok(Code::Success),
        RunEnd::Done => {
            let error = tally
                .rejections
                .first()
                .map_or_else(|| Error::Request(String::new()), |(_, error)| error.clone());
            Err(anyhow::Error::new(error).context(tally.describe_failure()))
        }
        RunEnd::Failed(error) => Err(error.context(tally.describe_failure())),
        RunEnd::Interrupted => {
            output::note(format_args!("{}; interrupted", tally.describe_failure()));
            Ok(Code::Interrupted)
        }
    };
    if args.response.json {
        let error = match &outcome {
            Ok(Code::Interrupted) => Some("interrupted".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.root_cause().to_string()),
        };
        stdout
            .line(&output::json(
                tally.to_json(time, error.as_deref()).as_bytes(),
            ))
            .await?;
    } else if outcome.as_ref().is_ok_and(|code| *code == Code::Success) && !args.response.quiet {
        stdout.line(tally.summary(time).as_bytes()).await?;
    }
    outcome
}

/// End of the run.
enum RunEnd {
    /// All messages were sent and have a response.
    Done,
    Failed(anyhow::Error),
    Interrupted,
}

struct Work<'a> {
    args: &'a Args,
    postings: PostingBuilder<'a>,
    input: mpsc::Receiver<Batch>,
    /// Read, but not passed to the publisher.
    entries: VecDeque<InputMessage>,
    publisher: Publisher,
    tally: PublishTally,
    bar: ProgressBar,
    start: Instant,
    /// Number of messages passed to the publisher.
    given: u64,
    /// No more messages will be sent.
    is_over: bool,
    /// End of the wait for pending responses, once a signal has arrived.
    settle_deadline: Option<Instant>,
    failure: Option<anyhow::Error>,
}

impl<'a> Work<'a> {
    async fn new(
        args: &'a Args,
        source: InputSource,
        endpoints: &'a Endpoints,
        default: Option<Url>,
    ) -> anyhow::Result<Self> {
        let base = match &default {
            Some(url) => url.clone(),
            None => endpoints.publish("x")?,
        };
        let limits = PipelineLimits {
            timeout: args.response.timeout,
            in_flight: args.many.in_flight,
            resends: args.many.retry_unanswered,
        };
        let headers = args.server.header_map()?;
        let publisher = Publisher::new(args.server.client()?, &headers, &base, limits).await?;
        let format = if args.many.ndjson {
            LineFormat::Json
        } else {
            LineFormat::Plain
        };
        let unit = if args.is_by_line() { "line" } else { "message" };
        let tally = PublishTally {
            unit,
            total: input::count(&source, args.many.repeat),
            ..PublishTally::default()
        };
        Ok(Self {
            args,
            postings: PostingBuilder::new(args, &source, endpoints, default)?,
            input: input::start(source, format, args.many.repeat)?,
            entries: VecDeque::new(),
            publisher,
            bar: ProgressBar::hidden(),
            tally,
            start: Instant::now(),
            given: 0,
            is_over: false,
            settle_deadline: None,
            failure: None,
        })
    }

    async fn run(&mut self) -> RunEnd {
        let mut signals = match StopSignals::new() {
            Ok(signals) => signals,
            Err(error) => return RunEnd::Failed(error),
        };
        loop {
            if let Err(error) = self.push_due() {
                self.stop_input(error.into());
            }
            if self.is_over && self.entries.is_empty() && self.publisher.is_idle() {
                break;
            }
            let due = self
                .due()
                .filter(|_| !self.entries.is_empty() && self.publisher.has_room());
            let settled = self.settle_deadline;
            tokio::select! {
                outcomes = self.publisher.progress() => match outcomes {
                    Ok(outcomes) => self.record(outcomes),
                    Err(error) => {
                        self.stop(error.into());
                        break;
                    }
                },
                batch = self.input.recv(), if self.entries.is_empty() && !self.is_over => {
                    match batch {
                        Some(Ok(entries)) => self.entries = entries.into(),
                        Some(Err(error)) => self.stop_input(error),
                        None => self.is_over = true,
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = signals.recv() => {
                    if self.interrupt() {
                        break;
                    }
                }
                () = sleep_until(settled.unwrap_or_else(Instant::now)), if settled.is_some() => {
                    break;
                }
            }
            self.show_progress();
        }
        match self.failure.take() {
            Some(error) => RunEnd::Failed(error),
            None if self.settle_deadline.is_some() => RunEnd::Interrupted,
            None => RunEnd::Done,
        }
    }

    /// Handles a signal: the first one stops sending and waits for pending responses, the second
    /// one returns true to stop at once.
    fn interrupt(&mut self) -> bool {
        if self.settle_deadline.is_some() {
            return true;
        }
        self.settle_deadline = Some(Instant::now() + SETTLE);
        self.end();
        false
    }

    /// Time at which the next message is due, with `--rate`.
    fn due(&self) -> Option<Instant> {
        self.args
            .many
            .rate
            .map(|rate| self.start + Duration::from_secs_f64(self.given as f64 / rate))
    }

    /// Passes messages to the publisher, within its limits and the rate.
    fn push_due(&mut self) -> Result<(), Error> {
        while self.publisher.has_room() && self.due().is_none_or(|due| due <= Instant::now()) {
            let Some(entry) = self.entries.pop_front() else {
                return Ok(());
            };
            let number = entry.number;
            let posting = self
                .postings
                .build(entry)
                .inspect_err(|_| self.tally.next = Some(number))?;
            self.publisher
                .push(posting)
                .inspect_err(|_| self.tally.next = Some(number))?;
            self.given += 1;
            self.tally.last_sent = number;
        }
        Ok(())
    }

    fn record(&mut self, outcomes: Vec<PublishOutcome>) {
        for PublishOutcome { number, result } in outcomes {
            match result {
                Ok(body) => {
                    self.tally.acknowledged += 1;
                    if let Err(error) = self.check_subscribers(&body) {
                        self.stop(error.context(format!("{} {number}", self.tally.unit)));
                    }
                }
                Err(error) => {
                    self.tally.reject(number, error);
                    if !self.args.many.keep_going {
                        self.end();
                    }
                }
            }
        }
    }

    fn check_subscribers(&self, body: &[u8]) -> anyhow::Result<()> {
        let Some(wanted) = self.args.require_subscribers else {
            return Ok(());
        };
        let found = fewest_subscribers(body)?;
        if found < wanted {
            Err(TooFewSubscribers { found, wanted }.into())
        } else {
            Ok(())
        }
    }

    /// Stops sending because of an error; the first error is reported.
    fn stop(&mut self, error: anyhow::Error) {
        self.end();
        self.failure.get_or_insert(error);
    }

    /// Stops reading because the input is invalid; earlier messages are still sent.
    fn stop_input(&mut self, error: anyhow::Error) {
        self.tally.next.get_or_insert(self.tally.last_sent + 1);
        self.entries.clear();
        self.is_over = true;
        self.input.close();
        self.failure.get_or_insert(error);
    }

    /// Stops sending.
    fn end(&mut self) {
        let taken_back = self.publisher.take_back();
        if self.is_over && self.entries.is_empty() && taken_back.is_none() {
            return;
        }
        let first = self
            .tally
            .next
            .or(taken_back)
            .or_else(|| self.entries.front().map(|entry| entry.number));
        // Without a read-ahead line it is unknown whether there is another one.
        let knows_more = self.tally.total.is_none_or(|total| self.given < total);
        self.tally.next = first.or_else(|| knows_more.then_some(self.tally.last_sent + 1));
        self.entries.clear();
        self.is_over = true;
        self.input.close();
    }

    fn show_progress(&mut self) {
        if self.bar.is_hidden()
            && !self.args.response.quiet
            && self.start.elapsed() > LONG
            && std::io::stderr().is_terminal()
        {
            let bar = match self.tally.total {
                Some(total) => ProgressBar::new(total).with_style(style(
                    "{bar:30} {human_pos} of {human_len} ({speed}, {left} left)",
                )),
                None => {
                    ProgressBar::no_length().with_style(style("{spinner} {human_pos} ({speed})"))
                }
            };
            self.bar = bar.with_elapsed(self.start.elapsed());
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(self.tally.acknowledged);
    }
}

/// The signals that stop a run.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is constant and valid");
    style
        .with_key("speed", figures::speed)
        .with_key("left", figures::time_left)
}

/// Rejects an invalid combination of options that clap cannot detect.
///
/// # Errors
/// The combination.
pub fn check(args: &Args, source: &InputSource) -> Result<(), Usage> {
    if args.many.repeat > 1 && args.is_by_line() && !matches!(source, InputSource::File(_)) {
        return Err(Usage(
            "cannot read standard input more than once (--repeat with --lines or \
                          --ndjson needs --file)"
                .to_owned(),
        ));
    }
    Ok(())
}

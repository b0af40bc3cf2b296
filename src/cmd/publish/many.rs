//! Publishes many messages: reads them from the input, paces them, counts the results, and stops in
//! an orderly way.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Url;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::input::{self, Batch, Entry, LineFormat, Source};
use super::tally::PublishTally;
use super::template::{PayloadTemplate, Random};
use super::{Args, TooFew, fewest_subscribers};
use crate::client::pipeline::Limits;
use crate::client::publish::{Posting, Publication, PublishOutcome, Publisher};
use crate::client::{Endpoints, Error};
use crate::cmd::exit::{Code, Usage};
use crate::cmd::{figures, output};

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
    source: Source,
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
        Outcome::Done if tally.rejected == 0 => Ok(Code::Success),
        Outcome::Done => {
            let error = tally
                .rejections
                .first()
                .map_or_else(|| Error::Request(String::new()), |(_, error)| error.clone());
            Err(anyhow::Error::new(error).context(tally.describe_failure()))
        }
        Outcome::Failed(error) => Err(error.context(tally.describe_failure())),
        Outcome::Interrupted => {
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
enum Outcome {
    /// All messages were sent and have a response.
    Done,
    Failed(anyhow::Error),
    Interrupted,
}

struct Work<'a> {
    args: &'a Args,
    endpoints: &'a Endpoints,
    default: Option<Arc<Url>>,
    channel: Option<PayloadTemplate>,
    text: Option<PayloadTemplate>,
    event_id: Option<PayloadTemplate>,
    random: Random,
    input: mpsc::Receiver<Batch>,
    /// Read, but not passed to the publisher.
    entries: VecDeque<Entry>,
    publisher: Publisher,
    tally: PublishTally,
    bar: ProgressBar,
    start: Instant,
    /// Number of messages passed to the publisher.
    given: u64,
    /// No more messages will be sent.
    is_over: bool,
    failure: Option<anyhow::Error>,
}

impl<'a> Work<'a> {
    async fn new(
        args: &'a Args,
        source: Source,
        endpoints: &'a Endpoints,
        default: Option<Url>,
    ) -> anyhow::Result<Self> {
        let base = match &default {
            Some(url) => url.clone(),
            None => endpoints.publish("x")?,
        };
        let limits = Limits {
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
        let template = |text: &Option<String>| {
            text.as_deref()
                .filter(|_| args.many.template)
                .map(|text| PayloadTemplate::new(text.as_bytes()))
                .transpose()
        };
        let text = match &source {
            Source::Text(text) if args.many.template => Some(PayloadTemplate::new(text)?),
            _ => None,
        };
        Ok(Self {
            args,
            endpoints,
            default: default.map(Arc::new),
            channel: template(&args.channels())?,
            text,
            event_id: template(&args.event_id)?,
            random: Random::new(),
            input: input::start(source, format, args.many.repeat)?,
            entries: VecDeque::new(),
            publisher,
            bar: ProgressBar::hidden(),
            tally,
            start: Instant::now(),
            given: 0,
            is_over: false,
            failure: None,
        })
    }

    async fn run(&mut self) -> Outcome {
        let signals = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ]
        .map(listen);
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
            return Outcome::Failed(anyhow::anyhow!("cannot wait for signals"));
        };
        let mut settles = None;
        let mut is_interrupted = false;
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
            tokio::select! {
                answers = self.publisher.progress() => match answers {
                    Ok(answers) => self.take(answers),
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
                _ = interrupt.recv() => {
                    if self.interrupt(&mut settles, &mut is_interrupted) {
                        break;
                    }
                }
                _ = terminate.recv() => {
                    if self.interrupt(&mut settles, &mut is_interrupted) {
                        break;
                    }
                }
                _ = hangup.recv() => {
                    if self.interrupt(&mut settles, &mut is_interrupted) {
                        break;
                    }
                }
                () = sleep_until(settles.unwrap_or_else(Instant::now)), if settles.is_some() => {
                    break;
                }
            }
            self.show();
        }
        match self.failure.take() {
            Some(error) => Outcome::Failed(error),
            None if is_interrupted => Outcome::Interrupted,
            None => Outcome::Done,
        }
    }

    /// Handles a signal: the first one stops sending and waits for pending responses, the second
    /// one returns true to stop at once.
    fn interrupt(&mut self, settles: &mut Option<Instant>, is_interrupted: &mut bool) -> bool {
        if *is_interrupted {
            return true;
        }
        *is_interrupted = true;
        *settles = Some(Instant::now() + SETTLE);
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
                .posting(entry)
                .inspect_err(|_| self.tally.next = Some(number))?;
            self.publisher
                .push(posting)
                .inspect_err(|_| self.tally.next = Some(number))?;
            self.given += 1;
            self.tally.last_sent = number;
        }
        Ok(())
    }

    fn posting(&mut self, entry: Entry) -> Result<Posting, Error> {
        let number = entry.number;
        let read = |text: &[u8]| {
            PayloadTemplate::new(text)
                .map_err(|error| Error::Request(format!("cannot publish line {number}: {error}")))
        };
        let mut expand = |template: &PayloadTemplate| template.expand(number, &mut self.random);
        let mut words =
            |template: &PayloadTemplate| String::from_utf8_lossy(&expand(template)).into_owned();
        let url = match (entry.channel, &self.channel, &self.default) {
            (Some(channel), ..) if self.args.many.template => {
                Arc::new(self.endpoints.publish(&words(&read(channel.as_bytes())?))?)
            }
            (Some(channel), ..) => Arc::new(self.endpoints.publish(&channel)?),
            (None, Some(template), _) => Arc::new(self.endpoints.publish(&words(template))?),
            (None, None, Some(url)) => Arc::clone(url),
            (None, None, None) => {
                let reason = "it has no field 'channel', and the command line has no CHANNEL";
                return Err(Error::Request(format!(
                    "cannot publish line {number}: {reason}"
                )));
            }
        };
        let event_id = entry.event_id.or_else(|| match &self.event_id {
            Some(template) => Some(words(template)),
            None => self.args.event_id.clone(),
        });
        let text = match &self.text {
            Some(template) => expand(template),
            None if self.args.many.template => expand(&read(&entry.text)?),
            None => entry.text,
        };
        let event_type = entry.event_type.or_else(|| self.args.event_type.clone());
        let publication = Publication {
            text,
            event_id,
            event_type,
            content_type: self.args.content_type.clone(),
        };
        Ok(Posting {
            number,
            url,
            publication,
        })
    }

    fn take(&mut self, answers: Vec<PublishOutcome>) {
        for PublishOutcome { number, result } in answers {
            match result {
                Ok(body) => {
                    self.tally.acknowledged += 1;
                    if let Err(error) = self.check(&body) {
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

    fn check(&self, body: &[u8]) -> anyhow::Result<()> {
        let Some(wanted) = self.args.require_subscribers else {
            return Ok(());
        };
        let found = fewest_subscribers(body)?;
        if found < wanted {
            Err(TooFew { found, wanted }.into())
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

    fn show(&mut self) {
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

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is constant and valid");
    style
        .with_key("speed", figures::speed)
        .with_key("left", figures::time_left)
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot wait for signals")
}

/// Parses `100`, `100/s`, `5/m` or `3/h` into messages per second.
///
/// # Errors
/// The expected forms.
pub fn rate(text: &str) -> Result<f64, String> {
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

/// Rejects an invalid combination of options that clap cannot detect.
///
/// # Errors
/// The combination.
pub fn check(args: &Args, source: &Source) -> Result<(), Usage> {
    if args.many.repeat > 1 && args.is_by_line() && !matches!(source, Source::File(_)) {
        return Err(Usage(
            "cannot read standard input more than once (--repeat with --lines or \
                          --ndjson needs --file)"
                .to_owned(),
        ));
    }
    Ok(())
}

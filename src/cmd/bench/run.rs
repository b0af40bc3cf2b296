//! The course of a run: connect all, wait until the server has them, publish, wait for the deliveries.

use std::io::IsTerminal as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::Args;
use super::report::Report;
use super::stamp::Stamp;
use super::state::{Entry, State};
use crate::client::error::shown;
use crate::client::lean::Target;
use crate::client::lean::follow::follow;
use crate::client::lean::publisher::Publisher;
use crate::client::statistics::{self, Report as Statistics};
use crate::client::{Endpoints, Error, Http, Mode};
use crate::cmd::exit::Usage;
use crate::cmd::interrupted;
use crate::cmd::output::note;

/// Connections that are made at once: more overflow the listen queue of most servers.
const CONNECTING: usize = 128;
/// How often the display and the confirmation look.
const TICK: Duration = Duration::from_millis(50);
/// Tidying up is not worth a longer wait.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// Channels in one request to delete them, so that its line stays short.
const DELETED_TOGETHER: usize = 50;

struct Run<'a> {
    args: &'a Args,
    endpoints: Endpoints,
    target: Target,
    client: Http,
    prefix: String,
    state: Rc<State>,
}

/// What came out of a run.
pub(super) struct Outcome {
    pub(super) report: Report,
    /// The publication that was not answered in time, which ended the run.
    pub(super) unanswered: Option<Error>,
}

/// Measures, and tidies up however that ends; `None` if it was interrupted.
///
/// # Errors
/// When subscribers cannot connect in time, or a message is refused.
pub(super) async fn run(args: &Args, url: &str) -> anyhow::Result<Option<Outcome>> {
    raise_open_files(args.subscribers + args.publishers)?;
    let endpoints = args.server.endpoints(url)?;
    let target = Target::resolve(&endpoints.publish("x")?, &args.server.header_map()?).await?;
    let prefix = format!("bench-{}-{:x}-", std::process::id(), crate::message::unix_now());
    let state = Rc::new(State::new(args.subscribers, args.channels, args.size));
    let run = Run { args, endpoints, target, client: args.server.client()?, prefix, state };
    let outcome = tokio::select! {
        outcome = run.measure() => outcome.map(Some),
        result = interrupted() => result.map(|()| None),
    };
    tokio::select! {
        // Whoever interrupts again does not want to wait for it.
        _ = interrupted() => {}
        _ = timeout(DELETE_TIMEOUT, run.delete_channels()) => {}
    }
    outcome
}

impl Run<'_> {
    async fn measure(&self) -> anyhow::Result<Outcome> {
        let mut subscribers = JoinSet::new();
        self.connect(&mut subscribers).await?;
        let connect_seconds = self.state.start.elapsed().as_secs_f64();
        let first = self.state.start.elapsed();
        let unanswered = match self.publish(first).await {
            Ok(()) => None,
            Err(error @ Error::TimedOut { .. }) => Some(error),
            Err(error) => return Err(error.into()),
        };
        let publish_seconds = (self.state.start.elapsed() - first).as_secs_f64();
        self.finish().await;
        subscribers.shutdown().await;
        let report = self.report(connect_seconds, publish_seconds, first);
        if let Some(error) = self.state.take_failure() {
            note(format_args!("{} of {} subscribers were disconnected; the first one: {error}", report.disconnected, report.subscribers));
        }
        Ok(Outcome { report, unanswered })
    }

    fn channel(&self, number: usize) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Starts the subscribers and returns when the server has all of them.
    async fn connect(&self, subscribers: &mut JoinSet<()>) -> anyhow::Result<()> {
        let turns = Rc::new(Semaphore::new(CONNECTING));
        let urls: Result<Vec<Url>, Error> =
            (0..self.args.channels).map(|number| self.endpoints.subscribe(self.args.mode, &self.channel(number))).collect();
        let urls: Rc<[Url]> = urls?.into();
        let target = Rc::new(self.target.clone());
        for number in 0..self.args.subscribers {
            let (state, turns, urls, target, mode) =
                (Rc::clone(&self.state), Rc::clone(&turns), Rc::clone(&urls), Rc::clone(&target), self.args.mode);
            subscribers.spawn_local(async move {
                let mut entry = Turn { entry: Entry::new(&state, number), turn: turns.acquire().await.ok() };
                let url = &urls[number % urls.len()];
                if let Err(error) = follow(&target, url, mode, &mut entry, &state.buffer).await {
                    state.failed(error);
                }
            });
        }
        let bar = bar("connecting", self.args.subscribers as u64);
        let confirmed = timeout(self.args.timeout, self.confirm(&bar)).await;
        bar.finish_and_clear();
        match confirmed {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut { url: self.endpoints.base(), after: self.args.timeout }.into()),
        }
    }

    /// Waits until the statistics count all subscribers. A server without statistics must have answered all of them, which
    /// long-polling cannot show.
    async fn confirm(&self, bar: &ProgressBar) -> anyhow::Result<()> {
        let url = self.endpoints.statistics(Some(&format!("{}*", self.prefix)))?;
        let wanted = self.args.subscribers;
        let mut has_statistics = true;
        loop {
            if let Some(error) = self.state.take_failure() {
                return Err(error.into());
            }
            let (asked, answered) = (self.state.asked.get(), self.state.answered.get());
            bar.set_position(asked as u64);
            if asked == wanted && has_statistics {
                match self.count(&url).await? {
                    Some(count) if count >= wanted as u64 => return Ok(()),
                    Some(_) => {}
                    None => has_statistics = false,
                }
            }
            if !has_statistics && asked == wanted && (answered == wanted || self.args.mode == Mode::Lp) {
                note(format_args!(
                    "{} shows no statistics, so the server's count of subscribers is not checked (see --stats-path)",
                    shown(&url)
                ));
                return Ok(());
            }
            sleep(TICK).await;
        }
    }

    async fn count(&self, url: &Url) -> anyhow::Result<Option<u64>> {
        let body = match statistics::fetch(&self.client, url, self.args.timeout).await {
            Ok(body) => body,
            Err(Error::Status { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(match Statistics::from_json(&body) {
            Some(Statistics::Channels(infos)) => Some(infos.iter().map(|info| info.subscribers).sum()),
            _ => None,
        })
    }

    /// Publishes everything; the first failure ends it.
    async fn publish(&self, first: Duration) -> Result<(), Error> {
        let urls: Result<Vec<Url>, Error> = (0..self.args.channels).map(|number| self.endpoints.publish(&self.channel(number))).collect();
        let urls: Rc<[Url]> = urls?.into();
        let mut publishers = JoinSet::new();
        for number in 0..self.args.publishers {
            let task = publish_share(self.args.clone(), number, self.target.clone(), Rc::clone(&urls), Rc::clone(&self.state), first);
            publishers.spawn_local(task);
        }
        let bar = self.delivery_bar();
        while let Some(result) = publishers.join_next().await {
            if let Err(error) = result.unwrap_or_else(|error| Err(Error::Request(format!("a publisher failed: {error}")))) {
                bar.finish_and_clear();
                return Err(error);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Waits until all is delivered, or the time is over.
    async fn finish(&self) {
        let bar = self.delivery_bar();
        let start = Instant::now();
        while !self.state.is_over() && start.elapsed() < self.args.timeout {
            // A time-out here only means to look again.
            let _ = timeout(TICK, self.state.changed.notified()).await;
        }
        bar.finish_and_clear();
    }

    /// Leaves no messages behind, as far as the server lets us: a publisher location need not be an admin's.
    async fn delete_channels(&self) {
        let channels: Vec<String> = (0..self.args.channels).map(|number| self.channel(number)).collect();
        for some in channels.chunks(DELETED_TOGETHER) {
            let Ok(url) = self.endpoints.publish(&some.join("/")) else { return };
            let answer = self.client.request(Method::DELETE, &url, HeaderMap::new(), None, Some(DELETE_TIMEOUT)).await;
            // Some may never have come to be.
            if !answer.is_ok_and(|answer| answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND) {
                return;
            }
        }
    }

    /// A display that follows the deliveries until it is cleared.
    fn delivery_bar(&self) -> ProgressBar {
        let bar = bar("delivering", u64::from(self.args.messages) * self.args.subscribers as u64);
        if !bar.is_hidden() {
            let (state, bar) = (Rc::clone(&self.state), bar.clone());
            spawn_local(async move {
                while !bar.is_finished() {
                    bar.set_position(state.delivered.get());
                    sleep(TICK).await;
                }
            });
        }
        bar
    }

    fn report(&self, connect_seconds: f64, publish_seconds: f64, first: Duration) -> Report {
        let state = &self.state;
        let (lost, duplicated, reordered) = state.faults();
        let delivered = state.delivered.get();
        let seconds = state.last_delivery.get().saturating_sub(first).as_secs_f64();
        let args = self.args;
        Report {
            mode: match args.mode {
                Mode::Lp => "lp",
                Mode::Ws => "ws",
                Mode::Ev => "ev",
                Mode::Stream => "stream",
                Mode::Poll => "poll",
            },
            subscribers: args.subscribers,
            channels: args.channels,
            publishers: args.publishers,
            size: args.size,
            rate: args.rate,
            connect_seconds: rounded(connect_seconds),
            published: state.published(),
            publish_seconds: rounded(publish_seconds),
            expected: state.expected(),
            delivered,
            seconds: rounded(seconds),
            deliveries_per_second: if seconds > 0.0 { rounded(delivered as f64 / seconds) } else { 0.0 },
            latency_ms: state.latency(),
            lost,
            duplicated,
            reordered,
            corrupt: state.corrupt.get(),
            disconnected: state.disconnected.get(),
        }
    }
}

/// Publishes one publisher's share: of each channel's messages every `publishers`-th, the channels in turn.
async fn publish_share(args: Args, number: usize, target: Target, urls: Rc<[Url]>, state: Rc<State>, first: Duration) -> Result<(), Error> {
    let mut publisher = Publisher::new(target);
    let share = (args.messages as usize + args.publishers - 1 - number) / args.publishers;
    let mut sent = 0_u64;
    for sequence in 0..share {
        for (channel, url) in urls.iter().enumerate() {
            let turn = sent * args.publishers as u64 + number as u64;
            sent += 1;
            let due_nanos = match args.rate.map(|rate| first + Duration::from_secs_f64(turn as f64 / rate)) {
                Some(due) => {
                    tokio::time::sleep_until((state.start + due).into()).await;
                    u64::try_from(due.as_nanos()).unwrap_or(u64::MAX)
                }
                None => state.now_nanos(),
            };
            let stamp = Stamp { publisher: number as u16, sequence: sequence as u32, due_nanos };
            let answered = timeout(args.timeout, publisher.post(url, &stamp.text(args.size), &state.buffer)).await;
            answered.unwrap_or_else(|_| Err(Error::TimedOut { url: shown(url), after: args.timeout }))?;
            state.acknowledged(channel);
        }
    }
    Ok(())
}

/// `number` to six places: no clock is better than that.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// Gives the turn to the next subscriber as soon as this one's request is on its way.
struct Turn<'a> {
    entry: Entry<'a>,
    turn: Option<tokio::sync::SemaphorePermit<'a>>,
}

impl crate::client::lean::follow::Sink for Turn<'_> {
    fn asked(&mut self) {
        self.turn = None;
        self.entry.asked();
    }

    fn answered(&mut self) {
        self.entry.answered();
    }

    fn data(&mut self, bytes: &[u8]) {
        self.entry.data(bytes);
    }

    fn boundary(&mut self) {
        self.entry.boundary();
    }
}

fn bar(what: &'static str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")).with_message(what),
        Err(_) => bar,
    }
}

/// Raises the soft limit of open files as far as needed and possible.
fn raise_open_files(connections: usize) -> Result<(), Usage> {
    // Standard streams, the runtime's own files, and the statistics connection.
    let needed = connections as u64 + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed))), maximum: limit.maximum };
    let possible = setrlimit(Resource::Nofile, raised).is_ok() && raised.current >= Some(needed);
    if possible {
        return Ok(());
    }
    let maximum = limit.maximum.unwrap_or(0);
    Err(Usage(format!(
        "{connections} connections need {needed} open files, but the system allows {maximum} (see 'ulimit -Hn' and --subscribers)"
    )))
}

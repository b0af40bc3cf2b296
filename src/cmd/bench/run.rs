//! The course of a run: connect all, wait until the server has them, warm up, publish, wait for the
//! deliveries.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::time::{sleep, timeout};

use super::Args;
use super::books::{Results, Tally};
use super::clock;
use super::limits;
use super::progress::Progress;
use super::publish::{End, Load, Posted, publish};
use super::report::{Measured, Report};
use super::share::{Part, Subscribers};
use super::workers::Worker;
use crate::client::error::shown;
use crate::client::raw_http::Target;
use crate::client::statistics::{self, Report as Statistics};
use crate::client::subscription::detection::usual_paths;
use crate::client::{Endpoints, Error, Http, Mode};
use crate::cmd::exit::{self, Code};
use crate::cmd::interrupted;
use crate::cmd::output::note;

/// How often the confirmation and the end look.
const TICK: Duration = Duration::from_millis(50);
/// Time for deliveries under way when a signal came.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// Tidying up is not worth a longer wait.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// A channel that is asked about and never created.
const PROBED_CHANNEL: &str = "bench";
/// Channels in one request to delete them, so that its line stays short.
const DELETED_TOGETHER: usize = 50;

struct Run<'a> {
    args: &'a Args,
    endpoints: Endpoints,
    target: Target,
    client: Http,
    /// The local addresses given to connect from; empty = none is given.
    sources: Vec<IpAddr>,
    /// What this process and its workers have in common.
    part: Part,
    /// Publishing has begun: there is something to report when a signal comes.
    has_begun: Cell<bool>,
}

/// What came out of a run.
pub(super) struct Outcome {
    pub(super) report: Report,
    /// The publication that was not answered in time, which ended the run.
    pub(super) unanswered: Option<anyhow::Error>,
    /// A signal ended it.
    pub(super) is_interrupted: bool,
}

/// The subscribers of all processes.
pub(super) enum SubscriberPool {
    /// In this process.
    Here(Subscribers),
    /// In others.
    Workers(Vec<Worker>),
}

impl SubscriberPool {
    /// How far all are.
    pub(super) fn tally(&self) -> Tally {
        match self {
            Self::Here(share) => share.state.tally(),
            Self::Workers(workers) => workers
                .iter()
                .fold(Tally::default(), |sum, worker| sum.plus(&worker.tally())),
        }
    }

    /// The first failure of a subscriber, once.
    fn take_failure(&self) -> Option<anyhow::Error> {
        match self {
            Self::Here(share) => share.state.take_failure().map(anyhow::Error::new),
            Self::Workers(workers) => workers
                .iter()
                .find_map(Worker::take_failure)
                .map(anyhow::Error::new),
        }
    }

    async fn books(&self, published: &[u64]) -> anyhow::Result<Results> {
        match self {
            Self::Here(share) => Ok(share.books(published)),
            Self::Workers(workers) => {
                let mut all = Results::default();
                for worker in workers {
                    all.merge(worker.books(published).await?);
                }
                Ok(all)
            }
        }
    }
}

/// Measures, and tidies up however that ends; `None` if it was interrupted before anything was
/// published.
///
/// # Errors
/// When subscribers cannot connect in time, or a message is refused.
pub(super) async fn run(args: &Args, url: &str) -> anyhow::Result<Option<Outcome>> {
    let client = args.server.client()?;
    let endpoints = detected(&client, args.server.endpoints(url)?, args.mode).await?;
    let target = Target::resolve(&endpoints.publish("x")?, &args.server.header_map()?).await?;
    let sources = limits::usable_sources(&args.bind, &target)?;
    let prefix = format!(
        "bench-{}-{:x}-",
        std::process::id(),
        crate::message::unix_now()
    );
    let of = args.processes.number(
        args.subscribers,
        target.is_loopback() || !sources.is_empty(),
    );
    let part = Part {
        index: 0,
        of,
        start: clock::now(),
        prefix,
        sources: Vec::new(),
    };
    let run = Run {
        args,
        endpoints,
        target,
        client,
        sources,
        part,
        has_begun: Cell::new(false),
    };
    if run.target.is_tcp() {
        run.origin().check_ports()?;
    }
    limits::raise_open_files(if of == 1 {
        args.subscribers + args.publishers
    } else {
        args.publishers
    })?;
    let outcome = tokio::select! {
        outcome = run.measure() => outcome.map(Some),
        result = run.interrupted_before() => result.map(|()| None),
    };
    tokio::select! {
        // Whoever interrupts again does not want to wait for it.
        _ = interrupted() => {}
        _ = timeout(DELETE_TIMEOUT, run.delete_channels()) => {}
    }
    outcome
}

/// The URLs of the server; those of nchan if nothing is at the built-in paths and it turns out to
/// be one.
pub(super) async fn detected(
    client: &Http,
    endpoints: Endpoints,
    mode: Mode,
) -> Result<Endpoints, Error> {
    let url = endpoints.subscribe(mode, PROBED_CHANNEL)?;
    let answer = client
        .request(
            Method::OPTIONS,
            &url,
            HeaderMap::new(),
            None,
            Some(DELETE_TIMEOUT),
        )
        .await;
    // nginx rejects the method where it would look for a file.
    let is_missing = |status| {
        matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        )
    };
    if !answer.is_ok_and(|response| is_missing(response.status())) {
        return Ok(endpoints);
    }
    Ok(usual_paths(client, &endpoints, PROBED_CHANNEL)
        .await?
        .map_or(endpoints, |(found, _)| found))
}

impl Run<'_> {
    async fn measure(&self) -> anyhow::Result<Outcome> {
        let args = self.args;
        let start = self.part.start;
        let crowd = Rc::new(self.crowd()?);
        self.connect(&crowd).await?;
        let connect_nanos = clock::now() - start;
        let urls: Result<Vec<Url>, Error> = (0..args.channels)
            .map(|number| self.endpoints.publish(&self.part.channel(number)))
            .collect();
        let urls: Rc<[Url]> = urls?.into();
        let warm = Rc::new(Posted::new(args.channels, start));
        if let Some(time) = args.warm_up {
            let progress = Progress::warming(&crowd);
            publish(
                &self.load(End::WarmUp(clock::now() + clock::nanos(time))),
                &self.target,
                &urls,
                &warm,
            )
            .await?;
            self.wait(&crowd, |tally| {
                tally.warmed >= warm.expected(args.subscribers)
            })
            .await;
            drop(progress);
        }
        let posted = Rc::new(Posted::new(args.channels, start));
        let load = self.load(End::Messages(args.messages));
        let progress =
            Progress::delivering(&crowd, u64::from(args.messages) * args.subscribers as u64);
        self.has_begun.set(true);
        let mut stop = std::pin::pin!(interrupted());
        let mut unanswered = None;
        let mut is_interrupted = false;
        tokio::select! {
            published = publish(&load, &self.target, &urls, &posted) => match published {
                Ok(()) => {}
                Err(error) if matches!(error.downcast_ref(), Some(Error::TimedOut { .. })) => unanswered = Some(error),
                Err(error) => return Err(error),
            },
            stopped = &mut stop => {
                stopped?;
                is_interrupted = true;
            }
        }
        let publish_nanos = clock::now() - load.first;
        let delivered = self.wait(&crowd, |tally| {
            tally.delivered >= posted.expected(args.subscribers)
        });
        if is_interrupted {
            // What is under way is not lost.
            let _ = timeout(UNDER_WAY, delivered).await;
        } else {
            tokio::select! {
                () = delivered => {}
                stopped = &mut stop => {
                    stopped?;
                    is_interrupted = true;
                }
            }
        }
        drop(progress);
        let due: Vec<u64> = posted
            .counts()
            .iter()
            .zip(warm.counts())
            .map(|(count, warm)| count + warm)
            .collect();
        let books = crowd.books(&due).await?;
        let measured = Measured {
            args,
            base: self.endpoints.base(),
            processes: self.part.of,
            start,
            connect_nanos,
            first: load.first,
            publish_nanos,
        };
        let report = Report::new(&measured, &books, &posted, warm.total());
        if let Some(error) = crowd.take_failure() {
            // Nothing was lost that could have been delivered: the mode is not there.
            if report.delivered == 0 && exit::of(&error) == Code::Http {
                return Err(error);
            }
            note(format_args!(
                "{} of {} subscribers were disconnected; the first one: {error:#}",
                report.disconnected, report.subscribers
            ));
        }
        Ok(Outcome {
            report,
            unanswered,
            is_interrupted,
        })
    }

    /// Returns when a signal comes before there is anything to report.
    async fn interrupted_before(&self) -> anyhow::Result<()> {
        interrupted().await?;
        if self.has_begun.get() {
            std::future::pending().await
        } else {
            Ok(())
        }
    }

    fn load(&self, end: End) -> Load {
        let Args {
            publishers,
            size,
            rate,
            timeout,
            ..
        } = *self.args;
        Load {
            publishers,
            size,
            rate,
            timeout,
            end,
            first: clock::now(),
        }
    }

    fn origin(&self) -> limits::Origin<'_> {
        limits::Origin {
            subscribers: self.args.subscribers,
            given: &self.sources,
            is_loopback: self.target.is_loopback(),
        }
    }

    /// Starts the subscribers, here or in processes of their own.
    fn crowd(&self) -> anyhow::Result<SubscriberPool> {
        let part = |index: usize| {
            let sources = self.origin().sources(index, self.part.of);
            Part {
                index,
                sources,
                ..self.part.clone()
            }
        };
        if self.part.of == 1 {
            return Subscribers::start(self.args, part(0), &self.endpoints, self.target.clone())
                .map(SubscriberPool::Here);
        }
        (0..self.part.of)
            .map(|index| Worker::start(&part(index)))
            .collect::<Result<_, _>>()
            .map(SubscriberPool::Workers)
    }

    /// Returns when the server has all subscribers.
    async fn connect(&self, crowd: &Rc<SubscriberPool>) -> anyhow::Result<()> {
        let progress = Progress::connecting(crowd, self.args.subscribers as u64);
        // Connections at a rate take their time, whatever the server does.
        let pace = self
            .args
            .connect_rate
            .map_or(0.0, |rate| self.args.subscribers as f64 / rate);
        let limit = self.args.timeout + Duration::from_secs_f64(pace.min(1e9));
        let confirmed = timeout(limit, self.confirm(crowd)).await;
        drop(progress);
        confirmed.unwrap_or_else(|_| {
            Err(Error::TimedOut {
                url: self.endpoints.base(),
                after: limit,
            }
            .into())
        })
    }

    /// Waits until the server counts all subscribers. One that does not count them must have
    /// answered all, which long-polling cannot show.
    async fn confirm(&self, crowd: &SubscriberPool) -> anyhow::Result<()> {
        let url = self
            .endpoints
            .statistics(Some(&format!("{}*", self.part.prefix)))?;
        let wanted = self.args.subscribers;
        let mut counts = true;
        loop {
            if let Some(error) = crowd.take_failure() {
                return Err(error);
            }
            let tally = crowd.tally();
            if tally.asked == wanted && counts {
                match self.count(&url).await? {
                    Some(count) if count >= wanted as u64 => return Ok(()),
                    Some(_) => {}
                    None => counts = false,
                }
            }
            if !counts
                && tally.asked == wanted
                && (tally.answered == wanted || self.args.mode == Mode::Lp)
            {
                note(format_args!(
                    "{} shows no statistics, so the server's count of subscribers is not checked \
                     (see --stats-path)",
                    shown(&url)
                ));
                return Ok(());
            }
            sleep(TICK).await;
        }
    }

    /// Subscribers as the statistics of this server tell, or else the publisher location of each
    /// channel, as in nchan.
    async fn count(&self, url: &Url) -> anyhow::Result<Option<u64>> {
        match statistics::fetch(&self.client, url, self.args.timeout).await {
            Ok(body) => {
                if let Some(Statistics::Channels(infos)) = Statistics::from_json(&body) {
                    return Ok(Some(infos.iter().map(|info| info.subscribers).sum()));
                }
            }
            Err(Error::Status { .. } | Error::Moved { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut sum = 0;
        for number in 0..self.args.channels {
            let Some(count) = self.count_channel(number).await? else {
                return Ok(None);
            };
            sum += count;
        }
        Ok(Some(sum))
    }

    async fn count_channel(&self, number: usize) -> anyhow::Result<Option<u64>> {
        let url = self.endpoints.publish(&self.part.channel(number))?;
        let body = match statistics::fetch(&self.client, &url, self.args.timeout).await {
            Ok(body) => body,
            Err(Error::Status { .. } | Error::Moved { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let info: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        Ok(info.and_then(|info| info.get("subscribers")?.as_u64()))
    }

    /// Waits until all is delivered, nobody is left to whom it could be, or the time is over.
    async fn wait(&self, crowd: &SubscriberPool, is_done: impl Fn(&Tally) -> bool) {
        let start = Instant::now();
        while start.elapsed() < self.args.timeout {
            let tally = crowd.tally();
            if is_done(&tally) || tally.disconnected >= self.args.subscribers as u64 {
                return;
            }
            sleep(TICK).await;
        }
    }

    /// Leaves no messages behind, as far as the server lets us: a publisher location need not be an
    /// admin's.
    async fn delete_channels(&self) {
        let channels: Vec<String> = (0..self.args.channels)
            .map(|number| self.part.channel(number))
            .collect();
        for some in channels.chunks(DELETED_TOGETHER) {
            match self.delete(&some.join("/")).await {
                Some(StatusCode::NOT_FOUND) if some.len() > 1 => {
                    // nchan takes the names for one.
                    for channel in some {
                        self.delete(channel).await;
                    }
                }
                // Some may never have come to be.
                Some(status) if status.is_success() || status == StatusCode::NOT_FOUND => {}
                _ => return,
            }
        }
    }

    async fn delete(&self, channels: &str) -> Option<StatusCode> {
        let url = self.endpoints.publish(channels).ok()?;
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let answer = self
            .client
            .request(Method::DELETE, &url, headers, None, Some(DELETE_TIMEOUT))
            .await;
        answer.ok().map(|answer| answer.status())
    }
}

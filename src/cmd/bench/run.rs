//! A run: connect all subscribers, wait until the server counts them, warm up, publish, wait for
//! the deliveries.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::time::{sleep, timeout};

use super::Args;
use super::clock;
use super::limits;
use super::progress::Progress;
use super::publish::{Load, Posted, PublishEnd, publish};
use super::report::{Measured, Report};
use super::results::{Results, Tally};
use super::subscribers::{Part, Subscribers};
use super::workers::Worker;
use crate::client::error::shown;
use crate::client::raw_http::Target;
use crate::client::statistics::{self, Report as Statistics};
use crate::client::subscription::detection::detect_usual_paths;
use crate::client::{Endpoints, Error, Http, Mode};
use crate::cmd::exit::{self, Code};
use crate::cmd::interrupted;
use crate::cmd::output::note;

/// Interval of the checks while waiting.
const TICK: Duration = Duration::from_millis(50);
/// Time for deliveries in flight after a signal.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time-out of the cleanup.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// A channel of a probing request, which is never created.
const PROBE_CHANNEL: &str = "bench";
/// Number of channels per DELETE request, to keep its request line short.
const CHANNELS_PER_DELETE: usize = 50;

struct Run<'a> {
    args: &'a Args,
    endpoints: Endpoints,
    target: Target,
    client: Http,
    /// Local addresses set by the user; empty if none.
    sources: Vec<IpAddr>,
    /// The part of this process, with the settings that all processes share.
    part: Part,
    /// Publishing has started: there are results to report after a signal.
    has_begun: Cell<bool>,
}

/// The result of a run.
pub(super) struct Outcome {
    pub(super) report: Report,
    /// Error of the publication without a response, which ended the run.
    pub(super) unanswered: Option<anyhow::Error>,
    /// A signal ended the run.
    pub(super) is_interrupted: bool,
}

/// The subscribers of all processes.
pub(super) enum SubscriberPool {
    /// In this process.
    Here(Subscribers),
    /// In worker processes.
    Workers(Vec<Worker>),
}

impl SubscriberPool {
    /// Progress of all subscribers.
    pub(super) fn tally(&self) -> Tally {
        match self {
            Self::Here(subscribers) => subscribers.state.tally(),
            Self::Workers(workers) => workers
                .iter()
                .fold(Tally::default(), |sum, worker| sum.plus(&worker.tally())),
        }
    }

    /// Takes the first failure of a subscriber.
    fn take_failure(&self) -> Option<anyhow::Error> {
        match self {
            Self::Here(subscribers) => subscribers.state.take_failure().map(anyhow::Error::new),
            Self::Workers(workers) => workers
                .iter()
                .find_map(Worker::take_failure)
                .map(anyhow::Error::new),
        }
    }

    async fn collect_results(&self, published: &[u64]) -> anyhow::Result<Results> {
        match self {
            Self::Here(subscribers) => Ok(subscribers.collect_results(published)),
            Self::Workers(workers) => {
                let mut all = Results::default();
                for worker in workers {
                    all.merge(worker.collect_results(published).await?);
                }
                Ok(all)
            }
        }
    }
}

/// Measures and cleans up; `None` if a signal arrived before the first message.
///
/// # Errors
/// Returns an error if subscribers cannot connect in time, or a message is rejected.
pub(super) async fn run(args: &Args, url: &str) -> anyhow::Result<Option<Outcome>> {
    let client = args.server.client()?;
    let endpoints = detect_endpoints(&client, args.server.endpoints(url)?, args.mode).await?;
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
        result = run.interrupted_early() => result.map(|()| None),
    };
    tokio::select! {
        // A second signal skips the cleanup.
        _ = interrupted() => {}
        _ = timeout(DELETE_TIMEOUT, run.delete_channels()) => {}
    }
    outcome
}

/// Returns the URLs of the server; those of nchan if there is nothing at the built-in paths and the
/// server speaks nchan.
pub(super) async fn detect_endpoints(
    client: &Http,
    endpoints: Endpoints,
    mode: Mode,
) -> Result<Endpoints, Error> {
    let url = endpoints.subscribe(mode, PROBE_CHANNEL)?;
    let response = client
        .request(
            Method::OPTIONS,
            &url,
            HeaderMap::new(),
            None,
            Some(DELETE_TIMEOUT),
        )
        .await;
    // nginx returns 405 for OPTIONS on a location of files.
    let is_missing = |status| {
        matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        )
    };
    if !response.is_ok_and(|response| is_missing(response.status())) {
        return Ok(endpoints);
    }
    Ok(detect_usual_paths(client, &endpoints, PROBE_CHANNEL)
        .await?
        .map_or(endpoints, |(found, _)| found))
}

impl Run<'_> {
    async fn measure(&self) -> anyhow::Result<Outcome> {
        let args = self.args;
        let start = self.part.start;
        let pool = Rc::new(self.start_subscribers()?);
        self.connect(&pool).await?;
        let connect_nanos = clock::now() - start;
        let urls: Result<Vec<Url>, Error> = (0..args.channels)
            .map(|number| self.endpoints.publish(&self.part.channel(number)))
            .collect();
        let urls: Rc<[Url]> = urls?.into();
        let warm = Rc::new(Posted::new(args.channels, start));
        if let Some(time) = args.warm_up {
            let progress = Progress::warming(&pool);
            publish(
                &self.load(PublishEnd::WarmUp(clock::now() + clock::nanos(time))),
                &self.target,
                &urls,
                &warm,
            )
            .await?;
            self.wait_for(&pool, |tally| {
                tally.warmed >= warm.expected(args.subscribers)
            })
            .await;
            drop(progress);
        }
        let posted = Rc::new(Posted::new(args.channels, start));
        let load = self.load(PublishEnd::Messages(args.messages));
        let progress =
            Progress::delivering(&pool, u64::from(args.messages) * args.subscribers as u64);
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
        let delivered = self.wait_for(&pool, |tally| {
            tally.delivered >= posted.expected(args.subscribers)
        });
        if is_interrupted {
            // Messages in flight are not lost.
            let _ = timeout(IN_FLIGHT_TIMEOUT, delivered).await;
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
        let results = pool.collect_results(&due).await?;
        let measured = Measured {
            args,
            base: self.endpoints.base(),
            processes: self.part.of,
            start,
            connect_nanos,
            first: load.first,
            publish_nanos,
        };
        let report = Report::new(&measured, &results, &posted, warm.total());
        if let Some(error) = pool.take_failure() {
            // No message could be delivered: the mode is not supported.
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

    /// Returns after a signal that arrives before there are results to report.
    async fn interrupted_early(&self) -> anyhow::Result<()> {
        interrupted().await?;
        if self.has_begun.get() {
            std::future::pending().await
        } else {
            Ok(())
        }
    }

    fn load(&self, end: PublishEnd) -> Load {
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

    /// Starts the subscribers, in this process or in workers.
    fn start_subscribers(&self) -> anyhow::Result<SubscriberPool> {
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

    /// Connects all subscribers and waits until the server counts them.
    async fn connect(&self, pool: &Rc<SubscriberPool>) -> anyhow::Result<()> {
        let progress = Progress::connecting(pool, self.args.subscribers as u64);
        // With a connection rate, connecting takes this long whatever the server does.
        let pace = self
            .args
            .connect_rate
            .map_or(0.0, |rate| self.args.subscribers as f64 / rate);
        let limit = self.args.timeout + Duration::from_secs_f64(pace.min(1e9));
        let confirmed = timeout(limit, self.confirm(pool)).await;
        drop(progress);
        confirmed.unwrap_or_else(|_| {
            Err(Error::TimedOut {
                url: self.endpoints.base(),
                after: limit,
            }
            .into())
        })
    }

    /// Waits until the server counts all subscribers. If it has no statistics, it must have
    /// responded to all of them, which long-polling cannot show.
    async fn confirm(&self, pool: &SubscriberPool) -> anyhow::Result<()> {
        let url = self
            .endpoints
            .statistics(Some(&format!("{}*", self.part.prefix)))?;
        let wanted = self.args.subscribers;
        let mut counts = true;
        loop {
            if let Some(error) = pool.take_failure() {
                return Err(error);
            }
            let tally = pool.tally();
            if tally.requested == wanted && counts {
                match self.count(&url).await? {
                    Some(count) if count >= wanted as u64 => return Ok(()),
                    Some(_) => {}
                    None => counts = false,
                }
            }
            if !counts
                && tally.requested == wanted
                && (tally.responded == wanted || self.args.mode == Mode::Lp)
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

    /// Returns the number of subscribers from the statistics, or from the publisher location of
    /// each channel, as in nchan.
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

    /// Waits until all messages are delivered, all subscribers are disconnected, or the time-out.
    async fn wait_for(&self, pool: &SubscriberPool, is_done: impl Fn(&Tally) -> bool) {
        let start = Instant::now();
        while start.elapsed() < self.args.timeout {
            let tally = pool.tally();
            if is_done(&tally) || tally.disconnected >= self.args.subscribers as u64 {
                return;
            }
            sleep(TICK).await;
        }
    }

    /// Deletes the channels, if the server allows it: a publisher location need not accept DELETE.
    async fn delete_channels(&self) {
        let channels: Vec<String> = (0..self.args.channels)
            .map(|number| self.part.channel(number))
            .collect();
        for some in channels.chunks(CHANNELS_PER_DELETE) {
            match self.delete(&some.join("/")).await {
                Some(StatusCode::NOT_FOUND) if some.len() > 1 => {
                    // nchan treats several ids as one.
                    for channel in some {
                        self.delete(channel).await;
                    }
                }
                // Some channels may not have been created.
                Some(status) if status.is_success() || status == StatusCode::NOT_FOUND => {}
                _ => return,
            }
        }
    }

    async fn delete(&self, channels: &str) -> Option<StatusCode> {
        let url = self.endpoints.publish(channels).ok()?;
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let response = self
            .client
            .request(Method::DELETE, &url, headers, None, Some(DELETE_TIMEOUT))
            .await;
        response.ok().map(|response| response.status())
    }
}

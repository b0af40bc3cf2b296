//! A run: connect all subscribers, wait until the server counts them, warm up, publish, wait for
//! the deliveries.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::time::{sleep, timeout};

use super::args::Args;
use super::clock;
use super::detection::detect_endpoints;
use super::limits;
use super::pool::SubscriberPool;
use super::progress::Progress;
use super::publish::{Load, Posted, PublishEnd, publish};
use super::report::{BenchReport, Measured};
use super::results::Tally;
use super::server::{BenchServer, DELETE_TIMEOUT, TICK};
use super::subscribers::{RunPart, Subscribers};
use super::workers::WorkerProcess;
use crate::client::transport::raw_http::Target;
use crate::client::{Endpoints, Error, Http};
use crate::cmd::exit::{self, Code};
use crate::cmd::output::note;
use crate::cmd::runtime::interrupted;

/// Time for deliveries in flight after a signal.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);

struct Run<'a> {
    args: &'a Args,
    endpoints: Endpoints,
    target: Target,
    client: Http,
    /// Local addresses set by the user; empty if none.
    sources: Vec<IpAddr>,
    /// The part of this process, with the settings that all processes share.
    part: RunPart,
    /// Publishing has started: there are results to report after a signal.
    has_begun: Cell<bool>,
}

/// The result of a run.
pub(super) struct RunOutcome {
    pub(super) report: BenchReport,
    /// Error of the publication without a response, which ended the run.
    pub(super) unanswered: Option<anyhow::Error>,
    /// A signal ended the run.
    pub(super) is_interrupted: bool,
}

/// How publishing ended.
struct PublishResult {
    publish_nanos: u64,
    /// Error of the publication without a response.
    unanswered: Option<anyhow::Error>,
    is_interrupted: bool,
}

/// Measures and cleans up; `None` if a signal arrived before the first message.
///
/// # Errors
/// Returns an error if subscribers cannot connect in time, or a message is rejected.
pub(super) async fn run(args: &Args, url: &str) -> anyhow::Result<Option<RunOutcome>> {
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
    let part = RunPart {
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
    let server = run.server();
    tokio::select! {
        // A second signal skips the cleanup.
        _ = interrupted() => {}
        _ = timeout(DELETE_TIMEOUT, server.delete_channels()) => {}
    }
    outcome
}

impl Run<'_> {
    async fn measure(&self) -> anyhow::Result<RunOutcome> {
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
            self.warm_up(time, &pool, &urls, &warm).await?;
        }
        let posted = Rc::new(Posted::new(args.channels, start));
        let load = self.load(PublishEnd::Messages(args.messages));
        let end = self.publish_all(&load, &pool, &urls, &posted).await?;
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
            publish_nanos: end.publish_nanos,
        };
        let report = BenchReport::new(&measured, &results, &posted, warm.total());
        report_disconnected(&pool, &report)?;
        Ok(RunOutcome {
            report,
            unanswered: end.unanswered,
            is_interrupted: end.is_interrupted,
        })
    }

    /// Publishes for `time` and waits for these messages.
    async fn warm_up(
        &self,
        time: Duration,
        pool: &Rc<SubscriberPool>,
        urls: &Rc<[Url]>,
        warm: &Rc<Posted>,
    ) -> anyhow::Result<()> {
        let _progress = Progress::warming(pool);
        let end = PublishEnd::WarmUp(clock::now() + clock::nanos(time));
        publish(&self.load(end), &self.target, urls, warm).await?;
        self.wait_for(pool, |tally| {
            tally.warmed >= warm.expected(self.args.subscribers)
        })
        .await;
        Ok(())
    }

    /// Publishes all messages and waits for their deliveries, or for a signal.
    async fn publish_all(
        &self,
        load: &Load,
        pool: &Rc<SubscriberPool>,
        urls: &Rc<[Url]>,
        posted: &Rc<Posted>,
    ) -> anyhow::Result<PublishResult> {
        let subscribers = self.args.subscribers;
        let deliveries = u64::from(self.args.messages) * subscribers as u64;
        let _progress = Progress::delivering(pool, deliveries);
        self.has_begun.set(true);
        let mut stop = std::pin::pin!(interrupted());
        let mut unanswered = None;
        let mut is_interrupted = false;
        tokio::select! {
            published = publish(load, &self.target, urls, posted) => {
                unanswered = timed_out(published)?;
            }
            stopped = &mut stop => {
                stopped?;
                is_interrupted = true;
            }
        }
        let publish_nanos = clock::now() - load.first;
        let delivered = self.wait_for(pool, |tally| {
            tally.delivered >= posted.expected(subscribers)
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
        Ok(PublishResult {
            publish_nanos,
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

    fn server(&self) -> BenchServer<'_> {
        BenchServer {
            args: self.args,
            endpoints: &self.endpoints,
            client: &self.client,
            part: &self.part,
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
            RunPart {
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
            .map(|index| WorkerProcess::start(&part(index)))
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
        let confirmed = timeout(limit, self.server().confirm(pool)).await;
        drop(progress);
        confirmed.unwrap_or_else(|_| {
            Err(Error::TimedOut {
                url: self.endpoints.base(),
                after: limit,
            }
            .into())
        })
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
}

/// Returns the error of a publication without a response, which ends the run with a report; other
/// errors end it without one.
fn timed_out(published: anyhow::Result<()>) -> anyhow::Result<Option<anyhow::Error>> {
    match published {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.downcast_ref(), Some(Error::TimedOut { .. })) => {
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

/// Reports the first error of a subscriber.
fn report_disconnected(pool: &SubscriberPool, report: &BenchReport) -> anyhow::Result<()> {
    let Some(error) = pool.take_failure() else {
        return Ok(());
    };
    // No message could be delivered: the mode is not supported.
    if report.delivered == 0 && exit::of(&error) == Code::Http {
        return Err(error);
    }
    note(format_args!(
        "{} of {} subscribers were disconnected; the first one: {error:#}",
        report.disconnected, report.subscribers
    ));
    Ok(())
}

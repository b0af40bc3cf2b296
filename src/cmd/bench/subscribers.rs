//! The subscribers of one process: connects them and collects their results.
//!
//! Subscriber `n` of all processes follows channel `n % channels`.

use std::net::IpAddr;
use std::rc::Rc;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use super::args::Args;
use super::clock;
use super::results::Results;
use super::state::{RunState, SubscriberRecorder};
use crate::client::Endpoints;
use crate::client::mode::Mode;
use crate::client::transport::raw_http::Target;
use crate::client::transport::raw_http::follow::{Sink, follow};
use crate::client::transport::raw_http::source::Sources;

/// Number of concurrent connection attempts: more overflow the listen queue of most servers.
const CONNECTING: usize = 128;

/// The part of one process, with the settings that all processes share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunPart {
    /// Index of this process.
    pub(super) index: usize,
    /// Number of processes.
    pub(super) of: usize,
    /// Start of the run, in nanoseconds of [`clock::now`].
    pub(super) start: u64,
    /// Prefix of the channel ids of this run.
    pub(super) prefix: String,
    /// Local addresses of the connections, used in turn; if empty, the system chooses.
    pub(super) sources: Vec<IpAddr>,
}

impl RunPart {
    /// The numbers of the subscribers of this process.
    fn numbers(&self, args: &Args) -> impl Iterator<Item = usize> + use<> {
        (self.index..args.subscribers).step_by(self.of)
    }

    /// The id of a channel.
    pub(super) fn channel(&self, number: usize) -> String {
        format!("{}{number}", self.prefix)
    }
}

/// Connecting and connected subscribers; dropping it disconnects them.
pub(super) struct Subscribers {
    part: RunPart,
    channels: usize,
    pub(super) state: Rc<RunState>,
    _subscribers: JoinSet<()>,
}

impl Subscribers {
    /// Starts the subscribers.
    ///
    /// # Errors
    /// Returns an error if the channels do not form URLs.
    pub(super) fn start(
        args: &Args,
        part: RunPart,
        endpoints: &Endpoints,
        target: Target,
    ) -> anyhow::Result<Self> {
        let urls: Result<Vec<Url>, _> = (0..args.channels)
            .map(|number| endpoints.subscribe(args.mode, &part.channel(number)))
            .collect();
        let settings = Rc::new(SubscriberSettings {
            urls: urls?,
            target: target.from_sources(Sources::new(part.sources.clone())),
            turns: Semaphore::new(if args.storm {
                Semaphore::MAX_PERMITS
            } else {
                CONNECTING
            }),
            mode: args.mode,
            nanos_between: args.connect_rate.map(|rate| 1e9 / rate),
            start: part.start,
        });
        let numbers: Vec<usize> = part.numbers(args).collect();
        let state = Rc::new(RunState::new(numbers.len(), args.size, part.start));
        let mut subscribers = JoinSet::new();
        for (own, number) in numbers.into_iter().enumerate() {
            let state = Rc::clone(&state);
            let settings = Rc::clone(&settings);
            subscribers.spawn_local(async move { settings.subscribe(own, number, &state).await });
        }
        Ok(Self {
            part,
            channels: args.channels,
            state,
            _subscribers: subscribers,
        })
    }

    /// Collects the results; `published` is the number of messages per channel.
    pub(super) fn collect_results(&self, published: &[u64]) -> Results {
        let part = &self.part;
        let channels = self.channels;
        self.state.collect_results(|own| {
            published
                .get((part.index + own * part.of) % channels)
                .copied()
                .unwrap_or(0)
        })
    }
}

/// Settings that all subscribers share.
struct SubscriberSettings {
    urls: Vec<Url>,
    target: Target,
    turns: Semaphore,
    mode: Mode,
    nanos_between: Option<f64>,
    start: u64,
}

impl SubscriberSettings {
    async fn subscribe(&self, own: usize, number: usize, state: &RunState) {
        let started = match self.nanos_between {
            Some(between) => {
                let due = self.start + (between * number as f64) as u64;
                // The runtime's timer: the exact alarm of `clock` would keep a heap of all
                // subscribers.
                tokio::time::sleep(std::time::Duration::from_nanos(
                    due.saturating_sub(clock::now()),
                ))
                .await;
                Some(due)
            }
            None => None,
        };
        let turn = self.turns.acquire().await.ok();
        let recorder = SubscriberRecorder::new(
            state,
            own,
            started.unwrap_or_else(clock::now),
            self.mode == Mode::Lp,
        );
        let mut recorder = Turn { recorder, turn };
        let url = &self.urls[number % self.urls.len()];
        if let Err(error) = follow(&self.target, url, self.mode, &mut recorder, &state.buffer).await
        {
            state.record_failure(error);
        }
    }
}

/// Releases the connection permit as soon as the request of this subscriber is sent.
struct Turn<'a> {
    recorder: SubscriberRecorder<'a>,
    turn: Option<SemaphorePermit<'a>>,
}

impl Sink for Turn<'_> {
    fn record_request(&mut self) {
        self.turn = None;
        self.recorder.record_request();
    }

    fn record_response(&mut self) {
        self.recorder.record_response();
    }

    fn data(&mut self, bytes: &[u8]) {
        self.recorder.data(bytes);
    }

    fn boundary(&mut self) {
        self.recorder.boundary();
    }
}

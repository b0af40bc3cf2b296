//! The subscribers of one process: connects them, keeps their books.
//!
//! Subscriber `n` of all follows channel `n % channels`, whichever process it belongs to.

use std::net::IpAddr;
use std::rc::Rc;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use super::Args;
use super::books::Results;
use super::clock;
use super::state::{Entry, State};
use crate::client::raw_http::Target;
use crate::client::raw_http::follow::{Sink, follow};
use crate::client::raw_http::source::Sources;
use crate::client::{Endpoints, Mode};

/// Connections that are made at once: more overflow the listen queue of most servers.
const CONNECTING: usize = 128;

/// Which of the subscribers a process has, and what all processes have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    /// Number of this process.
    pub(super) index: usize,
    /// Processes.
    pub(super) of: usize,
    /// When the run started.
    pub(super) start: u64,
    /// What the names of its channels begin with.
    pub(super) prefix: String,
    /// The local addresses to connect from in turn; empty = the system chooses.
    pub(super) sources: Vec<IpAddr>,
}

impl Part {
    /// The numbers of its subscribers.
    fn numbers(&self, args: &Args) -> impl Iterator<Item = usize> + use<> {
        (self.index..args.subscribers).step_by(self.of)
    }

    /// The name of a channel.
    pub(super) fn channel(&self, number: usize) -> String {
        format!("{}{number}", self.prefix)
    }
}

/// Subscribers that are connecting or following, until it is dropped.
pub(super) struct Subscribers {
    part: Part,
    channels: usize,
    pub(super) state: Rc<State>,
    _subscribers: JoinSet<()>,
}

impl Subscribers {
    /// Starts the subscribers.
    ///
    /// # Errors
    /// When there are no URLs for the channels.
    pub(super) fn start(
        args: &Args,
        part: Part,
        endpoints: &Endpoints,
        target: Target,
    ) -> anyhow::Result<Self> {
        let urls: Result<Vec<Url>, _> = (0..args.channels)
            .map(|number| endpoints.subscribe(args.mode, &part.channel(number)))
            .collect();
        let crowd = Rc::new(SubscriberSettings {
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
        let state = Rc::new(State::new(numbers.len(), args.size, part.start));
        let mut subscribers = JoinSet::new();
        for (own, number) in numbers.into_iter().enumerate() {
            let state = Rc::clone(&state);
            let crowd = Rc::clone(&crowd);
            subscribers.spawn_local(async move { crowd.subscribe(own, number, &state).await });
        }
        Ok(Self {
            part,
            channels: args.channels,
            state,
            _subscribers: subscribers,
        })
    }

    /// Closes the books, given how many messages each channel had.
    pub(super) fn books(&self, published: &[u64]) -> Results {
        let part = &self.part;
        let channels = self.channels;
        self.state.books(|own| {
            published
                .get((part.index + own * part.of) % channels)
                .copied()
                .unwrap_or(0)
        })
    }
}

/// What all subscribers need.
struct SubscriberSettings {
    urls: Vec<Url>,
    target: Target,
    turns: Semaphore,
    mode: Mode,
    nanos_between: Option<f64>,
    start: u64,
}

impl SubscriberSettings {
    async fn subscribe(&self, own: usize, number: usize, state: &State) {
        let started = match self.nanos_between {
            Some(between) => {
                let due = self.start + (between * number as f64) as u64;
                // A timer of the runtime: ten thousand exact ones would cost as many files.
                tokio::time::sleep(std::time::Duration::from_nanos(
                    due.saturating_sub(clock::now()),
                ))
                .await;
                Some(due)
            }
            None => None,
        };
        let turn = self.turns.acquire().await.ok();
        let entry = Entry::new(
            state,
            own,
            started.unwrap_or_else(clock::now),
            self.mode == Mode::Lp,
        );
        let mut entry = Turn { entry, turn };
        let url = &self.urls[number % self.urls.len()];
        if let Err(error) = follow(&self.target, url, self.mode, &mut entry, &state.buffer).await {
            state.failed(error);
        }
    }
}

/// Gives the turn to the next subscriber as soon as this one's request is on its way.
struct Turn<'a> {
    entry: Entry<'a>,
    turn: Option<SemaphorePermit<'a>>,
}

impl Sink for Turn<'_> {
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

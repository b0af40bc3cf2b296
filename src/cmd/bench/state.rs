//! What the tasks of a run share. All of them run on one thread, so cells are enough.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use super::ledger::Ledger;
use super::report::Latency;
use super::stamp::Scanner;
use crate::client::Error;
use crate::client::lean::follow::Sink;
use crate::client::lean::{BUFFER_BYTES, Buffer};

/// Longest latency that is told apart from longer ones.
const MAX_LATENCY: Duration = Duration::from_secs(3600);

/// The books of a run.
#[derive(Debug)]
pub(super) struct State {
    pub(super) start: Instant,
    pub(super) buffer: Buffer,
    latency: RefCell<Histogram<u64>>,
    ledgers: RefCell<Vec<Ledger>>,
    size: usize,
    /// Acknowledged messages of each channel; subscriber `n` follows channel `n % channels`.
    published: RefCell<Vec<u64>>,
    /// Messages that arrived damaged.
    pub(super) corrupt: Cell<u64>,
    pub(super) asked: Cell<usize>,
    pub(super) answered: Cell<usize>,
    pub(super) delivered: Cell<u64>,
    pub(super) disconnected: Cell<u64>,
    /// When the last message arrived, since `start`.
    pub(super) last_delivery: Cell<Duration>,
    /// The first error of a subscriber.
    failure: RefCell<Option<Error>>,
    /// Told when a subscriber failed.
    pub(super) changed: Notify,
}

impl State {
    pub(super) fn new(subscribers: usize, channels: usize, size: usize) -> Self {
        let histogram = Histogram::new_with_max(u64::try_from(MAX_LATENCY.as_nanos()).unwrap_or(u64::MAX), 3);
        Self {
            start: Instant::now(),
            buffer: RefCell::new(vec![0; BUFFER_BYTES]),
            latency: RefCell::new(histogram.expect("three digits of an hour in nanoseconds are representable")),
            ledgers: RefCell::new(vec![Ledger::default(); subscribers]),
            size,
            published: RefCell::new(vec![0; channels]),
            corrupt: Cell::new(0),
            asked: Cell::new(0),
            answered: Cell::new(0),
            delivered: Cell::new(0),
            disconnected: Cell::new(0),
            last_delivery: Cell::new(Duration::ZERO),
            failure: RefCell::new(None),
            changed: Notify::new(),
        }
    }

    /// Nanoseconds since the start.
    pub(super) fn now_nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes that a subscriber's connection ended.
    pub(super) fn failed(&self, error: Error) {
        self.disconnected.set(self.disconnected.get() + 1);
        self.failure.borrow_mut().get_or_insert(error);
        self.changed.notify_one();
    }

    /// Notes that the server took a message for a channel.
    pub(super) fn acknowledged(&self, channel: usize) {
        if let Some(count) = self.published.borrow_mut().get_mut(channel) {
            *count += 1;
        }
    }

    /// Acknowledged messages.
    pub(super) fn published(&self) -> u64 {
        self.published.borrow().iter().sum()
    }

    /// Acknowledged messages times their subscribers.
    pub(super) fn expected(&self) -> u64 {
        let (published, subscribers) = (self.published.borrow(), self.ledgers.borrow().len());
        (0..subscribers).map(|number| published[number % published.len()]).sum()
    }

    /// The first error of a subscriber, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    /// True when everything has arrived, or nobody is left to whom it could.
    pub(super) fn is_over(&self) -> bool {
        self.delivered.get() >= self.expected() || self.disconnected.get() == self.ledgers.borrow().len() as u64
    }

    /// Lost, duplicated and reordered messages.
    pub(super) fn faults(&self) -> (u64, u64, u64) {
        let ledgers = self.ledgers.borrow();
        let sum = |count: fn(&Ledger) -> u64| ledgers.iter().map(count).sum::<u64>();
        let published = self.published.borrow();
        let due = |number: usize| published[number % published.len()];
        let lost = ledgers.iter().enumerate().map(|(number, ledger)| due(number).saturating_sub(ledger.received())).sum();
        (lost, sum(Ledger::duplicated), sum(Ledger::reordered))
    }

    pub(super) fn latency(&self) -> Latency {
        let histogram = self.latency.borrow();
        let milliseconds = |nanos: u64| nanos as f64 / 1e6;
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max: milliseconds(histogram.max()) }
    }
}

/// One subscriber's way into the books.
pub(super) struct Entry<'a> {
    state: &'a State,
    number: usize,
    scanner: Scanner,
}

impl<'a> Entry<'a> {
    pub(super) fn new(state: &'a State, number: usize) -> Self {
        Self { state, number, scanner: Scanner::new(state.size) }
    }
}

impl Sink for Entry<'_> {
    fn asked(&mut self) {
        self.state.asked.set(self.state.asked.get() + 1);
    }

    fn answered(&mut self) {
        self.state.answered.set(self.state.answered.get() + 1);
    }

    fn data(&mut self, bytes: &[u8]) {
        let state = self.state;
        let now = state.now_nanos();
        let (mut latency, mut ledgers) = (state.latency.borrow_mut(), state.ledgers.borrow_mut());
        let ledger = &mut ledgers[self.number];
        let before = ledger.received();
        self.scanner.scan(bytes, |found| {
            ledger.enter(usize::from(found.stamp.publisher), found.stamp.sequence, found.id);
            latency.saturating_record(now.saturating_sub(found.stamp.due_nanos));
            state.corrupt.set(state.corrupt.get() + u64::from(!found.is_intact));
        });
        let new = ledger.received() - before;
        if new > 0 {
            state.delivered.set(state.delivered.get() + new);
            state.last_delivery.set(Duration::from_nanos(now));
        }
    }

    fn boundary(&mut self) {
        self.scanner.boundary();
    }
}

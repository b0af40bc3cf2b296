//! What the subscribers of a process share. All of them run on one thread, so cells are enough.

use std::cell::{Cell, RefCell};

use super::books::{Latencies, Results, Tally};
use super::clock;
use super::ledger::Ledger;
use super::series::Series;
use super::stamp::Scanner;
use crate::client::Error;
use crate::client::raw_http::follow::Sink;
use crate::client::raw_http::{BUFFER_BYTES, Buffer};

/// The books of a process while it runs.
#[derive(Debug)]
pub(super) struct State {
    /// When the run started, for all its processes.
    start: u64,
    pub(super) buffer: Buffer,
    latency: RefCell<Latencies>,
    connecting: RefCell<Latencies>,
    series: RefCell<Series>,
    ledgers: RefCell<Vec<Ledger>>,
    size: usize,
    corrupt: Cell<u64>,
    asked: Cell<usize>,
    answered: Cell<usize>,
    delivered: Cell<u64>,
    warmed: Cell<u64>,
    disconnected: Cell<u64>,
    last_delivery: Cell<u64>,
    /// The first error of a subscriber.
    failure: RefCell<Option<Error>>,
}

impl State {
    pub(super) fn new(subscribers: usize, size: usize, start: u64) -> Self {
        Self {
            start,
            buffer: RefCell::new(vec![0; BUFFER_BYTES]),
            latency: RefCell::default(),
            connecting: RefCell::default(),
            series: RefCell::default(),
            ledgers: RefCell::new(vec![Ledger::default(); subscribers]),
            size,
            corrupt: Cell::new(0),
            asked: Cell::new(0),
            answered: Cell::new(0),
            delivered: Cell::new(0),
            warmed: Cell::new(0),
            disconnected: Cell::new(0),
            last_delivery: Cell::new(0),
            failure: RefCell::new(None),
        }
    }

    /// Notes that a subscriber's connection ended.
    pub(super) fn failed(&self, error: Error) {
        self.disconnected.set(self.disconnected.get() + 1);
        self.failure.borrow_mut().get_or_insert(error);
    }

    /// The first error of a subscriber, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    /// How far it is.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            asked: self.asked.get(),
            answered: self.answered.get(),
            delivered: self.delivered.get(),
            warmed: self.warmed.get(),
            disconnected: self.disconnected.get(),
        }
    }

    /// Closes the books. `due` tells how many messages the subscriber of that number should have
    /// got, the warm-up included.
    pub(super) fn books(&self, due: impl Fn(usize) -> u64) -> Results {
        let ledgers = self.ledgers.borrow();
        let sum = |count: fn(&Ledger) -> u64| ledgers.iter().map(count).sum::<u64>();
        Results {
            delivered: self.delivered.get(),
            lost: ledgers
                .iter()
                .enumerate()
                .map(|(number, ledger)| due(number).saturating_sub(ledger.received()))
                .sum(),
            duplicated: sum(Ledger::duplicated),
            reordered: sum(Ledger::reordered),
            corrupt: self.corrupt.get(),
            disconnected: self.disconnected.get(),
            last_delivery: self.last_delivery.get(),
            latency: self.latency.borrow().clone(),
            connecting: self.connecting.borrow().clone(),
            series: self.series.borrow().clone(),
        }
    }
}

/// One subscriber's way into the books.
pub(super) struct Entry<'a> {
    state: &'a State,
    number: usize,
    scanner: Scanner,
    /// When its connection was due; taken when that is entered.
    started: Option<u64>,
    /// Long-polling is answered with the first message only, so there the request counts.
    is_asked_enough: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        state: &'a State,
        number: usize,
        started: u64,
        is_asked_enough: bool,
    ) -> Self {
        Self {
            state,
            number,
            scanner: Scanner::new(state.size),
            started: Some(started),
            is_asked_enough,
        }
    }

    fn connected(&mut self) {
        if let Some(started) = self.started.take() {
            self.state
                .connecting
                .borrow_mut()
                .record(clock::now().saturating_sub(started));
        }
    }
}

impl Sink for Entry<'_> {
    fn asked(&mut self) {
        self.state.asked.set(self.state.asked.get() + 1);
        if self.is_asked_enough {
            self.connected();
        }
    }

    fn answered(&mut self) {
        self.state.answered.set(self.state.answered.get() + 1);
        self.connected();
    }

    fn data(&mut self, bytes: &[u8]) {
        let state = self.state;
        let now = clock::now();
        let mut latencies = state.latency.borrow_mut();
        let mut ledgers = state.ledgers.borrow_mut();
        let mut series = state.series.borrow_mut();
        let ledger = &mut ledgers[self.number];
        self.scanner.scan(bytes, |found| {
            let stamp = found.stamp;
            let before = ledger.received();
            ledger.enter(stamp.line(), stamp.sequence, found.id);
            let new = ledger.received() - before;
            state
                .corrupt
                .set(state.corrupt.get() + u64::from(!found.is_intact));
            if stamp.is_warm_up {
                state.warmed.set(state.warmed.get() + new);
                return;
            }
            let latency = now.saturating_sub(stamp.due_nanos);
            latencies.record(latency);
            if new > 0 {
                series.enter(now.saturating_sub(state.start), latency);
                state.delivered.set(state.delivered.get() + new);
                state.last_delivery.set(now);
            }
        });
    }

    fn boundary(&mut self) {
        self.scanner.boundary();
    }
}

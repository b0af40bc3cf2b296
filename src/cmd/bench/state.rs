//! State shared by the subscribers of a process. They run on one thread, so cells suffice.

use std::cell::{Cell, RefCell};

use super::clock;
use super::ledger::DeliveryLedger;
use super::results::{Latencies, Results, Tally};
use super::series::Series;
use super::stamp::Scanner;
use crate::client::Error;
use crate::client::transport::raw_http::follow::Sink;
use crate::client::transport::raw_http::{BUFFER_BYTES, Buffer};

/// The results of a process during the run.
#[derive(Debug)]
pub(super) struct RunState {
    /// Start of the run, the same for all its processes.
    start: u64,
    pub(super) buffer: Buffer,
    latency: RefCell<Latencies>,
    connecting: RefCell<Latencies>,
    series: RefCell<Series>,
    ledgers: RefCell<Vec<DeliveryLedger>>,
    size: usize,
    corrupt: Cell<u64>,
    requested: Cell<usize>,
    responded: Cell<usize>,
    delivered: Cell<u64>,
    warmed: Cell<u64>,
    disconnected: Cell<u64>,
    last_delivery: Cell<u64>,
    /// The first error of a subscriber.
    failure: RefCell<Option<Error>>,
}

impl RunState {
    pub(super) fn new(subscribers: usize, size: usize, start: u64) -> Self {
        Self {
            start,
            buffer: RefCell::new(vec![0; BUFFER_BYTES]),
            latency: RefCell::default(),
            connecting: RefCell::default(),
            series: RefCell::default(),
            ledgers: RefCell::new(vec![DeliveryLedger::default(); subscribers]),
            size,
            corrupt: Cell::new(0),
            requested: Cell::new(0),
            responded: Cell::new(0),
            delivered: Cell::new(0),
            warmed: Cell::new(0),
            disconnected: Cell::new(0),
            last_delivery: Cell::new(0),
            failure: RefCell::new(None),
        }
    }

    /// Records that a subscriber's connection ended.
    pub(super) fn record_failure(&self, error: Error) {
        self.disconnected.set(self.disconnected.get() + 1);
        self.failure.borrow_mut().get_or_insert(error);
    }

    /// Takes the first error of a subscriber.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    /// Progress of this process.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            requested: self.requested.get(),
            responded: self.responded.get(),
            delivered: self.delivered.get(),
            warmed: self.warmed.get(),
            disconnected: self.disconnected.get(),
        }
    }

    /// Collects the results. `due` returns the number of messages that a subscriber should have
    /// received, including the warm-up.
    pub(super) fn collect_results(&self, due: impl Fn(usize) -> u64) -> Results {
        let ledgers = self.ledgers.borrow();
        let sum = |count: fn(&DeliveryLedger) -> u64| ledgers.iter().map(count).sum::<u64>();
        Results {
            delivered: self.delivered.get(),
            lost: ledgers
                .iter()
                .enumerate()
                .map(|(number, ledger)| due(number).saturating_sub(ledger.received()))
                .sum(),
            duplicated: sum(DeliveryLedger::duplicated),
            reordered: sum(DeliveryLedger::reordered),
            corrupt: self.corrupt.get(),
            disconnected: self.disconnected.get(),
            last_delivery: self.last_delivery.get(),
            latency: self.latency.borrow().clone(),
            connecting: self.connecting.borrow().clone(),
            series: self.series.borrow().clone(),
        }
    }
}

/// Records the messages of one subscriber.
pub(super) struct SubscriberRecorder<'a> {
    state: &'a RunState,
    number: usize,
    scanner: Scanner,
    /// Time at which the connection was due; taken when the connect latency is recorded.
    started: Option<u64>,
    /// A long-poll has a response with the first message only, so the connect latency ends when the
    /// request is sent.
    counts_request: bool,
}

impl<'a> SubscriberRecorder<'a> {
    pub(super) fn new(
        state: &'a RunState,
        number: usize,
        started: u64,
        counts_request: bool,
    ) -> Self {
        Self {
            state,
            number,
            scanner: Scanner::new(state.size),
            started: Some(started),
            counts_request,
        }
    }

    fn record_connect(&mut self) {
        if let Some(started) = self.started.take() {
            self.state
                .connecting
                .borrow_mut()
                .record(clock::now().saturating_sub(started));
        }
    }
}

impl Sink for SubscriberRecorder<'_> {
    fn record_request(&mut self) {
        self.state.requested.set(self.state.requested.get() + 1);
        if self.counts_request {
            self.record_connect();
        }
    }

    fn record_response(&mut self) {
        self.state.responded.set(self.state.responded.get() + 1);
        self.record_connect();
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
            ledger.record(stamp.line(), stamp.sequence, found.id);
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
                series.record(now.saturating_sub(state.start), latency);
                state.delivered.set(state.delivered.get() + new);
                state.last_delivery.set(now);
            }
        });
    }

    fn boundary(&mut self) {
        self.scanner.boundary();
    }
}

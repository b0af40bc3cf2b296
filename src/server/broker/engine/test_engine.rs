//! The test engine: an engine in memory that acknowledges late, with errors or never. Requests for
//! one channel are carried out in order; those for different channels may overtake each other.
//!
//! It has one thread, which ends with the broker. Its queue is bounded as that of any engine.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::Ticket;
use super::pending::{PendingRequest, PendingRequests};
use super::waiter::{Acknowledgements, Completion};
use crate::server::broker::memory::allocated;
use crate::server::broker::{Broker, Inner, PublishError};
use crate::server::config::TestEngineSettings;

/// Memory of a pending request besides its message: its entry in the queue, both of its sides, and
/// what its connection keeps to respond to it.
const REQUEST_BYTES: u64 = 1024;

/// An engine that acknowledges late.
#[derive(Debug)]
pub(in crate::server::broker) struct TestEngine {
    shared: Arc<Shared>,
    pending: PendingRequests,
    /// Number of messages so far.
    messages: AtomicU64,
    random: RandomState,
}

/// A request to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::broker) enum EngineRequest {
    /// Publish a message with this length.
    Publish(usize),
    /// Publish an event of the broker, which never fails on purpose.
    Event(usize),
    /// Delete a channel.
    Delete,
    /// Fill the log of a channel.
    Open,
}

#[derive(Debug)]
struct Shared {
    settings: TestEngineSettings,
    queue: Mutex<JobQueue>,
    changed: Condvar,
}

#[derive(Default)]
struct JobQueue {
    jobs: BinaryHeap<Reverse<Job>>,
    /// When the last job of each channel with jobs is due, and its number.
    last: HashMap<Bytes, (Instant, u64)>,
    /// Jobs that are never carried out.
    never: Vec<Work>,
    jobs_so_far: u64,
    is_stopped: bool,
}

type Work = Box<dyn FnOnce(&Broker, &mut Acknowledgements) + Send>;

struct Job {
    due: Instant,
    number: u64,
    key: Bytes,
    work: Work,
}

impl TestEngine {
    pub(super) fn new(settings: TestEngineSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                queue: Mutex::default(),
                changed: Condvar::new(),
            }),
            pending: PendingRequests::default(),
            messages: AtomicU64::new(0),
            random: RandomState::new(),
        }
    }

    /// Starts the thread of the engine.
    pub(in crate::server::broker) fn start(&self, inner: &Arc<Inner>) {
        let shared = Arc::clone(&self.shared);
        let inner = Arc::downgrade(inner);
        let name = "test-engine".to_owned();
        let started = std::thread::Builder::new()
            .name(name)
            .spawn(move || shared.run(&inner));
        started.expect("a test has a thread left");
    }

    pub(in crate::server::broker) fn delays_events(&self) -> bool {
        self.shared.settings.delays_events
    }

    /// Queues a request for the channel with this id, which `work` carries out.
    pub(in crate::server::broker) fn submit<T: Send + 'static>(
        &self,
        broker: &Broker,
        id: &Bytes,
        request: EngineRequest,
        work: impl FnOnce(&Broker) -> Result<T, PublishError> + Send + 'static,
    ) -> Ticket<T> {
        let pending = match self.enter(broker, request) {
            Ok(pending) => pending,
            Err(error) => return Ticket::Ready(Err(error)),
        };
        let deadline = Instant::now() + broker.settings().publish_timeout;
        let (completion, waiter) = Completion::new(pending, broker.1, deadline);
        let fails = self.fails(request);
        let work: Work = Box::new(move |broker, batch| {
            let result = if fails {
                Err(PublishError::out_of_memory())
            } else {
                work(broker)
            };
            completion.complete(result, batch);
        });
        self.shared.push(id, request, work, self.random_delay());
        Ticket::Pending(waiter)
    }

    /// Counts and charges a request.
    fn enter(
        &self,
        broker: &Broker,
        request: EngineRequest,
    ) -> Result<PendingRequest, PublishError> {
        let bytes = match request {
            EngineRequest::Publish(bytes) | EngineRequest::Event(bytes) => allocated(bytes),
            EngineRequest::Delete | EngineRequest::Open => 0,
        };
        self.pending.enter(broker, bytes + REQUEST_BYTES)
    }

    fn fails(&self, request: EngineRequest) -> bool {
        let EngineRequest::Publish(_) = request else {
            return false;
        };
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let interval = self.shared.settings.error_interval;
        interval.is_some_and(|interval| number.is_multiple_of(interval))
    }

    fn random_delay(&self) -> Duration {
        let TestEngineSettings {
            min_delay,
            max_delay,
            ..
        } = self.shared.settings;
        let range = u64::try_from((max_delay - min_delay).as_micros()).unwrap_or(u64::MAX);
        let random = self.random.hash_one(Instant::now());
        min_delay + Duration::from_micros(random % range.saturating_add(1))
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.shared.queue.lock().is_stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn push(&self, id: &Bytes, request: EngineRequest, work: Work, delay: Duration) {
        let never = match request {
            EngineRequest::Publish(_) => &self.settings.never_prefix,
            EngineRequest::Open => &self.settings.never_opens_prefix,
            EngineRequest::Event(_) | EngineRequest::Delete => &None,
        };
        let mut queue = self.queue.lock();
        if never.as_ref().is_some_and(|prefix| id.starts_with(prefix)) {
            return queue.never.push(work);
        }
        let number = queue.jobs_so_far;
        queue.jobs_so_far += 1;
        let mut due = Instant::now() + delay;
        if let Some((last, _)) = queue.last.get(id) {
            due = due.max(*last);
        }
        // A copy, because the id may be a slice of a whole request.
        let key = Bytes::copy_from_slice(id);
        queue.last.insert(key.clone(), (due, number));
        queue.jobs.push(Reverse(Job {
            due,
            number,
            key,
            work,
        }));
        drop(queue);
        self.changed.notify_all();
    }

    /// Carries out requests until the broker ends.
    fn run(&self, inner: &Weak<Inner>) {
        while let Some(jobs) = self.next_batch() {
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let broker = Broker(inner, None);
            let mut batch = Acknowledgements::default();
            jobs.into_iter().for_each(|work| work(&broker, &mut batch));
            batch.flush(&broker.0.inboxes);
        }
    }

    /// Waits for requests that are due; `None` if the engine has stopped.
    fn next_batch(&self) -> Option<Vec<Work>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_stopped {
                return None;
            }
            let now = Instant::now();
            let jobs = queue.take_due(now);
            if !jobs.is_empty() {
                return Some(jobs);
            }
            match queue.jobs.peek().map(|Reverse(job)| job.due) {
                Some(due) => drop(self.changed.wait_until(&mut queue, due)),
                None => self.changed.wait(&mut queue),
            }
        }
    }
}

impl JobQueue {
    fn take_due(&mut self, now: Instant) -> Vec<Work> {
        let mut due = Vec::new();
        while self.jobs.peek().is_some_and(|Reverse(job)| job.due <= now) {
            let Some(Reverse(job)) = self.jobs.pop() else {
                break;
            };
            if self.last.get(&job.key).map(|(_, number)| *number) == Some(job.number) {
                self.last.remove(&job.key);
            }
            due.push(job.work);
        }
        due
    }
}

impl std::fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JobQueue({} jobs)", self.jobs.len() + self.never.len())
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Job {}

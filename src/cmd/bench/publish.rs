//! Publishing: as fast as the server responds, or at a rate.
//!
//! With a rate each message has a due time, which is its stamp instead of the time at which it was
//! sent: a server that responds late delays the messages behind, and this delay is part of their
//! latency (no coordinated omission).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use reqwest::Url;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::clock::{self, Alarm};
use super::series::Series;
use super::stamp::Stamp;
use crate::client::Error;
use crate::client::transport::raw_http::publisher::RawPublisher;
use crate::client::transport::raw_http::{BUFFER_BYTES, Buffer, Target};
use crate::client::url::shown;

/// The load of a run.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) publishers: usize,
    pub(super) size: usize,
    /// Messages per second over all publishers.
    pub(super) rate: Option<f64>,
    /// Time-out of the response to each message.
    pub(super) timeout: Duration,
    pub(super) end: PublishEnd,
    /// Due time of the first message.
    pub(super) first: u64,
}

/// End of publishing.
#[derive(Clone, Copy, Debug)]
pub(super) enum PublishEnd {
    /// After this number of messages on each channel.
    Messages(u32),
    /// At this time; these messages are a warm-up.
    WarmUp(u64),
}

/// The messages that the server accepted.
#[derive(Debug)]
pub(super) struct Posted {
    start: u64,
    /// Number of messages per channel.
    counts: RefCell<Vec<u64>>,
    pub(super) series: RefCell<Series>,
    /// Maximum delay between due time and sending.
    pub(super) behind: Cell<u64>,
}

impl Posted {
    pub(super) fn new(channels: usize, start: u64) -> Self {
        Self {
            start,
            counts: RefCell::new(vec![0; channels]),
            series: RefCell::default(),
            behind: Cell::new(0),
        }
    }

    /// Number of messages per channel.
    pub(super) fn counts(&self) -> Vec<u64> {
        self.counts.borrow().clone()
    }

    /// Number of messages on all channels.
    pub(super) fn total(&self) -> u64 {
        self.counts.borrow().iter().sum()
    }

    /// Number of deliveries: messages times their subscribers.
    pub(super) fn expected(&self, subscribers: usize) -> u64 {
        let counts = self.counts.borrow();
        let channels = counts.len();
        // Subscriber n follows channel n % channels.
        counts
            .iter()
            .enumerate()
            .map(|(channel, count)| {
                count * ((subscribers + channels - 1 - channel) / channels) as u64
            })
            .sum()
    }

    fn record(&self, channel: usize) {
        self.counts.borrow_mut()[channel] += 1;
        self.series
            .borrow_mut()
            .record(clock::now().saturating_sub(self.start), 0);
    }
}

/// Publishes all messages; the first failure ends it.
///
/// # Errors
/// Returns the error of the first publisher that failed.
pub(super) async fn publish(
    load: &Load,
    target: &Target,
    urls: &Rc<[Url]>,
    posted: &Rc<Posted>,
) -> anyhow::Result<()> {
    let buffer: Rc<Buffer> = Rc::new(RefCell::new(vec![0; BUFFER_BYTES]));
    let alarm = load.rate.map(|_| Alarm::new()).transpose()?;
    let mut publishers = JoinSet::new();
    for number in 0..load.publishers {
        let task = PublishTask {
            load: load.clone(),
            number,
            publisher: RawPublisher::new(target.clone()),
            alarm: alarm.clone(),
            urls: Rc::clone(urls),
            posted: Rc::clone(posted),
            buffer: Rc::clone(&buffer),
        };
        publishers.spawn_local(task.run());
    }
    while let Some(result) = publishers.join_next().await {
        result
            .unwrap_or_else(|error| Err(Error::Request(format!("a publisher failed: {error}"))))?;
    }
    Ok(())
}

struct PublishTask {
    load: Load,
    number: usize,
    publisher: RawPublisher,
    alarm: Option<Alarm>,
    urls: Rc<[Url]>,
    posted: Rc<Posted>,
    buffer: Rc<Buffer>,
}

impl PublishTask {
    /// Publishes the messages of one publisher: every `publishers`-th message of each channel, the
    /// channels in turn.
    async fn run(mut self) -> Result<(), Error> {
        let publishers = self.load.publishers;
        let urls = Rc::clone(&self.urls);
        let share = match self.load.end {
            PublishEnd::Messages(messages) => {
                (messages as usize + publishers - 1 - self.number) / publishers
            }
            PublishEnd::WarmUp(_) => usize::MAX,
        };
        let mut turn = self.number as u64;
        for sequence in 0..share {
            for (channel, url) in urls.iter().enumerate() {
                let due_nanos = self.due(turn).await;
                turn += publishers as u64;
                if matches!(self.load.end, PublishEnd::WarmUp(end) if due_nanos >= end) {
                    return Ok(());
                }
                self.post(channel, url, sequence as u32, due_nanos).await?;
            }
        }
        Ok(())
    }

    /// Waits until the message is due, and returns its due time.
    async fn due(&self, turn: u64) -> u64 {
        let (Some(rate), Some(alarm)) = (self.load.rate, &self.alarm) else {
            return clock::now();
        };
        let mut due = self.load.first + (turn as f64 * 1e9 / rate) as u64;
        if let PublishEnd::WarmUp(end) = self.load.end {
            due = due.min(end);
        }
        alarm.wait_until(due).await;
        due
    }

    async fn post(
        &mut self,
        channel: usize,
        url: &Url,
        sequence: u32,
        due_nanos: u64,
    ) -> Result<(), Error> {
        let is_warm_up = matches!(self.load.end, PublishEnd::WarmUp(_));
        let stamp = Stamp {
            publisher: self.number as u16,
            sequence,
            due_nanos,
            is_warm_up,
        };
        let behind = clock::now().saturating_sub(due_nanos);
        self.posted.behind.set(self.posted.behind.get().max(behind));
        let response = timeout(
            self.load.timeout,
            self.publisher
                .post(url, &stamp.text(self.load.size), &self.buffer),
        )
        .await;
        response.unwrap_or_else(|_| {
            Err(Error::TimedOut {
                url: shown(url),
                after: self.load.timeout,
            })
        })?;
        self.posted.record(channel);
        Ok(())
    }
}

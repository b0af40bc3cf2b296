//! The event loop of the load generator: connects subscribers, publishes, and waits for all
//! deliveries.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::publisher::Publisher;
use super::subscriber::{State, Subscriber};
use super::{Pace, Plan, Tally, Until};
use crate::net::{self, Got, Interest, Net, Ready};

/// First token of publishers.
const PUBLISHERS: u64 = 1 << 40;
/// Concurrent connection attempts.
const MOST_CONNECTING: usize = 256;
/// Connections per source address; more use the next address, because ports are limited.
const PER_ADDRESS: usize = 20_000;
/// Receive buffer of subscribers that do not read.
const STUCK_BUFFER_BYTES: usize = 4096;

/// Subscribers and publishers of one server.
pub struct Load {
    plan: Plan,
    net: Net,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
    start: Instant,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Publisher>,
    open: usize,
    /// Messages published to each channel, and subscribers of it that read.
    channels: Vec<(u64, u64)>,
    next_channel: usize,
    /// Results since the start of the last run.
    pub tally: Tally,
}

impl Load {
    /// Connects the publishers.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new(plan: Plan) -> Result<Self> {
        let mut load = Self {
            net: Net::new()?,
            ready: Vec::new(),
            buffer: vec![0; 1 << 20],
            start: Instant::now(),
            subscribers: Vec::new(),
            publishers: Vec::new(),
            open: 0,
            channels: vec![(0, 0); plan.channels],
            next_channel: 0,
            tally: Tally::default(),
            plan,
        };
        for nth in 0..load.plan.publishers {
            let fd = net::connect(load.plan.address, None)?;
            load.net
                .watch(&fd, PUBLISHERS + nth as u64, Interest::Write)?;
            load.publishers.push(Publisher::new(fd));
        }
        Ok(load)
    }

    /// Connects all subscribers; returns the time that it took.
    ///
    /// # Errors
    /// Returns an error if one is rejected, or they are not connected in time.
    pub fn open(&mut self, timeout: Duration) -> Result<Duration> {
        let start = Instant::now();
        let wanted = self.plan.subscribers;
        self.subscribers.reserve(wanted);
        while self.open < wanted {
            while self.subscribers.len() < wanted
                && self.subscribers.len() - self.open < MOST_CONNECTING
            {
                self.connect_next()?;
            }
            self.turn(Duration::from_millis(50))?;
            ensure!(
                self.tally.refused + self.tally.closed == 0,
                "subscribers cannot be opened: {}",
                self.tally.faults()
            );
            ensure!(
                start.elapsed() < timeout,
                "{} of {wanted} subscribers open after \
                                                {timeout:?}",
                self.open
            );
        }
        Ok(start.elapsed())
    }

    fn connect_next(&mut self) -> Result<()> {
        let number = self.subscribers.len();
        let stuck = number < self.plan.stuck;
        let source = match number / PER_ADDRESS {
            0 => None,
            nth => Some(Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(nth)?)),
        };
        let fd = net::connect_with(
            self.plan.address,
            source,
            stuck.then_some(STUCK_BUFFER_BYTES),
        )?;
        self.net.watch(&fd, number as u64, Interest::Write)?;
        let subscriber =
            Subscriber::new(fd, number, &self.plan, |channel| self.channels[channel].0);
        self.channels[subscriber.channel].1 += u64::from(!stuck);
        self.subscribers.push(subscriber);
        Ok(())
    }

    /// Handles events for this time.
    ///
    /// # Errors
    /// Those of the sockets.
    pub fn idle(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.turn(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// Publishes and waits until all messages are acknowledged and delivered; the counts are in
    /// `tally`.
    ///
    /// # Errors
    /// Returns an error if a message is missing `timeout` after the last publish.
    pub fn publish(&mut self, until: Until, pace: Pace, timeout: Duration) -> Result<()> {
        self.tally = Tally {
            is_ordered: self.plan.publishers <= 1,
            ..Tally::default()
        };
        let start = Instant::now();
        let mut last_sent = start;
        loop {
            let may_go_on = match until {
                Until::Messages(count) => self.tally.published < count,
                Until::Elapsed(time) => start.elapsed() < time,
            };
            if may_go_on {
                last_sent = Instant::now();
                self.publish_what_is_due(until, pace, start)?;
            } else if self.is_served() {
                break;
            }
            let patience = last_sent.elapsed();
            if patience > timeout && self.tally.closed < self.subscribers.len() as u64 {
                bail!(
                    "messages are missing after {timeout:?}: {}",
                    self.tally.faults()
                );
            }
            let wait = if may_go_on && matches!(pace, Pace::Rate(_)) {
                Duration::from_millis(1)
            } else {
                Duration::from_millis(50)
            };
            self.turn(wait)?;
        }
        self.tally.wall = start.elapsed();
        Ok(())
    }

    fn is_served(&self) -> bool {
        let tally = &self.tally;
        tally.acknowledged >= tally.published && tally.delivered >= tally.expected
    }

    fn publish_what_is_due(&mut self, until: Until, pace: Pace, start: Instant) -> Result<()> {
        let per_channel = (self.subscribers.len() as u64 / self.plan.channels as u64).max(1);
        loop {
            let count = (self.plan.batch.max(1)) as u64;
            if matches!(until, Until::Messages(most) if self.tally.published >= most) {
                return Ok(());
            }
            let due = match pace {
                Pace::Window(window) => {
                    if !self.subscribers.is_empty()
                        && self.tally.expected >= self.tally.delivered + window * per_channel
                    {
                        return Ok(());
                    }
                    self.nanos()
                }
                Pace::Rate(rate) => {
                    let due = start + Duration::from_secs_f64(self.tally.published as f64 / rate);
                    if Instant::now() < due {
                        return Ok(());
                    }
                    u64::try_from((due - self.start).as_nanos())?
                }
            };
            let Some(free) = self
                .publishers
                .iter()
                .position(|publisher| publisher.connected && publisher.busy.is_none())
            else {
                return Ok(());
            };
            let messages: Vec<(usize, u64)> = (0..count).map(|_| self.next_message()).collect();
            self.tally.published += count;
            if !self.publishers[free].send(&self.plan, due, &messages) {
                bail!("a publisher's connection is broken or full");
            }
        }
    }

    /// The next channel, and the number of the message on it.
    fn next_message(&mut self) -> (usize, u64) {
        let channel = self.next_channel;
        self.next_channel = (channel + 1) % self.channels.len();
        self.channels[channel].0 += 1;
        self.tally.expected += self.channels[channel].1;
        (channel, self.channels[channel].0)
    }

    /// Waits for events and handles them.
    fn turn(&mut self, at_most: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.net.wait(at_most, &mut ready)?;
        for event in &ready {
            if event.token >= PUBLISHERS {
                self.publisher_event(usize::try_from(event.token - PUBLISHERS)?, *event)?;
            } else {
                self.subscriber_event(usize::try_from(event.token)?, *event)?;
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn publisher_event(&mut self, nth: usize, event: Ready) -> Result<()> {
        let publisher = &mut self.publishers[nth];
        if !publisher.connected {
            publisher.connected = true;
            self.net
                .change(&publisher.fd, event.token, Interest::Read)?;
            return Ok(());
        }
        match net::read(&publisher.fd, &mut self.buffer) {
            Got::Nothing => {}
            Got::Bytes(count) => {
                let now = u64::try_from(self.start.elapsed().as_nanos())?;
                publisher.take(&self.buffer[..count], now, &mut self.tally);
            }
            Got::End => {
                // A server may close a kept connection; only a request in flight is lost then.
                if let Some((_, messages)) = publisher.busy {
                    self.tally.publish_errors += 1;
                    self.tally.acknowledged += messages;
                }
                let fd = net::connect(self.plan.address, None)?;
                self.net.watch(&fd, event.token, Interest::Write)?;
                *publisher = Publisher::new(fd);
            }
        }
        Ok(())
    }

    fn subscriber_event(&mut self, nth: usize, event: Ready) -> Result<()> {
        let now = self.nanos();
        let subscriber = &mut self.subscribers[nth];
        let Some(fd) = &subscriber.fd else {
            return Ok(());
        };
        if subscriber.state == State::Connecting {
            if !event.writable || event.hangup {
                return self.subscriber_gone(nth);
            }
            self.net.change(fd, event.token, Interest::Read)?;
            let asked = subscriber.ask(&self.plan);
            self.open += usize::from(subscriber.state == State::Open);
            return if asked {
                Ok(())
            } else {
                self.subscriber_gone(nth)
            };
        }
        if subscriber.stuck && subscriber.state == State::Open {
            return if event.hangup {
                self.subscriber_gone(nth)
            } else {
                Ok(())
            };
        }
        let count = match net::read(fd, &mut self.buffer) {
            Got::Nothing => return Ok(()),
            Got::Bytes(count) => count,
            Got::End => return self.subscriber_gone(nth),
        };
        let was_requesting = subscriber.state == State::Requesting;
        if !subscriber.take(&self.plan, &self.buffer[..count], now, &mut self.tally) {
            self.tally.refused += 1;
            subscriber.state = State::Closed;
            subscriber.fd = None;
            return Ok(());
        }
        if was_requesting && subscriber.state == State::Open {
            self.open += 1;
            if let Some(fd) = subscriber.fd.as_ref().filter(|_| subscriber.stuck) {
                self.net.change(fd, event.token, Interest::Hangup)?;
            }
        }
        Ok(())
    }

    /// The server closed a connection: a stuck subscriber reconnects, others are counted.
    fn subscriber_gone(&mut self, nth: usize) -> Result<()> {
        let subscriber = &mut self.subscribers[nth];
        self.open -= usize::from(subscriber.state == State::Open);
        subscriber.fd = None;
        subscriber.state = State::Closed;
        if !subscriber.stuck {
            self.tally.closed += 1;
            return Ok(());
        }
        self.tally.returned += 1;
        let fd = net::connect_with(self.plan.address, None, Some(STUCK_BUFFER_BYTES))?;
        self.net.watch(&fd, nth as u64, Interest::Write)?;
        *subscriber = Subscriber::new(fd, nth, &self.plan, |channel| self.channels[channel].0);
        Ok(())
    }

    /// Reconnects all subscribers and waits for their backlogs; returns the time of both together.
    ///
    /// # Errors
    /// As [`Load::open`]; also if the backlogs are not complete in time.
    pub fn open_with_backlog(&mut self, timeout: Duration) -> Result<Duration> {
        let expected = self.plan.backlog * self.plan.subscribers as u64;
        self.tally = Tally {
            expected,
            is_ordered: self.plan.publishers <= 1,
            ..Tally::default()
        };
        let start = Instant::now();
        self.open(timeout)?;
        self.drain(timeout)?;
        Ok(start.elapsed())
    }

    /// The plan; to be changed only without subscribers.
    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Waits until all expected messages arrived.
    ///
    /// # Errors
    /// When it does not within `timeout`.
    pub fn drain(&mut self, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        while !self.is_served() {
            self.turn(Duration::from_millis(50))?;
            ensure!(
                start.elapsed() < timeout,
                "messages are missing after {timeout:?}: \
                                                {}",
                self.tally.faults()
            );
        }
        self.tally.wall = start.elapsed();
        Ok(())
    }

    /// Closes all subscribers at once.
    pub fn close_subscribers(&mut self) {
        self.subscribers.clear();
        self.open = 0;
        self.channels.iter_mut().for_each(|channel| channel.1 = 0);
    }

    /// Nanoseconds since the start: the clock of marks.
    fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

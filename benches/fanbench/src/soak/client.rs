//! A client of the soak: it connects, follows in one mode, reads quickly, slowly or not at all for
//! a while, disconnects in one of several ways, and reconnects with its cursor. Its choices derive
//! from its seed.

mod request;

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::sabotage::Sabotage;
use super::wire::{Decoder, Item, Wire};
use crate::net::{self, Got, Interest, Net, Ready};

/// Number of history lines kept per client.
const HISTORY: usize = 60;
/// Receive buffer of clients that read slowly, so that the server's send blocks.
const SLOW_BUFFER_BYTES: usize = 4096;
/// Id of the message about the deletion of a channel.
const DELETED_ID: i64 = -2;

/// Mode of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Streaming,
    EventSource,
    WebSocket,
    LongPolling,
    Polling,
}

impl Mode {
    pub(super) const ALL: [Self; 5] = [
        Self::Streaming,
        Self::EventSource,
        Self::WebSocket,
        Self::LongPolling,
        Self::Polling,
    ];

    /// One response with the stored messages, instead of a stream.
    pub(super) fn polls(self) -> bool {
        matches!(self, Self::LongPolling | Self::Polling)
    }

    fn location(self) -> &'static str {
        match self {
            Self::Streaming => "sub",
            Self::EventSource => "ev",
            Self::WebSocket => "ws",
            Self::LongPolling => "lp",
            Self::Polling => "poll",
        }
    }
}

/// Position after the last message.
#[derive(Clone, Debug)]
struct Place {
    time: String,
    tag: String,
    /// Event id, channel and number, if it was a message of one channel.
    event: Option<(String, usize, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away(Instant),
    Connecting,
    Following,
    /// Does not read until this time.
    Paused(Instant),
    /// Has a response and polls again at this time.
    Waiting(Instant),
    /// Complete at the end of the run.
    Done,
}

/// How it reads and disconnects in this attachment.
#[derive(Clone, Copy, Debug)]
struct Habit {
    leaves_at: Instant,
    resets: bool,
    slow: bool,
}

/// A client.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) mode: Mode,
    pub(super) channels: Vec<usize>,
    /// The latest message of each of its channels; `None` until there is one.
    last: Vec<Option<u64>>,
    place: Option<Place>,
    random: fastrand::Rng,
    phase: Phase,
    habit: Habit,
    fd: Option<OwnedFd>,
    decoder: Decoder,
    /// The cursor of the current response, and its messages: they count when it is complete.
    answer: Option<(String, String)>,
    messages: Vec<Wire>,
    history: VecDeque<String>,
    finishing: bool,
    pub(super) received: u64,
    pub(super) attachments: u64,
}

impl Client {
    pub(super) fn new(number: usize, channels: usize, seed: u64) -> Self {
        let mode = Mode::ALL[number % Mode::ALL.len()];
        let mut random =
            fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let count = if random.u8(0..3) == 0 {
            random.usize(2..=3.min(channels))
        } else {
            1
        };
        let mut all: Vec<usize> = (0..channels).collect();
        random.shuffle(&mut all);
        all.truncate(count);
        let now = Instant::now();
        Self {
            number,
            mode,
            last: vec![None; count],
            channels: all,
            place: None,
            phase: Phase::Away(now + Duration::from_millis(random.u64(0..1000))),
            random,
            habit: Habit {
                leaves_at: now,
                resets: false,
                slow: false,
            },
            fd: None,
            decoder: Decoder::new(mode),
            answer: None,
            messages: Vec::new(),
            history: VecDeque::new(),
            finishing: false,
            received: 0,
            attachments: 0,
        }
    }

    pub(super) fn name(&self) -> String {
        format!(
            "client {} ({:?} of {:?})",
            self.number, self.mode, self.channels
        )
    }

    pub(super) fn history(&self) -> impl Iterator<Item = &String> {
        self.history.iter()
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Makes it read quickly, reconnect at once, and stop when it has everything.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    /// Closes its connection for good.
    pub(super) fn close(&mut self) {
        self.fd = None;
    }

    /// The missing messages, for the report.
    pub(super) fn missing(&self, ledger: &Ledger) -> String {
        let of = |(channel, last): (&usize, &Option<u64>)| {
            format!(
                "channel {channel}: has {last:?} of {}",
                ledger.head(*channel)
            )
        };
        let lines: Vec<String> = self.channels.iter().zip(&self.last).map(of).collect();
        format!("{:?}, {}", self.phase, lines.join(", "))
    }

    /// Takes the actions that are due.
    pub(super) fn tick(&mut self, net: &Net, address: SocketAddrV4, ledger: &Ledger, now: Instant) {
        if self.finishing && self.phase != Phase::Done && self.is_complete(ledger) {
            self.note("complete");
            self.fd = None;
            self.phase = Phase::Done;
            return;
        }
        match self.phase {
            Phase::Away(until) if now >= until || self.finishing => self.come(net, address, now),
            Phase::Paused(until) if now >= until || self.finishing => self.wake(net),
            Phase::Waiting(until) if now >= until => self.ask(net, ledger),
            Phase::Following | Phase::Paused(_) | Phase::Waiting(_)
                if now >= self.habit.leaves_at && !self.finishing =>
            {
                self.go()
            }
            _ => {}
        }
    }

    fn is_complete(&self, ledger: &Ledger) -> bool {
        self.channels
            .iter()
            .zip(&self.last)
            .all(|(&channel, last)| last.is_some_and(|last| ledger.is_complete(channel, last)))
    }

    /// Connects with new traits.
    fn come(&mut self, net: &Net, address: SocketAddrV4, now: Instant) {
        let slow = self.random.u8(0..6) == 0 && !self.finishing;
        self.habit = Habit {
            leaves_at: now
                + Duration::from_millis(if slow {
                    self.random.u64(1000..8000)
                } else {
                    self.random.u64(10..5000)
                }),
            resets: self.random.bool(),
            slow,
        };
        self.decoder = Decoder::new(self.mode);
        self.answer = None;
        self.messages.clear();
        let fd = net::connect_with(address, None, slow.then_some(SLOW_BUFFER_BYTES));
        let watched = fd.and_then(|fd| {
            net.watch(&fd, self.number as u64, Interest::Write)
                .map(|()| fd)
        });
        match watched {
            Ok(fd) => {
                self.fd = Some(fd);
                self.phase = Phase::Connecting;
            }
            Err(error) => {
                self.note(format!("cannot connect: {error}"));
                self.stay_away();
            }
        }
    }

    /// Disconnects in one of several ways.
    fn go(&mut self) {
        self.note(if self.habit.resets {
            "resets the connection"
        } else {
            "closes the connection"
        });
        if let Some(fd) = self.fd.take().filter(|_| self.habit.resets) {
            net::reset_on_close(&fd);
        }
        if self.random.u8(0..25) == 0 && !self.finishing {
            self.note("forgets its cursor");
            self.place = None;
            self.last.fill(None);
        }
        self.stay_away();
    }

    fn stay_away(&mut self) {
        self.fd = None;
        self.phase = Phase::Away(Instant::now() + Duration::from_millis(self.random.u64(0..2000)));
    }

    fn wake(&mut self, net: &Net) {
        let Some(fd) = &self.fd else { return };
        // A broken connection is detected at the next read.
        drop(net.change(fd, self.number as u64, Interest::Read));
        self.phase = Phase::Following;
    }

    fn pause(&mut self, net: &Net) {
        let Some(fd) = &self.fd else { return };
        drop(net.change(fd, self.number as u64, Interest::Hangup));
        let most = if self.random.u8(0..10) == 0 {
            6000
        } else {
            150
        };
        self.phase =
            Phase::Paused(Instant::now() + Duration::from_millis(self.random.u64(20..most)));
    }

    /// Sends its request.
    fn ask(&mut self, net: &Net, ledger: &Ledger) {
        self.attachments += 1;
        let (path, headers) = self.request(ledger);
        self.note(format!("requests {path} {}", headers.replace("\r\n", "; ")));
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let Some(fd) = &self.fd else { return };
        let sent = net::write(fd, request.as_bytes()) == Some(request.len());
        let watched = net.change(fd, self.number as u64, Interest::Read);
        self.phase = Phase::Following;
        if !sent || watched.is_err() {
            self.note("the connection broke during the request");
            self.stay_away();
        }
    }

    /// Handles the events of its socket.
    pub(super) fn event(
        &mut self,
        net: &Net,
        ready: Ready,
        ledger: &Ledger,
        sabotage: &mut Sabotage,
        buffer: &mut [u8],
    ) -> Result<(), String> {
        match self.phase {
            Phase::Connecting if ready.hangup => {
                self.note("the connection was rejected");
                self.stay_away();
                return Ok(());
            }
            Phase::Connecting if ready.writable => {
                self.ask(net, ledger);
                return Ok(());
            }
            Phase::Paused(_) => self.wake(net),
            _ => {}
        }
        let Some(fd) = &self.fd else { return Ok(()) };
        let slow = self.habit.slow && !self.finishing;
        let most = if slow {
            700.min(buffer.len())
        } else {
            buffer.len()
        };
        match net::read(fd, &mut buffer[..most]) {
            Got::Nothing => {}
            Got::End => {
                self.note("the server closed the connection");
                self.stay_away();
            }
            Got::Bytes(count) => {
                self.decoder.push(&buffer[..count]);
                self.take_all(net, ledger, sabotage)?;
                if slow && self.phase == Phase::Following {
                    self.pause(net);
                }
            }
        }
        Ok(())
    }

    fn take_all(
        &mut self,
        net: &Net,
        ledger: &Ledger,
        sabotage: &mut Sabotage,
    ) -> Result<(), String> {
        while let Some(item) = self.decoder.next()? {
            match item {
                Item::Head(status, cursor) => {
                    let is_good = match self.mode {
                        Mode::WebSocket => status == 101,
                        mode => status == 200 || (status == 304 && mode.polls()),
                    };
                    self.note(format!("got {status} {cursor:?}"));
                    if !is_good {
                        return Err(format!("refused: status {status}"));
                    }
                    self.answer = cursor;
                }
                Item::Message(wire) if wire.id < 0 => {
                    self.note(format!(
                        "got the special message {}: {:?}",
                        wire.id, wire.text
                    ));
                    if wire.id == DELETED_ID && !self.mode.polls() {
                        // A channel created with the same name is another one, which this
                        // connection does not follow.
                        self.stay_away();
                        return Ok(());
                    }
                }
                Item::Message(wire) => {
                    for wire in sabotage.apply(*wire) {
                        if self.mode.polls() {
                            self.messages.push(wire);
                        } else {
                            self.receive(&wire, ledger)?;
                        }
                    }
                }
                Item::End => {
                    for wire in std::mem::take(&mut self.messages) {
                        self.receive(&wire, ledger)?;
                    }
                    if let Some((time, tag)) = self.answer.take() {
                        // The cursor of a response is in its head; the event id is that of the last
                        // message.
                        let event = self.place.take().and_then(|place| place.event);
                        self.place = Some(Place { time, tag, event });
                    }
                    self.after_answer(net, ledger);
                    return Ok(());
                }
                Item::Close => {
                    self.note("the server announced the end");
                    self.stay_away();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn after_answer(&mut self, net: &Net, ledger: &Ledger) {
        if self.mode == Mode::LongPolling {
            return if self.random.u8(0..8) == 0 {
                self.stay_away()
            } else {
                self.ask(net, ledger)
            };
        }
        self.phase =
            Phase::Waiting(Instant::now() + Duration::from_millis(self.random.u64(20..500)));
    }

    fn receive(&mut self, wire: &Wire, ledger: &Ledger) -> Result<(), String> {
        let (channel, number) = ledger.identify(&wire.text)?;
        let nth = self.channels.iter().position(|own| *own == channel);
        let Some(nth) = nth else {
            return Err(format!(
                "message {number} of channel {channel}, \
                                                       which it does not follow"
            ));
        };
        self.note(format!(
            "got {channel}:{number} (id {}, time {}, tag \
                           {})",
            wire.id, wire.time, wire.tag
        ));
        self.received += 1;
        if let Some(last) = self.last[nth] {
            ledger.check(channel, last, number)?;
        }
        self.last[nth] = Some(number);
        let event = (self.channels.len() == 1).then(|| (wire.eventid.clone(), channel, number));
        self.place = Some(Place {
            time: wire.time.clone(),
            tag: wire.tag.clone(),
            event,
        });
        Ok(())
    }

    /// After a fault: continues as if it had received everything so far.
    pub(super) fn forgive(&mut self) {
        self.place = None;
        self.last.fill(None);
        self.stay_away();
    }

    fn note(&mut self, what: impl Into<String>) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(what.into());
    }
}

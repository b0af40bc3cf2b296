//! The publisher of one channel: one message at a time on a kept connection, sometimes a burst;
//! mortal channels are deleted from time to time.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ledger::Ledger;
use crate::http;
use crate::net::{self, Got, Interest, Net, Ready};

/// The request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Message(u64),
    Deletion,
}

/// A publisher.
pub(super) struct Publisher {
    pub(super) channel: usize,
    token: u64,
    fd: Option<OwnedFd>,
    connected: bool,
    under_way: Option<Request>,
    buffer: Vec<u8>,
    random: fastrand::Rng,
    interval: Duration,
    due: Instant,
    deletion_due: Instant,
    in_a_row: u32,
    pub(super) deletions: u64,
}

impl Publisher {
    pub(super) fn new(channel: usize, token: u64, rate: f64, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            channel,
            token,
            fd: None,
            connected: false,
            under_way: None,
            buffer: Vec::new(),
            random: fastrand::Rng::with_seed(seed ^ 0x5eed ^ token),
            interval: Duration::from_secs_f64(1.0 / rate),
            due: now,
            deletion_due: now + Duration::from_secs(5 + channel as u64),
            in_a_row: 0,
            deletions: 0,
        }
    }

    /// True if no request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Closes its connection.
    pub(super) fn close(&mut self) {
        self.fd = None;
    }

    /// Publishes or deletes if it is due; `last` marks the last message of the run.
    pub(super) fn tick(
        &mut self,
        net: &Net,
        address: SocketAddrV4,
        ledger: &mut Ledger,
        last: bool,
    ) -> Result<()> {
        if self.fd.is_none() {
            let fd = net::connect(address, None)?;
            net.watch(&fd, self.token, Interest::Write)?;
            (self.fd, self.connected) = (Some(fd), false);
            self.buffer.clear();
        }
        let now = Instant::now();
        if !self.connected || self.under_way.is_some() || (now < self.due && !last) {
            return Ok(());
        }
        if ledger.is_mortal(self.channel) && now >= self.deletion_due && !last {
            self.deletion_due = now + Duration::from_millis(self.random.u64(1500..6000));
            self.deletions += 1;
            self.under_way = Some(Request::Deletion);
            return self.send(&format!(
                "DELETE /pub?id=s{} HTTP/1.1\r\n\
                                       Host: localhost\r\n\r\n",
                self.channel
            ));
        }
        self.schedule(now);
        let number = ledger.publish(self.channel);
        let body = ledger.text(self.channel, number);
        self.under_way = Some(Request::Message(number));
        let channel = self.channel;
        let length = body.len();
        self.send(&format!(
            "POST /pub?id=s{channel} HTTP/1.1\r\nHost: localhost\r\n\
             Event-Id: e{channel}-{number}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Due time of the next message: irregular, sometimes right after the response.
    fn schedule(&mut self, now: Instant) {
        if self.in_a_row > 0 {
            self.in_a_row -= 1;
            return;
        }
        if self.random.u8(..) < 3 {
            self.in_a_row = self.random.u32(5..40);
        }
        self.due = now + self.interval.mul_f64(self.random.f64() * 1.8);
    }

    fn send(&mut self, request: &str) -> Result<()> {
        let sent = self
            .fd
            .as_ref()
            .and_then(|fd| net::write(fd, request.as_bytes()));
        anyhow::ensure!(
            sent == Some(request.len()),
            "the publisher of channel {}: cannot send a \
                                                      request",
            self.channel
        );
        Ok(())
    }

    /// Handles the events of its socket.
    pub(super) fn event(
        &mut self,
        net: &Net,
        ready: Ready,
        ledger: &mut Ledger,
        buffer: &mut [u8],
    ) -> Result<(), String> {
        let Some(fd) = &self.fd else { return Ok(()) };
        if !self.connected && ready.writable {
            self.connected = true;
            return net
                .change(fd, self.token, Interest::Read)
                .map_err(|error| error.to_string());
        }
        match net::read(fd, buffer) {
            Got::Nothing => Ok(()),
            Got::End => {
                self.fd = None;
                match self.under_way.take() {
                    None => Ok(()),
                    Some(request) => Err(format!(
                        "the connection was closed before the answer to \
                                                  {request:?}"
                    )),
                }
            }
            Got::Bytes(count) => {
                self.buffer.extend_from_slice(&buffer[..count]);
                let Some((head, end)) = http::whole(&self.buffer) else {
                    return Ok(());
                };
                let answer = String::from_utf8_lossy(&self.buffer[..end.max(head)]).into_owned();
                self.buffer.clear();
                let request = self.under_way.take();
                if request == Some(Request::Deletion) {
                    ledger.delete(self.channel);
                    // The channel does not exist: it was deleted or expired, and had no subscribers
                    // since.
                    if http::status(answer.as_bytes()) == 404 {
                        return Ok(());
                    }
                }
                if http::status(answer.as_bytes()) == 200 {
                    Ok(())
                } else {
                    Err(format!("{request:?} was answered with {answer:?}"))
                }
            }
        }
    }
}

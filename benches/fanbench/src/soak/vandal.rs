//! Misbehaving clients: malformed requests and frames, incomplete requests, reset connections,
//! channels that are used once. The only expectation is that the server continues to run.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::net::{self, Got, Interest, Net, Ready};

/// A misbehaving client.
pub(super) struct Vandal {
    token: u64,
    fd: Option<OwnedFd>,
    connected: bool,
    /// The data still to send.
    parts: Vec<Vec<u8>>,
    next: Instant,
    random: fastrand::Rng,
    pub(super) attacks: u64,
}

impl Vandal {
    pub(super) fn new(token: u64, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed ^ 0xbad ^ token);
        Self {
            token,
            fd: None,
            connected: false,
            parts: Vec::new(),
            next: Instant::now(),
            random,
            attacks: 0,
        }
    }

    pub(super) fn tick(&mut self, net: &Net, address: SocketAddrV4, now: Instant) -> Result<()> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + Duration::from_millis(self.random.u64(5..300));
        if self.fd.is_none() {
            let fd = net::connect(address, None)?;
            net.watch(&fd, self.token, Interest::Write)?;
            (self.fd, self.connected) = (Some(fd), false);
            self.parts = self.attack();
            self.parts.reverse();
            self.attacks += 1;
            return Ok(());
        }
        if !self.connected {
            return Ok(());
        }
        match self.parts.pop() {
            Some(part) => {
                // The server may have closed the connection, which is correct.
                let _ = self.fd.as_ref().map(|fd| net::write(fd, &part));
            }
            None => self.leave(),
        }
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(fd) = self.fd.take().filter(|_| self.random.bool()) {
            net::reset_on_close(&fd);
        }
    }

    pub(super) fn event(&mut self, net: &Net, ready: Ready, buffer: &mut [u8]) -> Result<()> {
        let Some(fd) = &self.fd else { return Ok(()) };
        if !self.connected && ready.writable {
            self.connected = true;
            return Ok(net.change(fd, self.token, Interest::Read)?);
        }
        if net::read(fd, buffer) == Got::End {
            self.fd = None;
        }
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.fd = None;
    }

    /// The data to send, part by part.
    fn attack(&mut self) -> Vec<Vec<u8>> {
        let number = self.random.u32(..);
        let channel = self.random.u8(0..8);
        let text = |text: &str| text.as_bytes().to_vec();
        let websocket = format!(
            "GET /ws/bad{channel} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\
Sec-WebSocket-Version: 13\r\n\r\n"
        );
        match self.random.u8(0..16) {
            0 => vec![],
            1 => vec![
                (0..self.random.usize(1..4000))
                    .map(|_| self.random.u8(..))
                    .collect(),
            ],
            2 => vec![text("GET /sub/s1 HTTP/1.1\r\nHost: localhost\r\nX-A: ")],
            3 => vec![
                text(
                    "GET /sub/s1 HTTP/1.1\r\nHost: localhost\r\n\
                            X-A: ",
                ),
                vec![b'a'; 20_000],
                vec![b'a'; 20_000],
                text("\r\n\r\n"),
            ],
            4 => vec![text(
                "POST /pub?id=half HTTP/1.1\r\nHost: localhost\r\n\
                            Content-Length: 1000\r\n\r\nhalf",
            )],
            5 => vec![text(
                "POST /pub?id=half HTTP/1.1\r\nHost: localhost\r\n\
                            Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nbad",
            )],
            6 => vec![text(
                "POST /pub?id=half HTTP/1.1\r\nHost: localhost\r\n\
                            Content-Length: 99999999999999999999\r\n\r\n",
            )],
            7 => vec![text(
                "GET /sub/s1?time=nonsense&tag=-1 HTTP/1.1\r\nHost: localhost\r\n\
                            If-None-Match: \x01\r\n\r\n",
            )],
            8 => vec![websocket.into_bytes(), self.frame()],
            9 => vec![
                websocket.into_bytes(),
                self.frame(),
                self.frame(),
                self.frame(),
            ],
            10 => vec![text(
                "GET /lp/s1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /lp/s2 HTTP/1.1\r\n\
                 Host: localhost\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\n",
            )],
            11 => vec![
                format!(
                    "GET /ev/once{number} HTTP/1.1\r\n\
                                Host: localhost\r\n\r\n"
                )
                .into_bytes(),
            ],
            12 => vec![
                format!(
                    "POST /pub?id=once{number} HTTP/1.1\r\nHost: localhost\r\n\
                                Content-Length: 4\r\n\r\nonce"
                )
                .into_bytes(),
            ],
            13 => vec![
                format!(
                    "GET /sub/once{number}/s{channel}.b9/%00/a*b HTTP/1.1\r\n\
                                Host: localhost\r\n\r\n"
                )
                .into_bytes(),
            ],
            14 => vec![
                format!(
                    "DELETE /pub?id=once{number} HTTP/1.1\r\n\
                         Host: localhost\r\n\r\n"
                )
                .into_bytes(),
                text("GET / HTTP/9.9\r\n\r\n"),
            ],
            _ => vec![
                text("GET /channels-stats?id=ALL HTTP/1.1\r\nHost: localhost\r\n\r\n"),
                text("GET /channels-stats?id=s* HTTP/1.1\r\n\r\n"),
            ],
        }
    }

    /// An invalid websocket frame, or an unmasked one, which the module accepts.
    fn frame(&mut self) -> Vec<u8> {
        match self.random.u8(0..6) {
            0 => vec![0x81, 0x05, b'h', b'e', b'l', b'l', b'o'],
            1 => vec![0x8f, 0x80, 0, 0, 0, 0],
            2 => vec![0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            3 => vec![0x81, 0x82, 1, 2, 3, 4, 0xff ^ 1, 0xfe ^ 2],
            4 => vec![0xc1, 0x80, 0, 0, 0, 0],
            _ => vec![0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4, b'x'],
        }
    }
}

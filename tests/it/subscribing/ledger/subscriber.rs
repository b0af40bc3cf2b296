//! A subscriber of the ledger: its messages, its cursor, and the messages that it may get next.

use super::{CHANNELS, Random};
use crate::support::{Connection, Head, Message, Server};

type Position = (u64, u64);

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

    fn location(self) -> &'static str {
        match self {
            Self::Streaming => "sub",
            Self::EventSource => "ev",
            Self::WebSocket => "ws",
            Self::LongPolling => "lp",
            Self::Polling => "poll",
        }
    }

    /// One response with the stored messages, instead of a stream.
    fn polls(self) -> bool {
        matches!(self, Self::LongPolling | Self::Polling)
    }
}

/// Received messages of a channel: message 1 is at index 0.
#[derive(Default)]
struct Known {
    positions: Vec<Position>,
    texts: Vec<String>,
    /// The next id in this attachment.
    next: usize,
}

/// Position from which the subscriber resumes.
#[derive(Clone)]
enum Cursor {
    /// Everything that is stored.
    Beginning,
    /// After the message with that position.
    Position(Position),
    /// After the message with that event id and position.
    Event(String, Position),
}

pub(super) struct Subscriber {
    name: String,
    mode: Mode,
    random: Random,
    /// Numbers of its channels, in the order of its path.
    channels: Vec<usize>,
    known: Vec<Known>,
    /// Cursor of the last poll response.
    announced: Option<Position>,
    last_event: Option<(String, Position)>,
    /// A connection that polls are repeated on.
    kept: Option<Connection>,
    attachments: usize,
}

impl Subscriber {
    /// The modes take turns; every third subscriber follows several channels.
    pub(super) fn new(number: usize) -> Self {
        let mode = Mode::ALL[number % Mode::ALL.len()];
        let first = number % CHANNELS;
        let channels: Vec<usize> = match number % 3 {
            0 => (0..2 + number % (CHANNELS - 1))
                .map(|step| (first + step) % CHANNELS)
                .collect(),
            _ => vec![first],
        };
        Self {
            name: format!("subscriber {number} ({mode:?} of {channels:?})"),
            mode,
            random: Random::new(1000 + number as u64),
            channels,
            known: (0..CHANNELS).map(|_| Known::default()).collect(),
            announced: None,
            last_event: None,
            kept: None,
            attachments: 0,
        }
    }

    pub(super) fn attachments(&self) -> usize {
        self.attachments
    }

    /// The texts of each of its channels, in the order of the ids.
    pub(super) fn texts(&self) -> impl Iterator<Item = (usize, &[String])> {
        self.channels
            .iter()
            .map(|channel| (*channel, self.known[*channel].texts.as_slice()))
    }

    /// Attaches with its cursor, reads some messages, and detaches, sometimes abruptly. False if
    /// there were none.
    pub(super) fn attach(&mut self, server: &Server) -> bool {
        if self.mode.polls() {
            let leave = self.mode == Mode::LongPolling && self.random.one_in(10);
            return self.poll(server, leave);
        }
        let mut connection = self.open(server);
        if self.random.one_in(10) {
            return true; // gone before the first byte of the answer
        }
        self.read_head(&mut connection);
        let most = if self.random.one_in(20) { 50 } else { 8 };
        for _ in 0..self.random.below(most) * self.channels.len() {
            self.take_next(&mut connection);
        }
        if self.random.one_in(3) {
            connection.half_close();
            // Messages in flight are repeated at the next attachment.
            connection.read_to_close();
        }
        true
    }

    /// Attaches until it has exactly that many messages of each of its channels.
    pub(super) fn attach_to_the_end(&mut self, server: &Server, counts: &[usize]) {
        let missing = |this: &Self| {
            this.channels
                .iter()
                .any(|channel| this.known[*channel].texts.len() < counts[*channel])
        };
        if self.mode.polls() {
            while missing(self) {
                let found = self.poll(server, false);
                assert!(
                    found,
                    "{}: there is nothing after {:?}, but messages are missing",
                    self.name, self.announced
                );
            }
        } else {
            let mut connection = self.open(server);
            self.read_head(&mut connection);
            while missing(self) {
                self.take_next(&mut connection);
            }
        }
        for channel in &self.channels {
            assert_eq!(
                self.known[*channel].texts.len(),
                counts[*channel],
                "{}: messages of l{channel}",
                self.name
            );
        }
    }

    /// Polls once, on the kept connection or a new one, and disconnects without reading if
    /// `leaves`. False if there were no messages.
    fn poll(&mut self, server: &Server, leave: bool) -> bool {
        let mut connection = self.kept.take().unwrap_or_else(|| server.connect());
        self.send(&mut connection);
        if leave {
            return true;
        }
        let head = connection.read_head();
        assert!(
            head.status == 200 || head.status == 304,
            "{}: {head:?}",
            self.name
        );
        let mut last = None;
        while head.status == 200
            && let Some(message) = connection.next_line()
        {
            last = last.max(Some(position(&message)));
            self.take(message);
        }
        if head.status == 200 {
            self.announced = Some(announced(&head));
            assert!(
                last.is_some() && self.announced >= last,
                "{}: {:?} is announced after {last:?}",
                self.name,
                self.announced
            );
        }
        self.kept = Some(connection).filter(|_| !self.random.one_in(3));
        head.status == 200
    }

    fn open(&mut self, server: &Server) -> Connection {
        let mut connection = server.connect();
        self.send(&mut connection);
        connection
    }

    /// Sends the request with the cursor, as headers or as arguments, and sets the expected
    /// messages.
    fn send(&mut self, connection: &mut Connection) {
        self.attachments += 1;
        let cursor = self.cursor();
        self.expect_after(&cursor);
        let date = |position: &Position| {
            httpdate::fmt_http_date(
                std::time::UNIX_EPOCH + std::time::Duration::from_secs(position.0),
            )
        };
        let (time, tag, event) = match &cursor {
            Cursor::Beginning => (Some(date(&(0, 0))), None, None),
            Cursor::Position(position) => {
                (Some(date(position)), Some(position.1.to_string()), None)
            }
            Cursor::Event(id, _) => (None, None, Some(id.clone())),
        };
        let ids: Vec<String> = self
            .channels
            .iter()
            .map(|channel| format!("l{channel}"))
            .collect();
        let mut path = format!("/{}/{}", self.mode.location(), ids.join("/"));
        let given = [
            ("If-Modified-Since", "time", time),
            ("If-None-Match", "tag", tag),
            ("Last-Event-ID", "eventid", event),
        ];
        let given = given
            .into_iter()
            .filter_map(|(header, argument, value)| Some((header, argument, value?)));
        let mut headers: Vec<(&str, String)> = Vec::new();
        if self.random.one_in(2) {
            headers = given.map(|(header, _, value)| (header, value)).collect();
        } else {
            let arguments: Vec<String> = given
                .map(|(_, argument, value)| format!("{argument}={}", value.replace(' ', "%20")))
                .collect();
            path = format!("{path}?{}", arguments.join("&"));
        }
        if self.mode == Mode::WebSocket {
            let handshake = [
                ("Connection", "Upgrade"),
                ("Upgrade", "websocket"),
                ("Sec-WebSocket-Key", "x"),
                ("Sec-WebSocket-Version", "13"),
            ];
            headers.extend(handshake.map(|(name, value)| (name, value.to_owned())));
        }
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        connection.send_request("GET", &path, &headers, None);
    }

    /// The oldest required position: that of the channel furthest behind. A poll uses the cursor of
    /// the last response, like its clients.
    fn cursor(&mut self) -> Cursor {
        if self.mode.polls() {
            return self.announced.map_or(Cursor::Beginning, Cursor::Position);
        }
        let single = self.channels.len() == 1;
        if let Some((id, position)) = self
            .last_event
            .clone()
            .filter(|_| single && self.random.one_in(4))
        {
            return Cursor::Event(id, position);
        }
        let last = self
            .channels
            .iter()
            .map(|channel| self.known[*channel].positions.last().copied())
            .min()
            .flatten();
        last.map_or(Cursor::Beginning, Cursor::Position)
    }

    /// In each channel the first message after the cursor must be first, then every one.
    fn expect_after(&mut self, cursor: &Cursor) {
        let after = match cursor {
            Cursor::Beginning => (0, 0),
            Cursor::Position(position) | Cursor::Event(_, position) => *position,
        };
        for known in &mut self.known {
            known.next = known
                .positions
                .partition_point(|position| *position <= after)
                + 1;
        }
    }

    fn read_head(&self, connection: &mut Connection) {
        let head = connection.read_head();
        let want = if self.mode == Mode::WebSocket {
            101
        } else {
            200
        };
        assert_eq!(head.status, want, "{}: {head:?}", self.name);
    }

    fn take_next(&mut self, connection: &mut Connection) {
        let message = self
            .next(connection)
            .unwrap_or_else(|| panic!("{}: the stream ended", self.name));
        self.take(message);
    }

    /// The next complete message; `None` when the connection ends.
    fn next(&self, connection: &mut Connection) -> Option<Message> {
        match self.mode {
            Mode::EventSource => connection.next_event(),
            Mode::WebSocket => connection.next_text(),
            _ => connection.next_line(),
        }
    }

    /// Checks that this message is the expected one, and records it.
    fn take(&mut self, message: Message) {
        let channel = message
            .channel
            .strip_prefix('l')
            .and_then(|number| number.parse::<usize>().ok());
        let channel = channel
            .filter(|channel| self.channels.contains(channel))
            .unwrap_or_else(|| panic!("{}: {message:?}", self.name));
        let position = position(&message);
        let known = &mut self.known[channel];
        let id =
            usize::try_from(message.id).unwrap_or_else(|_| panic!("{}: {message:?}", self.name));
        let last = known.texts.len();
        let next = known.next;
        let after = if next <= last {
            known.positions[next - 1]
        } else {
            position
        };
        assert_eq!(
            id, next,
            "{} knows l{channel} up to {last} and got {message:?} ({after:?})",
            self.name
        );
        known.next += 1;
        if id <= last {
            assert_eq!(
                (&known.texts[id - 1], known.positions[id - 1]),
                (&message.text, position),
                "{}: {message:?} has changed",
                self.name
            );
            return;
        }
        assert!(
            known.positions.last().is_none_or(|last| *last < position),
            "{}: {message:?} is not after its predecessor",
            self.name
        );
        known.positions.push(position);
        self.last_event = Some((message.event_id, position));
        known.texts.push(message.text);
    }
}

fn position(message: &Message) -> Position {
    (
        seconds(&message.time),
        message
            .tag
            .parse()
            .unwrap_or_else(|_| panic!("the tag is not a number: {message:?}")),
    )
}

fn announced(head: &Head) -> Position {
    let [(_, time), (_, tag)] = head.cursor();
    let tag = tag
        .strip_prefix("W/")
        .and_then(|digits| digits.parse().ok());
    (
        seconds(time),
        tag.unwrap_or_else(|| panic!("not a tag: {head:?}")),
    )
}

fn seconds(date: &str) -> u64 {
    let time = httpdate::parse_http_date(date).unwrap_or_else(|_| panic!("not a date: {date:?}"));
    time.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

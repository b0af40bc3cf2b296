//! Reloads under load: a thousand subscribers in all modes, continuous publishing, and twenty
//! reloads, some of them of a broken file. A ledger per subscriber holds every message: none may be
//! missing, come twice or out of order, and no connection may end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memchr::memchr;
use memchr::memmem::find;

use crate::support::{DEADLINE, Server, show, turn, wait_until};

/// Channels; each has a fifth of its subscribers in each mode.
const CHANNELS: usize = 10;
/// Subscribers of each mode on each channel.
const PER_CHANNEL: usize = 20;
const SUBSCRIBERS: usize = MODES.len() * CHANNELS * PER_CHANNEL;
const RELOADS: usize = 20;
/// Every so many reloads there is a broken file before it.
const BROKEN_EVERY: usize = 4;
/// Messages that are published between two reloads, and while the one is under way.
const MESSAGES_PER_RELOAD: usize = 20;
/// Between two looks of a thread at what there is to do.
const PAUSE: Duration = Duration::from_millis(10);
/// Threads that read.
const READERS: usize = 4;
const MODES: [Mode; 5] = [
    Mode::Streaming,
    Mode::EventSource,
    Mode::WebSocket,
    Mode::LongPolling,
    Mode::Polling,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Streaming,
    EventSource,
    WebSocket,
    LongPolling,
    Polling,
}

impl Mode {
    /// Its location and the word of the directive.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Streaming => ("sub", "streaming"),
            Self::EventSource => ("ev", "eventsource"),
            Self::WebSocket => ("ws", "websocket"),
            Self::LongPolling => ("lp", "long-polling"),
            Self::Polling => ("poll", "polling"),
        }
    }
}

/// The two files that take turns: they differ in nearly everything that a reload can change.
fn file(is_second: bool) -> String {
    let (template, more) = if is_second {
        (
            "second ~text~ ",
            "push_stream_message_ttl 50m; push_stream_max_messages_stored_per_channel 100000; \
             keepalive_timeout 80s;",
        )
    } else {
        ("~text~", "push_stream_message_ttl 60m;")
    };
    let listen = if is_second {
        "listen 127.0.0.2:{{PORT}};"
    } else {
        ""
    };
    let location = |mode: Mode| {
        let (name, word) = mode.names();
        format!(
            "location ~ ^/{name}/(.*)$ {{ push_stream_subscriber {word}; push_stream_channels_path \
             $1; }}\n"
        )
    };
    let locations: String = MODES.into_iter().map(location).collect();
    format!(
        "worker_processes 2;\nevents {{}}\nhttp {{\npush_stream_shared_memory_size 100m; {more}\n\
         push_stream_message_template \"{template}\";\n\
         server {{ listen 127.0.0.1:{{{{PORT}}}}; {listen}\n{locations}\
         location /pub {{ push_stream_publisher; push_stream_channels_path $arg_id; \
         push_stream_store_messages on; }}\n\
         location /channels-stats {{ push_stream_channels_statistics; push_stream_channels_path \
         $arg_id; }}\n}} }}\n"
    )
}

/// What the threads share.
#[derive(Default)]
struct Scene {
    reloads: AtomicUsize,
    /// Messages of each channel that are acknowledged.
    published: [AtomicUsize; CHANNELS],
    /// Publishing is over.
    is_over: AtomicUsize,
}

struct Subscriber {
    mode: Mode,
    channel: usize,
    socket: TcpStream,
    /// What came and is not a whole message or answer yet.
    buffer: Vec<u8>,
    /// Messages that came: the ledger, as they are numbered from 0 without a gap.
    received: usize,
    /// What a poll announced as the cursor.
    cursor: (String, String),
    /// A poll waits for its answer.
    is_asking: bool,
    /// Messages that were published when it asked last.
    asked_at: usize,
}

impl Subscriber {
    fn new(address: &str, mode: Mode, channel: usize) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        let cursor = ("Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), "W/0".to_owned());
        let mut subscriber = Self {
            mode,
            channel,
            socket,
            buffer: Vec::new(),
            received: 0,
            cursor,
            is_asking: false,
            asked_at: usize::MAX,
        };
        if matches!(mode, Mode::Polling) {
            subscriber
                .socket
                .set_nonblocking(true)
                .expect("a socket that does not wait");
            return subscriber;
        }
        subscriber.ask();
        if !matches!(mode, Mode::LongPolling) {
            subscriber
                .socket
                .set_read_timeout(Some(DEADLINE))
                .expect("a timeout is accepted");
            let end = loop {
                if let Some(end) = find(&subscriber.buffer, b"\r\n\r\n") {
                    break end + 4;
                }
                let mut piece = [0; 1024];
                let length = subscriber.socket.read(&mut piece).expect("an answer");
                assert!(length > 0, "{mode:?}: closed before the answer");
                subscriber.buffer.extend_from_slice(&piece[..length]);
            };
            let status = if mode == Mode::WebSocket {
                "101"
            } else {
                "200"
            };
            assert_eq!(
                &subscriber.buffer[9..12],
                status.as_bytes(),
                "{mode:?}: {}",
                show(&subscriber.buffer)
            );
            subscriber.buffer.drain(..end);
        }
        subscriber
            .socket
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        subscriber
    }

    /// Sends the request.
    fn ask(&mut self) {
        let (name, _) = self.mode.names();
        let mut request = format!("GET /{name}/c{} HTTP/1.1\r\nHost: x\r\n", self.channel);
        match self.mode {
            Mode::LongPolling | Mode::Polling => {
                request += &format!(
                    "If-Modified-Since: {}\r\nIf-None-Match: {}\r\n",
                    self.cursor.0, self.cursor.1
                );
            }
            Mode::WebSocket => {
                request += "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                            Sec-WebSocket-Version: 13\r\n";
            }
            Mode::Streaming | Mode::EventSource => {}
        }
        // Small, and the server has read what was before it.
        self.socket
            .write_all((request + "\r\n").as_bytes())
            .unwrap_or_else(|error| panic!("{self:?}: {error}"));
        self.is_asking = true;
    }

    /// Reads what is there, and polls again when there is news.
    fn turn(&mut self, scene: &Scene, piece: &mut [u8]) {
        if self.mode == Mode::Polling && !self.is_asking {
            let published = scene.published[self.channel].load(Ordering::Acquire);
            if published == self.asked_at {
                return;
            }
            self.asked_at = published;
            self.ask();
        }
        match self.socket.read(piece) {
            Ok(0) => panic!("{self:?}: the connection was closed"),
            Ok(length) => self.buffer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{self:?}: {error}"),
        }
        match self.mode {
            Mode::LongPolling | Mode::Polling => self.take_answers(),
            _ => {
                let taken = self.take_messages(self.buffer.len());
                self.buffer.drain(..taken);
            }
        }
    }

    /// Takes the whole messages of the first bytes of the buffer: `<CHANNEL NUMBER>`, each the next
    /// one. Returns how many bytes that are.
    fn take_messages(&mut self, length: usize) -> usize {
        let mut taken = 0;
        while let Some(start) = memchr(b'<', &self.buffer[taken..length]).map(|at| taken + at)
            && let Some(end) = memchr(b'>', &self.buffer[start..length]).map(|at| start + at + 1)
        {
            let expected = format!("<{} {}>", self.channel, self.received);
            assert!(
                &self.buffer[start..end] == expected.as_bytes(),
                "{self:?}: {}",
                show(&self.buffer[start..end])
            );
            self.received += 1;
            taken = end;
        }
        taken
    }

    /// Takes the whole answers in the buffer, and asks again after a long-poll.
    fn take_answers(&mut self) {
        while let Some(end) = find(&self.buffer, b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let header = |name: &str| {
                head.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            let length = match &head[9..12] {
                "304" => end,
                "200" if header("Transfer-Encoding: chunked").is_some() => {
                    match find(&self.buffer[end..], b"0\r\n\r\n") {
                        Some(at) => end + at + 5,
                        None => return,
                    }
                }
                "200" => {
                    end + header("Content-Length: ")
                        .and_then(|length| length.parse::<usize>().ok())
                        .expect("a length")
                }
                _ => panic!("{self:?}: {head}"),
            };
            if self.buffer.len() < length {
                return;
            }
            assert!(!head.contains("Connection: close"), "{self:?}: {head}");
            self.take_messages(length);
            self.buffer.drain(..length);
            if let (Some(time), Some(tag)) = (header("Last-Modified: "), header("Etag: ")) {
                self.cursor = (time, tag);
            }
            self.is_asking = false;
            if self.mode == Mode::LongPolling {
                self.ask();
            }
        }
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} subscriber of c{} after {} messages, with {}",
            self.mode,
            self.channel,
            self.received,
            show(&self.buffer)
        )
    }
}

impl Scene {
    /// Publishes to all channels in turn until the last reload is done.
    fn publish(&self, server: &Server) {
        let mut connection = server.connect();
        let mut number = 0;
        loop {
            let reloads = self.reloads.load(Ordering::Acquire);
            if number >= MESSAGES_PER_RELOAD * (reloads + 1) {
                if reloads == RELOADS {
                    break;
                }
                std::thread::sleep(PAUSE);
                continue;
            }
            let channel = number % CHANNELS;
            let nth = number / CHANNELS;
            let answer = connection.request(
                "POST",
                &format!("/pub?id=c{channel}"),
                &[],
                Some(format!("<{channel} {nth}>").as_bytes()),
            );
            assert_eq!(answer.head.status, 200, "{answer:?}");
            self.published[channel].fetch_add(1, Ordering::Release);
            number += 1;
        }
        self.is_over.store(1, Ordering::Release);
    }

    fn reload(&self, server: &Server) {
        for number in 0..RELOADS {
            let published = || {
                self.published
                    .iter()
                    .map(|published| published.load(Ordering::Acquire))
                    .sum::<usize>()
            };
            wait_until("there is publishing", || {
                published() > MESSAGES_PER_RELOAD * number
            });
            if number % BROKEN_EVERY == 0 {
                assert!(!server.reload_conf("events {}\nhttp {\nnonsense;\n"));
            }
            assert!(
                server.reload_conf(&file(number % 2 == 0)),
                "{}",
                server.stderr()
            );
            self.reloads.fetch_add(1, Ordering::Release);
        }
    }

    /// Reads until every subscriber has all messages.
    fn read(&self, subscribers: &mut [Subscriber]) {
        let end = Instant::now() + DEADLINE * 3;
        let mut piece = vec![0; 16 * 1024];
        loop {
            let is_over = self.is_over.load(Ordering::Acquire) > 0;
            for subscriber in &mut *subscribers {
                subscriber.turn(self, &mut piece);
            }
            let published = |subscriber: &Subscriber| {
                self.published[subscriber.channel].load(Ordering::Acquire)
            };
            if is_over
                && subscribers
                    .iter()
                    .all(|subscriber| subscriber.received == published(subscriber))
            {
                break;
            }
            assert!(
                Instant::now() < end,
                "{:?} waits in vain",
                subscribers.iter().find(|one| one.received < published(one))
            );
            // A look at every socket costs more than what is on them.
            std::thread::sleep(PAUSE);
        }
        // Whatever comes beyond that, or an end, is seen by one more look.
        for subscriber in subscribers {
            subscriber.turn(self, &mut piece);
        }
    }
}

#[test]
fn reloads_under_load_lose_nothing_and_disconnect_nobody() {
    let _turn = turn();
    let server = Server::with_conf(&file(false));
    let mut subscribers: Vec<Subscriber> = (0..SUBSCRIBERS)
        .map(|number| {
            Subscriber::new(
                server.address(),
                MODES[number % MODES.len()],
                number / MODES.len() % CHANNELS,
            )
        })
        .collect();
    // Pollers are none of them.
    let followers = ((MODES.len() - 1) * PER_CHANNEL) as u64;
    (0..CHANNELS)
        .for_each(|channel| server.wait_for_subscribers(&format!("c{channel}"), followers));
    let scene = Scene::default();
    std::thread::scope(|scope| {
        for subscribers in subscribers.chunks_mut(SUBSCRIBERS / READERS) {
            scope.spawn(|| scene.read(subscribers));
        }
        scope.spawn(|| scene.publish(&server));
        scene.reload(&server);
    });
    let all: usize = scene
        .published
        .iter()
        .map(|published| published.load(Ordering::Acquire))
        .sum();
    assert_eq!(all, MESSAGES_PER_RELOAD * (RELOADS + 1));
    server.stop();
}

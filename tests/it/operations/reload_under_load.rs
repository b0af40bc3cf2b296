//! Reloads under load: a thousand subscribers in all modes, continuous publishing, and twenty
//! reloads, some of a broken file. A ledger per subscriber holds every message: none may be lost,
//! duplicated or reordered, and no connection may end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::reload_subscriber::{Mode, Subscriber};
use crate::support::{DEADLINE, Server, turn, wait_until};

/// Channels; each has a fifth of its subscribers in each mode.
pub(super) const CHANNELS: usize = 10;
/// Subscribers of each mode on each channel.
const PER_CHANNEL: usize = 20;
const SUBSCRIBERS: usize = MODES.len() * CHANNELS * PER_CHANNEL;
const RELOADS: usize = 20;
/// Every n-th reload is preceded by one of a broken file.
const BROKEN_EVERY: usize = 4;
/// Messages that are published between two reloads, and while the one is under way.
const MESSAGES_PER_RELOAD: usize = 20;
/// Pause of a thread between two rounds over its sockets.
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

/// The two alternating files: they differ in nearly every reloadable setting.
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

/// State shared by the threads.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) reloads: AtomicUsize,
    /// Messages of each channel that are acknowledged.
    pub(super) published: [AtomicUsize; CHANNELS],
    /// Publishing is over.
    pub(super) is_over: AtomicUsize,
}

impl Scene {
    /// Publishes to all channels in turn until the last reload is done.
    pub(super) fn publish(&self, server: &Server) {
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
            let response = connection.request(
                "POST",
                &format!("/pub?id=c{channel}"),
                &[],
                Some(format!("<{channel} {nth}>").as_bytes()),
            );
            assert_eq!(response.head.status, 200, "{response:?}");
            self.published[channel].fetch_add(1, Ordering::Release);
            number += 1;
        }
        self.is_over.store(1, Ordering::Release);
    }

    pub(super) fn reload(&self, server: &Server) {
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
    pub(super) fn read(&self, subscribers: &mut [Subscriber]) {
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
            // Polling every socket costs more than reading the messages.
            std::thread::sleep(PAUSE);
        }
        // A final round detects surplus messages and closed connections.
        for subscriber in subscribers {
            subscriber.turn(self, &mut piece);
        }
    }
}

#[test]
fn reloads_under_load_lose_no_message_and_no_connection() {
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

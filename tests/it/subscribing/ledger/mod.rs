//! The ledger: many publishers, and subscribers of every mode that attach and detach with their
//! cursors. Each must get exactly the messages after its cursor, in order: thousands of
//! attachments, no loss, no duplicate.
//!
//! The choices have fixed seeds; the interleaving of threads is random, on purpose.

mod subscriber;

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::support::{Server, turn};
use subscriber::Subscriber;

/// Channels; their ids are `l0`, `l1`, ….
const CHANNELS: usize = 4;
/// Publisher threads, each on its own connection.
const PUBLISHERS: usize = 8;
/// Threads that subscribe.
const SUBSCRIBERS: usize = 25;
/// Attachments of each of them.
const ATTACHMENTS: usize = 200;
/// Attachments per message. A subscriber reads about as many messages of a channel in one
/// attachment as are published in that time, so that it is sometimes behind and sometimes waits.
const ATTACHMENTS_PER_MESSAGE: usize = 2;
/// Messages published before the first attachment.
const HEAD_START: usize = 200;
/// Limit of each wait: threads may wait for each other.
const PATIENCE: Duration = Duration::from_millis(50);

/// State shared by publishers and subscribers.
pub(crate) struct Scene {
    server: Server,
    counts: Mutex<Counts>,
    counted: Condvar,
}

/// Progress of all threads.
struct Counts {
    attachments: usize,
    published: usize,
    /// Subscribers that are still active.
    active: usize,
}

/// A small generator of numbers (xorshift); the same seed gives the same choices.
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

impl Scene {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no thread panics with the lock")
    }

    /// Updates the progress and wakes waiting threads.
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts());
        self.counted.notify_all();
    }

    /// Waits while that holds, but not for long.
    fn wait_while(&self, condition: impl Fn(&Counts) -> bool) {
        let waited = self
            .counted
            .wait_timeout_while(self.counts(), PATIENCE, |counts| {
                counts.active > 0 && condition(counts)
            });
        drop(waited.expect("no thread panics with the lock"));
    }

    /// Publishes until no subscriber is active; returns the acknowledged messages per channel.
    fn publish(&self, publisher: usize) -> Vec<Vec<String>> {
        let mut random = Random::new(publisher as u64 + 1);
        let mut acknowledged = vec![Vec::new(); CHANNELS];
        let mut connection = self.server.connect();
        let mut number = 0;
        while self.counts().active > 0 {
            self.wait_while(|counts| {
                counts.published > HEAD_START + counts.attachments / ATTACHMENTS_PER_MESSAGE
            });
            number += 1;
            let text = format!("{publisher} {number} {}", "x".repeat(random.below(80)));
            let mut channels = vec![random.below(CHANNELS)];
            if random.one_in(20) {
                channels.push((channels[0] + 1) % CHANNELS);
            }
            let ids: Vec<String> = channels
                .iter()
                .map(|channel| format!("l{channel}"))
                .collect();
            let event_id = format!("{publisher}-{number}");
            let path = format!("/pub?id={}", ids.join("/"));
            let response = connection.request(
                "POST",
                &path,
                &[("Event-Id", &event_id)],
                Some(text.as_bytes()),
            );
            assert_eq!(response.head.status, 200, "{response:?}");
            for channel in channels {
                acknowledged[channel].push(text.clone());
            }
            self.count(|counts| counts.published += ids.len());
        }
        acknowledged
    }

    /// Attaches and detaches repeatedly.
    fn subscribe(&self, number: usize) -> Subscriber {
        let _leaving = Leaving(self);
        let mut subscriber = Subscriber::new(number);
        while subscriber.attachments() < ATTACHMENTS {
            let published = self.counts().published;
            let found = subscriber.attach(&self.server);
            self.count(|counts| counts.attachments += 1);
            if !found {
                self.wait_while(|counts| counts.published == published);
            }
        }
        subscriber
    }
}

/// Decrements the count of subscribers, also on panic: the publishers run until it is zero.
struct Leaving<'a>(&'a Scene);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.active -= 1);
    }
}

#[test]
fn every_subscriber_gets_exactly_the_messages_after_its_cursor() {
    let _turn = turn();
    let scene = Scene {
        server: Server::start(&["--max-stored-messages", "100000"]),
        counts: Mutex::new(Counts {
            attachments: 0,
            published: 0,
            active: SUBSCRIBERS,
        }),
        counted: Condvar::new(),
    };
    let (acknowledged, mut subscribers) = std::thread::scope(|scope| {
        let scene = &scene;
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| scope.spawn(move || scene.publish(number)))
            .collect();
        let subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|number| scope.spawn(move || scene.subscribe(number)))
            .collect();
        let mut acknowledged = vec![Vec::new(); CHANNELS];
        let subscribers: Vec<Subscriber> = subscribers
            .into_iter()
            .map(|thread| thread.join().expect("see the panic above"))
            .collect();
        for publisher in publishers {
            for (all, texts) in acknowledged
                .iter_mut()
                .zip(publisher.join().expect("see the panic above"))
            {
                all.push(texts);
            }
        }
        (acknowledged, subscribers)
    });
    let counts: Vec<usize> = acknowledged
        .iter()
        .map(|publishers| publishers.iter().map(Vec::len).sum())
        .collect();
    for subscriber in &mut subscribers {
        subscriber.attach_to_the_end(&scene.server, &counts);
    }
    check_ledger(&acknowledged, &subscribers);
    scene.server.stop();
}

/// All subscribers have the same texts, which are the acknowledged ones, in the order of each
/// publisher.
fn check_ledger(acknowledged: &[Vec<Vec<String>>], subscribers: &[Subscriber]) {
    let mut ledger: BTreeMap<usize, &[String]> = BTreeMap::new();
    for subscriber in subscribers {
        for (channel, texts) in subscriber.texts() {
            assert_eq!(
                *ledger.entry(channel).or_insert(texts),
                texts,
                "two subscribers of l{channel} know different messages"
            );
        }
    }
    assert_eq!(ledger.len(), CHANNELS, "every channel has a follower");
    for (channel, texts) in ledger {
        for (publisher, mine) in acknowledged[channel].iter().enumerate() {
            let prefix = format!("{publisher} ");
            let received: Vec<&String> = texts
                .iter()
                .filter(|text| text.starts_with(&prefix))
                .collect();
            assert_eq!(
                received,
                mine.iter().collect::<Vec<_>>(),
                "messages of publisher {publisher} on l{channel}"
            );
        }
    }
}

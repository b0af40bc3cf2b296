//! Rounds, ends and cursors in an order that sockets alone cannot bring about.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use super::state::Turn;
use super::*;
use crate::message::Position;
use crate::server::broker::{Broker, Cursor, NewMessage, Place};
use crate::server::config::{BrokerSettings, SlowPolicy};

/// More than a turn has time for.
const MANY: usize = 600;

/// Shows what is sent: texts, `!` for a deletion, `.` for an end. A one-shot shows its own cursor,
/// too.
struct Plain {
    is_one_shot: bool,
}

impl Format for Plain {
    fn messages(&self, batch: Batch<'_>, out: &mut Vec<u8>) {
        batch
            .deliveries
            .iter()
            .for_each(|delivery| out.extend_from_slice(&delivery.message.text));
    }

    fn ping(&self, _: &mut Vec<u8>) {}

    fn deleted(&self, _: &[u8], _: &[u8], standing: Standing, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("!{:?}", self.is_one_shot.then_some(standing)).as_bytes());
    }

    fn end(&self, _: Ending, standing: Standing, out: &mut Vec<u8>) {
        out.extend_from_slice(format!(".{:?}", self.is_one_shot.then_some(standing)).as_bytes());
    }

    fn slow_consumers(&self) -> SlowConsumers {
        SlowConsumers {
            policy: SlowPolicy::Disconnect,
            max_lag: 1 << 20,
        }
    }

    fn is_one_shot(&self) -> bool {
        self.is_one_shot
    }

    fn keeps_connection(&self) -> bool {
        true
    }
}

/// A shard whose rounds come when a test says so, and a socket that its followers share.
struct Scene {
    shard: Shard,
    outlet: Rc<Outlet>,
    client: UnixStream,
    /// Of streams and of one-shots.
    formats: [Rc<dyn Format>; 2],
}

impl Scene {
    async fn new() -> Self {
        let broker = Broker::new(
            BrokerSettings {
                shared_memory_size: 1 << 24,
                ..BrokerSettings::default()
            },
            1,
            1 << 20,
        );
        let (ours, client) = UnixStream::pair().expect("a pair of sockets");
        for socket in [&ours, &client] {
            socket.set_nonblocking(true).expect("a socket of its own");
        }
        let ours = tokio::net::UnixStream::from_std(ours).expect("a runtime");
        ours.writable().await.expect("an empty socket");
        let shard = Shard::new(
            0,
            broker.expect("room for no channels"),
            (Duration::from_secs(60), Duration::from_secs(60)),
        );
        let formats: [Rc<dyn Format>; 2] = [
            Rc::new(Plain { is_one_shot: false }),
            Rc::new(Plain { is_one_shot: true }),
        ];
        Self {
            shard,
            outlet: Rc::new(Outlet::unix(ours)),
            client,
            formats,
        }
    }

    fn follow(
        &self,
        channels: &[&'static str],
        is_one_shot: bool,
        time_to_live: Option<Duration>,
    ) -> ConnectionKey {
        let broker = self.shard.broker();
        let find = |id: &&'static str| {
            ChannelRequest::new(broker.find_or_create(&(*id).into()).expect("room"))
        };
        let subscription = Subscription {
            channels: channels.iter().map(find).collect(),
            cursor: Cursor::default(),
            format: Rc::clone(&self.formats[usize::from(is_one_shot)]),
            head: Vec::new(),
            time_to_live,
            ping_interval: None,
            merges_backlog: false,
            rearms: false,
            concurrency: Concurrency::Broadcast,
        };
        let key = self.shard.open();
        self.shard
            .attach(key, Rc::clone(&self.outlet), subscription)
            .expect("no limit is reached");
        key
    }

    /// Publishes; returns the message's position.
    fn publish(&self, channel: &'static str, text: &'static str) -> Position {
        let broker = self.shard.broker();
        let channel = broker.find_or_create(&channel.into()).expect("room");
        broker
            .publish(
                &channel,
                NewMessage {
                    text: text.into(),
                    ..NewMessage::default()
                },
                true,
            )
            .expect("room");
        channel.positions(Place::default(), 0).1
    }

    /// What the next turn sends; true if there is nothing more to do after it.
    fn turn(&mut self) -> (String, bool) {
        self.shard.with(|state, _| state.turn = Turn::default());
        let is_done = self.shard.deliver_turn();
        (self.sent(), is_done)
    }

    fn sent(&mut self) -> String {
        let mut sent = Vec::new();
        // Ends where there is nothing more to read now.
        drop(self.client.read_to_end(&mut sent));
        String::from_utf8(sent).expect("the texts are UTF-8")
    }
}

#[tokio::test]
async fn another_channel_has_its_turn_during_a_long_round() {
    let mut scene = Scene::new().await;
    for _ in 0..MANY {
        scene.follow(&["many"], false, None);
    }
    scene.follow(&["few"], false, None);
    scene.publish("many", "m");
    let (first, is_done) = scene.turn();
    assert!(!is_done && first.len() < MANY / 2, "{first}");
    scene.publish("few", "f");
    scene.publish("many", "n");
    let (second, _) = scene.turn();
    assert!(
        second.starts_with('f') && second.len() < MANY / 2,
        "{second}"
    );
    let mut sent = first + &second;
    let is_done = (0..10).any(|_| {
        let (more, is_done) = scene.turn();
        sent += &more;
        is_done
    });
    assert!(is_done);
    let count = |text: char| sent.chars().filter(|sent| *sent == text).count();
    assert_eq!((count('m'), count('n'), count('f')), (MANY, MANY, 1));
    assert_eq!(
        sent.rfind('m').map(|last| &sent[last + 1..]),
        Some(&*"n".repeat(MANY)),
        "one round of a channel comes after the other"
    );
    assert_eq!(
        scene
            .shard
            .broker()
            .find(b"many")
            .map(|channel| channel.info().lag_bytes),
        Some(0),
        "nothing is kept for them"
    );
}

#[tokio::test]
async fn long_rounds_take_turns_with_frames_of_their_own() {
    let mut scene = Scene::new().await;
    for channel in ["a", "b", "c"] {
        for _ in 0..MANY {
            scene.follow(&[channel], false, None);
        }
    }
    for channel in ["a", "b", "c"] {
        scene.publish(channel, channel);
    }
    let mut sent = Vec::new();
    let is_done = (0..20).any(|_| {
        let (more, is_done) = scene.turn();
        sent.extend(more.chars());
        is_done
    });
    assert!(is_done);
    assert_eq!(sent.len(), 3 * MANY);
    sent.dedup();
    assert_eq!(sent.iter().collect::<String>(), "abcabcabc");
}

#[tokio::test]
async fn what_was_published_before_a_time_out_comes_instead_of_it() {
    let mut scene = Scene::new().await;
    let keys =
        [true, false].map(|is_one_shot| scene.follow(&["a"], is_one_shot, Some(Duration::ZERO)));
    scene.publish("a", "news");
    for (key, sent) in keys.into_iter().zip(["news", "news.None"]) {
        scene.shard.with(|state, moment| state.expire(moment, key));
        assert_eq!(scene.sent(), sent);
    }
}

#[tokio::test]
async fn an_answer_without_messages_says_where_the_follower_stands() {
    let mut scene = Scene::new().await;
    let told = |sign: &str, sent: &str, newest: Position, before_next: Option<Position>| {
        let begins = format!("{sign}Some(Standing {{ second: ");
        let ends = format!(", newest: {newest:?}, before_next: {before_next:?} }})");
        assert!(
            sent.starts_with(&begins) && sent.ends_with(&ends),
            "{sent}, but should end with {ends}"
        );
    };
    let (second, sent) = loop {
        let second = crate::message::unix_now();
        let key = scene.follow(&["a", "b"], true, None);
        scene.shard.end(key, Ending::TimeToLive);
        let sent = scene.sent();
        if second == crate::message::unix_now() {
            break (second, sent);
        }
    };
    told(".", &sent, Position::new(second, 0), None);

    let seen = scene.publish("a", "x");
    scene.follow(&["a", "b"], true, None);
    scene.shard.broker().delete(b"b", None).expect("room");
    // It has nothing more to come, but what a successor of `b` gets comes after the end of this
    // one.
    told("!", &scene.turn().0, seen, Some(seen));

    // The deletion comes first, and `a` has news by then.
    scene.follow(&["a", "b"], true, None);
    scene.shard.broker().delete(b"b", None).expect("room");
    let next = scene.publish("a", "y");
    told("!", &scene.turn().0, next, Some(super::slow::before(next)));
}

#[test]
fn cursors_of_answers_without_messages_pass_over_nothing() {
    let early = Position::new(1000, 3);
    let late = Position::new(1000, 9);
    let quiet = Standing {
        second: 1002,
        newest: late,
        before_next: None,
    };
    assert_eq!(
        (quiet.own(), quiet.this_second()),
        (late, Position::new(1002, 0))
    );
    let behind = Standing {
        before_next: Some(early),
        ..quiet
    };
    assert_eq!((behind.own(), behind.this_second()), (early, early));
    let in_this_second = Standing {
        second: 1000,
        ..behind
    };
    assert_eq!(
        (in_this_second.own(), in_this_second.this_second()),
        (early, Position::new(1000, 0))
    );
}

/// Turns in which one publisher, with this socket, is answered alone.
fn answer_alone(scene: &mut Scene, turns: usize) {
    for _ in 0..turns {
        scene
            .shard
            .answer(&scene.outlet, &Rc::default(), b"!".to_vec());
        assert_eq!(scene.turn(), ("!".to_owned(), true));
    }
}

#[tokio::test]
async fn only_a_publisher_that_has_been_alone_for_a_while_delivers_by_itself() {
    let mut scene = Scene::new().await;
    let other = Scene::new().await.outlet;
    answer_alone(&mut scene, 3);
    assert!(
        scene.shard.deliver_alone(&scene.outlet, true).is_none(),
        "it may be chance"
    );
    answer_alone(&mut scene, 1);
    assert!(scene.shard.deliver_alone(&scene.outlet, true).is_some());
    assert!(
        scene.shard.deliver_alone(&other, true).is_none(),
        "that is another one"
    );
    scene.follow(&["a"], false, None);
    scene.publish("a", "news");
    assert!(
        scene.shard.deliver_alone(&scene.outlet, true).is_none(),
        "others had news before"
    );
    assert_eq!(scene.turn().0, "news");
    // Two answers in one turn.
    let answer = |outlet: &Rc<Outlet>| scene.shard.answer(outlet, &Rc::default(), b"!".to_vec());
    answer(&scene.outlet);
    answer(&other);
    scene.turn();
    assert!(
        scene.shard.deliver_alone(&scene.outlet, true).is_none(),
        "there is another one"
    );
}

#[tokio::test]
async fn what_a_publisher_cannot_deliver_in_its_turn_comes_without_it() {
    let mut scene = Scene::new().await;
    answer_alone(&mut scene, 4);
    for _ in 0..MANY {
        scene.follow(&["many"], false, None);
    }
    let shard = scene.shard.clone();
    let mut deliver = Box::pin(shard.deliver());
    assert!(
        futures_util::poll!(deliver.as_mut()).is_pending(),
        "there is nothing yet"
    );
    // Of a round that is too long for one turn, of news during it, and of news that nobody looked
    // at.
    let delivering = scene
        .shard
        .deliver_alone(&scene.outlet, true)
        .expect("it is alone");
    scene.publish("many", "m");
    assert!(!delivering.deliver());
    scene.publish("many", "n");
    drop(delivering);
    let mut sent = scene.sent();
    for _ in 0..20 {
        assert!(futures_util::poll!(deliver.as_mut()).is_pending());
        tokio::task::yield_now().await;
        sent += &scene.sent();
    }
    assert_eq!(sent, "m".repeat(MANY) + &"n".repeat(MANY));
}

#[tokio::test]
async fn news_that_a_publisher_holds_and_does_not_deliver_wake_the_shard() {
    let mut scene = Scene::new().await;
    answer_alone(&mut scene, 4);
    scene.follow(&["a"], false, None);
    let shard = scene.shard.clone();
    let delivery = async {
        let delivering = scene
            .shard
            .deliver_alone(&scene.outlet, true)
            .expect("it is alone");
        scene.publish("a", "held");
        drop(delivering);
        while scene.sent().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // Polled only when it is woken.
    let local = tokio::task::LocalSet::new();
    local.spawn_local(async move { shard.deliver().await });
    tokio::time::timeout(Duration::from_secs(30), local.run_until(delivery))
        .await
        .expect("it was woken");
}

//! Rounds, ends and cursors in an order that cannot be forced through sockets alone.

mod inline_delivery;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::message::Position;
use crate::server::broker::{Broker, Cursor, LogCursor, NewMessage, StoreOptions};
use crate::server::config::{BrokerSettings, SlowPolicy};
use crate::server::exchange::response::{
    Framing, Response, ResponseContext, ResponseWriter, SubscriptionHead, WrittenResponse,
};

/// More followers than a turn serves.
const MANY: usize = 600;

/// Writes the plain text of messages, `!` for a deletion and `.` for an end. One-shot formats also
/// write the resume point.
struct Plain {
    is_one_shot: bool,
}

impl Encoder for Plain {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer) {
        batch
            .deliveries
            .iter()
            .for_each(|delivery| out.push(&delivery.message.text));
    }

    fn encode_ping(&self, _: &mut PayloadBuffer) {}

    fn encode_deletion(
        &self,
        _: &[u8],
        _: &[u8],
        resume_point: ResumePoint,
        out: &mut PayloadBuffer,
    ) {
        out.push(format!("!{:?}", self.is_one_shot.then_some(resume_point)).as_bytes());
    }

    fn encode_end(&self, _: EndReason, resume_point: ResumePoint, out: &mut PayloadBuffer) {
        out.push(format!(".{:?}", self.is_one_shot.then_some(resume_point)).as_bytes());
    }
}

/// Subscriptions without a head.
struct NoHeads;

impl ResponseWriter for NoHeads {
    fn write_response(&self, _: &Response, _: ResponseContext, _: &mut Vec<u8>) -> WrittenResponse {
        unreachable!("the formats write text")
    }

    fn write_head(&self, _: &SubscriptionHead, _: Framing, _: &mut Vec<u8>) {}
}

fn plain(is_one_shot: bool) -> Rc<Format> {
    let slow_consumers = SlowConsumerSettings {
        policy: SlowPolicy::Disconnect,
        max_lag: 1 << 20,
    };
    let policy = FollowerPolicy {
        is_one_shot,
        ..FollowerPolicy::stream(slow_consumers)
    };
    Rc::new(Format::new(policy, Plain { is_one_shot }))
}

/// A shard whose turns are run by the test, and a socket that all its followers write to.
struct Scene {
    shard: Shard,
    outlet: Rc<Outlet>,
    client: UnixStream,
    /// Of streams and of one-shot followers.
    formats: [Rc<Format>; 2],
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
            socket.set_nonblocking(true).expect("a socket");
        }
        let ours = tokio::net::UnixStream::from_std(ours).expect("a runtime");
        ours.writable().await.expect("an empty socket");
        let shard = Shard::new(
            0,
            broker.expect("an empty broker fits"),
            FollowerTimeouts {
                send: Duration::from_secs(60),
                ping: Duration::from_secs(60),
            },
        );
        let formats = [false, true].map(plain);
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
        let format = Rc::clone(&self.formats[usize::from(is_one_shot)]);
        let subscription = Subscription {
            time_to_live,
            keeps_connection: true,
            ..Subscription::new(
                channels.iter().map(find).collect(),
                Cursor::default(),
                format,
            )
        };
        let key = self.shard.open();
        self.shard
            .attach(key, Rc::clone(&self.outlet), subscription, &NoHeads)
            .expect("no limit is reached");
        key
    }

    /// Publishes a message and returns its position.
    fn publish(&self, channel: &'static str, text: &'static str) -> Position {
        let broker = self.shard.broker();
        let channel = broker.find_or_create(&channel.into()).expect("room");
        let message = NewMessage {
            text: text.into(),
            ..NewMessage::default()
        };
        broker
            .publish(&channel, message, StoreOptions::new(true))
            .detach()
            .expect("room");
        channel.positions(LogCursor::default(), 0).1
    }

    fn delete(&self, channel: &'static str) {
        let deleted = self.shard.broker().delete(&channel.into(), None);
        deleted.detach().expect("room");
    }

    /// Runs a turn. Returns the bytes sent, and true if nothing is left to do.
    fn turn(&mut self) -> (String, bool) {
        self.shard
            .with_state(|state, _| state.sender().begin_turn());
        let is_done = self.shard.deliver_turn();
        (self.sent(), is_done)
    }

    fn sent(&mut self) -> String {
        let mut sent = Vec::new();
        // Fails with `WouldBlock` after the bytes sent so far.
        drop(self.client.read_to_end(&mut sent));
        String::from_utf8(sent).expect("the texts are UTF-8")
    }
}

#[tokio::test]
async fn other_channels_have_turns_during_a_long_round() {
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
        "the rounds of a channel do not overlap"
    );
    assert_eq!(
        scene
            .shard
            .broker()
            .find(b"many")
            .map(|channel| channel.info().lag_bytes),
        Some(0),
        "no live messages are held for them"
    );
}

#[tokio::test]
async fn long_rounds_take_turns_with_their_own_frames() {
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
async fn messages_published_before_a_time_out_are_sent_instead_of_it() {
    let mut scene = Scene::new().await;
    let keys =
        [true, false].map(|is_one_shot| scene.follow(&["a"], is_one_shot, Some(Duration::ZERO)));
    scene.publish("a", "news");
    for (key, sent) in keys.into_iter().zip(["news", "news.None"]) {
        scene
            .shard
            .with_state(|state, context| state.sender().expire(context, key));
        assert_eq!(scene.sent(), sent);
    }
}

#[tokio::test]
async fn a_response_without_messages_gives_the_resume_point() {
    let mut scene = Scene::new().await;
    let assert_resume_point =
        |sign: &str, sent: &str, newest: Position, before_next: Option<Position>| {
            let begins = format!("{sign}Some(ResumePoint {{ second: ");
            let ends = format!(", newest: {newest:?}, before_next: {before_next:?} }})");
            assert!(
                sent.starts_with(&begins) && sent.ends_with(&ends),
                "{sent}, but should end with {ends}"
            );
        };
    let (second, sent) = loop {
        let second = crate::message::unix_now();
        let key = scene.follow(&["a", "b"], true, None);
        scene.shard.end(key, EndReason::TimeToLive);
        let sent = scene.sent();
        if second == crate::message::unix_now() {
            break (second, sent);
        }
    };
    assert_resume_point(".", &sent, Position::new(second, 0), None);

    let seen = scene.publish("a", "x");
    scene.follow(&["a", "b"], true, None);
    scene.delete("b");
    // Nothing is due, but the messages of a successor of `b` come after the deletion.
    assert_resume_point("!", &scene.turn().0, seen, Some(seen));

    // The deletion is handled first, when `a` already has a new message.
    scene.follow(&["a", "b"], true, None);
    scene.delete("b");
    let next = scene.publish("a", "y");
    assert_resume_point("!", &scene.turn().0, next, Some(super::gaps::before(next)));
}

#[test]
fn resume_points_skip_no_message() {
    let early = Position::new(1000, 3);
    let late = Position::new(1000, 9);
    let quiet = ResumePoint {
        second: 1002,
        newest: late,
        before_next: None,
    };
    assert_eq!(
        (quiet.exact(), quiet.start_of_second()),
        (late, Position::new(1002, 0))
    );
    let behind = ResumePoint {
        before_next: Some(early),
        ..quiet
    };
    assert_eq!((behind.exact(), behind.start_of_second()), (early, early));
    let in_this_second = ResumePoint {
        second: 1000,
        ..behind
    };
    assert_eq!(
        (in_this_second.exact(), in_this_second.start_of_second()),
        (early, Position::new(1000, 0))
    );
}

#[test]
fn followers_take_little_memory() {
    use super::table::ConnectionSlot;
    assert_eq!(
        size_of::<Rc<Format>>(),
        2 * size_of::<usize>(),
        "the policy is shared"
    );
    let bytes = size_of::<ConnectionSlot>();
    assert!(bytes <= 192, "{bytes} bytes per connection");
}

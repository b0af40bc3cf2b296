//! Publishers that deliver their own messages.

use std::rc::Rc;
use std::time::Duration;

use super::*;

/// Runs turns in which only the publisher with this socket gets a reply.
fn reply_alone(scene: &mut Scene, turns: usize) {
    for _ in 0..turns {
        scene
            .shard
            .queue_reply(&scene.outlet, &Rc::default(), b"!".to_vec());
        assert_eq!(scene.turn(), ("!".to_owned(), true));
    }
}

#[tokio::test]
async fn a_publisher_delivers_inline_after_some_turns_alone() {
    let mut scene = Scene::new().await;
    let other = Scene::new().await.outlet;
    reply_alone(&mut scene, 3);
    assert!(
        scene
            .shard
            .begin_inline_delivery(&scene.outlet, true)
            .is_none(),
        "it may be chance"
    );
    reply_alone(&mut scene, 1);
    assert!(
        scene
            .shard
            .begin_inline_delivery(&scene.outlet, true)
            .is_some()
    );
    assert!(
        scene.shard.begin_inline_delivery(&other, true).is_none(),
        "this is another publisher"
    );
    scene.follow(&["a"], false, None);
    scene.publish("a", "news");
    assert!(
        scene
            .shard
            .begin_inline_delivery(&scene.outlet, true)
            .is_none(),
        "the inbox is not empty"
    );
    assert_eq!(scene.turn().0, "news");
    // Two replies in one turn.
    let reply = |outlet: &Rc<Outlet>| {
        scene
            .shard
            .queue_reply(outlet, &Rc::default(), b"!".to_vec())
    };
    reply(&scene.outlet);
    reply(&other);
    scene.turn();
    assert!(
        scene
            .shard
            .begin_inline_delivery(&scene.outlet, true)
            .is_none(),
        "there was another publisher"
    );
}

#[tokio::test]
async fn messages_beyond_the_turn_of_a_publisher_are_delivered_by_the_task() {
    let mut scene = Scene::new().await;
    reply_alone(&mut scene, 4);
    for _ in 0..MANY {
        scene.follow(&["many"], false, None);
    }
    let shard = scene.shard.clone();
    let mut deliver = Box::pin(shard.run_deliveries());
    assert!(
        futures_util::poll!(deliver.as_mut()).is_pending(),
        "nothing is published yet"
    );
    // The round is too long for one turn; more messages come during it, and some after the last
    // turn that the publisher runs.
    let delivering = scene
        .shard
        .begin_inline_delivery(&scene.outlet, true)
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
async fn messages_that_a_publisher_does_not_deliver_wake_the_shard() {
    let mut scene = Scene::new().await;
    reply_alone(&mut scene, 4);
    scene.follow(&["a"], false, None);
    let shard = scene.shard.clone();
    let delivery = async {
        let delivering = scene
            .shard
            .begin_inline_delivery(&scene.outlet, true)
            .expect("it is alone");
        scene.publish("a", "held");
        drop(delivering);
        while scene.sent().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // Polled only when it is woken.
    let local = tokio::task::LocalSet::new();
    local.spawn_local(async move { shard.run_deliveries().await });
    tokio::time::timeout(Duration::from_secs(30), local.run_until(delivery))
        .await
        .expect("it was woken");
}

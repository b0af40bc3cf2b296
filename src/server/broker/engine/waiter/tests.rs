//! Tests of both sides of a pending request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::task::{ArcWake, waker};
use futures_util::{FutureExt, poll};

use super::super::pending::PendingRequests;
use super::*;
use crate::server::broker::Broker;
use crate::server::config::BrokerSettings;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(wakes: &Arc<Self>) {
        wakes.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn broker(max_pending_publishes: u64) -> Broker {
    let settings = BrokerSettings {
        max_pending_publishes,
        ..BrokerSettings::default()
    };
    Broker::new(settings, 2, 0).expect("there is room")
}

/// A request of a task of shard 1, within a time limit.
fn request(broker: &Broker, time: Duration) -> (Completion<u32>, Waiter<u32>) {
    let pending = PendingRequests::default()
        .enter(broker, 100)
        .expect("there is room");
    Completion::new(pending, Some(1), Instant::now() + time)
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_batch_wakes_a_shard_once() {
    let broker = broker(100);
    let inbox = broker.inbox(1);
    let reader = Arc::new(Wakes::default());
    let reader_waker = waker(Arc::clone(&reader));
    assert!(
        inbox
            .poll_ready(&Context::from_waker(&reader_waker))
            .is_pending()
    );
    let (completions, waiters): (Vec<_>, Vec<_>) = (0..50).map(|_| request(&broker, LONG)).unzip();
    let tasks = Arc::new(Wakes::default());
    let task = waker(Arc::clone(&tasks));
    let mut waiters = waiters;
    for waiter in &mut waiters {
        assert!(
            waiter
                .poll_unpin(&mut Context::from_waker(&task))
                .is_pending()
        );
    }
    let mut batch = Acknowledgements::default();
    for (number, completion) in (0..).zip(completions) {
        completion.complete(Ok(number), &mut batch);
    }
    batch.flush(&[broker.inbox(0), broker.inbox(1)]);
    assert_eq!(
        (
            reader.0.load(Ordering::SeqCst),
            tasks.0.load(Ordering::SeqCst)
        ),
        (1, 0),
        "the shard wakes its tasks itself"
    );
    assert!(!inbox.is_empty() && broker.inbox(0).is_empty());
    inbox.take(&mut Vec::new());
    assert_eq!(tasks.0.load(Ordering::SeqCst), 50);
    assert!(inbox.is_empty());
    for (number, waiter) in (0..).zip(waiters) {
        assert_eq!(waiter.await, Ok(number));
    }
}

#[tokio::test]
async fn a_wait_ends_after_its_time_limit() {
    let broker = broker(100);
    let (completion, waiter) = request(&broker, Duration::from_millis(5));
    assert_eq!(waiter.await, Err(PublishError::Unacknowledged));
    assert!(broker.0.incoming.used() > 0, "the engine has the request");
    completion.complete(Ok(1), &mut Acknowledgements::default());
    assert_eq!(broker.0.incoming.used(), 0);
}

#[tokio::test]
async fn a_result_counts_although_the_time_is_over() {
    let broker = broker(100);
    let (completion, mut waiter) = request(&broker, Duration::ZERO);
    completion.complete(Ok(1), &mut Acknowledgements::default());
    assert_eq!(poll!(&mut waiter), Poll::Ready(Ok(1)));
}

#[tokio::test]
async fn a_dropped_request_fails_and_a_dropped_waiter_leaves_nothing() {
    let broker = broker(100);
    let (completion, waiter) = request(&broker, LONG);
    drop(completion);
    assert_eq!(waiter.await, Err(PublishError::Unacknowledged));
    let (completion, waiter) = request(&broker, LONG);
    drop(waiter);
    completion.complete(Ok(1), &mut Acknowledgements::default());
    assert_eq!(broker.0.incoming.used(), 0);
}

#[test]
fn pending_requests_are_bounded_until_they_are_carried_out() {
    let broker = broker(2);
    let requests = PendingRequests::default();
    let first = requests.enter(&broker, 10).expect("there is room");
    let _second = requests.enter(&broker, 10).expect("there is room");
    let third = requests.enter(&broker, 10);
    assert_eq!(third.err(), Some(PublishError::TooManyPending));
    drop(first);
    let without_memory = requests.enter(&broker, u64::MAX);
    assert_eq!(without_memory.err(), Some(PublishError::out_of_memory()));
    assert!(
        requests.enter(&broker, 10).is_ok(),
        "a rejected one does not count"
    );
}

//! Batches of messages: the same lines are published however they are cut, and the response has
//! their exact number.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use pushctl::server::broker::Broker;
use pushctl::server::config::Config;
use pushctl::server::push_stream::channels_path;
use pushctl::server::push_stream::publish::batch::{Batch, BatchLimits, Failure, Progress};
use pushctl::server::exchange::response::ResponseBody;
use pushctl_fuzz::cut;

const MAX_LINE: usize = 200;

/// The response, the channels with their counts, and the failure.
fn publish<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    default: &[u8],
) -> (Vec<u8>, Vec<(Vec<u8>, u64)>, Option<Failure>) {
    let settings = Config::builtin().broker;
    let broker = Broker::new(settings, 1, 1 << 20).expect("there is room");
    let mut batch = Batch::new(
        channels_path::parse(default),
        true,
        Cow::Borrowed(b""),
        BatchLimits {
            max_channels: 3,
            max_line_bytes: MAX_LINE,
        },
    );
    let finish = |batch: &mut Batch, at_end| loop {
        match batch.publish(&broker, at_end) {
            Ok(Progress::Done) => break None,
            // The memory engine acknowledges at once.
            Ok(Progress::Yield | Progress::Wait) => {}
            Err(failure) => break Some(failure),
        }
    };
    let mut failure = None;
    for piece in pieces {
        batch.input().extend_from_slice(piece);
        failure = finish(&mut batch, false);
        assert!(failure.is_some() || batch.input().len() <= MAX_LINE);
        if failure.is_some() {
            break;
        }
    }
    if failure.is_none() {
        failure = finish(&mut batch, true);
        assert!(failure.is_some() || batch.input().is_empty());
    }
    let ResponseBody::Sized(text) = batch.response(failure.as_ref()).body else {
        panic!("the response has a length")
    };
    let mut channels: Vec<_> = broker
        .list(b"")
        .into_iter()
        .map(|info| (info.id.to_vec(), info.published))
        .collect();
    channels.sort();
    (text.to_vec(), channels, failure)
}

fuzz_target!(|data: &[u8]| {
    for default in [&b""[..], b"a", b"a/b"] {
        let whole = publish(std::iter::once(data), default);
        for seed in [0, 1] {
            assert_eq!(
                publish(cut(data, seed), default),
                whole,
                "cut with seed {seed}"
            );
        }
        let (answer, channels, failure) = whole;
        let answer: serde_json::Value =
            serde_json::from_slice(&answer).expect("the answer is JSON");
        let taken = answer["published"].as_u64().expect("it counts");
        let messages: u64 = channels.iter().map(|(_, count)| count).sum();
        assert!(
            taken <= messages && messages <= 3 * taken,
            "{taken} lines are {messages} messages"
        );
        assert_eq!(
            answer["error"]["status"].as_u64(),
            failure.as_ref().map(|failure| u64::from(failure.status.0))
        );
        let lines = data.split(|byte| *byte == b'\n').count() as u64;
        assert!(
            taken <= lines
                && answer["error"]["line"]
                    .as_u64()
                    .is_none_or(|line| line >= 1 && taken < line && line <= lines)
        );
    }
});

//! The end of a server while publishes wait for their acknowledgement.

use rustix::process::Signal;

use super::{builtin_engine, post, statistic};
use crate::support::{Connection, Server, object, wait_until};

const REQUESTS: u64 = 50;

/// A publisher whose messages wait for the engine.
fn publisher(server: &Server) -> Connection {
    let mut publisher = server.connect();
    let requests: String = (0..REQUESTS)
        .map(|number| post("/pub?id=a", &number.to_string()))
        .collect();
    publisher.send(requests);
    // Each takes more than this.
    wait_until("the messages wait for the engine", || {
        statistic(server, "incoming_used") > REQUESTS * 1024
    });
    publisher
}

#[test]
fn a_server_that_stops_waits_for_acknowledgements() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let Some(mut server) = builtin_engine("delay=1500ms", &["--shards", "1"]) else {
            return;
        };
        let mut follower = server.follow("/sub/a", &[]);
        let mut publisher = publisher(&server);
        server.signal(signal);
        // All that was read before the signal is acknowledged, in order; then the connection ends.
        let mut count = 0;
        while let Some(response) = super::try_read_response(&mut publisher) {
            count += 1;
            assert_eq!(
                object(&response.body)["published_messages"],
                count,
                "{signal:?}"
            );
        }
        assert_eq!(count, REQUESTS, "{signal:?}");
        follower.read_to_close();
        let status = server.wait();
        assert!(status.success(), "{signal:?}: {status} {}", server.stderr());
    }
}

#[test]
fn a_server_that_stops_does_not_wait_beyond_its_grace_period() {
    let arguments = [
        "--shards",
        "1",
        "--grace",
        "200ms",
        "--publish-timeout",
        "1m",
    ];
    let Some(mut server) = builtin_engine("never", &arguments) else {
        return;
    };
    let mut publisher = publisher(&server);
    server.terminate();
    publisher.expect_close();
    let status = server.wait();
    assert!(status.success(), "{status}");
    assert!(server.stderr().contains("--grace"), "{}", server.stderr());
}

//! Many publishers over all publishing paths, with errors and killed connections: what is
//! acknowledged is in the log exactly once, what is rejected is not in it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{builtin_engine, engine, post, statistic, stored, try_read_response};
use crate::support::{Connection, Server, frame, opcode, wait_until};

const PUBLISHERS: usize = 32;
const MESSAGES: usize = 1000;
/// Messages that are sent before their responses are read.
const ROUND: usize = 20;

/// The fate of a message, as its publisher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Rejected,
    /// The connection ended before the response.
    Unknown,
}

/// A way to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    PushStream,
    /// Several channels in one request.
    Several,
    Batch,
    WebSocket,
    Nhpm,
    Nchan,
    NchanWebSocket,
}

const DOORS: [Door; 7] = [
    Door::PushStream,
    Door::Several,
    Door::Batch,
    Door::WebSocket,
    Door::Nhpm,
    Door::Nchan,
    Door::NchanWebSocket,
];

impl Door {
    fn path(self, channel: &str) -> String {
        match self {
            Self::PushStream | Self::Batch => format!("/pub?id={channel}"),
            Self::Several => format!("/pub?id={channel}/{channel}x"),
            Self::WebSocket => format!("/ws?id={channel}"),
            Self::Nhpm => format!("/nhpm?id={channel}"),
            Self::Nchan | Self::NchanWebSocket => format!("/nchan?id={channel}"),
        }
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::NchanWebSocket)
    }
}

/// A publisher with a channel.
struct Publisher<'s> {
    server: &'s Server,
    door: Door,
    channel: String,
    connection: Option<Connection>,
    fates: Vec<(String, Fate)>,
}

impl Publisher<'_> {
    fn run(mut self) -> (Door, String, Vec<(String, Fate)>) {
        let texts: Vec<String> = (0..MESSAGES)
            .map(|number| format!("{}:{number}", self.channel))
            .collect();
        for (round, texts) in texts.chunks(ROUND).enumerate() {
            self.send(texts);
            let fates = if round % 10 == 9 {
                vec![Fate::Unknown; texts.len()]
            } else {
                self.read_fates(texts.len())
            };
            if fates.contains(&Fate::Unknown) || self.door == Door::Batch {
                self.connection = None;
            }
            self.fates.extend(texts.iter().cloned().zip(fates));
        }
        // A websocket of push-stream has no responses: its end follows its messages.
        (self.door, self.channel, self.fates)
    }

    fn send(&mut self, texts: &[String]) {
        let path = self.door.path(&self.channel);
        let connection = self.connection.get_or_insert_with(|| {
            if self.door.is_websocket() {
                self.server.websocket(&path, &[])
            } else {
                self.server.connect()
            }
        });
        let bytes: Vec<u8> = match self.door {
            Door::Batch => {
                let lines: String = texts
                    .iter()
                    .map(|text| format!("{{\"text\":\"{text}\"}}\n"))
                    .collect();
                let length = lines.len();
                format!(
                    "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
                     application/x-ndjson\r\nContent-Length: {length}\r\n\r\n{lines}"
                )
                .into()
            }
            door if door.is_websocket() => texts
                .iter()
                .flat_map(|text| frame(opcode::TEXT, text.as_bytes()))
                .collect(),
            _ => texts
                .iter()
                .map(|text| post(&path, text))
                .collect::<String>()
                .into(),
        };
        // It may have closed the connection after an error.
        connection.try_send(bytes);
    }

    fn read_fates(&mut self, count: usize) -> Vec<Fate> {
        let connection = self.connection.as_mut().expect("it was just used");
        let mut fates = match self.door {
            Door::Batch => return read_batch(connection, count),
            // Without responses: they are known when the server answers the close.
            Door::WebSocket => vec![Fate::Unknown; count],
            Door::NchanWebSocket => (0..count)
                .map_while(|_| {
                    let reply = connection.try_read_frame()?;
                    (reply.opcode() == opcode::TEXT).then_some(Fate::Acknowledged)
                })
                .collect(),
            _ => (0..count)
                .map_while(|_| match try_read_response(connection)?.head.status {
                    200..=202 => Some(Fate::Acknowledged),
                    500 => Some(Fate::Rejected),
                    status => panic!("status {status}"),
                })
                .collect(),
        };
        fates.resize(count, Fate::Unknown);
        fates
    }
}

/// The fates of the lines of a batch: the lines before the failed one are acknowledged.
fn read_batch(connection: &mut Connection, count: usize) -> Vec<Fate> {
    let response = connection.read_response();
    let answer = crate::support::object(&response.body);
    let Some(failed) = answer["error"]["line"].as_u64() else {
        assert_eq!(answer["published"], count, "{answer}");
        return vec![Fate::Acknowledged; count];
    };
    let failed = usize::try_from(failed).expect("a small number") - 1;
    let mut fates = vec![Fate::Acknowledged; failed];
    fates.push(Fate::Rejected);
    // Those that were in flight with it.
    fates.resize(count, Fate::Unknown);
    fates
}

/// Checks the log of a channel against the fates of its messages.
fn check(server: &Server, door: Door, channel: &str, fates: &[(String, Fate)]) {
    let log = stored(server, channel);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for text in &log {
        *counts.entry(text).or_default() += 1;
    }
    for (text, fate) in fates {
        let count = counts.get(text.as_str()).copied().unwrap_or(0);
        let is_right = match fate {
            Fate::Acknowledged => count == 1,
            // A message to two channels may be in one of them.
            Fate::Rejected => count == 0 || (door == Door::Several && count == 1),
            Fate::Unknown => count <= 1,
        };
        assert!(
            is_right,
            "{door:?}: {text} was {fate:?}, and is {count} times in the log"
        );
    }
    check_order(door, &log);
}

/// The order of the messages of a round is that in which they were sent. A killed connection may
/// overlap with the next one.
fn check_order(door: Door, log: &[String]) {
    let numbers: Vec<usize> = log
        .iter()
        .map(|text| {
            let (_, number) = text.rsplit_once(':').expect("a number");
            number.parse().expect("a number")
        })
        .collect();
    for round in 0..MESSAGES / ROUND {
        let of_round = numbers.iter().filter(|number| *number / ROUND == round);
        let of_round: Vec<&usize> = of_round.collect();
        assert!(of_round.is_sorted(), "{door:?}: {of_round:?}");
    }
}

/// Waits until the engine has carried out what it has accepted: no further message appears for
/// several times as long as one takes.
fn wait_until_idle(server: &Server) {
    let mut last = (0, Instant::now());
    wait_until("no further message is published", || {
        let published = statistic(server, "published_messages");
        if published != last.0 {
            last = (published, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(300)
    });
}

fn publish_all(spec: &str) {
    let Some(server) = engine(
        spec,
        &["--shards", "2", "--max-pending-publishes", "100000"],
    ) else {
        return;
    };
    // From here on it has opened all its descriptors.
    server.get("/channels-stats");
    let descriptors = server.descriptors();
    let results: Vec<_> = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let publisher = Publisher {
                    server: &server,
                    door: DOORS[number % DOORS.len()],
                    channel: format!("c{number}"),
                    connection: None,
                    fates: Vec::new(),
                };
                scope.spawn(move || publisher.run())
            })
            .collect();
        publishers
            .into_iter()
            .map(|publisher| publisher.join().expect("no panic"))
            .collect()
    });
    wait_until_idle(&server);
    for (door, channel, fates) in &results {
        check(&server, *door, channel, fates);
        if *door != Door::WebSocket {
            let acknowledged = fates.iter().filter(|(_, fate)| *fate == Fate::Acknowledged);
            assert!(acknowledged.count() > MESSAGES / 4, "{door:?}");
        }
    }
    wait_until("the descriptors are closed", || {
        server.descriptors() <= descriptors + 1
    });
    server.stop();
}

#[test]
fn acknowledged_messages_are_in_the_log_once() {
    publish_all("delay=5ms");
}

#[test]
fn rejected_messages_are_not_in_the_log() {
    publish_all("delay=1ms..9ms,error=every:97");
}

#[test]
fn messages_of_a_websocket_that_ends_are_published() {
    let Some(server) = engine("delay=5ms", &[]) else {
        return;
    };
    let mut websocket = server.websocket("/ws?id=a", &[]);
    let texts: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for text in &texts {
        websocket.send(frame(opcode::TEXT, text.as_bytes()));
    }
    websocket.send(frame(opcode::CLOSE, &1000_u16.to_be_bytes()));
    // The answer to the close is behind the acknowledgements.
    while websocket.read_frame().opcode() != opcode::CLOSE {}
    assert_eq!(stored(&server, "a"), texts);
    server.stop();
}

#[test]
fn a_killed_connection_leaves_nothing_charged() {
    const MESSAGES: u64 = 60;
    let Some(server) = builtin_engine("delay=1000ms", &[]) else {
        return;
    };
    // From here on it has opened all its descriptors.
    server.get("/channels-stats");
    let descriptors = server.descriptors();
    let mut websocket = server.websocket("/ws/a", &[]);
    let mut publisher = server.connect();
    for number in 0..MESSAGES {
        let text = number.to_string();
        websocket.send(frame(opcode::TEXT, text.as_bytes()));
        publisher.send(post("/pub?id=a", &text));
    }
    wait_until("the messages wait for the engine", || {
        statistic(&server, "incoming_used") > 0
    });
    drop((websocket, publisher));
    wait_until("their memory is released", || {
        statistic(&server, "incoming_used") == 0
    });
    // What was accepted is published all the same.
    assert!(statistic(&server, "published_messages") > 0);
    wait_until("the descriptors are closed", || {
        server.descriptors() <= descriptors + 1
    });
    server.stop();
}

//! Reload on SIGHUP: what it changes, what it keeps, and what it logs.

use crate::support::{Connection, Directory, Server, conf, object, opcode, wait_until};

pub(super) const MEMORY: &str = "push_stream_shared_memory_size 10m;";
pub(super) const STATISTICS: &str = "location /channels-stats { push_stream_channels_statistics; \
                          push_stream_channels_path $arg_id; }\n";
pub(super) const PUBLISHER: &str = "location /pub { push_stream_publisher admin; \
                                    push_stream_channels_path \
                         $arg_id; push_stream_store_messages on; }\n";

/// A location `/NAME/CHANNEL` of subscribers.
fn subscriber(name: &str, mode: &str, more: &str) -> String {
    format!(
        "location ~ ^/{name}/(.*)$ {{ push_stream_subscriber {mode}; push_stream_channels_path $1; \
         {more} }}\n"
    )
}

pub(super) fn text(mark: &str) -> String {
    format!(
        "push_stream_message_template \"{mark}~text~\\n\"; push_stream_footer_template \"end of \
         {mark}\";"
    )
}

/// Followers in every mode that waits: streaming, EventSource, long-polling, WebSocket.
pub(super) struct Followers {
    pub(super) stream: Connection,
    pub(super) events: Connection,
    pub(super) poll: Connection,
    pub(super) websocket: Connection,
}

impl Followers {
    pub(super) fn locations() -> String {
        let modes = [
            ("sub", "streaming"),
            ("ev", "eventsource"),
            ("lp", "long-polling"),
            ("ws", "websocket"),
        ];
        modes
            .map(|(name, mode)| subscriber(name, mode, "push_stream_footer_template bye;"))
            .concat()
    }

    /// Attaches them; then the channel has `count` subscribers.
    pub(super) fn attach(server: &Server, count: u64, connect: impl Fn() -> Connection) -> Self {
        let requested = |path: &str| {
            let mut connection = connect();
            connection.send_request("GET", path, &[], None);
            connection
        };
        let (mut stream, mut events, poll) =
            (requested("/sub/a"), requested("/ev/a"), requested("/lp/a"));
        assert_eq!(
            (stream.read_head().status, events.read_head().status),
            (200, 200)
        );
        let mut websocket = connect();
        assert_eq!(websocket.upgrade("/ws/a", &[]).status, 101);
        server.wait_for_subscribers("a", count);
        Self {
            stream,
            events,
            poll,
            websocket,
        }
    }

    /// All of them are ended as on shutdown; those with a kept connection are returned.
    pub(super) fn expect_end(mut self) -> [Connection; 3] {
        assert_eq!(self.stream.read_body(), b"bye");
        assert_eq!(self.events.read_body(), b": \n: bye\n");
        assert_eq!(self.poll.read_response().head.status, 304);
        assert_eq!(self.websocket.read_frame().payload, b"bye");
        assert_eq!(self.websocket.read_frame().opcode(), opcode::CLOSE);
        self.websocket.expect_close();
        [self.stream, self.events, self.poll]
    }
}

#[test]
fn new_requests_see_the_new_file_and_followers_keep_the_old_one() {
    let old = [
        STATISTICS,
        PUBLISHER,
        &subscriber("sub", "streaming", &text("old ")),
    ]
    .concat();
    let new = [
        STATISTICS,
        PUBLISHER,
        &subscriber("sub", "streaming", &text("new ")),
        &subscriber("more", "polling", ""),
    ]
    .concat();
    let server = Server::with_conf(&conf(MEMORY, &old));
    let mut follower = server.follow("/sub/a", &[]);
    let mut kept = server.connect();
    assert_eq!(
        kept.request("POST", "/pub?id=a", &[], Some(b"one"))
            .head
            .status,
        200
    );
    assert_eq!(kept.request("GET", "/more/a", &[], None).head.status, 404);

    assert!(
        server.reload_conf(&conf(MEMORY, &new)),
        "{}",
        server.stderr()
    );

    assert_eq!(
        kept.request(
            "GET",
            "/more/a",
            &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            None
        )
        .text(),
        "one"
    );
    assert_eq!(
        kept.request("POST", "/pub?id=a", &[], Some(b"two"))
            .head
            .status,
        200
    );
    assert_eq!(follower.read_until(b"two\n"), b"old one\nold two\n");
    let mut late = server.follow("/sub/a.b2", &[]);
    assert_eq!(late.read_until(b"two\n"), b"new one\nnew two\n");
    assert!(
        server
            .stderr()
            .contains("reloaded: serving 4 locations on 1 address\n"),
        "{}",
        server.stderr()
    );
    server.terminate();
    assert_eq!(
        (follower.read_body(), late.read_body()),
        (b"end of old ".to_vec(), b"end of new ".to_vec())
    );
}

#[test]
fn an_invalid_file_changes_nothing_and_every_error_is_reported() {
    let locations = [STATISTICS, PUBLISHER, &Followers::locations()].concat();
    let server = Server::with_conf(&conf(MEMORY, &locations));
    let mut followers = Followers::attach(&server, 4, || server.connect());
    let wrong = "events {}\nhttp {\npush_stream_shared_memory_size 10m;\n\
                 server { listen {{PORT}};\nlocation /a {\n\
                 push_stream_subscriber;\npush_stream_store_messages maybe; \
                 push_stream_channels_path x;\n}\nlocation /b {\n\
                 push_stream_ping_message_interval soon;\n} } }\n";
    let unreadable = "events {}\nhttp {\n";
    for (text, mistakes) in [
        (
            wrong,
            &["nginx.conf:7: invalid value \"maybe\"", "nginx.conf:10: "][..],
        ),
        (unreadable, &["nginx.conf:"]),
    ] {
        let before = server.stderr().len();
        assert!(!server.reload_conf(text));
        let reported = server.stderr()[before..].to_owned();
        for mistake in mistakes {
            assert!(
                reported
                    .lines()
                    .any(|line| line.contains("ERROR") && line.contains(mistake)),
                "{mistake}: {reported}"
            );
        }
    }
    std::fs::remove_file(server.directory().path().join("nginx.conf")).expect("the file is there");
    assert!(!server.reload());
    assert!(
        server.stderr().contains("cannot read the configuration"),
        "{}",
        server.stderr()
    );
    // Endless files are not read, and pipes without a writer do not block.
    for (endless, target) in [("fifo", None), ("zero", Some("/dev/zero"))] {
        let path = server.directory().path().join("nginx.conf");
        match target {
            Some(target) => std::os::unix::fs::symlink(target, &path).expect("a link can be made"),
            None => rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR)
                .expect("a pipe can be made"),
        }
        let before = server.stderr().len();
        assert!(!server.reload());
        assert!(
            server.stderr()[before..].contains("is not a regular file"),
            "{endless}: {}",
            server.stderr()
        );
        std::fs::remove_file(&path).expect("it is there");
    }

    assert_eq!(server.subscribers("a"), 4);
    server.publish("a", "still here");
    assert_eq!(followers.stream.read_until(b"here"), b"still here");
    assert_eq!(followers.poll.read_response().head.status, 200);
    server.stop();
}

#[test]
fn followers_of_a_removed_location_are_ended() {
    let kept = subscriber("kept", "streaming", &text(""));
    let all = [STATISTICS, PUBLISHER, &kept, &Followers::locations()].concat();
    let server = Server::with_conf(&conf(MEMORY, &all));
    let mut stays = server.follow("/kept/a", &[]);
    let followers = Followers::attach(&server, 5, || server.connect());
    assert!(
        server.reload_conf(&conf(MEMORY, &[STATISTICS, PUBLISHER, &kept].concat())),
        "{}",
        server.stderr()
    );
    for mut connection in followers.expect_end() {
        assert_eq!(
            connection.request("GET", "/lp/a", &[], None).head.status,
            404,
            "the connection is kept"
        );
    }
    server.wait_for_subscribers("a", 1);
    server.publish("a", "x");
    assert_eq!(stays.read_until(b"x\n"), b"x\n");
    server.stop();
}

#[test]
fn followers_of_a_removed_location_of_nhpm_or_nchan_are_ended() {
    let nhpm = "location /nhpm { push_subscriber; set $push_channel_id $arg_id; }\n";
    let nchan = "location /nchan { nchan_subscriber; nchan_channel_id $arg_id; }\n";
    let kept = "location /kept { nchan_subscriber; nchan_channel_id $arg_id; }\n";
    let changed = "location /changed { nchan_pubsub; nchan_channel_id $arg_id; }\n";
    let publisher = "location /changed { nchan_publisher; nchan_channel_id $arg_id; }\n";
    let server = Server::with_conf(&conf("", &[nhpm, nchan, kept, changed].concat()));
    let follow = |path: &str| {
        let mut connection = server.connect();
        connection.send_request("GET", path, &[("Accept", "text/event-stream")], None);
        connection
    };
    let mut poll = follow("/nhpm?id=a");
    let mut events = follow("/nchan?id=a");
    let mut ended = follow("/changed?id=a");
    let mut stays = follow("/kept?id=a");
    for connection in [&mut events, &mut ended, &mut stays] {
        assert_eq!(connection.read_head().status, 200);
    }
    assert!(
        server.reload_conf(&conf("", &[kept, publisher].concat())),
        "{}",
        server.stderr()
    );
    assert_eq!(poll.read_response().head.status, 304);
    events.read_body();
    ended.read_body();
    let published = server
        .connect()
        .request("POST", "/changed?id=a", &[], Some(b"still here"));
    assert_eq!(published.head.status, 201);
    stays.read_until(b"data: still here");
    server.stop();
}

#[test]
fn unchangeable_settings_are_kept_and_reported() {
    let text = |main: &str, http: &str| {
        format!("{main}\n{}", conf(http, &[STATISTICS, PUBLISHER].concat()))
    };
    let server = Server::with_conf(&text("worker_processes 1;", MEMORY));
    let limits = "push_stream_shared_memory_size 20m;\npush_stream_events_channel_id events;\n\
                  push_stream_max_number_of_channels 1;";
    assert!(
        server.reload_conf(&text("worker_processes 3;", limits)),
        "{}",
        server.stderr()
    );
    for expected in [
        "nginx.conf:1: worker_processes: the number of shards changes from 1 to 3 at the next \
         restart",
        "nginx.conf:5: push_stream_events_channel_id: the events channel changes at the next \
         restart",
    ] {
        assert!(
            server
                .stderr()
                .lines()
                .any(|line| line.contains("WARN") && line.contains(expected)),
            "{expected}: {}",
            server.stderr()
        );
    }
    // The rest of the file holds.
    let details = object(&server.get("/channels-stats?details=1").body);
    assert_eq!(details["memory_limit"], 20 * 1024 * 1024, "{details}");
    server.publish("a", "x");
    let second = server
        .connect()
        .request("POST", "/pub?id=b", &[], Some(b"x"));
    assert_eq!(second.head.status, 403, "{second:?}");
    server.stop();
}

#[test]
fn built_in_locations_have_nothing_to_reload() {
    let server = Server::start(&[]);
    let mut follower = server.follow("/sub/a", &[]);
    assert!(!server.reload());
    assert!(
        server.stderr().contains("nothing to reload"),
        "{}",
        server.stderr()
    );
    server.publish("a", "x");
    assert_eq!(
        follower.next_line().map(|message| message.text).as_deref(),
        Some("x")
    );
    server.stop();
}

#[test]
fn a_file_in_toml_is_reloaded_too_and_options_stay() {
    let text = |path: &str| {
        format!(
            "shared_memory_size = \"10m\"\n[[server]]\nlisten = \"1\"\n[[server.location]]\n\
             match = \"{path}\"\nchannels_statistics = true\nchannels_path = \"$arg_id\"\n"
        )
    };
    let directory = Directory::new("toml");
    let file = directory.write("push.toml", &text("/one"));
    let server = Server::start(&[
        "--config",
        file.to_str().expect("a name in UTF-8"),
        "--ready-file",
        "ready",
    ]);
    let status = |path: &str| server.get(path).head.status;
    assert_eq!((status("/one"), status("/two")), (200, 404));
    directory.write("push.toml", &text("/two"));
    assert!(server.reload(), "{}", server.stderr());
    assert_eq!((status("/one"), status("/two")), (404, 200));
    let ready = std::fs::read_to_string(server.directory().path().join("ready"))
        .expect("the file is there");
    assert_eq!(ready.trim_end(), server.url());
    server.stop();
}

#[test]
fn a_reload_changes_the_access_log() {
    let directory = Directory::new("logs");
    let log = |name: &str| directory.path().join(name).display().to_string();
    let text = |name: &str| {
        conf(
            &format!("{MEMORY} log_format f $uri; access_log {} f;", log(name)),
            STATISTICS,
        )
    };
    let server = Server::with_conf(&text("old"));
    server.get("/before");
    let read = |name: &str| std::fs::read_to_string(log(name)).unwrap_or_default();
    wait_until("the first line is there", || read("old") == "/before\n");
    assert!(server.reload_conf(&text("new")), "{}", server.stderr());
    server.get("/after");
    wait_until("the second line is there", || read("new") == "/after\n");
    assert_eq!(read("old"), "/before\n");
    // The file was moved away: a reload reopens it, as SIGUSR1 does.
    std::fs::rename(log("new"), log("moved")).expect("the log is there");
    assert!(server.reload());
    server.get("/third");
    wait_until("the third line is there", || read("new") == "/third\n");
    server.stop();
}

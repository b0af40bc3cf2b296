//! SIGHUP: what a reload of the configuration changes, what it leaves, and what it says.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::support::{
    Connection, Directory, Server, Socket, conf, free_port, object, opcode, wait_until,
};

const MEMORY: &str = "push_stream_shared_memory_size 10m;";
const STATISTICS: &str = "location /channels-stats { push_stream_channels_statistics; \
                          push_stream_channels_path $arg_id; }\n";
const PUBLISHER: &str = "location /pub { push_stream_publisher admin; push_stream_channels_path \
                         $arg_id; push_stream_store_messages on; }\n";

/// A location `/NAME/CHANNEL` of subscribers.
fn subscriber(name: &str, mode: &str, more: &str) -> String {
    format!(
        "location ~ ^/{name}/(.*)$ {{ push_stream_subscriber {mode}; push_stream_channels_path $1; \
         {more} }}\n"
    )
}

fn text(mark: &str) -> String {
    format!(
        "push_stream_message_template \"{mark}~text~\\n\"; push_stream_footer_template \"end of \
         {mark}\";"
    )
}

/// Followers in every mode that waits: streaming, EventSource, long-polling, WebSocket.
struct Followers {
    stream: Connection,
    events: Connection,
    poll: Connection,
    websocket: Connection,
}

impl Followers {
    fn locations() -> String {
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
    fn attach(server: &Server, count: u64, connect: impl Fn() -> Connection) -> Self {
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

    /// All of them are ended as at the end of the server; those that keep their connection are
    /// returned.
    fn expect_end(mut self) -> [Connection; 3] {
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
fn a_wrong_file_changes_nothing_and_every_mistake_is_told() {
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
        let told = server.stderr()[before..].to_owned();
        for mistake in mistakes {
            assert!(
                told.lines()
                    .any(|line| line.contains("ERROR") && line.contains(mistake)),
                "{mistake}: {told}"
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
    // What has no end is not read, and what nobody writes to is not waited for.
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
fn followers_whose_location_is_gone_are_ended_properly() {
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
            "the connection goes on"
        );
    }
    server.wait_for_subscribers("a", 1);
    server.publish("a", "x");
    assert_eq!(stays.read_until(b"x\n"), b"x\n");
    server.stop();
}

/// A configuration with those `listen` directives.
fn listening(listens: &[String]) -> String {
    let listens: String = listens
        .iter()
        .map(|listen| format!("listen {listen}; "))
        .collect();
    let locations = [STATISTICS, PUBLISHER, &Followers::locations()].concat();
    format!(
        "events {{}}\nhttp {{\n{MEMORY}\nserver {{ listen 127.0.0.1:{{{{PORT}}}}; {listens}\n\
         {locations}\n}} }}\n"
    )
}

#[test]
fn listeners_come_and_go_with_the_file() {
    let directory = Directory::new("listeners");
    let port = free_port();
    let path = directory.path().join("push.sock");
    let tcp = format!("127.0.0.1:{port}");
    let unix = format!("unix:{}", path.display());
    let server = Server::with_conf(&listening(&[]));
    let mut kept = server.connect();
    assert_eq!(
        kept.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );

    assert!(
        server.reload_conf(&listening(&[tcp.clone(), unix])),
        "{}",
        server.stderr()
    );
    let connect = || Connection::new(Socket::Tcp(TcpStream::connect(&tcp).expect("a listener")));
    let followers = Followers::attach(&server, 4, connect);
    let mut idle = connect();
    let mut half = connect();
    assert_eq!(
        idle.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    half.send(
        "POST /pub?id=b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(half.read_head().status, 100);
    let mut local = Connection::new(Socket::Unix(
        UnixStream::connect(&path).expect("a listener"),
    ));
    assert_eq!(
        local
            .request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );

    assert!(server.reload_conf(&listening(&[])), "{}", server.stderr());
    for mut connection in followers.expect_end() {
        connection.expect_close();
    }
    idle.expect_close();
    local.expect_close();
    half.send("body");
    let answer = half.read_response();
    assert_eq!(
        (answer.head.status, answer.head.get("Connection")),
        (200, Some("close")),
        "{answer:?}"
    );
    wait_until("the sockets are closed", || {
        TcpStream::connect(&tcp).is_err() && !path.exists()
    });
    assert_eq!(
        kept.request("GET", "/channels-stats?id=b", &[], None)
            .head
            .status,
        200,
        "the first listener has heard nothing of it"
    );
    server.stop();
}

#[test]
fn an_address_that_cannot_be_opened_refuses_the_whole_reload() {
    let server = Server::with_conf(&listening(&[]));
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = format!("127.0.0.1:{}", free_port());
    let held = holder.local_addr().expect("an address").to_string();
    let text = listening(&[free.clone(), held.clone()])
        .replace("location ~ ^/sub/", "location ~ ^/other/");
    assert!(!server.reload_conf(&text));
    assert!(
        server
            .stderr()
            .contains(&format!("cannot listen on http://{held}: ")),
        "{}",
        server.stderr()
    );
    assert!(
        TcpStream::connect(&free).is_err(),
        "what was opened is closed again"
    );
    drop(server.follow("/sub/a", &[]));

    let all = text
        .replace("listen 127.0.0.1:{{PORT}}", "listen {{PORT}}")
        .replace(&format!("listen {held};"), "");
    assert!(!server.reload_conf(&all));
    let reason = format!(
        "its port is in use by http://{}, which stays open until a reload has succeeded",
        server.address()
    );
    assert!(server.stderr().contains(&reason), "{}", server.stderr());
    drop(server.follow("/sub/a", &[]));
    server.stop();
}

#[test]
fn what_cannot_change_is_kept_and_told_with_its_place() {
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
fn requests_are_logged_where_the_new_file_says() {
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
    // The file was moved away: a reload opens it anew, as SIGUSR1 does.
    std::fs::rename(log("new"), log("moved")).expect("the log is there");
    assert!(server.reload());
    server.get("/third");
    wait_until("the third line is there", || read("new") == "/third\n");
    server.stop();
}

#[test]
fn a_server_ends_with_the_terminal_that_it_was_started_in() {
    let directory = Directory::new("terminal");
    let ready = directory.path().join("ready");
    let (terminal, side) = pty_process::blocking::open().expect("the system has pseudo terminals");
    let command = pty_process::blocking::Command::new(crate::support::program());
    let command = command
        .args(["serve", "--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready);
    let mut child = command.spawn(side).expect("the program starts");
    wait_until("the server listens", || ready.exists());
    drop(terminal);
    let mut status = None;
    wait_until("the server ends", || {
        status = child.try_wait().expect("the server is our child");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn hup_is_no_end_without_a_terminal() {
    let server = Server::start(&[]);
    for _ in 0..3 {
        assert!(!server.reload());
    }
    server.signal(Signal::HUP);
    server.stop();
}

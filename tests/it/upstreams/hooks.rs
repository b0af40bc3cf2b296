//! Hooks of nchan against clients and back-ends that are up to something: what a back-end is told
//! is what the configuration says, whatever stands in the request, and requests that nobody waits
//! for are bounded.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::{Connection, Server, conf, wait_until};

/// A back-end that keeps what it is asked; its threads end with the process.
struct Backend {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    /// Every request gets this answer.
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream, answer, &log));
            }
        });
        Self { address, asked }
    }

    /// Takes the heads of the requests since.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no thread panics"))
    }
}

fn serve(mut stream: TcpStream, answer: &str, log: &Mutex<Vec<String>>) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    log.lock()
        .expect("no thread panics")
        .push(String::from_utf8_lossy(&read).into_owned());
    // Who asks may be gone.
    let _ = stream.write_all(answer.as_bytes());
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn authorized_by(proxy: &str) -> Server {
    let locations = format!(
        "location ~ ^/sub/(.*)$ {{ nchan_channel_id $1; nchan_channel_id_split_delimiter \",\"; \
         nchan_subscriber;
            nchan_authorize_request /auth; set $whole $1; }}
        location ~ ^/raw/(?<name>.*)$ {{ nchan_channel_id $name; nchan_channel_id_split_delimiter \
        \",\"; nchan_subscriber;
            nchan_authorize_request /raw-auth; }}
        location = /auth {{ internal; {proxy} }}
        location = /raw-auth {{ internal; {} }}",
        proxy.replace("$whole", "$name")
    );
    Server::with_conf(&conf("", &locations))
}

fn asked_for(
    server: &Server,
    backend: &Backend,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, Vec<String>) {
    let status = server
        .connect()
        .request("GET", path, headers, None)
        .head
        .status;
    (status, backend.take())
}

/// A request that is refused, after the back-end was asked for `target` once.
fn expect_asked(server: &Server, backend: &Backend, path: &str, target: &str) {
    let (status, asked) = asked_for(server, backend, path, &[]);
    assert_eq!(status, 403, "{path}");
    assert!(
        asked.len() == 1 && asked[0].starts_with(&format!("GET {target} HTTP/1.1\r\n")),
        "{path}: {asked:?}"
    );
}

#[test]
fn arguments_of_the_client_do_not_reach_an_address_with_variables() {
    let backend = Backend::start(FORBIDDEN);
    let server = authorized_by(&format!(
        "proxy_pass http://{}/auth?id=$whole;",
        backend.address
    ));
    for (path, target) in [
        ("/sub/secret?id=public", "/auth?id=secret"),
        ("/sub/secret,%26id=public", "/auth?id=secret,%26id=public"),
        ("/sub/public%23,secret", "/auth?id=public%23,secret"),
        ("/sub/a+b", "/auth?id=a%2Bb"),
        ("/raw/secret?id=public", "/auth?id=secret"),
        ("/raw/public%23,secret", "/auth?id=public%23,secret"),
    ] {
        expect_asked(&server, &backend, path, target);
    }
    for path in ["/raw/secret%20public", "/raw/secret%0dX-Chan:%20public"] {
        assert_eq!(
            asked_for(&server, &backend, path, &[]),
            (502, Vec::new()),
            "{path}: it is no address"
        );
    }
}

#[test]
fn variables_in_the_uri_of_a_hook_are_what_they_were_meant_as() {
    let backend = Backend::start(FORBIDDEN);
    let locations = format!(
        "location ~ ^/path/([^/]*)/(?<name>.*)$ {{ nchan_channel_id $name; nchan_subscriber; \
         nchan_authorize_request /auth/$1/$name/end; }}
        location ~ ^/args/(.*)$ {{ nchan_channel_id $1; nchan_subscriber; nchan_authorize_request \
        /auth?id=$1&h=$http_x&a=$arg_a&last; }}
        location = /all {{ nchan_channel_id $arg_a; nchan_subscriber; nchan_authorize_request \
        /auth?p=$uri&$args; }}
        location = /dots {{ nchan_channel_id c; nchan_subscriber; nchan_authorize_request \
        /auth/$arg_a/x; }}
        location = /raw {{ nchan_channel_id c; nchan_subscriber; nchan_authorize_request /to; }}
        location = /to {{ internal; proxy_pass http://{0}/only/$arg_a/x; }}
        location /auth {{ internal; proxy_pass http://{}; }}",
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    for (path, target) in [
        ("/path/mine/x?k=v", "/auth/mine/x/end?k=v"),
        ("/path/mine%3F/x", "/auth/mine%3F/x/end"),
        ("/path/mine%3Fk=v%23/x?k=w", "/auth/mine%3Fk=v%23/x/end?k=w"),
        ("/args/one?a=%26", "/auth?id=one&h=&a=%26&last"),
        (
            "/args/one%26id=two%23?a=1",
            "/auth?id=one%26id=two%23&h=&a=1&last",
        ),
        ("/all?a=1&b=%26?", "/auth?p=/all&a=1&b=%26?"),
    ] {
        expect_asked(&server, &backend, path, target);
    }
    let (_, asked) = asked_for(&server, &backend, "/args/one", &[("X", "1&id=two #")]);
    assert!(
        asked[0].starts_with("GET /auth?id=one&h=1%26id=two%20%23&a=&last HTTP/1.1\r\n"),
        "{asked:?}"
    );
    // A back-end could take it for the way to another place.
    assert_eq!(
        asked_for(&server, &backend, "/dots?a=..", &[]),
        (502, Vec::new())
    );
    for dots in ["..", "%2e%2E", "a%2f..%2fb", "..%5cb"] {
        assert_eq!(
            asked_for(&server, &backend, &format!("/raw?a={dots}"), &[]),
            (502, Vec::new()),
            "{dots}"
        );
    }
}

#[test]
fn the_location_of_a_hook_sees_the_request_of_the_hook() {
    let backend = Backend::start(FORBIDDEN);
    let locations = format!(
        r#"location ~ ^/v/([^/]*)/([^/]*)$ {{ set $mine "m-$1"; nchan_subscriber; nchan_channel_id $2; nchan_authorize_request /iv/$2?k=$1; }}
        location ~ ^/iv/(.*)$ {{ internal; proxy_pass http://{0}/ask?id=$1&k=$arg_k&uri=$uri&mine=$mine; proxy_set_header X-Args "$args"; }}
        location = /cond {{ nchan_subscriber; nchan_channel_id $arg_id; nchan_authorize_request /icond; }}
        location = /icond {{ internal; set $to allow; if ($arg_id = "secret") {{ set $to deny; }} proxy_pass http://{0}/$to; }}
        location = /ret {{ nchan_subscriber; nchan_channel_id $arg_id; nchan_authorize_request /iret; }}
        location = /iret {{ internal; if ($arg_tok = "") {{ return 401; }} proxy_pass http://{0}/allow; }}"#,
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    let (status, asked) = asked_for(&server, &backend, "/v/a/secret?k=b&x=y", &[]);
    assert_eq!((status, asked.len()), (403, 1));
    assert!(
        asked[0].starts_with("GET /ask?id=secret&k=a&uri=/iv/secret&mine=m-a HTTP/1.1\r\n"),
        "{asked:?}"
    );
    assert!(
        asked[0]
            .to_ascii_lowercase()
            .contains("\r\nx-args: k=a\r\n"),
        "{asked:?}"
    );
    for (path, target) in [
        ("/cond?id=c", "/allow"),
        ("/cond?id=secret", "/deny"),
        ("/ret?id=c&tok=t", "/allow?id=c&tok=t"),
    ] {
        expect_asked(&server, &backend, path, target);
    }
    assert_eq!(
        asked_for(&server, &backend, "/ret?id=c", &[]),
        (401, Vec::new()),
        "a return is an answer"
    );
    let locations = format!(
        "server_name ~^(?<id>[a-z]+)\\.test$; if ($arg_token != k) {{ return 403; }}
        location ~ ^/s/(?<id>.+)$ {{ nchan_subscriber; nchan_channel_id $id; \
        nchan_authorize_request /auth?x=1; }}
        location = /auth {{ internal; proxy_pass http://{}/; proxy_set_header X-Id \"$id|$1\"; }}",
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    let mut client = server.connect();
    client.send("GET /s/chan?token=k HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.read_head().status, 403);
    let asked = backend.take();
    assert!(
        asked[0]
            .to_ascii_lowercase()
            .contains("\r\nx-id: chan|\r\n"),
        "{asked:?}"
    );
}

#[test]
fn a_back_end_that_is_to_see_no_bodies_sees_none() {
    let backend = Backend::start("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /pub {{ nchan_publisher; nchan_channel_id c; nchan_publisher_upstream_request \
         /up; }}
        location = /up {{ internal; proxy_pass http://{}; proxy_pass_request_body off; }}
        location = /pass {{ proxy_pass http://{0}; proxy_pass_request_body off; }}",
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    for (path, status) in [("/pub", 202), ("/pass", 304)] {
        assert_eq!(
            server
                .connect()
                .request("POST", path, &[], Some(b"message"))
                .head
                .status,
            status,
            "{path}"
        );
        let asked = backend.take();
        let head = asked[0].to_ascii_lowercase();
        assert!(
            asked.len() == 1 && head.ends_with("\r\n\r\n") && !head.contains("content-length: 7"),
            "{asked:?}"
        );
    }
}

#[test]
fn the_path_of_an_internal_redirection_is_decoded_and_stays_inside() {
    for (target, status, channel) in [
        ("/in/a%20b", 202, "a%20b"),
        ("/in/../b", 404, "..%2fb"),
        ("/in/%2e%2e/b", 404, "..%2fb"),
        ("in/b", 404, "b"),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nX-Accel-Redirect: {target}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let backend = Backend::start(answer.leak());
        let locations = format!(
            "location = /to {{ proxy_pass http://{}; }}
            location ~ ^/in/(.*)$ {{ internal; nchan_pubsub; nchan_channel_id $1; }}
            location ~ ^/at/(.*)$ {{ nchan_publisher; nchan_channel_id $1; }}",
            backend.address
        );
        let server = Server::with_conf(&conf("", &locations));
        assert_eq!(
            server
                .connect()
                .request("POST", "/to", &[], Some(b"hi"))
                .head
                .status,
            status,
            "{target}"
        );
        let there = if status == 202 { 200 } else { 404 };
        assert_eq!(
            server.get(&format!("/at/{channel}")).head.status,
            there,
            "{target}"
        );
    }
}

#[test]
fn headers_of_the_client_do_not_stand_in_for_those_of_the_configuration() {
    let backend = Backend::start(FORBIDDEN);
    let server = authorized_by(&format!(
        "proxy_pass http://{}/auth; proxy_set_header X-Chan $whole;",
        backend.address
    ));
    for path in ["/raw/secret,%01", "/raw/secret,%7F"] {
        let (status, asked) = asked_for(&server, &backend, path, &[("X-Chan", "public")]);
        assert_eq!(
            (status, asked),
            (502, Vec::new()),
            "{path}: nothing legal can be said"
        );
    }
    for (path, value) in [("/raw/secret", "secret"), ("/sub/secret,%01", "secret,%01")] {
        let (status, asked) = asked_for(
            &server,
            &backend,
            path,
            &[("X-Chan", "public"), ("X_Chan", "public"), ("X-Other", "1")],
        );
        assert_eq!((status, asked.len()), (403, 1));
        let head = asked[0].to_ascii_lowercase();
        assert!(
            head.contains(&format!("\r\nx-chan: {value}\r\n"))
                && head.contains("\r\nx-other: 1\r\n"),
            "{head}"
        );
        assert!(!head.contains("public"), "{head}");
    }
}

#[test]
fn what_is_no_status_of_an_answer_becomes_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    ] {
        let backend = Backend::start(answer);
        let server = authorized_by(&format!("proxy_pass http://{}/;", backend.address));
        let (status, asked) = asked_for(&server, &backend, "/sub/x", &[]);
        assert_eq!((status, asked.len()), (502, 1), "{answer}");
    }
}

fn noticed_by(address: &str, options: &[&str]) -> Server {
    let locations = format!(
        "location = /u {{ nchan_channel_id $arg_id; nchan_pubsub; nchan_subscribe_request /came; \
         nchan_unsubscribe_request /left; }}
        location = /stub {{ push_stream_channels_statistics; push_stream_channels_path $arg_id; }}
        location = /came {{ internal; proxy_pass http://{address}/came?id=$nchan_channel_id; }}
        location = /left {{ internal; proxy_pass http://{address}/left?id=$nchan_channel_id; \
        proxy_set_header X-Chan $nchan_channel_id; }}"
    );
    Server::try_with_conf(
        &conf("push_stream_shared_memory_size 64m;", &locations),
        options,
    )
    .expect("a server")
}

fn follow(server: &Server, id: usize, headers: &[(&str, &str)]) -> Connection {
    let mut connection = server.connect();
    let headers = [&[("Accept", "text/event-stream")], headers].concat();
    connection.send_request("GET", &format!("/u?id={id}"), &headers, None);
    assert_eq!(connection.read_head().status, 200);
    connection
}

/// A number of the detailed statistics.
fn detail(server: &Server, name: &str) -> u64 {
    let text = server.get("/stub?details=1").text().to_owned();
    let statistics: serde_json::Value = serde_json::from_str(&text).expect("statistics in JSON");
    statistics[name]
        .as_u64()
        .or_else(|| statistics[name].as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{name} in {text}"))
}

#[test]
fn notices_to_a_back_end_that_never_answers_are_bounded() {
    // Nobody accepts: the connections wait in the queue of the kernel.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let server = noticed_by(
        &address,
        &[
            "--shards",
            "1",
            "--max-hook-notices",
            "10",
            "--hook-timeout",
            "2s",
        ],
    );
    let before = detail(&server, "connection_memory_used");
    let long = "x".repeat(7000);
    for id in 0..30 {
        drop(follow(&server, id, &[("X-Long", &long)]));
    }
    wait_until("those beyond are dropped", || {
        detail(&server, "dropped_hook_notices") == 50
    });
    let most = detail(&server, "connection_memory_used");
    assert!(
        most > before + 10 * 7000,
        "they are charged: {before}, {most}"
    );
    wait_until("they are given up", || {
        detail(&server, "connection_memory_used") < before + 10 * 7000 / 2
    });
    drop(follow(&server, 31, &[]));
    assert_eq!(
        detail(&server, "dropped_hook_notices"),
        50,
        "there is room again"
    );
}

#[test]
fn subscribers_that_the_end_of_the_server_sends_away_are_told_of() {
    let backend = Backend::start(OK);
    let mut server = noticed_by(&backend.address, &[]);
    let followers: Vec<Connection> = (0..40).map(|id| follow(&server, id, &[])).collect();
    let mut asked = Vec::new();
    wait_until("all came", || {
        asked.extend(backend.take());
        asked.len() == followers.len()
    });
    assert!(
        asked.iter().all(|head| head.starts_with("GET /came?id=")),
        "{asked:?}"
    );
    server.terminate();
    server.wait();
    let left = backend.take();
    assert_eq!(left.len(), followers.len(), "{left:?}");
    assert!(left.iter().all(|head| head.starts_with("GET /left?id=")
        && head.to_ascii_lowercase().contains("\r\nx-chan: ")));
}

//! `auth_request`: another location decides who enters. Compared with Debian's nginx (1.22.1) on
//! the same file where no push location is needed; then push locations, which ask a back-end that
//! the test runs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::configuration::nginx_access::{Asked, compare_with};
use crate::support::{Connection, Directory, Server, conf, object, wait_until};

/// A back-end that answers with the status in the header `X-Want` (200 without it), and not at all
/// if that is `silence`. Its threads end with the process.
struct Backend {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Self { address, asked }
    }

    /// Takes the requests since.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no thread panics"))
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    let wanted = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("x-want: ")
            .map(str::to_owned)
    });
    let asked = head.clone();
    log.lock().expect("no thread panics").push(head);
    let status = wanted.unwrap_or_else(|| "200".to_owned());
    if status == "silence" {
        // Until the client gives up.
        while matches!(stream.read(&mut piece), Ok(1..)) {}
        return;
    }
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let redirect = if path.contains("elsewhere") {
        "X-Accel-Redirect: /ok\r\n"
    } else {
        ""
    };
    let answer = format!(
        "HTTP/1.1 {status} X\r\n{redirect}X-Path: {path}\r\nX-User: bob\r\n\
         X-Channel: secret-room\r\nSet-Cookie: sid=abc; Path=/\r\nWWW-Authenticate: Digest q\r\n\
         Content-Length: 4\r\nConnection: close\r\n\r\nbody"
    );
    // Who asks may be gone.
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn answers_and_variables_are_those_of_nginx() {
    let backend = Backend::start();
    let root = Directory::new("root");
    let users = root.write("users", "u:{PLAIN}pw\n");
    let http = format!(
        r#"server {{ listen 127.0.0.1:{{{{PORT}}}}; root {root}; default_type text/plain; set $shared outer;
            if ($arg_gone) {{ return 410; }}
            auth_request_set $user $upstream_http_x_user; auth_request_set $state "$upstream_status $status $upstream_cookie_sid $upstream_http_x_path";
            add_header X-Seen "$user|$state|$shared|$uri" always;
            location = /auth {{ internal; proxy_pass http://{backend}/check; proxy_pass_request_body off; proxy_set_header Content-Length ""; }}
            location /ok {{ internal; return 204; }} location /no {{ internal; return 403; }} location /who {{ internal; return 401; }}
            location /found {{ internal; return 302 /x; }} location /text {{ internal; return 200 text; }} location /missing {{ internal; }}
            location ~ ^/regex/(?<kind>ok|no)$ {{ internal; rewrite ^ /$kind last; }}
            location /inner {{ internal; auth_request /no; deny all; return 204; }}
            location /limited {{ internal; limit_except GET {{ deny all; }} return 204; }}
            location /shares {{ internal; set $shared inner; return 204; }}
            location /stays/ {{ internal; rewrite ^/stays/(.*)$ /new/$1?$arg_q break; proxy_pass http://{backend}/ignored/; }}
            location /leads/ {{ internal; rewrite ^/leads/(.*)$ /passes/$1?a=$http_host last; }}
            location /passes/ {{ internal; proxy_pass http://{backend}/base/; }}
            location ~ ^/whole/ {{ internal; proxy_pass http://{backend}; }}
            location /a-stays {{ auth_request /stays/x%20y; }} location /a-leads {{ auth_request /leads/x; }}
            location /a-whole {{ auth_request "/whole/x y?z"; }} location /a-passes {{ auth_request /passes/x?y; }}
            location /a-backend {{ auth_request /auth; }}
            location /a-ok {{ auth_request /ok; }} location /a-no {{ auth_request /no; }} location /a-who {{ auth_request /who; }}
            location /a-found {{ auth_request /found; }} location /a-text {{ auth_request /text; }}
            location /a-regex-ok {{ auth_request /regex/ok; }} location /a-regex-no {{ auth_request /regex/no; }}
            location /a-inner {{ auth_request /inner; }} location /a-limited {{ auth_request /limited; }}
            location /a-arguments {{ auth_request /ok?x=1; }} location /a-nowhere {{ auth_request /nowhere; }}
            location /a-returns {{ auth_request /no; return 200 returned; }}
            location /off {{ auth_request /no; location /off/in {{ auth_request off; }} location /off/inherits {{ }} }}
            location /any-1 {{ satisfy any; allow 127.0.0.1; auth_request /no; }}
            location /any-2 {{ satisfy any; deny all; auth_request /ok; }}
            location /any-3 {{ satisfy any; deny all; auth_request /who; }}
            location /any-4 {{ satisfy any; auth_basic B; auth_basic_user_file {users}; auth_request /no; }}
            location /any-5 {{ satisfy any; auth_basic B; auth_basic_user_file {users}; auth_request /ok; }}
            location /any-6 {{ satisfy any; auth_basic B; auth_basic_user_file {users}; auth_request /auth; }}
            location /any-7 {{ satisfy any; auth_basic B; auth_basic_user_file {users}; auth_request /found; }}
            location /all-1 {{ deny all; auth_request /ok; }}
            location /all-2 {{ auth_basic B; auth_basic_user_file {users}; auth_request /no; }}
            location /a-shares {{ auth_request /shares; }}
            location /to {{ rewrite ^ /a-backend last; }}
        }}"#,
        root = root.path().display(),
        backend = backend.address,
        users = users.display()
    );
    let wants: Vec<[(&str, &str); 1]> = [
        "200", "204", "299", "301", "400", "401", "403", "404", "500", "503",
    ]
    .map(|want| [("X-Want", want)])
    .into();
    let mut requests: Vec<Asked<'_>> = wants
        .iter()
        .map(|want| ("GET", "/a-backend?q=1", want.as_slice()))
        .collect();
    for target in [
        "/a-backend?gone=1",
        "/a-ok",
        "/a-no",
        "/a-who",
        "/a-found",
        "/a-text",
        "/a-regex-ok",
        "/a-regex-no",
        "/a-inner",
        "/a-limited",
        "/a-arguments",
        "/a-nowhere",
        "/a-returns",
        "/a-shares",
        "/a-stays?q=1",
        "/a-leads?q=1",
        "/a-whole",
        "/a-passes",
        "/off",
        "/off/in",
        "/off/inherits",
        "/any-1",
        "/any-2",
        "/any-3",
        "/any-4",
        "/any-5",
        "/any-6",
        "/any-7",
        "/all-1",
        "/all-2",
        "/to",
    ] {
        requests.push(("GET", target, &[]));
        requests.push((
            "GET",
            target,
            &[("Authorization", "Basic dTpwdw=="), ("X-Want", "401")],
        ));
    }
    requests.extend([
        ("POST", "/a-no", &[][..]),
        ("POST", "/a-limited", &[]),
        ("HEAD", "/a-no", &[]),
    ]);
    // Requests to back-ends are served where a push location needs them.
    compare_with(
        &http,
        "location /push { auth_request /auth; push_subscriber; set $push_channel_id c; }",
        &requests,
    );
}

/// Push locations of every kind that ask the back-end.
fn guarded(backend: &Backend, more: &str) -> String {
    let locations = format!(
        "auth_request /auth; auth_request_set $room $upstream_http_x_channel; auth_request_set \
         $user $upstream_http_x_user;
        add_header X-User $user;
        location = /auth {{ internal; proxy_pass http://{}/check; proxy_pass_request_body off; \
        proxy_set_header Content-Length \"\";
            proxy_set_header X-Original-URI $request_uri; proxy_read_timeout 200ms; }}
        location /pub {{ push_stream_publisher admin; push_stream_channels_path $arg_id; \
        push_stream_store_messages on; }}
        location /room {{ push_stream_publisher; push_stream_channels_path $room; }}
        location /sub {{ push_stream_subscriber; push_stream_channels_path $arg_id; }}
        location /poll {{ push_stream_subscriber polling; push_stream_channels_path $arg_id; }}
        location /lp {{ push_stream_subscriber long-polling; push_stream_channels_path $arg_id; }}
        location /ws {{ push_stream_subscriber websocket; push_stream_channels_path $arg_id; }}
        location /nchan {{ nchan_channel_id $arg_id; nchan_pubsub; }}
        location /nhpm-pub {{ set $push_channel_id $arg_id; push_publisher; }}
        location /nhpm-sub {{ set $push_channel_id $arg_id; push_subscriber; }}
        location /stats {{ push_stream_channels_statistics; push_stream_channels_path $arg_id; }}
        location /open {{ auth_request off; push_stream_channels_statistics; \
        push_stream_channels_path $arg_id; }}
        {more}",
        backend.address
    );
    conf("push_stream_shared_memory_size 10m;", &locations)
}

const PATHS: [(&str, &str); 13] = [
    ("POST", "/pub"),
    ("DELETE", "/pub"),
    ("PUT", "/pub"),
    ("GET", "/sub"),
    ("GET", "/poll"),
    ("GET", "/lp"),
    ("GET", "/ws"),
    ("GET", "/stats"),
    ("POST", "/nchan"),
    ("DELETE", "/nchan"),
    ("GET", "/nchan"),
    ("POST", "/nhpm-pub"),
    ("GET", "/nhpm-sub"),
];

/// Messages that a channel has got.
fn published(server: &Server, channel: &str) -> u64 {
    let answer = server.get(&format!("/open?id={channel}"));
    if answer.head.status == 404 {
        0
    } else {
        object(&answer.body)["published_messages"]
            .as_u64()
            .expect("a number")
    }
}

#[test]
fn nobody_enters_a_push_location_whom_the_back_end_rejects() {
    let backend = Backend::start();
    let server = Server::with_conf(&guarded(&backend, ""));
    for (want, expected) in [
        ("401", 401),
        ("403", 403),
        ("302", 500),
        ("500", 500),
        ("404", 500),
        ("silence", 500),
    ] {
        for (method, path) in PATHS {
            let upgrade = [
                ("X-Want", want),
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            let headers = if path == "/ws" {
                &upgrade[..]
            } else {
                &upgrade[..1]
            };
            let body = (method == "POST").then_some(&b"hi"[..]);
            let answer = server
                .connect()
                .request(method, &format!("{path}?id=a"), headers, body);
            assert_eq!(answer.head.status, expected, "{method} {path} {want}");
            let challenge = (expected == 401).then_some("Digest q");
            assert_eq!(
                answer.head.get("WWW-Authenticate"),
                challenge,
                "{method} {path} {want}"
            );
            let asked = backend.take();
            assert!(
                asked.len() == 1 && asked[0].starts_with("GET /check HTTP/1.1\r\n"),
                "{asked:?}"
            );
            assert!(
                !asked[0].to_ascii_lowercase().contains("content-length"),
                "{asked:?}"
            );
            assert!(
                asked[0]
                    .to_ascii_lowercase()
                    .contains(&format!("x-original-uri: {path}?id=a\r\n")),
                "{asked:?}"
            );
        }
    }
    assert_eq!(published(&server, "a"), 0);
    server.stop();
}

#[test]
fn a_redirect_is_no_decision() {
    let backend = Backend::start();
    let text = guarded(&backend, "").replace("/check;", "/elsewhere;");
    let server = Server::with_conf(&text);
    assert_eq!(
        server
            .connect()
            .request("POST", "/pub?id=a", &[], Some(b"hi"))
            .head
            .status,
        500
    );
    assert_eq!((backend.take().len(), published(&server, "a")), (1, 0));
    server.stop();
}

#[test]
fn who_is_let_in_publishes_and_follows() {
    let backend = Backend::start();
    let server = Server::with_conf(&guarded(&backend, ""));
    let answer = server
        .connect()
        .request("POST", "/pub?id=a", &[], Some(b"first"));
    assert_eq!(
        (answer.head.status, answer.head.get("X-User")),
        (200, Some("bob"))
    );
    let from = ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(
        server
            .connect()
            .request("GET", "/poll?id=a", &[from], None)
            .text(),
        "first"
    );
    let mut follower = server.follow("/sub?id=a", &[]);
    assert_eq!(
        server
            .connect()
            .request("POST", "/pub?id=a", &[], Some(b"second"))
            .head
            .status,
        200
    );
    follower.read_until(b"second");
    let mut socket = server.connect();
    socket.upgrade("/ws?id=a", &[]);
    assert_eq!(
        server
            .connect()
            .request("POST", "/room?id=other", &[], Some(b"x"))
            .head
            .status,
        200
    );
    assert_eq!(
        (
            published(&server, "secret-room"),
            published(&server, "other")
        ),
        (1, 0),
        "the channel is the back-end's"
    );
    server.stop();
}

#[test]
fn every_request_of_a_connection_is_asked_about_in_its_order() {
    let backend = Backend::start();
    let server = Server::with_conf(&guarded(&backend, ""));
    let mut connection = server.connect();
    // Alike but for what the back-end says about them, and sent at once.
    let publish = |want: &str| {
        format!(
            "POST /pub?id=a HTTP/1.1\r\nHost: a\r\nX-Want: {want}\r\nContent-Length: 2\r\n\r\nhi"
        )
    };
    let wants = ["200", "200", "403", "200", "401", "200", "500"];
    connection.send(wants.map(publish).concat().as_bytes());
    for want in wants {
        assert_eq!(connection.read_response().head.status.to_string(), want);
    }
    assert_eq!(
        (backend.take().len(), published(&server, "a")),
        (wants.len(), 4)
    );
    let mut polls = server.connect();
    for _ in 0..5 {
        let answer = polls.request(
            "GET",
            "/poll?id=a",
            &[
                ("If-None-Match", "0"),
                ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ],
            None,
        );
        assert_eq!((answer.head.status, backend.take().len()), (200, 1));
    }
    server.stop();
}

#[test]
fn a_body_is_not_read_before_it_is_known_who_sends_it() {
    let backend = Backend::start();
    let server = Server::with_conf(&guarded(&backend, ""));
    for (want, expected) in [("403", 403), ("200", 100)] {
        let mut connection = server.connect();
        let head = format!(
            "POST /pub?id=b HTTP/1.1\r\nHost: a\r\nX-Want: {want}\r\nExpect: 100-continue\r\n\
             Content-Length: 5\r\n\r\n"
        );
        connection.send(head.as_bytes());
        assert_eq!(connection.read_head().status, expected);
    }
    assert_eq!(published(&server, "b"), 0);
    server.stop();
}

#[test]
fn waiting_for_the_back_end_delays_nobody_else() {
    let backend = Backend::start();
    let text = guarded(
        &backend,
        "location /quick { auth_request off; push_stream_publisher; push_stream_channels_path q; }",
    );
    let server = Server::try_with_conf(
        &text.replace("proxy_read_timeout 200ms;", ""),
        &["--hook-timeout", "60s"],
    )
    .expect("it starts");
    let mut waiting: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for connection in &mut waiting {
        connection.send_request("POST", "/pub?id=a", &[("X-Want", "silence")], Some(b"hi"));
    }
    wait_until("all are asked about", || {
        backend.asked.lock().expect("no thread panics").len() == 20
    });
    assert_eq!(
        server
            .connect()
            .request("POST", "/quick", &[], Some(b"hi"))
            .head
            .status,
        200
    );
    drop(waiting);
    drop(server);
}

#[test]
fn a_location_that_cannot_be_asked_is_a_mistake() {
    let publisher = "push_stream_publisher; push_stream_channels_path c;";
    for (locations, expected) in [
        (
            format!("location /a {{ auth_request /x; {publisher} }}"),
            "leads to no location",
        ),
        (
            format!("location /a {{ auth_request /x; {publisher} }} location /x {{ root /tmp; }}"),
            "neither \"proxy_pass\" nor \"return\"",
        ),
        (
            format!("location /a {{ auth_request /b; {publisher} }} location /b {{ {publisher} }}"),
            "neither \"proxy_pass\" nor \"return\"",
        ),
        (
            format!(
                "location /a {{ auth_request /x; auth_request_set $a $upstream_addr; {publisher} \
                 }} location /x {{ return 204; }}"
            ),
            "the variable \"upstream_addr\" is not supported",
        ),
        (
            format!(
                "location /a {{ auth_request /x; auth_request_set a $status; {publisher} }} \
                 location /x {{ return 204; }}"
            ),
            "invalid variable name \"a\"",
        ),
    ] {
        let Err(error) = Server::try_with_conf(
            &conf("push_stream_shared_memory_size 10m;", &locations),
            &[],
        ) else {
            panic!("{locations} is accepted")
        };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_redirect_of_a_back_end_to_a_guarded_location_is_asked_about() {
    let backend = Backend::start();
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in door.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /pub?id=door\r\n\
                                   Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let server = Server::with_conf(&guarded(
        &backend,
        &format!("location /door {{ auth_request off; proxy_pass http://{address}; }}"),
    ));
    for (want, expected) in [("403", 403), ("200", 200)] {
        assert_eq!(
            server
                .connect()
                .request("POST", "/door", &[("X-Want", want)], Some(b"hi"))
                .head
                .status,
            expected
        );
    }
    assert_eq!(published(&server, "door"), 1);
    server.stop();
}

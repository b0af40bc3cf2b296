//! `auth_basic`: expensive and repeated credentials, and the formats that nginx accepts in user
//! files.

use std::net::SocketAddr;

use crate::support::{ComparedRequest, Connection, Directory, Server, Socket, compare, conf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PUBLISHER: &str = "push_stream_publisher; push_stream_channels_path c;";

fn server(users: &Directory) -> Server {
    let file = users.path().join("users");
    let location = format!(
        "location /pub {{ auth_basic x; auth_basic_user_file {}; {PUBLISHER} }}",
        file.display()
    );
    Server::with_conf(&conf("push_stream_shared_memory_size 10m;", &location))
}

fn status(server: &Server, user: &str, password: &str) -> u16 {
    let credentials = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    server
        .connect()
        .request(
            "POST",
            "/pub",
            &[("Authorization", &credentials)],
            Some(b"hi"),
        )
        .head
        .status
}

#[test]
fn credentials_and_realms_match_nginx() {
    let directory = Directory::new("users");
    // The passwords are "secret": `openssl passwd -1 -salt saltsalt`, plain.
    let users = directory.write(
        "users",
        "md5:$1$saltsalt$9xy1btjgzLYfb7hivXtC//\r\nu:{PLAIN}pw\n\
                                  :{PLAIN}pw\ntwice:{PLAIN}a\ntwice:{PLAIN}b\n",
    );
    let http = format!(
        "map $arg_open $realm {{ 1 off; default Closed; }}
        server {{ listen 127.0.0.1:{{{{PORT}}}}; default_type text/plain; root {};
            location /a {{ auth_basic $realm; auth_basic_user_file {}; }}
            location /any {{ satisfy any; deny all; auth_basic $realm; auth_basic_user_file {1}; \
            }} }}",
        directory.path().display(),
        users.display()
    );
    let values: Vec<String> = [
        "md5:secret",
        "md5:secre",
        "u:pw",
        ":pw",
        "twice:a",
        "twice:b",
    ]
    .iter()
    .map(|pair| format!("Basic {}", STANDARD.encode(pair)))
    .chain(
        [
            "Basic dTpwdw",
            "Basic dTpwdw=",
            "Basic dTpwdw==",
            "Basic dTpwdw==x",
            "Basic dTpwdx",
            "Basic dTpwd",
        ]
        .map(str::to_owned),
    )
    .chain(["Basic  dTpwdw==", "basic dTpwdw==", "Basic dTp wdw=="].map(str::to_owned))
    .collect();
    let headers: Vec<[(&str, &str); 1]> = values
        .iter()
        .map(|value| [("Authorization", value.as_str())])
        .collect();
    let mut requests: Vec<ComparedRequest<'_>> = vec![
        ("GET", "/a", &[]),
        ("GET", "/a?open=1", &[]),
        ("GET", "/any", &[]),
        ("GET", "/any?open=1", &[]),
    ];
    requests.extend(
        headers
            .iter()
            .map(|headers| ("GET", "/a", headers.as_slice())),
    );
    compare(&http, &requests);
}

#[test]
fn long_passwords_cost_no_time() {
    let directory = Directory::new("users");
    // "p": `openssl passwd -6 -salt saltsalt`, `-5`, `-apr1`, `-1`.
    directory.write(
        "users",
        "six:$6$saltsalt$T8zzampJcN172f1r0kNFFiQGdtFquc5jnzebqomQxxdUNGG69JTP0\
                              XFkH2sFbHn4FG4SGRFsmj2vnmTApt5fI/\n\
                              five:$5$saltsalt$/Ia0VGUvcTZlBslv/3JC.aadLMBB39sZz0PNMe/f7y5\n\
                              apr:$apr1$saltsalt$DvQTBz1xHwXJP55FHhmOj.\n\
                              md5:$1$saltsalt$oVkV3EDq8KTkLj17vu4OM0\nplain:{PLAIN}p\n",
    );
    let server = server(&directory);
    let before = server.cpu_ticks();
    for user in ["six", "five", "apr", "md5", "plain"] {
        for length in [512, 20_000] {
            for _ in 0..10 {
                assert_eq!(
                    status(&server, user, &"p".repeat(length)),
                    401,
                    "{user} {length}"
                );
            }
        }
    }
    // One of them took 170 of these.
    assert!(
        server.cpu_ticks() - before < 100,
        "{} hundredths of a second",
        server.cpu_ticks() - before
    );
    for user in ["six", "five", "apr", "md5", "plain"] {
        assert_eq!(status(&server, user, "p"), 200, "{user}");
    }
    server.stop();
}

#[test]
fn many_wrong_passwords_of_one_client_do_not_delay_another_client() {
    const ATTEMPTS: usize = 24;
    let directory = Directory::new("users");
    directory.write(
        "users",
        "slow:$2b$10$abcdefghijklmnopqrstuuzwwq.in3OYL4.pkB6TmFlI5pl.3mvQ.\nfine:{PLAIN}p\n",
    );
    let server = server(&directory);
    let request = |user: &str, password: &str| {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        format!(
            "POST /pub HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\
             Content-Length: 2\r\n\r\nhi"
        )
    };
    let mut attempts: Vec<Connection> = (0..ATTEMPTS).map(|_| server.connect()).collect();
    for (number, connection) in attempts.iter_mut().enumerate() {
        connection.send(request("slow", &format!("wrong {number}")));
    }
    let mut other = connect_from("127.0.0.2", server.address());
    other.send(request("fine", "p"));
    assert_eq!(other.read_response().head.status, 200);
    let answered = attempts
        .iter_mut()
        .filter_map(|connection| connection.has_received().then_some(()))
        .count();
    assert!(
        answered < ATTEMPTS / 2,
        "{answered} of {ATTEMPTS} were checked before"
    );
    drop(attempts);
    drop(server);
}

/// A connection from this address.
fn connect_from(from: &str, to: &str) -> Connection {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let from: SocketAddr = format!("{from}:0").parse().expect("an address");
    let to: SocketAddr = to.parse().expect("an address with a port");
    socket
        .bind(&from.into())
        .expect("an address of the loopback");
    socket.connect(&to.into()).expect("the server listens");
    Connection::new(Socket::Tcp(socket.into()))
}

#[test]
fn hashes_that_cannot_be_checked_are_reported_with_file_line_and_user() {
    let directory = Directory::new("users");
    let lines = [
        "# comment",
        "des:rl.3StKT.4T8M",
        "slow:$2y$31$abcdefghijklmnopqrstuuzwwq.in3OYL4.pkB6TmFlI5pl.3mvQ.",
        "rounds:$6$rounds=999999999$saltsalt$7AyQrpr.W7Vr0wPZvFYEydgk61A/\
         ENXA7NxNMtTRGP0oQoZPuB31tim2eYi/OTzIA3vycConk3ajG9Sd8ekPt0",
        "yes:$y$j9T$abc$def",
        "fine:{PLAIN}p",
    ];
    let file = directory
        .write("users", &lines.join("\n"))
        .display()
        .to_string();
    let server = server(&directory);
    for user in ["des", "slow", "rounds", "yes"] {
        assert_eq!(status(&server, user, "rasmuslerdorf"), 401, "{user}");
    }
    assert_eq!(status(&server, "fine", "p"), 200);
    let stderr = server.stderr();
    for (line, user) in [(2, "des"), (3, "slow"), (4, "rounds"), (5, "yes")] {
        assert!(
            stderr.contains(&format!("{file}:{line}: user \"{user}\" cannot log in: ")),
            "{stderr}"
        );
    }
    assert!(
        !stderr.contains("rl.3StKT") && !stderr.contains("\"fine\""),
        "{stderr}"
    );
    server.stop();
}

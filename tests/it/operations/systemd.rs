//! Integration with systemd: readiness, watchdog and socket activation. The test acts as the
//! service manager with a datagram socket and a shell that passes a listening socket.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use crate::support::{Connection, DEADLINE, Directory, Server, conf, program, wait_until};

const LOCATION: &str = "location /channels-stats { push_stream_channels_statistics; \
                        push_stream_channels_path $arg_id; }";
const MEMORY: &str = "push_stream_shared_memory_size 10m;";

/// Receives notifications for the service manager.
struct Manager {
    directory: Directory,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let directory = Directory::new("manager");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout is accepted");
        Self { directory, socket }
    }

    fn path(&self) -> String {
        self.directory.path().join("notify").display().to_string()
    }

    /// The next notification.
    fn receive(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self
            .socket
            .recv(&mut buffer)
            .expect("the server sends a notification");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

#[test]
fn systemd_is_notified_of_start_reloads_and_stop() {
    let manager = Manager::new();
    let directory = Directory::new("notify");
    let write = |text: &str| directory.write("nginx.conf", &text.replace("{{PORT}}", "1"));
    let file = write(&conf(MEMORY, LOCATION));
    let file = file.to_str().expect("a name in UTF-8");
    let server = Server::with_environment(
        &[("NOTIFY_SOCKET", &manager.path())],
        &["--nginx-conf", file],
    );
    assert_eq!(
        manager.receive(),
        "READY=1\nSTATUS=serving 1 location on 1 address\n"
    );

    write(&conf(MEMORY, &format!("{LOCATION} location /x {{ }}")));
    assert!(server.reload());
    let reloading = manager.receive();
    let time = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|rest| rest.trim_end().parse::<u64>().ok());
    let uptime = std::fs::read_to_string("/proc/uptime").expect("the system's time");
    let now = uptime
        .split(' ')
        .next()
        .and_then(|seconds| seconds.parse::<f64>().ok())
        .expect("seconds")
        * 1e6;
    assert!(
        time.is_some_and(|time| time > 0 && time as f64 <= now + 1e6),
        "{reloading} at {now}"
    );
    assert_eq!(
        manager.receive(),
        "READY=1\nSTATUS=serving 2 locations on 1 address\n"
    );

    write("events {}\nhttp {\n}");
    assert!(!server.reload());
    assert!(manager.receive().starts_with("RELOADING=1\n"));
    let reported = manager.receive();
    assert!(
        reported.starts_with("READY=1\nSTATUS=not reloaded: ") && reported.contains("nginx.conf:"),
        "{reported}"
    );

    server.stop();
    assert_eq!(manager.receive(), "STOPPING=1\nSTATUS=stopping\n");
}

#[test]
fn the_watchdog_is_notified_while_the_shards_respond() {
    let manager = Manager::new();
    let server = Server::with_environment(
        &[
            ("NOTIFY_SOCKET", &manager.path()),
            ("WATCHDOG_USEC", "20000"),
        ],
        &[],
    );
    assert!(manager.receive().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(manager.receive(), "WATCHDOG=1\n");
    }
    server.stop();

    // That of another process is none of ours.
    let variables = [
        ("NOTIFY_SOCKET", &manager.path()[..]),
        ("WATCHDOG_USEC", "20000"),
        ("WATCHDOG_PID", "1"),
    ];
    while manager.socket.set_nonblocking(true).is_ok() && manager.socket.recv(&mut [0; 64]).is_ok()
    {
    }
    manager
        .socket
        .set_nonblocking(false)
        .expect("a socket that waits");
    let server = Server::with_environment(&variables, &[]);
    assert!(manager.receive().starts_with("READY=1\n"));
    server.stop();
    assert!(manager.receive().starts_with("STOPPING=1\n"));
}

/// Starts the server with `socket` as descriptor 3 and something that is no socket as descriptor 4.
fn with_socket(socket: impl Into<OwnedFd>, args: &[&str]) -> Result<Server, String> {
    let script = "exec 3<&0 4</dev/null 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=2 \
                  LISTEN_FDNAMES=web:junk; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .arg(program())
        .stdin(Stdio::from(socket.into()));
    Server::spawn_with_stdin(command, args, 1, Directory::new("passed"))
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[test]
fn a_passed_socket_is_used_for_its_address() {
    let (socket, address) = listener();
    // Connections made before the start are served, too.
    let mut early = Connection::new(crate::support::Socket::Tcp(
        std::net::TcpStream::connect(&address).expect("the server listens"),
    ));
    let server =
        with_socket(socket, &["--listen", &address]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(server.address(), address);
    assert_eq!(
        early
            .request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    assert_eq!(server.get("/channels-stats").head.status, 200);
    let stderr = server.stderr();
    assert!(
        stderr.contains("inherited descriptor 4 (junk) is not used: fd 4 is not a socket"),
        "{stderr}"
    );
    assert!(
        !stderr.contains("no \"listen\" has this address"),
        "{stderr}"
    );
    server.stop();
}

#[test]
fn built_in_locations_use_inherited_sockets() {
    let (socket, address) = listener();
    let server = with_socket(socket, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(server.addresses(), [format!("http://{address}")]);
    assert_eq!(server.get("/channels-stats").head.status, 200);
    server.stop();
}

#[test]
fn a_passed_unix_socket_stays_when_the_server_ends() {
    let directory = Directory::new("passed");
    let path = directory.path().join("push.sock");
    let socket = UnixListener::bind(&path).expect("a socket");
    let address = format!("unix:{}", path.display());
    let server =
        with_socket(socket, &["--listen", &address]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(server.addresses(), [address]);
    assert_eq!(server.get("/channels-stats").head.status, 200);
    server.stop();
    assert!(path.exists(), "it is not the server's to remove");
}

#[test]
fn a_passed_socket_that_nothing_listens_on_waits_for_a_reload() {
    let (socket, address) = listener();
    let directory = Directory::new("unmatched");
    let (_, own) = listener();
    let text = |more: &str| {
        format!("events {{}} http {{ {MEMORY} server {{ listen {own}; {more} {LOCATION} }} }}")
    };
    let file = directory.write("nginx.conf", &text(""));
    let server = with_socket(
        socket,
        &["--nginx-conf", file.to_str().expect("a name in UTF-8")],
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let unused = format!(
        "the inherited socket of http://{address} is not used: no \"listen\" has this address"
    );
    wait_until("it is reported", || server.stderr().contains(&unused));
    // Twice: a removed listener can be added again.
    for _ in 0..2 {
        directory.write("nginx.conf", &text(&format!("listen {address};")));
        assert!(server.reload(), "{}", server.stderr());
        let stream = std::net::TcpStream::connect(&address).expect("the server listens");
        let mut connection = Connection::new(crate::support::Socket::Tcp(stream));
        assert_eq!(
            connection
                .request("GET", "/channels-stats", &[], None)
                .head
                .status,
            200
        );
        directory.write("nginx.conf", &text(""));
        assert!(server.reload(), "{}", server.stderr());
        connection.expect_close();
    }
    server.stop();
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    let server = Server::with_environment(&[("LISTEN_PID", "1"), ("LISTEN_FDS", "3")], &[]);
    assert!(
        !server.stderr().contains("was passed"),
        "{}",
        server.stderr()
    );
    assert_eq!(server.get("/channels-stats").head.status, 200);
    server.stop();
}

/// The units in `packaging/` are valid for systemd and use existing options.
#[test]
fn the_units_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let read = |name: &str| {
        std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let unit = read("pushctl.service");
    assert!(
        unit.contains("\nExecStart=/usr/bin/pushctl serve $PUSHCTL_ARGS\n")
            && unit.contains("PUSHCTL_SERVE_CONFIG=FILE"),
        "{unit}"
    );
    let directory = Directory::new("units");
    let program = program();
    let program = program.to_str().expect("a path in UTF-8");
    // Man pages are not installed here, and old versions of systemd do not support the second type.
    let skipped = ["Documentation=", "Type=notify-reload"];
    let text: String = unit
        .lines()
        .filter(|line| !skipped.iter().any(|skipped| line.starts_with(skipped)))
        .fold(String::new(), |text, line| {
            text + &line.replace("/usr/bin/pushctl", program) + "\n"
        });
    let service = directory.write("pushctl.service", &text);
    let socket = directory.write("pushctl.socket", &read("pushctl.socket"));
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args([service, socket])
        .output();
    let output = output.expect("systemd-analyze can be started: run tests/run --install");
    let reported = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && !reported.contains("pushctl."),
        "{reported}"
    );
}

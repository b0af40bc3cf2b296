//! Access and error logs: syslog, files that cannot be opened, and reopening.

use crate::support::{Directory, Server, wait_until};
use rustix::process::Signal;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

#[test]
fn logs_go_to_syslogs_as_nginx_sends_them() {
    let directory = Directory::new("syslog");
    let path = directory.path().join("log.sock");
    let unix = UnixDatagram::bind(&path).expect("a socket");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let deadline = Some(Duration::from_secs(20));
    unix.set_read_timeout(deadline)
        .expect("a socket takes options");
    udp.set_read_timeout(deadline)
        .expect("a socket takes options");
    let server = Server::with_conf(&format!(
        "error_log syslog:server=unix:{},nohostname,facility=daemon,tag=errors info;\nevents {{}}\n\
         http {{
        log_format short '$request $status';
        access_log syslog:server={},tag=access,severity=debug short;
        server {{ listen 127.0.0.1:{{{{PORT}}}}; location / {{ return 200 hi; }} }} }}",
        path.display(),
        udp.local_addr().expect("it is bound")
    ));
    let mut buffer = [0; 2048];
    let length = unix
        .recv(&mut buffer)
        .expect("the server says that it starts");
    let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
    // Daemon is 3, info is 6.
    assert!(
        line.starts_with("<30>")
            && line.contains(" errors: ")
            && line.contains("starting")
            && !line.ends_with('\n'),
        "{line:?}"
    );
    server.get("/x?y=1");
    let length = udp.recv(&mut buffer).expect("a line of the access log");
    let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    // Local7 is 23, debug is 7; `Nov  1 08:00:00`.
    assert!(
        line.starts_with("<191>")
            && line.ends_with(&format!(" {host} access: GET /x?y=1 HTTP/1.1 200")),
        "{line:?}"
    );
    assert_eq!(
        line["<191>".len()..].find(&format!(" {host}")),
        Some(15),
        "{line:?}"
    );
    server.stop();
}

#[test]
fn an_unwritable_access_log_is_reported_at_startup() {
    let directory = Directory::new("unwritable");
    let log = directory.path().join("logs/access.log");
    let location =
        "location /stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }";
    let server = Server::with_conf(&format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m; server {{ listen \
         127.0.0.1:{{{{PORT}}}}; access_log off; {location} location /x {{ access_log {}; }} }} }}",
        log.display()
    ));
    wait_until("it is reported", || {
        server.stderr().contains("cannot open the access log")
    });
    assert!(
        server.stderr().contains(log.to_str().expect("UTF-8")),
        "{}",
        server.stderr()
    );
    std::fs::create_dir(directory.path().join("logs")).expect("a directory can be made");
    server.signal(Signal::HUP);
    wait_until("the log is there", || log.exists());
    assert_eq!(
        server.stderr().matches("cannot open").count(),
        1,
        "{}",
        server.stderr()
    );
    // A pipe without a reader cannot be opened and must not block.
    std::fs::remove_file(&log).expect("the log can go");
    assert!(
        Command::new("mkfifo")
            .arg(&log)
            .status()
            .expect("mkfifo runs")
            .success()
    );
    server.signal(Signal::HUP);
    wait_until("it is reported", || {
        server
            .stderr()
            .matches("cannot open the access log")
            .count()
            == 2
    });
    assert_eq!(server.get("/stats").head.status, 200);
    server.stop();
}

#[test]
fn the_error_log_is_reopened() {
    let directory = Directory::new("errors");
    let log = directory.path().join("error.log");
    let conf = format!(
        "error_log {} info;\nerror_log /nowhere/at/all.log;\nevents {{}}\n\
         http {{ server {{ listen 127.0.0.1:{{{{PORT}}}}; error_log {0}.x; }} }}",
        log.display()
    );
    let server = Server::with_conf(&conf);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    wait_until("the log has begun", || read(&log).contains("INFO starting"));
    wait_until("it is reported", || {
        server
            .stderr()
            .contains("cannot open the error log: using stderr instead")
    });
    wait_until("it is reported", || {
        server
            .stderr()
            .contains("nginx.conf:4: pushctl has one \"error_log\" for all servers")
    });
    let moved = directory.path().join("moved.log");
    std::fs::rename(&log, &moved).expect("a file can be moved");
    server.signal(Signal::USR1);
    wait_until("the log is there again", || {
        read(&log).contains("reopened the access logs")
    });
    assert!(!read(&moved).contains("reopened the access logs"));
    server.stop();
    let quiet = Server::try_with_conf(&conf, &["--log-level", "off"])
        .unwrap_or_else(|error| panic!("{error}"));
    let before = read(&log);
    quiet.stop();
    assert_eq!(read(&log), before, "--log-level holds before error_log");
}

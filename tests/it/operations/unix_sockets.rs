//! Listening on unix sockets: existing files are kept, unless they are stale sockets.

use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, mknodat};

use crate::support::{Directory, Server, program, wait_until};

/// Runs `serve` on that path, which must fail; returns stderr.
fn refused(path: &Path) -> String {
    let listen = format!("unix:{}", path.display());
    let output = Command::new(program())
        .args(["serve", "--listen", &listen])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn serve(path: &Path) -> Server {
    Server::start(&["--listen", &format!("unix:{}", path.display())])
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[test]
fn files_that_are_not_sockets_stay() {
    let directory = Directory::new("unix");
    let path = |name: &str| directory.path().join(name);
    directory.write("file", "IMPORTANT\n");
    std::fs::create_dir(path("folder")).expect("a folder");
    mknodat(
        CWD,
        path("fifo"),
        rustix::fs::FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .expect("a FIFO");
    symlink("file", path("link")).expect("a link");
    symlink("nothing", path("dangling")).expect("a link");
    drop(UnixListener::bind(path("stale")).expect("a socket"));
    symlink("stale", path("link-to-stale")).expect("a link");
    for name in [
        "file",
        "folder",
        "fifo",
        "link",
        "dangling",
        "link-to-stale",
    ] {
        let before = std::fs::symlink_metadata(path(name)).expect("it is there");
        let stderr = refused(&path(name));
        assert!(
            stderr.contains("cannot listen on unix:") && stderr.contains("is not a socket"),
            "{name}: {stderr}"
        );
        let after = std::fs::symlink_metadata(path(name)).expect("it is still there");
        assert_eq!(
            (before.ino(), before.file_type()),
            (after.ino(), after.file_type()),
            "{name}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(path("file")).expect("it is still there"),
        "IMPORTANT\n"
    );
    assert!(is_socket(&path("stale")));
}

#[test]
fn a_socket_with_a_listener_stays() {
    let directory = Directory::new("unix");
    let path = directory.path().join("x");
    let listener = UnixListener::bind(&path).expect("a socket");
    // It does not accept connections for now, so that the first attempt fills its backlog.
    let listener = socket2::Socket::from(listener);
    listener.listen(0).expect("a short backlog");
    for _ in 0..3 {
        assert!(refused(&path).contains("another process listens on it"));
    }
    assert!(is_socket(&path));
    let other = serve(&directory.path().join("y"));
    assert!(refused(&directory.path().join("y")).contains("another process listens on it"));
    assert!(
        UnixStream::connect(directory.path().join("y")).is_ok(),
        "the first one still listens"
    );
    other.stop();
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let directory = Directory::new("unix");
    let path = directory.path().join("x");
    drop(UnixListener::bind(&path).expect("a socket"));
    let server = serve(&path);
    assert!(UnixStream::connect(&path).is_ok());
    server.stop();
    assert!(!path.exists(), "it is removed at the end");
}

#[test]
fn only_its_own_socket_is_removed_at_the_end() {
    let directory = Directory::new("unix");
    let path = directory.path().join("x");
    let server = serve(&path);
    std::fs::remove_file(&path).expect("the socket is there");
    std::fs::write(&path, "IMPORTANT").expect("a file");
    server.stop();
    assert_eq!(
        std::fs::read_to_string(&path).expect("it is still there"),
        "IMPORTANT"
    );
    std::fs::remove_file(&path).expect("the file is there");
    let server = serve(&path);
    std::fs::remove_file(&path).expect("the socket is there");
    let successor = UnixListener::bind(&path).expect("a socket");
    server.stop();
    assert!(
        UnixStream::connect(&path).is_ok(),
        "the successor still listens"
    );
    drop(successor);
}

#[test]
fn one_of_several_starting_servers_gets_the_socket() {
    let directory = Directory::new("unix");
    let path = directory.path().join("x");
    drop(UnixListener::bind(&path).expect("a socket"));
    let listen = format!("unix:{}", path.display());
    let start = || {
        let mut command = Command::new(program());
        command
            .args(["serve", "--listen", &listen])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("it runs")
    };
    let mut servers: Vec<_> = (0..8).map(|_| start()).collect();
    wait_until("all but one have ended", || {
        let ended = servers
            .iter_mut()
            .filter_map(|server| server.try_wait().expect("it is our child"));
        let codes: Vec<bool> = ended.map(|status| status.success()).collect();
        assert!(
            codes.iter().all(|success| !success),
            "a server exited with success"
        );
        codes.len() >= 7
    });
    assert!(UnixStream::connect(&path).is_ok(), "one listens");
    for mut server in servers {
        // Those that have ended cannot be killed.
        let _ = server.kill();
        server.wait().expect("it is our child");
    }
}

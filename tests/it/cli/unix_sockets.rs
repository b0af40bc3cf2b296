//! The commands against a server that listens on a unix socket.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Directory, Server, program};

/// Exit code, stdout and stderr of a command that runs in the directory of the socket.
fn run(directory: &Directory, args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command
        .args(args)
        .current_dir(directory.path())
        .env_remove("PUSHCTL_URL")
        .env(
            "HTTP_PROXY",
            format!("http://127.0.0.1:{}", crate::support::free_port()),
        );
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(input.as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn server(directory: &Directory) -> Server {
    let socket = format!("unix:{}", directory.path().join("x.sock").display());
    // The test harness connects over TCP.
    Server::start(&["--listen", "127.0.0.1:0", "--listen", &socket])
}

#[test]
fn every_command_reaches_a_server_on_a_unix_socket() {
    let directory = Directory::new("unix");
    let server = server(&directory);
    let absolute = format!("unix:{}", directory.path().join("x.sock").display());
    for url in [
        "unix:x.sock",
        "unix:./x.sock",
        &absolute,
        "http://unix:./x.sock",
    ] {
        let (code, stdout, stderr) = run(&directory, &["pub", "a", "hello", "-u", url], "");
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{url}");
        assert!(stdout.starts_with("a: "), "{stdout}");
    }
    let (code, stdout, _) = run(
        &directory,
        &["pub", "a", "--lines", "-u", "unix:x.sock"],
        "one\ntwo\n",
    );
    assert!(
        code == Some(0) && stdout.starts_with("2 messages acknowledged"),
        "{stdout}"
    );
    for mode in ["stream", "poll", "lp", "ev", "ws", "auto"] {
        let (code, stdout, stderr) = run(
            &directory,
            &[
                "sub",
                "a",
                "-m",
                mode,
                "--since",
                "all",
                "-n",
                "6",
                "-u",
                "unix:x.sock",
            ],
            "",
        );
        assert_eq!(
            (code, stdout.as_str(), stderr.as_str()),
            (Some(0), "hello\nhello\nhello\nhello\none\ntwo\n", ""),
            "{mode}"
        );
    }
    let (code, stdout, _) = run(
        &directory,
        &[
            "wait",
            "-c",
            "a",
            "--stored",
            "==6",
            "--json",
            "-u",
            "unix:x.sock",
        ],
        "",
    );
    assert!(
        code == Some(0) && stdout.contains("\"stored_messages\":6"),
        "{stdout}"
    );
    let (code, stdout, _) = run(
        &directory,
        &["stats", "a", "--assert", "stored=6", "-u", "unix:x.sock"],
        "",
    );
    assert!(code == Some(0) && stdout.contains('6'), "{stdout}");
    for mode in ["ev", "ws", "lp", "stream"] {
        let (code, _, stderr) = run(
            &directory,
            &[
                "bench",
                "-n",
                "3",
                "--messages",
                "2",
                "-m",
                mode,
                "-u",
                "unix:x.sock",
            ],
            "",
        );
        assert_eq!(code, Some(0), "{mode}: {stderr}");
    }
    assert_eq!(
        run(&directory, &["rm", "a", "-u", "unix:x.sock"], "").1,
        "deleted a\n"
    );
    server.stop();
}

#[test]
fn named_servers_and_the_environment_take_unix_sockets_with_a_prefix() {
    let directory = Directory::new("unix");
    let conf = format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m; server {{ listen unix:{}; \
         server_name localhost;\n\
         location = /live/pub {{ push_stream_publisher; push_stream_channels_path $arg_id; }} }} \
         server {{ listen 127.0.0.1:9103; }} }}",
        directory.path().join("x.sock").display()
    );
    let conf = directory.write("nginx.conf", &conf);
    let servers = directory.write(
        "servers.toml",
        "[servers.here]\nurl = \"unix:x.sock:/live\"\n",
    );
    let listen = format!("unix:{}", directory.path().join("x.sock").display());
    let server = Server::start(&[
        "--nginx-conf",
        conf.to_str().expect("UTF-8"),
        "--listen",
        "127.0.0.1:0",
        "--listen",
        &listen,
    ]);
    let servers = servers.to_str().expect("UTF-8");
    let (code, stdout, stderr) = run(
        &directory,
        &[
            "pub",
            "a",
            "x",
            "--server",
            "here",
            "--config-file",
            servers,
        ],
        "",
    );
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let (code, _, stderr) = run(
        &directory,
        &["stats", "--server", "here", "--config-file", servers],
        "",
    );
    assert_eq!(code, Some(5));
    assert!(
        stderr.starts_with(
            "pushctl: unix:x.sock:/live/channels-stats returned 404 Not Found: no such location"
        ),
        "{stderr}"
    );
    server.stop();
}

#[test]
fn a_socket_that_cannot_be_reached_is_named() {
    let directory = Directory::new("unix");
    directory.write("file", "");
    for args in [
        &["pub", "a", "x"][..],
        &["sub", "a", "-m", "ws"],
        &["stats"],
        &["rm", "a"],
        &["bench", "-n", "1"],
    ] {
        let (code, _, stderr) = run(&directory, &[args, &["-u", "unix:none.sock"]].concat(), "");
        assert_eq!(code, Some(3), "{args:?}: {stderr}");
        assert!(
            stderr.contains("cannot reach unix:none.sock: no such file"),
            "{args:?}: {stderr}"
        );
    }
    let (code, _, stderr) = run(&directory, &["pub", "a", "x", "-u", "unix:file"], "");
    assert!(
        code == Some(3) && stderr.contains("cannot reach unix:file: connection refused"),
        "{stderr}"
    );
    let (code, _, stderr) = run(&directory, &["pub", "a", "x", "-u", "unix:"], "");
    assert!(
        code == Some(2) && stderr.contains("write --url unix:PATH"),
        "{stderr}"
    );
}

#[test]
fn serve_prints_the_url_of_its_socket_and_with_server_hands_it_on() {
    let directory = Directory::new("unix");
    let program = program();
    let program = program.to_str().expect("UTF-8");
    let args = [
        "with-server",
        "--listen",
        "unix:y.sock",
        "--",
        program,
        "pub",
        "a",
        "hi",
    ];
    let (code, stdout, stderr) = run(&directory, &args, "");
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "a: 1 published, 1 stored, 0 subscribers\n"),
        "{stderr}"
    );
}

//! Options of `serve` that control access to the built-in locations.

use super::builtin_locations::{ask, status, upgrade};
use crate::support::{Directory, Server, program, wait_until};
use std::process::Command;

#[test]
fn a_reachable_server_warns_without_access_control() {
    const WARNING: &str = "has no access control";
    let users = Directory::new("users");
    let file = users.write("users", "ann:{PLAIN}secret\n");
    let file = file.to_str().expect("a path in UTF-8");
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let server = Server::start(&["--listen", listen]);
        wait_until("it warns", || server.stderr().contains(WARNING));
        let stderr = server.stderr();
        let warning = stderr
            .lines()
            .find(|line| line.contains(WARNING))
            .unwrap_or_else(|| panic!("no warning in {stderr}"));
        assert!(
            warning.contains("--allow-from")
                && warning.contains("--basic-auth")
                && warning.contains(server.address()),
            "{warning}"
        );
        server.stop();
        for args in [["--allow-from", "10.0.0.0/8"], ["--basic-auth", file]] {
            let mut server = Server::start(&[&["--listen", listen], &args[..]].concat());
            server.terminate();
            server.wait();
            assert!(
                !server.stderr().contains(WARNING),
                "{args:?}: {}",
                server.stderr()
            );
        }
    }
    for listen in ["127.0.0.1:0", "127.8.0.1:0", "[::1]:0", "unix:x.sock"] {
        let mut server = Server::start(&["--listen", listen]);
        server.terminate();
        server.wait();
        assert!(
            !server.stderr().contains(WARNING),
            "{listen}: {}",
            server.stderr()
        );
    }
}

#[test]
fn clients_are_admitted_by_address() {
    let server = Server::start(&[
        "--allow-from",
        "10.0.0.0/8",
        "--allow-from",
        "192.0.2.1",
        "--real-ip-from",
        "127.0.0.1",
    ]);
    for (address, expected) in [
        ("10.1.2.3", 200),
        ("192.0.2.1", 200),
        ("192.0.2.2", 403),
        ("::1", 403),
    ] {
        let headers = [("X-Real-IP", address)];
        for (method, path) in [
            ("POST", "/pub?id=c"),
            ("GET", "/channels-stats"),
            ("GET", "/sub/c"),
            ("GET", "/"),
        ] {
            assert_eq!(
                status(&server, method, path, &headers),
                expected,
                "{method} {path} {address}"
            );
        }
        assert_eq!(
            upgrade(&server, &headers),
            if expected == 200 { 101 } else { 403 },
            "{address}"
        );
    }
    assert_eq!(
        server.get("/channels-stats").head.status,
        403,
        "this machine is not listed"
    );
    server.stop();
}

#[test]
fn clients_are_admitted_by_password() {
    let users = Directory::new("users");
    let file = users.write("users", "ann:{PLAIN}secret\n");
    let server = Server::start(&["--basic-auth", file.to_str().expect("a path in UTF-8")]);
    let ann = [("Authorization", "Basic YW5uOnNlY3JldA==")];
    for (method, path) in [
        ("POST", "/pub?id=c"),
        ("GET", "/channels-stats"),
        ("GET", "/sub/c"),
        ("GET", "/"),
    ] {
        assert_eq!(status(&server, method, path, &ann), 200, "{method} {path}");
        let response = ask(&server, method, path, &[]);
        assert_eq!(
            (response.head.status, response.head.get("WWW-Authenticate")),
            (401, Some("Basic realm=\"pushctl\"")),
            "{method} {path}"
        );
        assert_eq!(
            status(
                &server,
                method,
                path,
                &[("Authorization", "Basic YW5uOndyb25n")]
            ),
            401,
            "{method} {path}"
        );
    }
    assert_eq!((upgrade(&server, &ann), upgrade(&server, &[])), (101, 401));
    // Clients accept name and password in the URL.
    let tool = |url: &str, args: &[&str]| {
        Command::new(program())
            .args(args)
            .args(["--url", url])
            .output()
            .expect("it runs")
    };
    let url = server.url().replace("http://", "http://ann:secret@");
    let published = tool(&url, &["pub", "c", "hello"]);
    assert!(published.status.success(), "{published:?}");
    for mode in ["ws", "ev", "lp", "poll", "stream"] {
        let read = tool(
            &url,
            &[
                "sub", "c", "--mode", mode, "--since", "all", "-n", "2", "-t", "20s", "--raw",
            ],
        );
        assert!(
            read.status.success() && String::from_utf8_lossy(&read.stdout).contains("hello"),
            "{mode}: {read:?}"
        );
    }
    assert!(tool(&url, &["stats", "c"]).status.success());
    assert!(!tool(server.url(), &["pub", "c", "hello"]).status.success());
    assert!(!server.stderr().contains("secret"), "{}", server.stderr());
    server.stop();
}

#[test]
fn invalid_option_values_name_the_expected_form() {
    let run = |args: &[&str]| {
        let output = Command::new(program())
            .arg("serve")
            .args(args)
            .output()
            .expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for (args, expected) in [
        (
            ["--allow-origin", "app.example"],
            "an origin such as https://app.example",
        ),
        (
            ["--allow-origin", "https://app.example/path"],
            "an origin such as https://app.example",
        ),
        (
            ["--allow-origin", "https://*.example"],
            "an origin such as https://app.example",
        ),
        (
            ["--server-name", "http://push.example"],
            "a host name such as push.example",
        ),
        (
            ["--server-name", "push.example:80"],
            "a host name such as push.example",
        ),
        (
            ["--server-name", "*.example"],
            "a host name such as push.example",
        ),
        (["--allow-from", "example"], "an address such as 10.0.0.1"),
    ] {
        let (code, stderr) = run(&args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
    let (code, stderr) = run(&["--basic-auth", "no/such/file", "--listen", "127.0.0.1:0"]);
    assert!(
        code != Some(0) && stderr.contains("cannot read no/such/file (see --basic-auth)"),
        "{stderr}"
    );
    for args in [
        ["--allow-origin", "*"],
        ["--server-name", "a.test"],
        ["--allow-from", "10.0.0.1"],
        ["--basic-auth", "x"],
    ] {
        let (code, stderr) = run(&[&args[..], &["--nginx-conf", "x.conf"]].concat());
        assert!(
            code == Some(2) && stderr.contains("cannot be used with"),
            "{args:?}: {stderr}"
        );
    }
}

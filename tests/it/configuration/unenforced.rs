//! Directives of an imported configuration that pushctl does not enforce: nothing is served without
//! them, unless the proxy in front enforces them.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Connection, Directory, Server, program, wait_until};

const PUSH: &str = "push_stream_publisher admin; push_stream_channels_path $arg_id;";

/// A file whose server has `content` from line 3 on.
fn file(content: &str) -> String {
    format!(
        "events {{}} http {{ push_stream_shared_memory_size 32M;\n\
         server {{ listen 127.0.0.1:{{{{PORT}}}};\n{content} }} }}\n"
    )
}

/// `pushctl serve` of a file that it must reject.
fn rejected(directory: &Directory, text: &str, args: &[&str]) -> Output {
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "1"));
    let output = Command::new(program())
        .args(["serve", "--nginx-conf"])
        .arg(file)
        .args(args)
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2), "{text}\n{output:?}");
    output
}

/// Serves a file at a free port, with the peers at these addresses trusted as the front.
fn behind(front: &str, text: &str, names: &str) -> Server {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--real-ip-from",
        front,
        "--front-enforces",
        names,
    ];
    Server::try_with_conf(text, &args).unwrap_or_else(|error| panic!("{error}"))
}

fn publish(connection: &mut Connection, headers: &[(&str, &str)]) -> u16 {
    connection
        .request("POST", "/pub?id=a", headers, Some(b"hi"))
        .head
        .status
}

#[test]
fn serve_rejects_unenforced_access_directives() {
    let directory = Directory::new("unenforced");
    for (content, line, name) in [
        (
            format!("location /pub {{ {PUSH} auth_ldap \"x\"; }}"),
            3,
            "auth_ldap",
        ),
        (
            format!("location /pub {{ {PUSH} access_by_lua_file check.lua; }}"),
            3,
            "access_by_lua_file",
        ),
        (
            format!("location /pub {{ {PUSH} auth_basci x; }}"),
            3,
            "auth_basci",
        ),
        (
            format!("location /pub {{ {PUSH} limit_req zone=one; }}"),
            3,
            "limit_req",
        ),
        (
            format!(
                "ssl_certificate a.pem; ssl_verify_client on; ssl_client_certificate ca.pem;\n\
                 location /pub {{ {PUSH} }}"
            ),
            3,
            "ssl_verify_client",
        ),
        (
            format!("location / {{\nauth_pam x;\nlocation /pub {{ {PUSH} }} }}"),
            4,
            "auth_pam",
        ),
    ] {
        let stderr =
            String::from_utf8(rejected(&directory, &file(&content), &[]).stderr).expect("a text");
        let expected = format!("nginx.conf:{line}: directive \"{name}\" ");
        assert!(
            stderr.contains(&expected) && stderr.contains(&format!("--front-enforces {name}")),
            "{content}\n{stderr}"
        );
        let report = Command::new(program())
            .arg("check")
            .arg(directory.path().join("nginx.conf"))
            .output()
            .expect("the program runs");
        assert_eq!(report.status.code(), Some(2), "{report:?}");
        assert!(
            String::from_utf8_lossy(&report.stdout).contains(&expected),
            "{report:?}"
        );
    }
    let text = file(&format!("location /pub {{ {PUSH} auth_ldap x; }}"));
    let stderr =
        String::from_utf8(rejected(&directory, &text, &["--front-enforces", "auth_ldap"]).stderr)
            .expect("a text");
    assert!(
        stderr.contains("--real-ip-from"),
        "the front has to be named: {stderr}"
    );
    let http = text.replace("http {", "http { naxsi_extra on;");
    let stderr = String::from_utf8(
        rejected(
            &directory,
            &http,
            &[
                "--real-ip-from",
                "127.0.0.1",
                "--front-enforces",
                "auth_ldap",
            ],
        )
        .stderr,
    );
    assert!(
        stderr
            .expect("a text")
            .contains("nginx.conf:1: directive \"naxsi_extra\" "),
        "that of http is another one"
    );
}

#[test]
fn only_the_front_enters_locations_whose_directives_it_enforces() {
    let text = file(&format!(
        "location /pub {{ {PUSH} auth_ldap x; limit_req zone=a; }}\nlocation /open {{ {PUSH} }}\n\
         location /inside {{ internal; {PUSH} }}"
    ));
    let server = behind("127.0.0.1", &text, "auth_ldap,limit_req,internal");
    assert_eq!(publish(&mut server.connect(), &[]), 200);
    assert_eq!(
        publish(&mut server.connect(), &[("X-Real-IP", "192.0.2.7")]),
        200
    );
    assert_eq!(server.get("/inside?id=none").head.status, 404);
    let inside = server
        .connect()
        .request("POST", "/inside?id=b", &[], Some(b"hi"));
    assert_eq!(inside.head.status, 200);
    for name in ["auth_ldap", "limit_req", "internal"] {
        wait_until(name, || {
            server
                .stderr()
                .contains(&format!("directive \"{name}\" is left to the front"))
        });
    }
    server.stop();
    // A client cannot pretend to be the front.
    let server = behind("192.0.2.1", &text, "all");
    let headers = [("X-Real-IP", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.1")];
    assert_eq!(publish(&mut server.connect(), &headers), 403);
    let status = |path: &str| {
        server
            .connect()
            .request("POST", path, &headers, Some(b"hi"))
            .head
            .status
    };
    assert_eq!([status("/inside?id=b"), status("/open?id=b")], [404, 200]);
    server.stop();
    let server = behind("127.0.0.1", &text, "auth_ldap,limit_req,auth_lpda");
    let misspelt = "--front-enforces auth_lpda: no push location of the configuration needs it";
    wait_until("the misspelt name is reported", || {
        server.stderr().contains(misspelt)
    });
    assert_eq!(
        server
            .connect()
            .request("POST", "/inside?id=b", &[], Some(b"hi"))
            .head
            .status,
        404,
        "internal stays enforced"
    );
    server.stop();
}

#[test]
fn enforced_by_front_is_accepted_in_both_notations() {
    let directory = Directory::new("unenforced-toml");
    let text = file(&format!(
        "set_real_ip_from 127.0.0.1; location /pub {{ {PUSH} auth_ldap x; pushctl_front_enforces \
         auth_ldap; }}\n\
         location /other {{ {PUSH} auth_ldap x; }}"
    ));
    let stderr = String::from_utf8(rejected(&directory, &text, &[]).stderr).expect("a text");
    assert!(
        stderr.contains("nginx.conf:4: directive \"auth_ldap\""),
        "{stderr}"
    );
    let text = text.replace(
        "location /other {",
        "location /other { pushctl_front_enforces all;",
    );
    let server = Server::with_conf(&text);
    assert_eq!(publish(&mut server.connect(), &[]), 200);
    server.stop();
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "1"));
    let toml = Command::new(program())
        .args(["check", "--to-toml"])
        .arg(&file)
        .output()
        .expect("the program runs");
    let toml = String::from_utf8(toml.stdout).expect("a text");
    assert!(
        toml.contains("not_enforced = [\"auth_ldap\"]")
            && toml.contains("front_enforces = \"auth_ldap\""),
        "{toml}"
    );
    let serve = |text: &str| {
        let file = directory.write("pushctl.toml", text);
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            file.to_str().expect("UTF-8"),
        ];
        Command::new(program())
            .args(args)
            .output()
            .expect("the program runs")
    };
    let open = toml.replace("front_enforces = \"auth_ldap\"\n", "");
    assert_ne!(open, toml);
    assert_eq!(
        serve(&open).status.code(),
        Some(2),
        "the TOML does not forget what restricts access"
    );
    let file = directory.write("pushctl.toml", &toml);
    let server = Server::start(&["--config", file.to_str().expect("UTF-8")]);
    assert_eq!(publish(&mut server.connect(), &[]), 200);
    server.stop();
}

#[test]
fn files_with_rules_that_are_not_enforced_are_not_served() {
    let directory = Directory::new("unenforced-files");
    std::fs::create_dir(directory.path().join("www")).expect("a folder");
    directory.write("www/page.html", "page");
    let secret = directory.write("secret.txt", "secret");
    std::os::unix::fs::symlink(secret, directory.path().join("www/link")).expect("a link");
    let www = directory.path().join("www");
    let location = |path: &str, rules: &str| {
        format!(
            "location {path} {{ {rules} alias {}/; }}\n",
            Path::display(&www)
        )
    };
    let text = file(
        &[
            location("/plain/", ""),
            location("/links/", "disable_symlinks on;"),
            location("/ssi/", "ssi on;"),
            location("/limited/", "limit_req zone=a;"),
            location("/ldap/", "auth_ldap x;"),
        ]
        .concat(),
    );
    let server = Server::with_conf(&text);
    let status = |path: &str| server.get(path).head.status;
    assert_eq!(
        [status("/plain/page.html"), status("/plain/link")],
        [200, 200]
    );
    for path in [
        "/links/link",
        "/links/page.html",
        "/ssi/page.html",
        "/limited/page.html",
        "/ldap/page.html",
    ] {
        assert!(
            [403, 404].contains(&status(path)),
            "{path}: {}",
            status(path)
        );
    }
    server.stop();
}

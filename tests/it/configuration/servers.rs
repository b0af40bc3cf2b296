//! Several servers of an nginx.conf in one process: server selection, and the report of an invalid
//! file.

use std::net::TcpStream;
use std::process::Command;

use crate::support::{Connection, Directory, Server, Socket, program};

#[test]
fn local_address_and_host_choose_the_server() {
    // The content type identifies the server; the last one has none.
    let server = |listen: &str, names: &str, content_type: &str| {
        format!(
            "server {{ listen {listen}; server_name {names}; default_type \"{content_type}\";\n\
             location /sub {{ push_stream_subscriber polling; push_stream_channels_path $arg_id; \
             }} }}\n"
        )
    };
    let servers = [
        server("{{PORT}}", "~^a", "regex/a"),
        server("{{PORT}}", "*.example", "ending/example"),
        server("{{PORT}}", "a.example", "exact/a"),
        server("127.0.0.2:{{PORT}}", "x", "other/address"),
        server("{{PORT}}", "empty", ""),
    ];
    let conf = format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m;\n{} }}",
        servers.concat()
    );
    let server = Server::with_conf(&conf);
    assert_eq!(server.addresses().len(), 1, "one address is bound for all");
    let port = server.address().rsplit(':').next().expect("a port");
    for (address, host, expected) in [
        ("127.0.0.1", "a.example", Some("exact/a")),
        ("127.0.0.1", "A.Example:80", Some("exact/a")),
        ("127.0.0.1", "aa.example", Some("ending/example")),
        ("127.0.0.1", "a", Some("regex/a")),
        ("127.0.0.1", "other", Some("regex/a")),
        ("127.0.0.3", "x", Some("regex/a")),
        ("127.0.0.2", "a.example", Some("other/address")),
        ("127.0.0.1", "empty", None),
    ] {
        let mut connection = Connection::new(Socket::Tcp(
            TcpStream::connect(format!("{address}:{port}")).expect("a connection"),
        ));
        let request = format!("GET /sub?id=x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        connection.send(request);
        let response = connection.read_response();
        assert_eq!(
            response.head.get("content-type"),
            expected,
            "{address} {host}: {}",
            response.head.raw
        );
    }
}

#[test]
fn an_invalid_file_reports_notices_before_errors() {
    let directory = Directory::new("notices");
    let text = "events {}\nhttp {\npush_stream_shared_memory_size 10m;\nserver {\n\
                push_stream_store_messages maybe;\nproxy_buffering on; } }";
    let file = directory.write("nginx.conf", text);
    let output = Command::new(program())
        .arg("serve")
        .arg("--nginx-conf")
        .arg(file)
        .output()
        .expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let notice = stderr
        .find(":6: directive \"proxy_buffering\" is not supported by pushctl")
        .expect(&stderr);
    let mistake = stderr.find(":5: invalid value \"maybe\"").expect(&stderr);
    assert!(!output.status.success() && notice < mistake, "{stderr}");
}

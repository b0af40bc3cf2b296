//! Configurations that users published, copied unchanged (`tests/it/configuration/copied_configs`),
//! and the behaviour that they document.
//!
//! Only the port differs: `--listen` sets it. `web-im.conf` contains typographic characters from a
//! web page; its corrected form follows the report of `pushctl check`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Connection, Directory, Message, Server, frame, opcode, program, wait_until};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/configuration/copied_configs")
        .join(name)
}

fn serve(file: &Path) -> Server {
    Server::start(&[
        "--nginx-conf",
        file.to_str().expect("UTF-8"),
        "--listen",
        "127.0.0.1:0",
    ])
}

/// Exit code and report of `pushctl check`, with the file as `FILE`.
fn check(args: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = Command::new(program())
        .arg("check")
        .args(args)
        .arg(file)
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("a text");
    (
        output.status.code(),
        text.replace(&file.display().to_string(), "FILE"),
    )
}

/// Waits until the publisher's location shows that many subscribers; there need be no statistics.
fn wait_for_subscribers(server: &Server, channel: &str, count: u64) {
    let path = format!("/pub?id={channel}");
    wait_until("the subscribers are there", || {
        server
            .get(&path)
            .text()
            .contains(&format!("\"subscribers\": {count}}}"))
    });
}

#[test]
fn the_pasted_files_are_served_whole() {
    for (name, locations) in [
        (
            "realtime-tutorial.conf",
            "  server     listen        location     endpoint    mode          settings\n  \
               127.0.0.1  0.0.0.0:8080  /pub         publisher   admin         channels=$arg_id \
               store=on\n  \
               127.0.0.1  0.0.0.0:8080  ~ /sub/(.*)  subscriber  streaming     channels=$1 \
               ping=10s\n  \
               127.0.0.1  0.0.0.0:8080  ~ /ev/(.*)   subscriber  eventsource   channels=$1 \
               ping=10s\n  \
               127.0.0.1  0.0.0.0:8080  ~ /ws/(.*)   subscriber  websocket     channels=$1 \
               ping=10s\n  \
               127.0.0.1  0.0.0.0:8080  ~ /lp/(.*)   subscriber  long-polling  channels=$1 \
               ttl=30s\n",
        ),
        (
            "websocket-introduction.conf",
            "  server  listen      location         endpoint    mode       settings\n  \
               _       0.0.0.0:80  /channels-stats  statistics             channels=$arg_id\n  \
               _       0.0.0.0:80  /pub             publisher   admin      channels=$arg_id \
               store=off\n  \
               _       0.0.0.0:80  ~ /ws/(.*)       subscriber  websocket  channels=$1 ping=10s \
               publish=on\n",
        ),
    ] {
        let (code, text) = check(&["--strict"], &file(name));
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.contains(&format!("\nlocations:\n{locations}")),
            "{text}"
        );
    }
    // Its directives belong to another module; none is an error.
    let (code, text) = check(&[], &file("nhpm-broadcast.conf"));
    assert!(code == Some(0) && text.ends_with(" 0 mistakes\n"), "{text}");
}

#[test]
fn characters_from_web_pages_are_reported_with_a_remedy() {
    let (code, text) = check(&[], &file("web-im.conf"));
    assert_eq!(code, Some(2), "{text}");
    let (_, mistakes) = text
        .split_once("\nmistakes:\n")
        .expect("there are mistakes");
    let (mistakes, _) = mistakes.split_once("\n\n").expect("a summary follows");
    let space = "the line has a no-break space (U+00A0) from a web page: type an ordinary one";
    let former = "the module has no such directive any more";
    let expected = [
        "4: unknown directive \"push_stream_shared_memory_size256M\" (a space is missing: \
         \"push_stream_shared_memory_size 256M\")"
            .to_owned(),
        format!("6: unknown directive \"push_stream_max_channel_id_length\u{a0}\" ({space})"),
        "8: unknown directive \"push_stream_authorized_channels_onlyon\" (a space is missing: \
         \"push_stream_authorized_channels_only on\")"
            .to_owned(),
        format!("10: unknown directive \"push_stream_store_messages\u{a0}\" ({space})"),
        format!("14: unknown directive \"push_stream_message_ttl\u{a0}\" ({space})"),
        format!("18: unknown directive \"push_stream_publisher\u{a0}\" ({space})"),
        format!(
            "19: invalid number of arguments in \"set\" directive ({space}; instead of \"set \
             $push_stream_channel_id ...\" write \"push_stream_channels_path ...\")"
        ),
        format!(
            "20: unknown directive \"push_stream_keepalive\u{a0}\" ({space}; {former}: \
                 connections are kept alive anyway, leave it out)"
        ),
        "26: unknown directive \"push_stream_subscriberlong-polling\" (a space is missing: \
         \"push_stream_subscriber long-polling\")"
            .to_owned(),
        format!(
            "27: invalid number of arguments in \"set\" directive ({space}; instead of \"set \
             $push_stream_channels_path ...\" write \"push_stream_channels_path ...\")"
        ),
        format!("30: unknown directive \"push_stream_longpolling_connection_ttl\u{a0}\" ({space})"),
        format!(
            "34: unknown directive \"push_stream_content_type\u{a0}\" (a \";\" is probably missing \
             at the end of line 32; {space}; {former}: use \"default_type\")"
        ),
        "36: unknown directive \"push_stream_last_received_message_tag$arg_tag\" (a space is \
         missing: \"push_stream_last_received_message_tag $arg_tag\")"
            .to_owned(),
    ];
    let expected: Vec<String> = expected.iter().map(|line| format!("FILE:{line}")).collect();
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}

/// The file after all reported corrections.
fn corrected(directory: &Directory) -> PathBuf {
    let text = std::fs::read_to_string(file("web-im.conf")).expect("the file is there");
    let mut text = text.replace('\u{a0}', " ");
    for (wrong, right) in [
        ("size256M", "size 256M"),
        ("onlyon", "only on"),
        ("push_stream_keepalive    on;\n", ""),
        ("set $push_stream_channel_id ", "push_stream_channels_path "),
        ("subscriberlong-polling", "subscriber long-polling"),
        (
            "set $push_stream_channels_path ",
            "push_stream_channels_path ",
        ),
        (
            "push_stream_content_type                    \"text/javascript\"",
            "default_type \"text/javascript\";",
        ),
        ("tag$arg_tag", "tag $arg_tag"),
    ] {
        assert_eq!(text.matches(wrong).count(), 1, "{wrong} in {text}");
        text = text.replace(wrong, right);
    }
    directory.write("nginx.conf", &text)
}

/// Messages and channel ids over the configured sizes are rejected.
fn check_sizes(server: &Server) {
    assert_eq!(
        server
            .connect()
            .request(
                "POST",
                "/pub?id=my_channel",
                &[],
                Some(&vec![b'x'; 32 * 1024 + 1])
            )
            .head
            .status,
        413
    );
    assert_eq!(
        server
            .connect()
            .request(
                "POST",
                &format!("/pub?id={}", "x".repeat(33)),
                &[],
                Some(b"x")
            )
            .head
            .status,
        400
    );
}

#[test]
fn the_web_im_example_works() {
    let directory = Directory::new("web-im");
    let file = corrected(&directory);
    let (code, report) = check(&["--strict"], &file);
    assert_eq!(code, Some(0), "{report}");
    let server = serve(&file);
    // "authorized_channels_only: only after something was posted can clients listen, otherwise
    // 403."
    assert_eq!(server.get("/sub/my_channel").head.status, 403);
    let publish = |text: &str| {
        server
            .connect()
            .request("POST", "/pub?id=my_channel", &[], Some(text.as_bytes()))
    };
    assert_eq!(
        publish("Hello World!").text(),
        "{\"channel\": \"my_channel\", \"published_messages\": 1, \"stored_messages\": 1, \
         \"subscribers\": 0}\r\n"
    );
    let from = |time: &str, tag: &str, more: &str| {
        let mut connection = server.connect();
        connection.send_request(
            "GET",
            &format!(
                "/sub/my_channel?_=1234567890&time={}&tag={tag}{more}",
                time.replace(' ', "%20")
            ),
            &[],
            None,
        );
        connection
    };
    let read = |mut connection: Connection| {
        let response = connection.read_response();
        assert_eq!(response.head.status, 200, "{response:?}");
        let [(_, time), (_, tag)] = response.head.cursor();
        (
            response.text().to_owned(),
            time.to_owned(),
            tag.replace("W/", ""),
            response
                .head
                .get("Content-Type")
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let (text, time, tag, kind) = read(from("Thu, 23 Feb 2012 12:15:45 GMT", "0", ""));
    assert_eq!(
        (text.as_str(), kind.as_str()),
        ("Hello World!", "text/javascript")
    );
    // With the returned cursor no message repeats: the next request waits for the next message.
    let waiting = from(&time, &tag, "");
    wait_for_subscribers(&server, "my_channel", 1);
    publish("second");
    let (text, time, tag, _) = read(waiting);
    assert_eq!(text, "second");
    // As JSONP: the same arguments.
    let waiting = from(&time, &tag, "&callback=show");
    wait_for_subscribers(&server, "my_channel", 1);
    publish("'third'");
    let (text, _, _, kind) = read(waiting);
    assert_eq!(
        (text.as_str(), kind.as_str()),
        ("show(['third']);", "application/javascript")
    );
    // One message is stored.
    assert_eq!(
        read(from("Thu, 23 Feb 2012 12:15:45 GMT", "0", "")).0,
        "'third'"
    );
    check_sizes(&server);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=my_channel", &[], None)
            .head
            .status,
        200
    );
    assert_eq!(server.get("/sub/my_channel").head.status, 403);
    server.stop();
}

#[test]
fn the_tutorial_works_for_all_its_clients() {
    let server = serve(&file("realtime-tutorial.conf"));
    let mut page = server.follow("/sub/ch1", &[]);
    let mut events = server.follow("/ev/ch1", &[]);
    let mut websocket = server.websocket("/ws/ch1", &[]);
    let mut poll = server.connect();
    poll.send_request("GET", "/lp/ch1", &[], None);
    assert!(page.read_until(b"<body>").len() > 700);
    assert_eq!(events.read_until(b"\n"), b": \n");
    wait_until("four follow", || {
        server
            .get("/pub?id=ch1")
            .text()
            .contains("\"subscribers\": 4}")
    });
    server.publish("ch1", "发布消息测试");
    let object = poll.read_response();
    let message = Message::parse(&object.body);
    assert_eq!((message.id, message.text.as_str()), (1, "发布消息测试"));
    assert_eq!(
        page.read_until(b"</script>"),
        "<script>p(1,'ch1','发布消息测试');</script>".as_bytes()
    );
    assert_eq!(
        events.read_until(b"\n\n"),
        format!("data: {}\n\n", object.text()).into_bytes()
    );
    assert_eq!(websocket.read_frame().payload, object.body);
    // A later client resumes with time and tag; twenty messages are stored.
    (2..=25).for_each(|number| drop(server.publish("ch1", number.to_string())));
    let mut last = (message.time, message.tag);
    let mut kept = Vec::new();
    while kept.len() < 20 {
        let response = server.get(&format!(
            "/lp/ch1?time={}&tag={}",
            last.0.replace(' ', "%20"),
            last.1
        ));
        let objects = response.text().replace("}{", "}\n{");
        let messages: Vec<Message> = objects
            .lines()
            .map(|line| Message::parse(line.as_bytes()))
            .collect();
        let end = messages.last().expect("a message");
        last = (end.time.clone(), end.tag.clone());
        kept.extend(messages.into_iter().map(|message| message.text));
    }
    assert_eq!(
        kept,
        (6..=25)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
    server.stop();
}

#[test]
fn the_introduction_works_for_its_browser_and_its_ruby() {
    let server = serve(&file("websocket-introduction.conf"));
    let mut browser = server.websocket("/ws/ch1", &[]);
    server.wait_for_subscribers("ch1", 1);
    // Ruby's Net::HTTP posts the whole URL as the target.
    let target = format!("{}/pub?id=ch1", server.url());
    let headers = [
        ("Accept", "*/*"),
        ("User-Agent", "Ruby"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let response = server
        .connect()
        .request("POST", &target, &headers, Some(b"Some Text"));
    assert_eq!(
        response.text(),
        "{\"channel\": \"ch1\", \"published_messages\": 1, \"stored_messages\": 0, \
         \"subscribers\": 1}\r\n"
    );
    assert_eq!(
        browser.read_frame().payload,
        b"{\"id\":1,\"channel\":\"ch1\",\"text\":\"Some Text\"}"
    );
    browser.send(frame(opcode::TEXT, b"back"));
    assert_eq!(
        browser.read_frame().payload,
        b"{\"id\":2,\"channel\":\"ch1\",\"text\":\"back\"}"
    );
    let statistics = server.get("/channels-stats");
    for expected in [
        "\"channels\": 1, \"wildcard_channels\": 0, \"published_messages\": 2, \
         \"stored_messages\": 0",
        "\"subscribers\": 1, \"uptime\": ",
    ] {
        assert!(statistics.text().contains(expected), "{statistics:?}");
    }
    server.stop();
}

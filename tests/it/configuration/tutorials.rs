//! Tutorials and articles about push servers, with their original configurations, commands and
//! loops.
//!
//! The commands run the real `curl`; its `localhost` is our port.

use std::process::Command;

use crate::support::{Message, Server, conf, object};

/// The configuration of the chat tutorial that uses `pushstream.js`.
const TUTORIAL: &str = concat!(
    r#"
    location /pub {
        push_stream_publisher admin;
        push_stream_channels_path $arg_id;
        push_stream_store_messages on;
    }
    location ~ /sub/(.*) {
        push_stream_subscriber;
        push_stream_channels_path $1;
        push_stream_last_received_message_time      "$arg_time";
        push_stream_last_received_message_tag       "$arg_tag";
        push_stream_header_template "#,
    r#""<html><head><meta http-equiv=\"Content-Type\" content=\"text/html;"#,
    r#" charset=utf-8\">\r\n<meta http-equiv=\"Cache-Control\" content=\"no-store\">\r\n"#,
    r#"<meta http-equiv=\"Cache-Control\" content=\"no-cache\">\r\n"#,
    r#"<meta http-equiv=\"Pragma\" content=\"no-cache\">\r\n"#,
    r#"<meta http-equiv=\"Expires\" content=\"Thu, 1 Jan 1970 00:00:00 GMT\">\r\n"#,
    r#"<script type=\"text/javascript\">\r\nwindow.onError = null;\r\n"#,
    r#"try{ document.domain = (window.location.hostname.match(/^(\d{1,3}\.){3}\d{1,3}$/))"#,
    r#" ? window.location.hostname : window.location.hostname.split('.').slice(-1 * Math"#,
    r#".max(window.location.hostname.split('.').length - 1, (window.location.hostname"#,
    r#".match(/(\w{4,}\.\w{2}|\.\w{3,})$/) ? 2 : 3))).join('.');}catch(e){}\r\n"#,
    r#"parent.PushStream.register(this);\r\n</script>\r\n</head>\r\n<body>";
            push_stream_message_template "<script>p(~id~,'~channel~','~text~');</script>";
        push_stream_footer_template "</body></html>";
        default_type "text/html; charset=utf-8";
        push_stream_ping_message_interval 10s;
    }
    location ~ /ev/(.*) {
        push_stream_subscriber eventsource;
        push_stream_channels_path $1;
        push_stream_last_received_message_time      "$arg_time";
        push_stream_last_received_message_tag       "$arg_tag";
        push_stream_message_template
            "{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\","#,
    r#"\"tag\":\"~tag~\",\"time\":\"~time~\"}";
        push_stream_ping_message_interval 10s;
    }
    location ~ /ws/(.*) {
        push_stream_subscriber websocket;
        push_stream_channels_path $1;
        push_stream_last_received_message_time      "$arg_time";
        push_stream_last_received_message_tag       "$arg_tag";
        push_stream_message_template
            "{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\","#,
    r#"\"tag\":\"~tag~\",\"time\":\"~time~\"}";
        push_stream_ping_message_interval 10s;
    }
    location ~ /lp/(.*) {
        push_stream_subscriber long-polling;
        push_stream_channels_path $1;
        push_stream_last_received_message_time      "$arg_time";
        push_stream_last_received_message_tag       "$arg_tag";
        push_stream_message_template
            "{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\","#,
    r#"\"tag\":\"~tag~\",\"time\":\"~time~\"}";
        push_stream_longpolling_connection_ttl 30s;
    }
    # not in the tutorial: the test has to see who is connected
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id;
        }"#
);

/// The http level of the same tutorial.
const TUTORIAL_HTTP: &str = "
    #最大共享内存
    push_stream_shared_memory_size                100m;
    #频道最大长度
    push_stream_max_channel_id_length             200;
    #每个频道缓存的最大消息数量
    push_stream_max_messages_stored_per_channel   20;
    #消息生命周期(分钟)
    push_stream_message_ttl                       5m;";

/// The configuration of the introduction with a websocket and statistics.
const INTRODUCTION: &str = r#"
    location /channels-stats {
        # activate channels statistics mode for this location
        push_stream_channels_statistics;

        # query string based channel id
        push_stream_channels_path               $arg_id;
    }

    location /pub {
        # activate publisher (admin) mode for this location
        push_stream_publisher admin;

        # query string based channel id
        push_stream_channels_path               $arg_id;
    }

    location ~ /ws/(.*) {
        # activate websocket mode for this location
        push_stream_subscriber websocket;

        # positional channel path
        push_stream_channels_path                   $1;
        # message template
        push_stream_message_template
            "{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\"}";

        push_stream_websocket_allow_publish         on;

        # ping frequency
        push_stream_ping_message_interval           10s;
    }"#;

/// The output of `curl` with these arguments.
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .arg("-sS")
        .args(arguments)
        .output()
        .expect("curl is there (tests/run installs it)");
    assert!(
        output.status.success(),
        "curl {arguments:?}: {} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the output of curl is UTF-8")
}

#[test]
fn the_tutorials_curl_session() {
    let server = Server::with_conf(&conf(TUTORIAL_HTTP, TUTORIAL));
    let url = |path: &str| format!("{}{path}", server.url());
    let publish = || curl(&[&url("/pub?id=ch1"), "-d", "发布消息测试"]);

    // In one terminal `curl http://localhost:8080/lp/ch1`, in the other
    // `curl http://localhost:8080/pub?id=ch1 -d "发布消息测试"`.
    let lp = url("/lp/ch1");
    let waiting = std::thread::spawn(move || curl(&[&lp]));
    server.wait_for_subscribers("ch1", 1);
    assert_eq!(
        publish(),
        "{\"channel\": \"ch1\", \"published_messages\": 1, \"stored_messages\": 1, \
         \"subscribers\": 1}\r\n"
    );
    let received = waiting.join().expect("curl ends with the first message");
    let message = Message::parse(received.as_bytes());
    let tag = &message.tag;
    let time = &message.time;
    assert_eq!(
        received,
        format!(
            "{{\"id\":1,\"channel\":\"ch1\",\"text\":\"发布消息测试\",\"tag\":\"{tag}\",\
             \"time\":\"{time}\"}}"
        )
    );

    // The client of the tutorial returns the cursor as arguments; the header is not used there.
    assert_eq!(
        publish(),
        "{\"channel\": \"ch1\", \"published_messages\": 2, \"stored_messages\": 2, \
         \"subscribers\": 0}\r\n"
    );
    let next = curl(&[&url(&format!(
        "/lp/ch1?tag={tag}&time={}",
        time.replace(' ', "%20")
    ))]);
    assert_eq!(Message::parse(next.as_bytes()).id, 2);
    server.stop();
}

#[test]
fn the_tutorials_browser_clients() {
    let server = Server::with_conf(&conf(TUTORIAL_HTTP, TUTORIAL));
    let mut frame = server.follow("/sub/ch1", &[]);
    let page = String::from_utf8(frame.read_until(b"<body>")).expect("UTF-8");
    assert!(
        page.starts_with(
            "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; \
                              charset=utf-8\">\r\n<meta"
        ),
        "{page}"
    );
    assert!(
        page.contains(r"match(/^(\d{1,3}\.){3}\d{1,3}$/)) ? window"),
        "{page}"
    );
    assert_eq!(page.len(), 733, "{page}");
    let mut events = server.follow("/ev/ch1", &[]);
    let mut websocket = server.websocket("/ws/ch1", &[]);
    server.wait_for_subscribers("ch1", 3);
    server.publish("ch1", "hi");
    assert_eq!(
        frame.read_until(b"</script>"),
        b"<script>p(1,'ch1','hi');</script>"
    );
    let want = |message: &Message| {
        format!(
            "{{\"id\":1,\"channel\":\"ch1\",\"text\":\"hi\",\"tag\":\"{}\",\"time\":\"{}\"}}",
            message.tag, message.time
        )
    };
    assert_eq!(events.read_until(b"\n"), b": \n");
    let event = String::from_utf8(events.read_until(b"\n\n")).expect("UTF-8");
    let data = event
        .strip_prefix("data: ")
        .and_then(|rest| rest.strip_suffix("\n\n"))
        .expect("one data line");
    assert_eq!(data, want(&Message::parse(data.as_bytes())));
    let text = websocket.read_frame().payload;
    assert_eq!(String::from_utf8_lossy(&text), want(&Message::parse(&text)));
    server.connect().request("DELETE", "/pub?id=ch1", &[], None);
    assert_eq!(
        frame.read_body(),
        b"<script>p(-2,'ch1','Channel deleted');</script></body></html>"
    );
    server.stop();
}

#[test]
fn the_introductions_curl_session() {
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 32M;", INTRODUCTION));
    let url = |path: &str| format!("{}{path}", server.url());
    let statistics = |channels: u64, published: u64, subscribers: u64| {
        let text = curl(&[&url("/channels-stats")]);
        let value = object(text.as_bytes());
        let host = &value["hostname"];
        let time = &value["time"];
        let uptime = &value["uptime"];
        let head = format!(
            "{{\"hostname\": {host}, \"time\": {time}, \"channels\": {channels}, \
             \"wildcard_channels\": 0, \"published_messages\": {published}, \
             \"stored_messages\": 0, \"messages_in_trash\": {published}, \"channels_in_delete\": \
             0, \"channels_in_trash\": 0, \
             \"subscribers\": {subscribers}, \"uptime\": {uptime}, \"by_worker\": [\r\n"
        );
        assert!(
            text.starts_with(&head),
            "{text}\nbegins differently from\n{head}"
        );
        let workers = value["by_worker"].as_array().expect("an array of workers");
        let lines: Vec<String> = workers
            .iter()
            .map(|worker| {
                format!(
                    "{{\"pid\": {}, \"subscribers\": {}, \"uptime\": {}}}",
                    worker["pid"], worker["subscribers"], worker["uptime"]
                )
            })
            .collect();
        assert_eq!(
            text[head.len()..],
            format!("{}\r\n]}}\r\n", lines.join(",\r\n"))
        );
        assert_eq!(
            workers
                .iter()
                .filter_map(|worker| worker["subscribers"].as_u64())
                .sum::<u64>(),
            subscribers
        );
    };
    statistics(0, 0, 0);
    let mut websocket = server.websocket("/ws/ch1", &[]);
    server.wait_for_subscribers("ch1", 1);
    let published = curl(&[&url("/pub?id=ch1"), "-d", "Some Text"]);
    assert_eq!(
        published,
        "{\"channel\": \"ch1\", \"published_messages\": 1, \"stored_messages\": 0, \
         \"subscribers\": 1}\r\n"
    );
    assert_eq!(
        websocket.read_frame().payload,
        b"{\"id\":1,\"channel\":\"ch1\",\"text\":\"Some Text\"}"
    );
    statistics(1, 1, 1);
    websocket.send(crate::support::frame(
        crate::support::opcode::TEXT,
        b"from the browser",
    ));
    assert_eq!(
        websocket.read_frame().payload,
        b"{\"id\":2,\"channel\":\"ch1\",\"text\":\"from the browser\"}"
    );
    server.stop();
}

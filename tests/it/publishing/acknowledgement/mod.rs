//! Publishing on an engine that acknowledges late, with errors or never.

mod limits;
mod load;
mod opening;
mod order;
mod shutdown;

use crate::support::{Connection, Response, Server, conf, object};

/// Locations of all protocol families. The channels of NHPM and nchan have no group, so that
/// push-stream locations read them.
const LOCATIONS: &str = "
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; pushctl_batch on; }
    location /channels-stats { push_stream_channels_statistics;
        push_stream_channels_path $arg_id; }
    location /poll { push_stream_subscriber polling; push_stream_channels_path $arg_id;
        push_stream_message_template '~text~\\n'; }
    location /sub { push_stream_subscriber; push_stream_channels_path $arg_id;
        push_stream_message_template '~text~\\n'; }
    location /ws { push_stream_subscriber websocket; push_stream_channels_path $arg_id;
        push_stream_websocket_allow_publish on; push_stream_store_messages on;
        push_stream_message_template ~text~; }
    location /nhpm { push_publisher; set $push_channel_id $arg_id; push_store_messages on;
        push_max_message_buffer_length 100000; }
    location /nchan { nchan_publisher; nchan_channel_group ''; nchan_channel_id $arg_id;
        nchan_message_buffer_length 100000; }
    location /several { nchan_publisher; nchan_channel_group '';
        nchan_channel_id $arg_a $arg_b; nchan_message_buffer_length 100000; }";

/// A server with [`LOCATIONS`] and the test engine; `None` if the build under test does not have
/// it.
fn engine(spec: &str, arguments: &[&str]) -> Option<Server> {
    has_engine().then(|| {
        let text = conf(
            "push_stream_shared_memory_size 256m; push_stream_events_channel_id events;
            push_stream_allow_connections_to_events_channel on;",
            LOCATIONS,
        );
        let arguments = [&["--test-engine", spec], arguments].concat();
        Server::try_with_conf(&text, &arguments).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// The same with the built-in locations, which have more statistics.
fn builtin_engine(spec: &str, arguments: &[&str]) -> Option<Server> {
    has_engine().then(|| Server::start(&[&["--test-engine", spec], arguments].concat()))
}

fn has_engine() -> bool {
    cfg!(debug_assertions) && std::env::var_os("PUSHCTL_BIN").is_none()
}

fn post(path: &str, text: &str) -> String {
    let length = text.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{text}")
}

/// Reads a response; `None` when the server closes the connection instead.
fn try_read_response(connection: &mut Connection) -> Option<Response> {
    let head = connection.try_read_head()?;
    let body = connection.read_body();
    Some(Response { head, body })
}

/// The stored messages of a channel.
fn stored(server: &Server, channel: &str) -> Vec<String> {
    let response = server.get(&format!("/poll?id={channel}.b1000000"));
    response.text().lines().map(str::to_owned).collect()
}

/// A number in the statistics of a server with the built-in locations, or one that the modules
/// have.
fn statistic(server: &Server, name: &str) -> u64 {
    object(&server.get("/channels-stats").body)[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} is a number"))
}

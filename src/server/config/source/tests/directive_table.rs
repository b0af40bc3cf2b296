//! The directives of nginx-push-stream-module with their contexts and values, as in
//! push-stream.md, section 15.

pub(in crate::server) const H: u8 = 1;
pub(in crate::server) const S: u8 = 2;
pub(in crate::server) const L: u8 = 4;
pub(in crate::server) const I: u8 = 8;
pub(in crate::server) const HSL: u8 = H | S | L;

/// A directive: its contexts, two values that mean different things, and invalid values.
pub(in crate::server) type Row = (&'static str, u8, [&'static str; 2], &'static [&'static str]);

pub(in crate::server) const TABLE: &[Row] = &[
    ("push_stream_channels_statistics", L, ["", ""], &["x"]),
    (
        "push_stream_publisher",
        L,
        ["normal", "ADMIN"],
        &["x", "\"\"", "a b"],
    ),
    (
        "push_stream_subscriber",
        L,
        ["long-polling", "EventSource"],
        &["x", "\"\"", "a b"],
    ),
    (
        "push_stream_shared_memory_size",
        H,
        ["1M", "200k zone"],
        &["100k", "1g", "abc", "1m a b"],
    ),
    (
        "push_stream_channel_deleted_message_text",
        H,
        ["a", "\"\""],
        &["a b"],
    ),
    (
        "push_stream_channel_inactivity_time",
        H,
        ["1m", "0"],
        &["500ms", "x"],
    ),
    ("push_stream_ping_message_text", H, ["a", "\"\""], &["a b"]),
    (
        "push_stream_timeout_with_body",
        H,
        ["on", "OFF"],
        &["yes", "1"],
    ),
    (
        "push_stream_message_ttl",
        H,
        ["1h", "5"],
        &["0", "500ms", "x"],
    ),
    (
        "push_stream_max_subscribers_per_channel",
        H,
        ["1", "2"],
        &["0", "-1", "x", "1k"],
    ),
    (
        "push_stream_max_messages_stored_per_channel",
        H,
        ["1", "2"],
        &["0", "-1", "x"],
    ),
    (
        "push_stream_max_channel_id_length",
        H,
        ["1", "2"],
        &["0", "-1", "x"],
    ),
    (
        "push_stream_max_number_of_channels",
        H,
        ["1", "2"],
        &["0", "-1", "x"],
    ),
    (
        "push_stream_max_number_of_wildcard_channels",
        H,
        ["1", "2"],
        &["0", "-1", "x"],
    ),
    (
        "push_stream_wildcard_channel_prefix",
        H,
        ["b_", "c_"],
        &["a b"],
    ),
    ("push_stream_events_channel_id", H, ["a", "\"\""], &["a b"]),
    (
        "push_stream_channels_path",
        HSL | I,
        ["$arg_a", "\"x$arg_b\""],
        &["$nothing", "a b"],
    ),
    (
        "push_stream_store_messages",
        HSL | I,
        ["on", "off"],
        &["yes"],
    ),
    (
        "push_stream_channel_info_on_publish",
        HSL,
        ["off", "on"],
        &["yes"],
    ),
    (
        "push_stream_authorized_channels_only",
        HSL,
        ["on", "off"],
        &["yes"],
    ),
    (
        "push_stream_header_template_file",
        HSL,
        ["{H}", "{O}"],
        &["/nowhere/at/all"],
    ),
    ("push_stream_header_template", HSL, ["a", "\"\""], &["a b"]),
    ("push_stream_footer_template", HSL, ["a", "\"\""], &["a b"]),
    (
        "push_stream_message_template",
        HSL,
        ["<~text~>", "~id~"],
        &["\"\"", "a b"],
    ),
    (
        "push_stream_wildcard_channel_max_qtd",
        HSL,
        ["3", "4"],
        &["0", "-1", "x"],
    ),
    (
        "push_stream_ping_message_interval",
        HSL,
        ["100ms", "2"],
        &["0", "x"],
    ),
    (
        "push_stream_subscriber_connection_ttl",
        HSL,
        ["100ms", "2"],
        &["0", "x"],
    ),
    (
        "push_stream_longpolling_connection_ttl",
        HSL,
        ["100ms", "2"],
        &["0", "x"],
    ),
    (
        "push_stream_websocket_allow_publish",
        HSL,
        ["on", "off"],
        &["yes"],
    ),
    (
        "push_stream_last_received_message_time",
        HSL | I,
        ["$arg_t", "\"\""],
        &["$nothing"],
    ),
    (
        "push_stream_last_received_message_tag",
        HSL | I,
        ["$arg_t", "\"\""],
        &["$nothing"],
    ),
    (
        "push_stream_last_event_id",
        HSL | I,
        ["$arg_t", "\"\""],
        &["$nothing"],
    ),
    (
        "push_stream_user_agent",
        HSL,
        ["$arg_t", "\"\""],
        &["$nothing"],
    ),
    (
        "push_stream_padding_by_user_agent",
        HSL,
        ["\"a,6,6\"", "\"b,3,4:c,5,6\""],
        &["foo", "\"a,b,c\""],
    ),
    (
        "push_stream_allowed_origins",
        HSL,
        ["$http_origin", "\"*\""],
        &["$nothing"],
    ),
    (
        "push_stream_allow_connections_to_events_channel",
        HSL | I,
        ["on", "off"],
        &["yes"],
    ),
];

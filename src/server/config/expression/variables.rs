//! Names of nginx's variables, and which of them have a value in pushctl.
//!
//! The names are those of nginx 1.22 with Debian's modules and of nchan. Variables of newer
//! versions and of common modules are listed as unsupported. Values are provided by
//! `exchange::variables` and by the access log.

/// Availability of the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Available for every request, although it may be empty, as in nginx.
    Known,
    /// Available after the response was sent, for logs. Before, it is empty, as in nginx.
    AtEnd,
    /// Not supported: nginx may have a value where pushctl has none. The value is empty, and the
    /// variable must not be used in rules that restrict access.
    Never,
}

/// Returns the availability of the variable `name`, in lower case; `None` = nginx does not define
/// it. Does not cover variables with a name in them, such as `$arg_NAME` (except those of
/// responses), and variables that a configuration defines.
#[must_use]
pub fn availability(name: &str) -> Option<Availability> {
    let is_in = |names: &[&str]| names.contains(&name);
    let has_prefix_in = |prefixes: &[&str]| {
        prefixes
            .iter()
            .any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
    };
    if is_in(KNOWN) || is_in(NCHAN) {
        Some(Availability::Known)
    } else if is_in(AT_END) || has_prefix_in(AT_END_PREFIXES) {
        Some(Availability::AtEnd)
    } else if is_in(NEVER) || has_prefix_in(NEVER_PREFIXES) {
        Some(Availability::Never)
    } else {
        None
    }
}

/// Finds the first variable in `text` that satisfies `predicate`; returns its name in lower case.
pub fn find_variable(text: &[u8], predicate: impl Fn(&str) -> bool) -> Option<String> {
    let mut rest = text;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        rest = &rest[dollar + 1..];
        let name = rest.strip_prefix(b"{").unwrap_or(rest);
        let length = name
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count();
        let name = String::from_utf8_lossy(&name[..length]).to_ascii_lowercase();
        if predicate(&name) {
            return Some(name);
        }
    }
    None
}

const KNOWN: &[&str] = &[
    "args",
    "binary_remote_addr",
    "connection",
    "connection_requests",
    "connection_time",
    "date_gmt",
    "date_local",
    "document_root",
    "document_uri",
    "fastcgi_path_info",
    "fastcgi_script_name",
    "host",
    "hostname",
    "http2",
    "http3",
    "https",
    "is_args",
    "msec",
    "nginx_version",
    "pid",
    "pipe",
    "proxy_add_x_forwarded_for",
    "proxy_host",
    "proxy_port",
    "query_string",
    "quic",
    "realip_remote_addr",
    "realip_remote_port",
    "realpath_root",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request",
    "request_filename",
    "request_id",
    "request_length",
    "request_method",
    "request_time",
    "request_uri",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "spdy",
    "time_iso8601",
    "time_local",
    "uri",
];

/// Variables of nchan; empty outside of its locations.
const NCHAN: &[&str] = &[
    "nchan_channel_event",
    "nchan_channel_id",
    "nchan_channel_id1",
    "nchan_channel_id2",
    "nchan_channel_id3",
    "nchan_channel_id4",
    "nchan_message_id",
    "nchan_prev_message_id",
    "nchan_publisher_type",
    "nchan_subscriber_type",
    "nchan_version",
];

const AT_END: &[&str] = &[
    "body_bytes_sent",
    "bytes_sent",
    "request_completion",
    "status",
    "upstream_addr",
    "upstream_bytes_received",
    "upstream_bytes_sent",
    "upstream_cache_last_modified",
    "upstream_cache_status",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_last_server_name",
    "upstream_queue_time",
    "upstream_response_length",
    "upstream_response_time",
    "upstream_status",
];

const AT_END_PREFIXES: &[&str] = &[
    "sent_http_",
    "sent_trailer_",
    "upstream_cookie_",
    "upstream_http_",
    "upstream_trailer_",
];

const NEVER: &[&str] = &[
    "ancient_browser",
    "connections_active",
    "connections_reading",
    "connections_waiting",
    "connections_writing",
    "gzip_ratio",
    "invalid_referer",
    "jwt_payload",
    "limit_conn_status",
    "limit_rate",
    "limit_req_status",
    "memcached_key",
    "modern_browser",
    "msie",
    "proxy_protocol_addr",
    "proxy_protocol_port",
    "proxy_protocol_server_addr",
    "proxy_protocol_server_port",
    "request_body",
    "request_body_file",
    "session_log_binary_id",
    "session_log_id",
    "slice_range",
    "spdy_request_priority",
    "ssl_alpn_protocol",
    "ssl_cipher",
    "ssl_ciphers",
    "ssl_client_cert",
    "ssl_client_escaped_cert",
    "ssl_client_fingerprint",
    "ssl_client_i_dn",
    "ssl_client_i_dn_legacy",
    "ssl_client_raw_cert",
    "ssl_client_s_dn",
    "ssl_client_s_dn_legacy",
    "ssl_client_serial",
    "ssl_client_sigalg",
    "ssl_client_v_end",
    "ssl_client_v_remain",
    "ssl_client_v_start",
    "ssl_client_verify",
    "ssl_curve",
    "ssl_curves",
    "ssl_early_data",
    "ssl_protocol",
    "ssl_server_name",
    "ssl_session_id",
    "ssl_session_reused",
    "ssl_sigalg",
    "tcpinfo_rcv_space",
    "tcpinfo_rtt",
    "tcpinfo_rttvar",
    "tcpinfo_snd_cwnd",
    "uid_got",
    "uid_reset",
    "uid_set",
];

const NEVER_PREFIXES: &[&str] = &[
    "geoip_",
    "jwt_claim_",
    "jwt_header_",
    "nchan_stub_status_",
    "proxy_protocol_tlv_",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_that_of_nginx_variables() {
        for (name, expected) in [
            ("request_id", Some(Availability::Known)),
            ("status", Some(Availability::AtEnd)),
            ("sent_http_x", Some(Availability::AtEnd)),
            ("upstream_http_x", Some(Availability::AtEnd)),
            ("ssl_client_verify", Some(Availability::Never)),
            ("geoip_country_code", Some(Availability::Never)),
            ("ssl_x", None),
            ("upstream_x", None),
            ("proxy_x", None),
            ("gzip_x", None),
            ("sent_http_", None),
            ("nchan_channel_id5", None),
            ("foo", None),
        ] {
            assert_eq!(availability(name), expected, "{name}");
        }
    }

    #[test]
    fn variables_are_found_in_a_text() {
        let is_ssl = |name: &str| name.starts_with("ssl_");
        for (text, expected) in [
            ("a", None),
            ("$uri-${SSL_protocol}x", Some("ssl_protocol")),
            ("$", None),
            ("^/a$", None),
            ("$ssl", None),
        ] {
            assert_eq!(
                find_variable(text.as_bytes(), is_ssl).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}

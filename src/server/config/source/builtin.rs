//! The built-in configuration, used without a configuration file: every endpoint that
//! `pushstream.js` expects.
//!
//! Limits and other default values are in `defaults`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::protocol;
use crate::server::config::model::defaults;
use crate::server::config::{
    BrokerSettings, BrowserAccess, Config, ConnectionLimits, Endpoint, Expression, ListenAddress,
    Listener, Location, LocationSettings, Locations, MessageFormat, Pattern, ProcessSettings,
    Servers, SlowPolicy, SubscriberMode, Types, VirtualServer, WebSettings,
};

/// Ping interval of endless subscriptions (sample configuration of the module's JavaScript client).
const PING_MESSAGE_INTERVAL: Duration = Duration::from_secs(10);
/// Timeout of long-polls (same sample).
const LONGPOLLING_CONNECTION_TTL: Duration = Duration::from_secs(30);
/// Header of `/iframe`: the document registers itself with the `PushStream` object of its parent
/// page.
const IFRAME_HEADER: &str = concat!(
    "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n",
    "<meta http-equiv=\"Cache-Control\" content=\"no-store\">\r\n",
    "<meta http-equiv=\"Cache-Control\" content=\"no-cache\">\r\n",
    "<meta http-equiv=\"Pragma\" content=\"no-cache\">\r\n",
    "<meta http-equiv=\"Expires\" content=\"Thu, 1 Jan 1970 00:00:00 GMT\">\r\n",
    "<script type=\"text/javascript\">\r\n",
    "window.onError = null;\r\n",
    "try{ document.domain = (window.location.hostname.match(/^(\\d{1,3}\\.){3}\\d{1,3}$/)) ? \
     window.location.hostname : ",
    "window.location.hostname.split('.').slice(-1 * \
     Math.max(window.location.hostname.split('.').length - 1, ",
    "(window.location.hostname.match(/(\\w{4,}\\.\\w{2}|\\.\\w{3,})$/) ? 2 : \
     3))).join('.');}catch(e){}\r\n",
    "parent.PushStream.register(this);\r\n",
    "</script>\r\n",
    "</head>\r\n",
    "<body>",
);
/// Footer of `/iframe`.
const IFRAME_FOOTER: &[u8] = b"</body></html>";

/// Content type of streams that browsers show as text.
const TEXT: &[u8] = b"text/plain; charset=utf-8";
/// Content type of the JavaScript client's frame.
const HTML: &[u8] = b"text/html; charset=utf-8";
/// Content type of JSON responses.
const JSON: &[u8] = b"application/json";

/// Options of the built-in configuration.
#[derive(Clone, Debug, Default)]
pub struct BuiltinOptions {
    /// `--slow-consumer`
    pub slow_consumer: SlowPolicy,
    /// `--allow-from` and `--basic-auth`: access control.
    pub web: Arc<WebSettings>,
    /// `--allow-origin` and `--server-name`: restrictions on requests of web pages.
    pub browser_access: BrowserAccess,
}

impl Config {
    /// Creates the built-in configuration with default options. It listens on
    /// [`protocol::DEFAULT_LISTEN`].
    ///
    /// # Panics
    /// Never: a test parses the default address.
    #[must_use]
    pub fn builtin() -> Self {
        Self::builtin_with(BuiltinOptions::default())
    }

    /// Creates the built-in configuration with these options.
    ///
    /// # Panics
    /// Never: a test parses the default address.
    #[must_use]
    pub fn builtin_with(options: BuiltinOptions) -> Self {
        let address = protocol::DEFAULT_LISTEN
            .parse()
            .expect("the default address is valid");
        let server = VirtualServer {
            locations: locations(&options),
            welcome: true,
            settings: Arc::new(LocationSettings {
                web: Arc::clone(&options.web),
                ..LocationSettings::default()
            }),
            browser_access: Some(Arc::new(options.browser_access)),
            ..VirtualServer::default()
        };
        Self {
            listeners: vec![Listener::new(
                ListenAddress::Tcp(address),
                Arc::new(Servers::new(vec![Arc::new(server)], 0)),
            )],
            shards: 0,
            limits: ConnectionLimits::default(),
            broker: broker(),
            process: ProcessSettings::default(),
        }
    }
}

fn broker() -> BrokerSettings {
    BrokerSettings {
        shared_memory_size: defaults::SHARED_MEMORY_SIZE,
        max_subscribers_per_channel: Some(defaults::MAX_SUBSCRIBERS_PER_CHANNEL),
        max_messages_stored_per_channel: Some(defaults::MAX_MESSAGES_STORED_PER_CHANNEL),
        max_channel_id_length: Some(defaults::MAX_CHANNEL_ID_LENGTH),
        max_number_of_channels: Some(defaults::MAX_NUMBER_OF_CHANNELS),
        separates_runs: true,
        ..BrokerSettings::default()
    }
}

fn locations(options: &BuiltinOptions) -> Locations {
    use SubscriberMode::{EventSource, LongPolling, Polling, Streaming, WebSocket};
    let mut locations = Vec::new();
    for (path, endpoint) in [
        ("/pub", Endpoint::Publisher { admin: true }),
        ("/channels-stats", Endpoint::Statistics),
    ] {
        let settings = Arc::new(LocationSettings {
            endpoint,
            ..common(options, Expression::argument("id"), JSON)
        });
        for path in [path.to_owned(), format!("{path}/")] {
            locations.push(location(
                Pattern::Exact(path.into_bytes()),
                Arc::clone(&settings),
            ));
        }
    }
    for (prefix, mode, content_type) in [
        ("/sub/", Streaming, TEXT),
        ("/iframe/", Streaming, HTML),
        ("/ev/", EventSource, TEXT),
        ("/ws/", WebSocket, TEXT),
        ("/lp/", LongPolling, JSON),
        ("/jsonp/", LongPolling, JSON),
        ("/poll/", Polling, JSON),
    ] {
        let mut settings = common(options, Expression::path_after(prefix.len()), content_type);
        if matches!(mode, Streaming | EventSource | WebSocket) {
            settings.ping_message_interval = Some(PING_MESSAGE_INTERVAL);
        }
        if prefix == "/iframe/" {
            // The script of the frame does not handle gap notices.
            settings.gap_notice = false;
            settings.header_template = Some(Bytes::from_static(IFRAME_HEADER.as_bytes()));
            settings.message_format = MessageFormat::ScriptCall;
            settings.footer_template = Some(Bytes::from_static(IFRAME_FOOTER));
        }
        let pattern = Pattern::Prefix {
            prefix: prefix.as_bytes().to_vec(),
            stops_regexes: true,
        };
        settings.endpoint = Endpoint::Subscriber(mode);
        locations.push(location(pattern, Arc::new(settings)));
    }
    locations.into()
}

fn location(pattern: Pattern, settings: Arc<LocationSettings>) -> Location {
    Location {
        pattern,
        settings,
        steps: Vec::new(),
        nested: Locations::default(),
    }
}

fn common(
    options: &BuiltinOptions,
    channels_path: Expression,
    content_type: &'static [u8],
) -> LocationSettings {
    LocationSettings {
        is_builtin: true,
        slow_consumer: options.slow_consumer,
        web: Arc::clone(&options.web),
        channels_path: Some(channels_path),
        store_messages: true,
        message_format: MessageFormat::Json,
        longpolling_connection_ttl: Some(LONGPOLLING_CONNECTION_TTL),
        websocket_allow_publish: true,
        batch: true,
        last_received_message_time: Some(Expression::argument("time")),
        last_received_message_tag: Some(Expression::argument("tag")),
        last_event_id: Some(Expression::argument("eventid")),
        cursor_headers_as_fallback: true,
        gap_notice: true,
        types: Arc::new(Types {
            by_extension: Vec::new(),
            default_type: Bytes::from_static(content_type),
            ..Types::default()
        }),
        ..LocationSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &str) -> Option<Endpoint> {
        let config = Config::builtin();
        config.listeners[0].servers[0]
            .locate(path.as_bytes())
            .map(|(location, _)| location.endpoint().clone())
    }

    #[test]
    fn every_endpoint_of_the_javascript_client_exists() {
        use SubscriberMode::{EventSource, LongPolling, Polling, Streaming, WebSocket};
        for (path, expected) in [
            ("/pub", Some(Endpoint::Publisher { admin: true })),
            ("/pub/", Some(Endpoint::Publisher { admin: true })),
            ("/pub/x", None),
            ("/publish", None),
            ("/channels-stats", Some(Endpoint::Statistics)),
            ("/channels-stats/", Some(Endpoint::Statistics)),
            ("/sub", None),
            ("/sub/a/b", Some(Endpoint::Subscriber(Streaming))),
            ("/iframe/a", Some(Endpoint::Subscriber(Streaming))),
            ("/ev/a", Some(Endpoint::Subscriber(EventSource))),
            ("/ws/a", Some(Endpoint::Subscriber(WebSocket))),
            ("/lp/a", Some(Endpoint::Subscriber(LongPolling))),
            ("/jsonp/a", Some(Endpoint::Subscriber(LongPolling))),
            ("/poll/a", Some(Endpoint::Subscriber(Polling))),
            ("/", None),
        ] {
            let found = format!("{:?}", endpoint(path));
            assert_eq!(found, format!("{expected:?}"), "{path}");
        }
    }

    #[test]
    fn every_location_but_the_iframe_uses_json() {
        let config = Config::builtin();
        for location in config.listeners[0].servers[0].locations.iter() {
            let is_frame = location.pattern.text() == b"/iframe/";
            assert_eq!(
                location.settings.message_format != MessageFormat::Json,
                is_frame,
                "{:?}",
                location.pattern
            );
        }
    }
}

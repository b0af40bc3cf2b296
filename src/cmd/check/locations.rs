//! The locations of a configuration as `pushctl check` lists them, one row for each.

use std::time::Duration;

use super::servers;
use crate::cmd::output::escape;
use crate::server::config::model::nchan::Roles;
use crate::server::config::{
    Config, Endpoint, Location, LocationSettings, RewriteStep, SlowPolicy, SubscriberMode,
    VirtualServer, WebSettings,
};

/// A location: server, listen, pattern, endpoint, mode, settings.
pub(super) type Row = [String; 6];

/// The locations of `config`, of all its servers.
pub(super) fn rows(config: &Config) -> Vec<Row> {
    let mut rows = Vec::new();
    for (server, listens) in servers::servers(config) {
        let name = server
            .names
            .first()
            .map_or("_".to_owned(), ToString::to_string);
        for location in server.locations.iter() {
            add_rows(&mut rows, location, &name, &listens.join(" "));
        }
        if server.locations.is_empty() {
            let kind = if server.steps.is_empty() {
                "files"
            } else {
                "answer"
            };
            rows.push([
                name,
                listens.join(" "),
                String::new(),
                kind.to_owned(),
                String::new(),
                files(&server),
            ]);
        }
    }
    rows
}

fn files(server: &VirtualServer) -> String {
    settings(&server.settings)
}

fn add_rows(rows: &mut Vec<Row>, location: &Location, server: &str, listen: &str) {
    let (endpoint, mode) = endpoint(location);
    let settings = settings(&location.settings);
    rows.push([
        server.to_owned(),
        listen.to_owned(),
        location.pattern.to_string(),
        endpoint.to_owned(),
        mode.to_owned(),
        settings,
    ]);
    location
        .nested
        .iter()
        .for_each(|nested| add_rows(rows, nested, server, listen));
}

fn nchan_mode(roles: Roles) -> &'static str {
    match (
        roles.has(Roles::PUBLISH),
        roles.has(
            Roles::SUBSCRIBE
                .and(Roles::INTERVALPOLL)
                .and(Roles::RAW_STREAM),
        ),
    ) {
        (true, true) => "pubsub",
        (true, false) => "publisher",
        (false, true) => "subscriber",
        (false, false) => "off",
    }
}

fn endpoint(location: &Location) -> (&'static str, &'static str) {
    let always_returns = location
        .steps
        .iter()
        .any(|step| matches!(step, RewriteStep::Return(_)));
    match location.endpoint() {
        Endpoint::None | Endpoint::BackEnd(_) if always_returns => ("answer", ""),
        Endpoint::None | Endpoint::BackEnd(_) if location.settings.web.root.is_some() => {
            ("files", "")
        }
        Endpoint::None | Endpoint::BackEnd(_) if !location.steps.is_empty() => ("answer", ""),
        Endpoint::None | Endpoint::BackEnd(_) => ("nothing", ""),
        Endpoint::Statistics => ("statistics", ""),
        Endpoint::Publisher { admin: true } => ("publisher", "admin"),
        Endpoint::Publisher { admin: false } => ("publisher", "normal"),
        Endpoint::NhpmPublisher(_) => ("NHPM publisher", ""),
        Endpoint::NhpmSubscriber {
            interval_poll: false,
            ..
        } => ("NHPM subscriber", "long-poll"),
        Endpoint::NhpmSubscriber {
            interval_poll: true,
            ..
        } => ("NHPM subscriber", "interval-poll"),
        Endpoint::Nchan { roles, .. } => ("nchan", nchan_mode(*roles)),
        Endpoint::NchanGroup { .. } => ("nchan group", ""),
        Endpoint::NchanStubStatus => ("nchan statistics", ""),
        Endpoint::NchanSubscriberInfo(_) => ("nchan subscriber info", ""),
        Endpoint::Subscriber(SubscriberMode::Streaming) => ("subscriber", "streaming"),
        Endpoint::Subscriber(SubscriberMode::Polling) => ("subscriber", "polling"),
        Endpoint::Subscriber(SubscriberMode::LongPolling) => ("subscriber", "long-polling"),
        Endpoint::Subscriber(SubscriberMode::EventSource) => ("subscriber", "eventsource"),
        Endpoint::Subscriber(SubscriberMode::WebSocket) => ("subscriber", "websocket"),
    }
}

/// The most important settings of a location.
fn settings(settings: &LocationSettings) -> String {
    let mut words = Vec::new();
    if let (Some(path), true) = (&settings.channels_path, settings.endpoint.is_push()) {
        words.push(format!("channels={path}"));
    }
    match &settings.endpoint {
        Endpoint::Publisher { .. } => {
            let store = if settings.store_messages { "on" } else { "off" };
            words.push(format!("store={store}"));
            words.extend(settings.batch.then(|| "batch=on".to_owned()));
        }
        Endpoint::Subscriber(mode) => add_subscriber_words(&mut words, settings, *mode),
        _ => {}
    }
    let root = settings.web.root.as_ref();
    words.extend(
        root.filter(|_| !settings.endpoint.is_push())
            .map(|root| format!("root={}", root.path)),
    );
    add_access_words(&mut words, &settings.web);
    words.join(" ")
}

fn add_subscriber_words(
    words: &mut Vec<String>,
    settings: &LocationSettings,
    mode: SubscriberMode,
) {
    let ping = settings.ping_message_interval;
    words.extend(ping.map(|interval| format!("ping={}", compact(interval))));
    let ttl = if mode == SubscriberMode::LongPolling {
        settings.longpolling_connection_ttl
    } else {
        settings.subscriber_connection_ttl
    };
    words.extend(ttl.map(|ttl| format!("ttl={}", compact(ttl))));
    if mode == SubscriberMode::WebSocket && settings.websocket_allow_publish {
        words.push("publish=on".to_owned());
    }
    if settings.slow_consumer != SlowPolicy::default() {
        let policy = SlowPolicy::NAMES
            .iter()
            .find(|(_, policy)| *policy == settings.slow_consumer)
            .map_or("", |(name, _)| name);
        words.push(format!("slow={policy}"));
    }
    let slow_bytes = settings.slow_consumer_bytes;
    words.extend(slow_bytes.map(|bytes| format!("slow_bytes={bytes}")));
    words.extend(settings.gap_notice.then(|| "gap_notice=on".to_owned()));
    let origins = settings.allowed_origins.as_ref();
    words.extend(origins.map(|origins| format!("origins={origins}")));
}

fn add_access_words(words: &mut Vec<String>, web: &WebSettings) {
    if !web.access.is_empty() {
        words.push(format!("access={}rules", web.access.len()));
    }
    words.extend(web.authentication.is_some().then(|| "password".to_owned()));
    words.extend(web.internal.then(|| "internal".to_owned()));
}

/// `1h30m`
fn compact(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

/// Columns with titles, aligned to the left.
pub(super) fn table(rows: &[Row]) -> String {
    let title = [
        "server", "listen", "location", "endpoint", "mode", "settings",
    ]
    .map(str::to_owned);
    let all: Vec<&Row> = std::iter::once(&title).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..title.len()).map(width).collect();
    let line = |row: &&Row| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:width$}", escape::printable(cell)))
            .collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    all.iter().map(line).collect()
}

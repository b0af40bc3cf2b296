//! The directives: where each is allowed, how many arguments it takes, and what it fills
//! (push-stream.md, section 15; those of nginx: push-stream.md, section 17).
//!
//! A new directive is a line in [`DIRECTIVES`]. Blocks are entered by `build`, which also adds up
//! the levels.

use std::time::Duration;

use bytes::Bytes;

use std::path::Path;

use super::super::{Endpoint, Expression, ServerName, SlowPolicy, SubscriberMode, VariableNames};
use super::files::Place;
use super::levels::Scope;
use super::listen::Listen;
use super::names::LogFormats;
use super::{
    Support, charset, connection, guards, gzip, ignored, listen, logs, nchan, nchan_unsupported,
    nhpm, rewriting, units, web,
};

/// The kinds of blocks, as bits.
pub(super) const MAIN: u8 = 1;
pub(super) const EVENTS: u8 = 2;
pub(super) const HTTP: u8 = 4;
pub(super) const SERVER: u8 = 8;
pub(super) const LOCATION: u8 = 16;
/// `if` in a location.
pub(super) const IF: u8 = 32;
/// `if` in a server.
pub(super) const SERVER_IF: u8 = 64;
pub(super) const LIMIT_EXCEPT: u8 = 128;
const HSL: u8 = HTTP | SERVER | LOCATION;
const HSLI: u8 = HSL | IF;
const ANY: u8 = u8::MAX;

/// What is known of a directive.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) contexts: u8,
    pub(super) arguments: std::ops::RangeInclusive<usize>,
    pub(super) effect: Effect,
}

/// What a directive does.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing here: log files, socket tuning and so on.
    Ignored,
    /// It has a block, which `build` enters.
    Block,
    /// It sets something, once in a block.
    Once(Apply),
    /// It may be repeated, or has rules of its own about it.
    Many(Apply),
    /// It is known and not served; what is done instead, and said about it.
    Unsupported(Apply),
}

/// Fills the scope; the error is in nginx's words, without the place.
type Apply = fn(&mut Scope, &Value<'_>) -> Result<(), String>;

/// The names of the directives.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|rule| rule.name)
}

/// The blocks in which a directive is allowed.
pub(super) fn blocks_of(rule: &Rule) -> Vec<&'static str> {
    const NAMES: [(u8, &str); 8] = [
        (MAIN, "main"),
        (EVENTS, "events"),
        (HTTP, "http"),
        (SERVER, "server"),
        (SERVER_IF, "if in server"),
        (LOCATION, "location"),
        (IF, "if in location"),
        (LIMIT_EXCEPT, "limit_except"),
    ];
    NAMES
        .iter()
        .filter(|(bit, _)| rule.contexts & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

/// The rule for a directive of this name.
pub(super) fn rule(name: &str) -> Option<&'static Rule> {
    static IGNORED_RULE: Rule = Rule {
        name: "",
        contexts: ANY,
        arguments: 0..=usize::MAX,
        effect: Effect::Ignored,
    };
    let known = all().find(|rule| rule.name == name);
    known.or_else(|| ignored::reason(name).map(|_| &IGNORED_RULE))
}

/// Every directive that is served.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    let tables = [
        DIRECTIVES,
        web::DIRECTIVES,
        rewriting::DIRECTIVES,
        gzip::DIRECTIVES,
        charset::DIRECTIVES,
        connection::DIRECTIVES,
        logs::DIRECTIVES,
        nhpm::DIRECTIVES,
        nchan::DIRECTIVES,
    ];
    tables
        .into_iter()
        .chain(nchan_unsupported::DIRECTIVES.iter().copied())
        .flatten()
}

/// As [`rule`], and the directives that are served only in files with hooks of nchan.
pub(super) fn rule_with_hooks(name: &str) -> Option<&'static Rule> {
    rule(name).or_else(|| {
        super::proxy::DIRECTIVES
            .iter()
            .find(|rule| rule.name == name)
    })
}

/// A directive with its arguments, as the functions of the table see it.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a [Vec<u8>],
    /// The variables of the file.
    pub(super) names: &'a VariableNames,
    /// The formats of logs of the file.
    pub(super) log_formats: &'a LogFormats,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
    pub(super) place: Place,
}

impl Value<'_> {
    pub(super) fn first(&self) -> &[u8] {
        self.arguments
            .first()
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(super) fn text(&self) -> Bytes {
        Bytes::copy_from_slice(self.first())
    }

    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(self.first()).into_owned()
    }

    pub(super) fn invalid(&self, what: &str) -> String {
        format!("\"{}\" directive invalid {what}", self.name)
    }

    pub(super) fn expression(&self) -> Result<Option<Expression>, String> {
        Expression::parse_with(self.first(), self.names)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    pub(super) fn flag(&self) -> Result<Option<bool>, String> {
        match self.first().to_ascii_lowercase().as_slice() {
            b"on" => Ok(Some(true)),
            b"off" => Ok(Some(false)),
            _ => Err(format!(
                "invalid value \"{}\" in \"{}\" directive, it must be \"on\" or \"off\"",
                self.shown(),
                self.name
            )),
        }
    }

    pub(super) fn number(&self) -> Result<Option<u64>, String> {
        units::number(self.first())
            .map(Some)
            .ok_or_else(|| self.invalid("number"))
    }

    pub(super) fn seconds(&self) -> Result<Duration, String> {
        units::time(self.first(), false).ok_or_else(|| self.invalid("value"))
    }

    pub(super) fn milliseconds(&self) -> Result<Duration, String> {
        units::time(self.first(), true).ok_or_else(|| self.invalid("value"))
    }

    pub(super) fn duplicate(&self) -> String {
        format!("\"{}\" directive is duplicate", self.name)
    }
}

pub(super) const fn rule_of(
    name: &'static str,
    contexts: u8,
    arguments: std::ops::RangeInclusive<usize>,
    effect: Effect,
) -> Rule {
    Rule {
        name,
        contexts,
        arguments,
        effect,
    }
}

/// Declares a directive with one argument.
macro_rules! one {
    ($name:literal, $contexts:expr, |$scope:ident, $value:ident| $($field:ident).+ = $read:expr) => {
        rule_of($name, $contexts, 1..=1, Effect::Once(|$scope, $value| {
            $scope.$($field).+ = $read;
            Ok(())
        }))
    };
    // The form that rustfmt makes of a long assignment.
    ($name:literal, $contexts:expr, |$scope:ident, $value:ident| { $($field:ident).+ = $read:expr }) => {
        one!($name, $contexts, |$scope, $value| $($field).+ = $read)
    };
}

static DIRECTIVES: &[Rule] = &[
    rule_of("events", MAIN, 0..=0, Effect::Block),
    rule_of("http", MAIN, 0..=0, Effect::Block),
    rule_of("server", HTTP, 0..=0, Effect::Block),
    rule_of("location", SERVER | LOCATION, 1..=2, Effect::Block),
    rule_of("if", SERVER | LOCATION, 1..=usize::MAX, Effect::Block),
    rule_of("types", HSL, 0..=0, Effect::Block),
    rule_of(
        "worker_processes",
        MAIN,
        1..=1,
        Effect::Once(worker_processes),
    ),
    rule_of("listen", SERVER, 1..=usize::MAX, Effect::Many(listen_on)),
    rule_of(
        "server_name",
        SERVER,
        1..=usize::MAX,
        Effect::Many(server_name),
    ),
    one!("default_type", HSL, |s, v| level.default_type =
        Some(v.text())),
    rule_of(
        "client_max_body_size",
        HSL,
        1..=1,
        Effect::Once(client_max_body_size),
    ),
    rule_of(
        "keepalive_timeout",
        HSL,
        1..=2,
        Effect::Once(keepalive_timeout),
    ),
    one!("client_header_timeout", HTTP | SERVER, |s, v| limits
        .header_timeout =
        v.milliseconds()?),
    one!("client_body_timeout", HSL, |s, v| limits.body_timeout =
        v.milliseconds()?),
    one!("send_timeout", HSL, |s, v| limits.send_timeout =
        v.milliseconds()?),
    rule_of(
        "push_stream_channels_statistics",
        LOCATION,
        0..=0,
        Effect::Many(statistics),
    ),
    rule_of(
        "push_stream_publisher",
        LOCATION,
        0..=1,
        Effect::Many(publisher),
    ),
    rule_of(
        "push_stream_subscriber",
        LOCATION,
        0..=1,
        Effect::Many(subscriber),
    ),
    rule_of(
        "push_stream_shared_memory_size",
        HTTP,
        1..=2,
        Effect::Many(shared_memory_size),
    ),
    one!("push_stream_channel_deleted_message_text", HTTP, |s, v| {
        broker.channel_deleted_message_text = v.text()
    }),
    one!("push_stream_channel_inactivity_time", HTTP, |s, v| broker
        .channel_inactivity_time =
        v.seconds()?),
    one!("push_stream_ping_message_text", HTTP, |s, v| broker
        .ping_message_text =
        v.text()),
    one!("push_stream_timeout_with_body", HTTP, |s, v| broker
        .timeout_with_body =
        v.flag()?.unwrap_or_default()),
    one!("push_stream_message_ttl", HTTP, |s, v| broker.message_ttl =
        v.seconds()?),
    one!("push_stream_max_subscribers_per_channel", HTTP, |s, v| {
        broker.max_subscribers_per_channel = v.number()?
    }),
    one!(
        "push_stream_max_messages_stored_per_channel",
        HTTP,
        |s, v| broker.max_messages_stored_per_channel = v.number()?
    ),
    one!("push_stream_max_channel_id_length", HTTP, |s, v| broker
        .max_channel_id_length =
        v.number()?),
    one!("push_stream_max_number_of_channels", HTTP, |s, v| broker
        .max_number_of_channels =
        v.number()?),
    one!(
        "push_stream_max_number_of_wildcard_channels",
        HTTP,
        |s, v| broker.max_number_of_wildcard_channels = v.number()?
    ),
    one!("push_stream_wildcard_channel_prefix", HTTP, |s, v| broker
        .wildcard_channel_prefix =
        v.text()),
    one!("push_stream_events_channel_id", HTTP, |s, v| broker
        .events_channel_id =
        v.text()),
    one!("push_stream_channels_path", HSLI, |s, v| level
        .channels_path =
        v.expression()?),
    one!("push_stream_store_messages", HSLI, |s, v| level
        .store_messages =
        v.flag()?),
    one!("push_stream_channel_info_on_publish", HSL, |s, v| level
        .channel_info_on_publish =
        v.flag()?),
    one!("push_stream_authorized_channels_only", HSL, |s, v| level
        .authorized_channels_only =
        v.flag()?),
    rule_of(
        "push_stream_header_template",
        HSL,
        1..=1,
        Effect::Many(header_template),
    ),
    rule_of(
        "push_stream_header_template_file",
        HSL,
        1..=1,
        Effect::Many(header_template_file),
    ),
    one!("push_stream_message_template", HSL, |s, v| level
        .message_template =
        Some(v.text())),
    one!("push_stream_footer_template", HSL, |s, v| level
        .footer_template =
        Some(v.text())),
    one!("push_stream_wildcard_channel_max_qtd", HSL, |s, v| level
        .wildcard_channel_max_qtd =
        v.number()?),
    one!("push_stream_ping_message_interval", HSL, |s, v| level
        .ping_message_interval =
        Some(v.milliseconds()?)),
    one!("push_stream_subscriber_connection_ttl", HSL, |s, v| level
        .subscriber_connection_ttl =
        Some(v.milliseconds()?)),
    one!("push_stream_longpolling_connection_ttl", HSL, |s, v| {
        level.longpolling_connection_ttl = Some(v.milliseconds()?)
    }),
    one!("push_stream_websocket_allow_publish", HSL, |s, v| level
        .websocket_allow_publish =
        v.flag()?),
    one!("push_stream_last_received_message_time", HSLI, |s, v| {
        level.last_received_message_time = v.expression()?
    }),
    one!("push_stream_last_received_message_tag", HSLI, |s, v| {
        level.last_received_message_tag = v.expression()?
    }),
    one!("push_stream_last_event_id", HSLI, |s, v| level
        .last_event_id =
        v.expression()?),
    one!("push_stream_user_agent", HSL, |s, v| level.user_agent =
        v.expression()?),
    one!("push_stream_padding_by_user_agent", HSL, |s, v| level
        .padding_by_user_agent =
        Some(v.text())),
    one!("push_stream_allowed_origins", HSL, |s, v| level
        .allowed_origins =
        v.expression()?),
    one!(
        "push_stream_allow_connections_to_events_channel",
        HSLI,
        |s, v| level.allow_connections_to_events_channel = v.flag()?
    ),
    // Ours: the module has nothing like them.
    rule_of(
        "pushctl_slow_consumer",
        HSL,
        1..=1,
        Effect::Once(slow_consumer),
    ),
    rule_of(
        "pushctl_slow_consumer_bytes",
        HSL,
        1..=1,
        Effect::Once(slow_consumer_bytes),
    ),
    one!("pushctl_gap_notice", HSL, |s, v| level.gap_notice =
        v.flag()?),
    one!("pushctl_batch", HSL, |s, v| level.batch = v.flag()?),
    rule_of(
        "pushctl_front_enforces",
        HSL,
        1..=usize::MAX,
        Effect::Once(guards::front_enforces),
    ),
    rule_of(
        guards::NOT_ENFORCED,
        HSLI | SERVER_IF | LIMIT_EXCEPT,
        1..=usize::MAX,
        Effect::Many(guards::not_enforced),
    ),
];

fn worker_processes(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first() == b"auto" {
        scope.workers = Some(0);
        return Ok(());
    }
    let workers = value
        .number()?
        .and_then(|number| usize::try_from(number).ok())
        .filter(|workers| *workers > 0);
    scope.workers = Some(workers.ok_or_else(|| value.invalid("number"))?);
    Ok(())
}

/// Why a `listen` with `quic` has no effect.
const QUIC: &str = "pushctl opens no UDP port, clients use the TCP addresses";

fn listen_on(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let listens = listen::parse(value.arguments)?;
    if let Some(quic) = listens.first().filter(|listen| listen.is_quic) {
        scope.has_quic = true;
        scope.verdict = Some(Support::Ignored(QUIC));
        scope.notices.push(format!(
            "\"listen {}\" with HTTP/3 is ignored: {QUIC}",
            quic.text
        ));
        return Ok(());
    }
    let is_known = |listen: &Listen| {
        scope
            .listens
            .iter()
            .any(|earlier| earlier.address == listen.address)
    };
    if let Some(duplicate) = listens.iter().find(|listen| is_known(listen)) {
        return Err(format!("a duplicate listen {}", duplicate.text));
    }
    scope.listens.extend(listens);
    Ok(())
}

fn server_name(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    for name in value.arguments {
        scope
            .names
            .extend(ServerName::parse(&String::from_utf8_lossy(name))?);
    }
    Ok(())
}

/// The second argument is for a header that is not sent.
fn keepalive_timeout(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value
        .arguments
        .get(1)
        .is_some_and(|header| units::time(header, false).is_none())
    {
        return Err(value.invalid("value"));
    }
    scope.limits.keepalive_timeout = value.milliseconds()?;
    Ok(())
}

fn client_max_body_size(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.client_max_body_size =
        Some(units::size(value.first(), true).ok_or_else(|| value.invalid("value"))?);
    Ok(())
}

fn slow_consumer(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let policy = SlowPolicy::from_name(&value.shown());
    let names = SlowPolicy::NAMES.map(|(name, _)| name).join(", ");
    let unknown = || {
        format!(
            "invalid value \"{}\" in \"{}\" directive, accepted values ({names})",
            value.shown(),
            value.name
        )
    };
    scope.level.slow_consumer = Some(policy.ok_or_else(unknown)?);
    Ok(())
}

fn slow_consumer_bytes(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let bytes = units::size(value.first(), true).filter(|bytes| *bytes > 0);
    let wrong = || {
        format!(
            "invalid value \"{}\" in \"{}\" directive, it must be a size above zero such as 512k \
             or 4m",
            value.shown(),
            value.name
        )
    };
    scope.level.slow_consumer_bytes = Some(bytes.ok_or_else(wrong)?);
    Ok(())
}

/// Never complains of another endpoint before it, and replaces it.
fn statistics(scope: &mut Scope, _value: &Value<'_>) -> Result<(), String> {
    scope.endpoint = Some(Endpoint::Statistics);
    Ok(())
}

fn publisher(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let admin = match value.first().to_ascii_lowercase().as_slice() {
        b"normal" => false,
        b"" if value.arguments.is_empty() => false,
        b"admin" => true,
        _ => return Err(invalid_mode(value, "normal, admin")),
    };
    set_endpoint(scope, value, Endpoint::Publisher { admin })
}

fn subscriber(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let mode = match value.first().to_ascii_lowercase().as_slice() {
        b"streaming" => SubscriberMode::Streaming,
        b"" if value.arguments.is_empty() => SubscriberMode::Streaming,
        b"polling" => SubscriberMode::Polling,
        b"long-polling" => SubscriberMode::LongPolling,
        b"eventsource" => SubscriberMode::EventSource,
        b"websocket" => SubscriberMode::WebSocket,
        _ => {
            return Err(invalid_mode(
                value,
                "streaming, polling, long-polling, eventsource, websocket",
            ));
        }
    };
    set_endpoint(scope, value, Endpoint::Subscriber(mode))
}

fn invalid_mode(value: &Value<'_>, accepted: &str) -> String {
    format!(
        "push stream module: invalid {} mode value: {}, accepted values ({accepted})",
        value.name,
        value.shown()
    )
}

fn set_endpoint(scope: &mut Scope, value: &Value<'_>, endpoint: Endpoint) -> Result<(), String> {
    if scope.endpoint.is_some() {
        return Err(value.duplicate());
    }
    scope.endpoint = Some(endpoint);
    Ok(())
}

/// Rounded up to pages, as nginx does before it compares with the minimum.
fn shared_memory_size(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    const PAGE: u64 = 4096;
    const LEAST: u64 = 32 * PAGE;
    let size = units::size(value.first(), false)
        .and_then(|size| size.checked_next_multiple_of(PAGE))
        .filter(|size| *size >= LEAST);
    let size = size.ok_or("The push_stream_shared_memory_size value must be at least 128KiB")?;
    let zone = value
        .arguments
        .get(1)
        .map_or(Bytes::from_static(b"push_stream_module"), |name| {
            Bytes::copy_from_slice(name)
        });
    if scope.zones.contains(&zone) {
        return Err(format!(
            "duplicate zone \"{}\"",
            String::from_utf8_lossy(&zone)
        ));
    }
    scope.zones.push(zone);
    scope.broker.shared_memory_size = size;
    scope.set_memory_of_module();
    Ok(())
}

fn header_template(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if scope.level.header_template.is_some() {
        return Err(value.duplicate());
    }
    scope.level.header_template = Some(value.text());
    Ok(())
}

fn header_template_file(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if scope.level.header_template.is_some() {
        return Err(format!(
            "{} or template set by 'push_stream_header_template'",
            value.duplicate()
        ));
    }
    let path = value.shown();
    let cannot_open =
        |_| format!("push stream module: unable to open file \"{path}\" for header template");
    if cfg!(fuzzing) {
        // A fuzzer must not read files.
        scope.level.header_template = Some(path.clone().into());
        return Ok(());
    }
    scope.level.header_template = Some(
        super::files::read(Path::new(&path))
            .map_err(cannot_open)?
            .into(),
    );
    Ok(())
}

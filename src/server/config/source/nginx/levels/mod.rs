//! The settings of one block, and their inheritance: the innermost value wins, and an empty text is
//! a value (push-stream.md, section 15).

mod charset_types;
pub(in crate::server) mod endpoint_choice;
mod gzip_settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::endpoint_choice::EndpointChoice;
use super::channel_directive;
use super::channel_directive::ChannelDirective;
use super::guard_directive;
use super::guard_directive::GuardDirective;
use super::listen::Listen;
use super::push_levels::{NchanLevel, NhpmLevel, ProxyLevel};
use crate::server::config::model::clients::{Clients, RealIp, RealIpHeader};
use crate::server::config::model::compression::{ProxiedCondition, UserAgents};
use crate::server::config::model::defaults;
use crate::server::config::model::location::rewrite_phase::RewriteStep;
use crate::server::config::model::logs::AccessLog;
use crate::server::config::model::template::Template;
use crate::server::config::model::web::{
    AccessRule, AddedHeader, Authentication, Gate, IfModifiedSince, LimitExcept, Root,
};
use crate::server::config::source::FrontEnforces;
use crate::server::config::source::Support;
use crate::server::config::{
    BrokerSettings, ConnectionLimits, Endpoint, ErrorLog, Expression, LocationSettings,
    MemoryAccounting, MessageFormat, Paddings, ProxySettings, ServerName, SlowPolicy, Types,
    WebSettings,
};

/// The settings read from a block so far. Which of them can be set depends on the kind of the
/// block.
#[derive(Debug, Default)]
pub(in crate::server) struct Scope {
    pub(in crate::server) level: Level,
    /// Of a location.
    pub(in crate::server) endpoint: Option<EndpointChoice>,
    /// Of `http`.
    pub(in crate::server) broker: BrokerSettings,
    /// Names of the shared memory zones of `http`.
    pub(in crate::server) zones: Vec<Bytes>,
    /// Of `http` and `server`: they apply to the whole process.
    pub(in crate::server) limits: ConnectionLimits,
    /// Of a `server`.
    pub(in crate::server) listens: Vec<Listen>,
    /// Of a `server`: it has a `listen` with `quic`.
    pub(in crate::server) has_quic: bool,
    /// Of a `server`.
    pub(in crate::server) names: Vec<ServerName>,
    /// Of a `server`, location or `if`: the rewrite phase.
    pub(in crate::server) steps: Vec<StepDraft>,
    /// Notices about the current directive.
    pub(in crate::server) notices: Vec<String>,
    /// Support of the current directive, if its rule does not determine it.
    pub(in crate::server) support: Option<Support>,
    /// `error_log`
    pub(in crate::server) error_logs: Vec<ErrorLog>,
    /// `server_tokens off`
    pub(in crate::server) hides_version: bool,
    /// A directive has set the memory limit.
    pub(in crate::server) has_memory_size: bool,
    /// `worker_processes` of the file; 0 = `auto`.
    pub(in crate::server) workers: Option<usize>,
}

/// A step whose `if` is not built yet.
#[derive(Debug)]
pub(in crate::server) enum StepDraft {
    Step(RewriteStep),
    /// The next `if` block of the scope.
    If,
}

impl Scope {
    /// Accounts memory as a module of nginx does, because the configured size was chosen for one:
    /// connections, which nginx stores outside of shared memory, have a separate limit.
    pub(in crate::server) fn set_memory_of_module(&mut self) {
        self.has_memory_size = true;
        self.broker.memory_accounting = MemoryAccounting::SharedMemory;
        self.broker.connection_memory = Some(defaults::CONNECTION_MEMORY);
    }

    /// Marks an invalid directive as present, so that it is not reported as missing as well.
    pub(in crate::server) fn take_as_given(&mut self, name: &str) {
        match name {
            "push_stream_channels_path" => drop(
                self.level
                    .channels_path
                    .get_or_insert_with(|| Expression::literal("")),
            ),
            "push_stream_shared_memory_size" if self.zones.is_empty() => {
                self.zones.push(Bytes::new())
            }
            _ => {}
        }
    }
}

/// Declares [`Level`] with its inheritance, so that no directive can be forgotten in one of them.
macro_rules! level {
    ($($name:ident: $kind:ty,)*) => {
        /// Inheritable settings; `None` if not set.
        #[derive(Clone, Debug, Default)]
        pub(in crate::server) struct Level {
            $(pub(in crate::server) $name: Option<$kind>,)*
            /// The guards in force.
            pub(in crate::server) guards: Vec<GuardDirective>,
            /// The directives in force that select channels.
            pub(in crate::server) channel_directives: Vec<ChannelDirective>,
            /// Names of the guards that are turned off here.
            pub(in crate::server) guards_off: Vec<String>,
            /// Not inherited.
            pub(in crate::server) secure_link_secret: Option<Bytes>,
            /// Not inherited: a nested location accepts all methods.
            pub(in crate::server) limit_except: Option<Arc<LimitExcept>>,
            /// Settings of NHPM.
            pub(in crate::server) nhpm: NhpmLevel,
            /// Settings of nchan.
            pub(in crate::server) nchan: NchanLevel,
            /// Settings of back-ends.
            pub(in crate::server) proxy: ProxyLevel,
        }

        impl Level {
            /// Inherits the settings that are not set here from the enclosing block.
            pub(in crate::server) fn inherit(self, outer: &Level) -> Level {
                Level {
                    $($name: self.$name.or_else(|| outer.$name.clone()),)*
                    guards: guard_directive::inherit(self.guards, &self.guards_off, &outer.guards),
                    guards_off: self.guards_off,
                    channel_directives: channel_directive::inherit(
                        self.channel_directives,
                        &outer.channel_directives,
                    ),
                    secure_link_secret: self.secure_link_secret,
                    limit_except: self.limit_except,
                    nhpm: self.nhpm.inherit(&outer.nhpm),
                    nchan: self.nchan.inherit(&outer.nchan),
                    // A nested location does not inherit `proxy_pass`.
                    proxy: self.proxy.inherit(&ProxyLevel { pass: None, ..outer.proxy.clone() }),
                }
            }
        }
    };
}

level! {
    front_enforces: FrontEnforces,
    // Computed for each location by `settle_guards`.
    content_gate: Gate,
    answer_gate: Gate,
    internal_from_front: bool,
    // Name of a directive because of which no files are served.
    files_blocked: String,
    added_headers: Vec<AddedHeader>,
    access: Vec<AccessRule>,
    satisfy_any: bool,
    internal: bool,
    // An inner `None` is `off`.
    auth_realm: Option<Expression>,
    auth_users: PathBuf,
    secure_link: Expression,
    secure_link_text: Expression,
    // An inner `None` is `off`.
    auth_request: Option<Bytes>,
    auth_request_set: Vec<(usize, Expression)>,
    root: Root,
    index: Vec<Expression>,
    access_logs: Vec<Arc<AccessLog>>,
    channels_path: Expression,
    store_messages: bool,
    channel_info_on_publish: bool,
    authorized_channels_only: bool,
    header_template: Bytes,
    message_template: Bytes,
    footer_template: Bytes,
    wildcard_channel_max_qtd: u64,
    ping_message_interval: Duration,
    subscriber_connection_ttl: Duration,
    longpolling_connection_ttl: Duration,
    websocket_allow_publish: bool,
    last_received_message_time: Expression,
    last_received_message_tag: Expression,
    last_event_id: Expression,
    user_agent: Expression,
    padding_by_user_agent: Bytes,
    allowed_origins: Expression,
    allow_connections_to_events_channel: bool,
    // An extension of pushctl.
    batch: bool,
    types: Vec<(String, Bytes)>,
    charset: Option<Bytes>,
    charset_types: Vec<String>,
    chunked_transfer_encoding: bool,
    default_type: Bytes,
    client_max_body_size: u64,
    slow_consumer: SlowPolicy,
    slow_consumer_bytes: u64,
    gap_notice: bool,
    real_ip_from: Vec<Clients>,
    real_ip_header: RealIpHeader,
    real_ip_recursive: bool,
    keepalive_requests: u64,
    underscores_in_headers: bool,
    merge_slashes: bool,
    etag: bool,
    if_modified_since: IfModifiedSince,
    max_ranges: u64,
    gzip: bool,
    gzip_types: Vec<String>,
    gzip_level: u32,
    gzip_min_length: u64,
    gzip_minor_version: u8,
    gzip_vary: bool,
    gzip_proxied: Vec<ProxiedCondition>,
    gzip_disable: Vec<UserAgents>,
    // Of a location with a back-end.
    proxy_settings: Arc<ProxySettings>,
}

impl Level {
    /// The settings of a location, with the defaults of the module and of nginx.
    pub(in crate::server) fn settings(
        &self,
        endpoint: Endpoint,
        paddings: Paddings,
        broker: &BrokerSettings,
    ) -> Arc<LocationSettings> {
        let level = self.clone();
        let defaults = LocationSettings::default();
        let message_format = self.message_format().unwrap_or(defaults.message_format);
        Arc::new(LocationSettings {
            channels_path: level.channels_path,
            store_messages: level.store_messages.unwrap_or(defaults.store_messages),
            channel_info_on_publish: level
                .channel_info_on_publish
                .unwrap_or(defaults.channel_info_on_publish),
            authorized_channels_only: level
                .authorized_channels_only
                .unwrap_or(defaults.authorized_channels_only),
            header_template: level.header_template,
            message_format,
            footer_template: level.footer_template,
            wildcard_channel_max_qtd: level
                .wildcard_channel_max_qtd
                .or(broker.max_number_of_wildcard_channels),
            ping_message_interval: level.ping_message_interval,
            subscriber_connection_ttl: level.subscriber_connection_ttl,
            longpolling_connection_ttl: level
                .longpolling_connection_ttl
                .or(level.subscriber_connection_ttl),
            websocket_allow_publish: level
                .websocket_allow_publish
                .unwrap_or(defaults.websocket_allow_publish),
            last_received_message_time: level.last_received_message_time,
            last_received_message_tag: level.last_received_message_tag,
            last_event_id: level.last_event_id,
            cursor_headers_as_fallback: false,
            user_agent: level.user_agent,
            paddings,
            allowed_origins: level.allowed_origins,
            allow_connections_to_events_channel: level
                .allow_connections_to_events_channel
                .unwrap_or(false),
            batch: level.batch.unwrap_or(false),
            types: self.types(),
            client_max_body_size: level
                .client_max_body_size
                .unwrap_or(defaults.client_max_body_size),
            web: self.web(),
            slow_consumer: level.slow_consumer.unwrap_or(defaults.slow_consumer),
            slow_consumer_bytes: level.slow_consumer_bytes.or(defaults.slow_consumer_bytes),
            is_builtin: false,
            gap_notice: level.gap_notice.unwrap_or(defaults.gap_notice),
            gzip: gzip_settings::settings(self),
            endpoint: match (endpoint, level.proxy_settings) {
                (Endpoint::None, Some(proxy)) => Endpoint::BackEnd(proxy),
                (endpoint, _) => endpoint,
            },
        })
    }

    fn message_format(&self) -> Option<MessageFormat> {
        // An empty template is the default of eventsource, and a mistake elsewhere.
        let template = self.message_template.as_ref();
        template
            .filter(|template| !template.is_empty())
            .map(|template| MessageFormat::Template(Template::parse(template)))
    }

    /// The content types of a location, with its charset.
    fn types(&self) -> Arc<Types> {
        let defaults = Types::default();
        let mut by_extension = self.types.clone().unwrap_or(defaults.by_extension);
        by_extension.sort();
        let types = Types {
            by_extension,
            default_type: self.default_type.clone().unwrap_or(defaults.default_type),
            page_type: defaults.page_type,
        };
        Arc::new(charset_types::types(self, types))
    }

    pub(in crate::server) fn web(&self) -> Arc<WebSettings> {
        let level = self.clone();
        let authentication = match (level.auth_realm, level.auth_users) {
            (Some(Some(realm)), Some(users)) => Some(Arc::new(Authentication { realm, users })),
            _ => None,
        };
        let is_blocked = !level.guards.is_empty() || level.files_blocked.is_some();
        Arc::new(WebSettings {
            added_headers: level.added_headers.unwrap_or_default(),
            access: level.access.unwrap_or_default(),
            satisfy_any: level.satisfy_any.unwrap_or(false),
            authentication,
            internal: level.internal.unwrap_or(false),
            internal_from_front: level.internal_from_front.unwrap_or(false),
            content_gate: level.content_gate.unwrap_or_default(),
            answer_gate: level.answer_gate.unwrap_or_default(),
            root: level.root.filter(|_| !is_blocked),
            index: level
                .index
                .unwrap_or_else(|| vec![Expression::literal("index.html")]),
            access_logs: level.access_logs.unwrap_or_default(),
            real_ip: level.real_ip_from.map(|trusted| {
                let header = level
                    .real_ip_header
                    .unwrap_or_else(|| RealIpHeader::Named("x-real-ip".to_owned()));
                Arc::new(RealIp {
                    trusted,
                    header,
                    recursive: level.real_ip_recursive.unwrap_or(false),
                })
            }),
            limit_except: level.limit_except,
            keepalive_requests: level.keepalive_requests,
            without_etag: level.etag == Some(false),
            without_chunks: level.chunked_transfer_encoding == Some(false),
            unmodified: level.if_modified_since.unwrap_or_default(),
            max_ranges: level.max_ranges,
            secure_link: self.secure_link().map(Arc::new),
            auth_request: self.auth_request().map(Arc::new),
        })
    }
}

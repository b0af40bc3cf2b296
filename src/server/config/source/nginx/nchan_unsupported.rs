//! The unsupported directives of nchan: those of its Redis engine and of its benchmark. Only the
//! locations that need them fail; the rest of the file is served. Names and contexts are those of
//! nchan 1.3.6.

use super::levels::Scope;
use super::rule::{Effect, HTTP, LOCATION, Rule, SERVER, Value, rule_of};

const HSL: u8 = HTTP | SERVER | LOCATION;
/// Only in `upstream` blocks, which `upstreams` reads.
const UPSTREAM_ONLY: u8 = 0;

/// Declares directives of the same contexts that are only reported.
macro_rules! unsupported {
    ($contexts:expr, $arguments:expr, $report:expr, [$($name:literal),* $(,)?]) => {
        &[$(rule_of($name, $contexts, $arguments, Effect::Unsupported($report))),*]
    };
}

/// The tables.
pub(in crate::server) static DIRECTIVES: &[&[Rule]] = &[
    &[
        rule_of("nchan_redis_pass", HSL, 1..=1, Effect::Unsupported(redis)),
        rule_of(
            "nchan_use_redis",
            HSL,
            1..=1,
            Effect::Unsupported(use_redis),
        ),
    ],
    unsupported!(
        HSL,
        1..=1,
        redis_setting,
        [
            "nchan_redis_pass_inheritable",
            "nchan_redis_url",
            "nchan_redis_storage_mode",
            "nchan_redis_namespace",
            "nchan_redis_ping_interval",
            "nchan_redis_idle_channel_cache_timeout",
            "nchan_redis_wait_after_connecting",
        ]
    ),
    unsupported!(
        HTTP,
        1..=1,
        redis_setting,
        [
            "nchan_redis_fakesub_timer_interval",
            "nchan_redis_publish_msgpacked_max_size"
        ]
    ),
    unsupported!(
        HTTP | SERVER,
        1..=1,
        redis_setting,
        ["nchan_redis_nostore_fastpublish"]
    ),
    unsupported!(
        SERVER | LOCATION,
        1..=1,
        handler,
        ["nchan_redis_upstream_stats"]
    ),
    unsupported!(
        UPSTREAM_ONLY,
        1..=2,
        redis_setting,
        [
            "nchan_redis_accurate_subscriber_count",
            "nchan_redis_cluster_check_interval",
            "nchan_redis_cluster_check_interval_backoff",
            "nchan_redis_cluster_check_interval_jitter",
            "nchan_redis_cluster_check_interval_max",
            "nchan_redis_cluster_check_interval_min",
            "nchan_redis_cluster_connect_timeout",
            "nchan_redis_cluster_max_failing_time",
            "nchan_redis_cluster_recovery_delay",
            "nchan_redis_cluster_recovery_delay_backoff",
            "nchan_redis_cluster_recovery_delay_jitter",
            "nchan_redis_cluster_recovery_delay_max",
            "nchan_redis_cluster_recovery_delay_min",
            "nchan_redis_command_timeout",
            "nchan_redis_connect_timeout",
            "nchan_redis_discovered_ip_range_blacklist",
            "nchan_redis_idle_channel_keepalive_backoff",
            "nchan_redis_idle_channel_keepalive_jitter",
            "nchan_redis_idle_channel_keepalive_max",
            "nchan_redis_idle_channel_keepalive_min",
            "nchan_redis_idle_channel_keepalive_safety_margin",
            "nchan_redis_load_scripts_unconditionally",
            "nchan_redis_node_connect_timeout",
            "nchan_redis_optimize_target",
            "nchan_redis_password",
            "nchan_redis_reconnect_delay",
            "nchan_redis_reconnect_delay_backoff",
            "nchan_redis_reconnect_delay_jitter",
            "nchan_redis_reconnect_delay_max",
            "nchan_redis_reconnect_delay_min",
            "nchan_redis_retry_commands",
            "nchan_redis_retry_commands_max_wait",
            "nchan_redis_server",
            "nchan_redis_ssl",
            "nchan_redis_ssl_ciphers",
            "nchan_redis_ssl_client_certificate",
            "nchan_redis_ssl_client_certificate_key",
            "nchan_redis_ssl_server_name",
            "nchan_redis_ssl_trusted_certificate",
            "nchan_redis_ssl_trusted_certificate_path",
            "nchan_redis_ssl_verify_certificate",
            "nchan_redis_subscribe_weights",
            "nchan_redis_tls",
            "nchan_redis_tls_ciphers",
            "nchan_redis_tls_client_certificate",
            "nchan_redis_tls_server_name",
            "nchan_redis_tls_trusted_certificate",
            "nchan_redis_tls_trusted_certificate_path",
            "nchan_redis_tls_verify_certificate",
            "nchan_redis_upstream_stats_disconnected_timeout",
            "nchan_redis_upstream_stats_enabled",
            "nchan_redis_username",
        ]
    ),
    unsupported!(LOCATION, 0..=0, handler, ["nchan_benchmark"]),
    unsupported!(
        LOCATION,
        1..=1,
        benchmark_setting,
        [
            "nchan_benchmark_channels",
            "nchan_benchmark_message_padding_bytes",
            "nchan_benchmark_messages_per_channel_per_minute",
            "nchan_benchmark_publisher_distribution",
            "nchan_benchmark_subscriber_distribution",
            "nchan_benchmark_subscribers_per_channel",
            "nchan_benchmark_time",
        ]
    ),
];

/// The way out for settings of Redis.
pub(in crate::server) const WITHOUT_REDIS: &str =
    "pushctl has no Redis engine; without \"nchan_redis_pass\" it keeps messages in its own memory";

/// The rule of a directive in an `upstream` block.
pub(in crate::server) fn rule_in_upstream(name: &str) -> Option<&'static Rule> {
    const ELSEWHERE_TOO: [&str; 4] = [
        "nchan_redis_namespace",
        "nchan_redis_storage_mode",
        "nchan_redis_ping_interval",
        "nchan_redis_nostore_fastpublish",
    ];
    let rule = DIRECTIVES
        .iter()
        .copied()
        .flatten()
        .find(|rule| rule.name == name)?;
    (rule.contexts == UPSTREAM_ONLY || ELSEWHERE_TOO.contains(&name)).then_some(rule)
}

/// The location responds with 503.
pub(in crate::server) fn redis(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.nchan.redis = Some(true);
    scope.notices.push(format!(
        "\"{}\": the locations that use it respond with 503, because {WITHOUT_REDIS}",
        value.name
    ));
    Ok(())
}

fn use_redis(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.flag()? == Some(true) {
        redis(scope, value)
    } else {
        redis_setting(scope, value)
    }
}

fn redis_setting(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.notices.push(format!(
        "\"{}\" is not supported: {WITHOUT_REDIS}",
        value.name
    ));
    Ok(())
}

/// The location responds with 404 and serves no files.
fn handler(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.files_blocked = Some(value.name.to_owned());
    let instead = if value.name == "nchan_benchmark" {
        "measure with `pushctl bench` instead"
    } else {
        WITHOUT_REDIS
    };
    scope.notices.push(format!(
        "\"{}\" is not supported, the location responds with 404: {instead}",
        value.name
    ));
    Ok(())
}

fn benchmark_setting(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.notices.push(format!(
        "\"{}\" is not supported: measure with `pushctl bench` instead",
        value.name
    ));
    Ok(())
}

//! Directives of nginx that change nothing in what pushctl does, with the reason: accepted wherever
//! they stand.

/// Why a directive has no effect; `None` = it is not one of these.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    GROUPS
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(reason, _)| *reason)
}

static GROUPS: &[(&str, &[&str])] = &[
    (
        "pushctl is one process, managed by its service manager",
        &[
            "accept_mutex",
            "accept_mutex_delay",
            "daemon",
            "debug_connection",
            "debug_points",
            "env",
            "load_module",
            "lock_file",
            "master_process",
            "multi_accept",
            "pid",
            "thread_pool",
            "timer_resolution",
            "use",
            "user",
            "worker_aio_requests",
            "worker_cpu_affinity",
            "worker_priority",
            "worker_rlimit_core",
            "worker_rlimit_nofile",
            "worker_shutdown_timeout",
            "working_directory",
        ],
    ),
    (
        "the bound is the option --max-connections of serve",
        &["worker_connections"],
    ),
    (
        "the bound is the option --max-header-size of serve",
        &["client_header_buffer_size", "large_client_header_buffers"],
    ),
    (
        "memory and buffers are managed by pushctl itself",
        &[
            "client_body_buffer_size",
            "client_body_in_file_only",
            "client_body_in_single_buffer",
            "client_body_temp_path",
            "connection_pool_size",
            "gzip_buffers",
            "gzip_hash",
            "gzip_no_buffer",
            "gzip_window",
            "map_hash_bucket_size",
            "map_hash_max_size",
            "open_log_file_cache",
            "output_buffers",
            "pcre_jit",
            "postpone_gzipping",
            "postpone_output",
            "request_pool_size",
            "subrequest_output_buffer_size",
            "server_names_hash_bucket_size",
            "server_names_hash_max_size",
            "types_hash_bucket_size",
            "types_hash_max_size",
            "variables_hash_bucket_size",
            "variables_hash_max_size",
        ],
    ),
    (
        "the socket is handled by pushctl itself",
        &[
            "keepalive_disable",
            "keepalive_time",
            "lingering_close",
            "lingering_time",
            "lingering_timeout",
            "send_lowat",
            "sendfile",
            "sendfile_max_chunk",
            "tcp_nodelay",
            "tcp_nopush",
        ],
    ),
    (
        "it defines something that has an effect only where another directive uses it",
        &[
            "geo",
            "geoip2",
            "geoip2_proxy",
            "geoip2_proxy_recursive",
            "geoip_city",
            "geoip_country",
            "geoip_org",
            "geoip_proxy",
            "geoip_proxy_recursive",
            "keyval",
            "keyval_zone",
            "limit_conn_zone",
            "limit_req_zone",
            "lua_shared_dict",
            "match",
            "perl_modules",
            "perl_require",
            "perl_set",
            "proxy_cache_path",
            "split_clients",
            "upstream",
        ],
    ),
    (
        "it is a setting of a directive that is reported where it stands",
        &[
            "limit_conn_dry_run",
            "limit_conn_log_level",
            "limit_conn_status",
            "limit_req_dry_run",
            "limit_req_log_level",
            "limit_req_status",
            "proxy_headers_hash_bucket_size",
            "proxy_headers_hash_max_size",
            "referer_hash_bucket_size",
            "referer_hash_max_size",
        ],
    ),
    (
        "the end of a follower is always noticed, and reported to its back-end",
        &["proxy_ignore_client_abort"],
    ),
    (
        "names are resolved by the system",
        &["resolver", "resolver_timeout"],
    ),
    (
        "pages of errors are not padded, and redirections are those of HTTP",
        &["msie_padding", "msie_refresh"],
    ),
    (
        "steps of the rewrite phase are not logged",
        &["rewrite_log", "uninitialized_variable_warn"],
    ),
    (
        "files are opened and read for each request",
        &[
            "aio",
            "aio_write",
            "directio",
            "directio_alignment",
            "open_file_cache",
            "open_file_cache_errors",
            "open_file_cache_events",
            "open_file_cache_min_uses",
            "open_file_cache_valid",
            "read_ahead",
        ],
    ),
    (
        "connections that take nothing are always reset",
        &["reset_timedout_connection"],
    ),
    (
        "requests with invalid header names are rejected",
        &["ignore_invalid_headers"],
    ),
    (
        "redirections are written as nginx does by default",
        &[
            "absolute_redirect",
            "port_in_redirect",
            "server_name_in_redirect",
        ],
    ),
    (
        "steps of the rewrite phase are not logged",
        &["rewrite_log", "uninitialized_variable_warn"],
    ),
    (
        "files that are not there are not logged as errors",
        &["log_not_found", "log_subrequest"],
    ),
];

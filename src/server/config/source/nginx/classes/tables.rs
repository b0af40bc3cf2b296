//! The names of unsupported directives with their class.

use super::{Class, GuardKind};

/// Classes by name.
pub(super) static NAMES: &[(Class, &str)] = &[
    // Of nginx.
    (
        Class::Guard(GuardKind::Certificate),
        "ssl_verify_client ssl_reject_handshake",
    ),
    (
        Class::Guard(GuardKind::Rewrite),
        "more_set_input_headers more_clear_input_headers",
    ),
    (
        Class::Guard(GuardKind::Access),
        "auth_jwt auth_jwt_require auth_pam auth_digest auth_ldap auth_spnego \
         auth_gss auth_radius secure_download valid_referers \
         modsecurity ModSecurityEnabled SecRulesEnabled testcookie shib_request",
    ),
    (
        Class::Guard(GuardKind::Limit),
        "limit_req limit_conn auth_delay limit_zone vhost_traffic_status_limit_traffic \
         vhost_traffic_status_limit_traffic_by_set_key",
    ),
    (
        Class::Guard(GuardKind::Handler),
        "try_files empty_gif stub_status flv mp4 f4f hls api status perl js_content content_by_lua \
         content_by_lua_file content_by_lua_block echo echo_duplicate echo_flush echo_sleep \
         echo_blocking_sleep echo_read_request_body \
         echo_location echo_location_async echo_subrequest echo_subrequest_async \
         echo_foreach_split echo_end echo_exec echo_request_body \
         passenger_enabled proxy_cache_purge rtmp_stat rtmp_control report_uploads \
         vhost_traffic_status_display",
    ),
    (
        Class::Guard(GuardKind::Script),
        "access_by_lua access_by_lua_file access_by_lua_block rewrite_by_lua rewrite_by_lua_file \
         rewrite_by_lua_block \
         server_rewrite_by_lua_file server_rewrite_by_lua_block set_by_lua set_by_lua_file \
         set_by_lua_block precontent_by_lua_file \
         precontent_by_lua_block header_filter_by_lua header_filter_by_lua_file \
         header_filter_by_lua_block body_filter_by_lua \
         body_filter_by_lua_file body_filter_by_lua_block ssl_client_hello_by_lua_file \
         ssl_client_hello_by_lua_block \
         ssl_certificate_by_lua_file ssl_certificate_by_lua_block js_access js_header_filter \
         js_body_filter \
         set_if_empty set_unescape_uri set_escape_uri set_quote_sql_str set_quote_pgsql_str \
         set_quote_json_str set_hashed_upstream \
         set_encode_base32 set_decode_base32 set_encode_base64 set_decode_base64 \
         set_encode_base64url set_decode_base64url \
         set_encode_hex set_decode_hex set_md5 set_sha1 set_hmac_sha1 set_hmac_sha256 set_random \
         set_secure_random_alphanum \
         set_secure_random_lcalpha set_rotate set_local_today set_formatted_gmt_time \
         set_formatted_local_time set_form_input \
         set_form_input_multi set_encrypt_session set_decrypt_session set_base32_alphabet eval \
         array_split array_join array_map array_map_op",
    ),
    // Files that nginx would change, or not send.
    (
        Class::Files,
        "disable_symlinks ssi xslt_stylesheet image_filter",
    ),
    // Settings of the guards above, which have no effect alone.
    (
        Class::Harmless,
        "auth_jwt_claim_set auth_jwt_header_set auth_jwt_key_cache auth_jwt_key_file \
         auth_jwt_key_request auth_jwt_leeway auth_jwt_type \
         auth_pam_service_name auth_pam_set_pam_env auth_digest_user_file auth_digest_timeout \
         auth_digest_expires \
         auth_digest_replays auth_digest_maxtries auth_digest_evasion_time auth_digest_drop_time \
         auth_digest_shm_size auth_ldap_servers \
         auth_ldap_servers_size auth_ldap_cache_enabled auth_ldap_cache_expiration_time \
         auth_ldap_cache_size ldap_server \
         auth_gss_keytab auth_gss_realm auth_gss_service_name auth_gss_authorized_principal \
         auth_gss_allow_basic_fallback \
         modsecurity_rules modsecurity_rules_file modsecurity_rules_remote \
         modsecurity_transaction_id modsecurity_use_error_log ModSecurityConfig SecRulesDisabled \
         LearningMode CheckRule BasicRule MainRule \
         DeniedUrl LibInjectionSql LibInjectionXss IgnoreIP IgnoreCIDR NaxsiLogFile \
         encrypted_session_key encrypted_session_iv \
         encrypted_session_expires form_input shib_request_set shib_request_use_headers",
    ),
    // Of nginx: responses, variables, settings of TLS and back-ends.
    (
        Class::Harmless,
        "add_trailer add_before_body add_after_body addition_types autoindex autoindex_exact_size \
         autoindex_format \
         autoindex_localtime ancient_browser ancient_browser_value modern_browser \
         modern_browser_value charset_map \
         override_charset source_charset create_full_put_path dav_access dav_methods random_index \
         min_delete_depth \
         error_page expires gunzip gunzip_buffers gzip_static \
         health_check limit_rate limit_rate_after mirror mirror_request_body \
         post_action recursive_error_pages \
         request_id_header slice status_zone max_headers ssl http2 http3 \
         ssi_ignore_recycled_buffers ssi_last_modified ssi_min_file_chunk ssi_silent_errors \
         ssi_types \
         ssi_value_length sub_filter sub_filter_last_modified sub_filter_once sub_filter_types \
         subs_filter subs_filter_types subs_filter_bypass \
         userid userid_domain userid_expires userid_flags userid_mark userid_name userid_p3p \
         userid_path userid_service session_log session_log_zone",
    ),
    // Of common modules: responses, logs and metrics.
    (
        Class::Harmless,
        "vhost_traffic_status vhost_traffic_status_zone vhost_traffic_status_dump \
         vhost_traffic_status_filter \
         vhost_traffic_status_filter_by_host vhost_traffic_status_filter_by_set_key \
         vhost_traffic_status_filter_check_duplicate \
         vhost_traffic_status_filter_max_node vhost_traffic_status_limit \
         vhost_traffic_status_limit_check_duplicate \
         vhost_traffic_status_set_by_filter vhost_traffic_status_average_method \
         vhost_traffic_status_histogram_buckets \
         vhost_traffic_status_bypass_limit vhost_traffic_status_bypass_stats \
         vhost_traffic_status_stats_by_upstream \
         vhost_traffic_status_display_format vhost_traffic_status_display_jsonp \
         vhost_traffic_status_display_sum_key \
         more_set_headers more_clear_headers echo_before_body echo_after_body echo_status \
         echo_reset_timer set_cookie_flag \
         brotli brotli_static brotli_comp_level brotli_types brotli_buffers brotli_min_length \
         brotli_window zstd zstd_static \
         zstd_comp_level zstd_types zstd_buffers zstd_min_length log_by_lua log_by_lua_file \
         log_by_lua_block init_by_lua init_by_lua_file \
         init_by_lua_block init_worker_by_lua init_worker_by_lua_file init_worker_by_lua_block \
         exit_worker_by_lua_file \
         exit_worker_by_lua_block ssl_session_fetch_by_lua_file ssl_session_fetch_by_lua_block \
         ssl_session_store_by_lua_file \
         ssl_session_store_by_lua_block js_import js_include js_path js_set js_var \
         js_preload_object js_shared_dict_zone js_periodic \
         upload_progress upload_progress_json_output track_uploads fancyindex concat opentracing \
         opentelemetry",
    ),
];

/// Settings of nginx's own modules, by prefix. They are listed one by one, so that a misspelt name
/// is unknown.
pub(super) static FAMILIES: &[(&str, &str)] = &[
    ("proxy_ fastcgi_ uwsgi_ scgi_", UPSTREAM_SETTINGS),
    (
        "proxy_ uwsgi_",
        "ssl_certificate ssl_certificate_key ssl_ciphers ssl_conf_command ssl_crl ssl_name \
         ssl_password_file ssl_protocols ssl_server_name \
         ssl_session_reuse ssl_trusted_certificate ssl_verify ssl_verify_depth",
    ),
    (
        "proxy_",
        "cache_convert_head cookie_domain cookie_flags cookie_path headers_hash_bucket_size \
         headers_hash_max_size http_version method \
         redirect send_lowat set_body set_header",
    ),
    (
        "fastcgi_",
        "catch_stderr index keep_conn param send_lowat split_path_info",
    ),
    ("uwsgi_", "modifier1 modifier2 param string"),
    ("scgi_", "param"),
    (
        "grpc_",
        "bind buffer_size connect_timeout hide_header ignore_headers intercept_errors \
         next_upstream next_upstream_timeout \
         next_upstream_tries pass_header read_timeout send_timeout set_header socket_keepalive \
         ssl_certificate ssl_certificate_key \
         ssl_ciphers ssl_conf_command ssl_crl ssl_name ssl_password_file ssl_protocols \
         ssl_server_name ssl_session_reuse \
         ssl_trusted_certificate ssl_verify ssl_verify_depth",
    ),
    (
        "memcached_",
        "bind buffer_size connect_timeout gzip_flag next_upstream next_upstream_timeout \
         next_upstream_tries read_timeout send_timeout \
         socket_keepalive",
    ),
    (
        "ssl_",
        "buffer_size certificate certificate_key ciphers client_certificate conf_command crl \
         dhparam early_data ecdh_curve ocsp ocsp_cache \
         ocsp_responder password_file prefer_server_ciphers protocols session_cache \
         session_ticket_key session_tickets session_timeout \
         stapling stapling_file stapling_responder stapling_verify trusted_certificate \
         verify_depth",
    ),
    (
        "http2_",
        "body_preread_size chunk_size idle_timeout max_concurrent_pushes max_concurrent_streams \
         max_field_size max_header_size max_requests pool_size \
         push push_preload recv_buffer_size recv_timeout streams_index_size",
    ),
    ("http3_", "hq max_concurrent_streams stream_buffer_size"),
    ("quic_", "active_connection_id_limit bpf gso host_key retry"),
    (
        "image_filter_",
        "buffer interlace jpeg_quality sharpen transparency webp_quality",
    ),
    (
        "mp4_",
        "buffer_size limit_rate limit_rate_after max_buffer_size start_key_frame",
    ),
    (
        "hls_",
        "buffers forward_args fragment mp4_buffer_size mp4_max_buffer_size",
    ),
    ("xslt_", "last_modified param string_param types"),
    ("xml_", "entities"),
    // Of common modules.
    (
        "lua_",
        "capture_error_log check_client_abort code_cache http10_buffering load_resty_core \
         malloc_trim max_pending_timers \
         max_running_timers need_request_body package_cpath package_path regex_cache_max_entries \
         regex_match_limit sa_restart shared_dict \
         socket_buffer_size socket_connect_timeout socket_keepalive_timeout socket_log_errors \
         socket_pool_size socket_read_timeout \
         socket_send_lowat socket_send_timeout ssl_certificate ssl_certificate_key ssl_ciphers \
         ssl_conf_command ssl_crl ssl_protocols \
         ssl_trusted_certificate ssl_verify_depth thread_cache_max_entries \
         transform_underscores_in_response_headers use_default_type \
         worker_thread_vm_pool_size",
    ),
    (
        "js_fetch_",
        "buffer_size ciphers max_response_buffer_size protocols proxy timeout trusted_certificate \
         verify verify_depth keepalive \
         keepalive_requests keepalive_time keepalive_timeout",
    ),
    (
        "testcookie_",
        "arg cookie_flag domain expires fallback get_only https_location httponly_flag internal \
         max_attempts name p3p path port_in_redirect \
         redirect_via_refresh refresh_encrypt_cookie refresh_encrypt_cookie_iv \
         refresh_encrypt_cookie_key refresh_status refresh_template \
         samesite secret secure_flag session whitelist deny_keepalive",
    ),
    (
        "fancyindex_",
        "case_sensitive css_href default_sort directories_first exact_size footer header \
         hide_parent_dir hide_symlinks ignore localtime \
         name_length show_dotfiles show_path time_format",
    ),
    (
        "opentracing_",
        "grpc_propagate_context load_tracer location_operation_name operation_name \
         propagate_context fastcgi_propagate_context tag \
         trace_locations trust_incoming_span",
    ),
    (
        "otel_",
        "exporter resource_attr service_name span_attr span_name trace trace_context",
    ),
    (
        "opentelemetry_",
        "attribute capture_headers config custom_attribute ignore_paths operation_name propagate \
         sensitive_header_names \
         sensitive_header_values trust_incoming_spans",
    ),
    (
        "datadog_",
        "agent_url allow_sampling_delegation_in_subrequests baggage_span_tags_enabled \
         delegate_sampling disable enable environment \
         http_endpoint load_tracer location_operation_name location_resource_name operation_name \
         propagate_context propagation_styles \
         resource_name sample_rate service_name tag trace_locations tracing trust_incoming_span \
         version",
    ),
    (
        "concat_",
        "delimiter ignore_file_error max_files types unique",
    ),
    (
        "xss_",
        "callback_arg check_status get input_types output_type override_status",
    ),
];

/// What `proxy`, `fastcgi`, `uwsgi` and `scgi` have in common.
const UPSTREAM_SETTINGS: &str = "bind buffer_size buffering buffers busy_buffers_size cache \
                                 cache_background_update cache_bypass cache_key \
    cache_lock cache_lock_age cache_lock_timeout cache_max_range_offset cache_methods \
    cache_min_uses cache_path cache_revalidate \
    cache_use_stale cache_valid connect_timeout force_ranges hide_header ignore_client_abort \
    ignore_headers intercept_errors limit_rate \
    max_temp_file_size next_upstream next_upstream_timeout next_upstream_tries no_cache \
    pass_header pass_request_body \
    pass_request_headers read_timeout request_buffering send_timeout socket_keepalive store \
    store_access temp_file_write_size temp_path";

/// Classes of other modules by prefix.
pub(super) static PREFIXES: &[(Class, &str)] = &[
    (
        Class::Guard(GuardKind::Access),
        "naxsi_ modsecurity_ Sec shib_ testcookie_ datadog_appsec_",
    ),
    (Class::Guard(GuardKind::Handler), "passenger_"),
];

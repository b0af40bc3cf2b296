//! Advice for the directives of a configuration that pushctl does not serve.

/// Advice for a location that only `try_files` and `error_page` lead to.
pub(super) const NAMED: &str =
    "named locations belong to what stays with nginx, in front of pushctl (see --front)";

/// Advice for the directive `name`, which is not served.
pub(super) fn advice(name: &str) -> &'static str {
    const FRONT: &str = "keep nginx in front for it (see --front)";
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["ssl", "http2", "quic", "http3"]) {
        "TLS stays with nginx, in front of pushctl (see --front)"
    } else if starts(&[
        "proxy_",
        "fastcgi_",
        "uwsgi_",
        "scgi_",
        "grpc_",
        "memcached_",
        "upstream",
        "server",
        "keepalive",
        "least_conn",
        "ip_hash",
    ]) {
        FRONT
    } else if starts(&["gzip", "brotli"]) {
        "responses are compressed with gzip when they are sent; nginx in front can do more (see \
         --front)"
    } else if starts(&["limit_req", "limit_conn", "limit_rate"]) {
        "rates are not limited; nginx in front can do that, and serve has its own limits (--help)"
    } else if starts(&["auth_"]) {
        "requests are not authorized by it: nginx in front has to do that (see --front)"
    } else if name == "error_page" {
        "pushctl sends its own error pages; nginx in front can send others (see --front)"
    } else if name == "try_files" {
        "paths are not rewritten: give the location the path that clients ask for, or keep nginx \
         in front (see --front)"
    } else if starts(&["stream", "mail"]) {
        "it is not about HTTP: keep nginx for it"
    } else {
        FRONT
    }
}

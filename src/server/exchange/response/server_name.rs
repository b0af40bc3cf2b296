//! The name of the server in its responses.

/// Value of the `Server` header.
pub(in crate::server) const SERVER: &str = concat!("pushctl/", env!("CARGO_PKG_VERSION"));

/// Server name on error pages. As long as `nginx/1.26.3`, so that the pages have the length of the
/// recorded ones.
pub(in crate::server) const SERVER_ON_PAGES: &str = concat!(
    "pushctl v",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

//! The layers of the source and what each may use.

/// A folder (or file) of `src/` and what it may use of the others.
pub(super) struct Layer {
    pub(super) module: &'static str,
    pub(super) may_use: &'static [&'static str],
}

/// What server and client share.
pub(super) const SHARED: &[&str] = &["message", "protocol"];

/// All folders, each after those that it may use. What a folder may use includes [`SHARED`] and
/// its own files.
pub(super) const LAYERS: &[Layer] = &[
    layer("message", &[]),
    layer("protocol", &[]),
    // For tests only.
    layer("random_numbers", &[]),
    layer("server::config", &[]),
    layer("server::journal", &["random_numbers"]),
    layer("server::observe", &["server::config"]),
    layer("server::broker", &["server::config", "server::observe"]),
    layer("server::exchange", &["server::config", "server::observe"]),
    layer(
        "server::access",
        &[
            "random_numbers",
            "server::broker",
            "server::config",
            "server::exchange",
            "server::observe",
        ],
    ),
    layer(
        "server::fanout",
        &[
            "server::broker",
            "server::config",
            "server::exchange",
            "server::observe",
        ],
    ),
    layer("server::endpoint", BELOW_ENDPOINTS),
    layer("server::push_stream", FAMILY),
    layer("server::nhpm", FAMILY),
    layer("server::nchan", FAMILY),
    layer("server::http", BELOW_HTTP),
    layer(
        "server::runtime",
        &[
            "server::broker",
            "server::config",
            "server::endpoint",
            "server::exchange",
            "server::fanout",
            "server::http",
            "server::observe",
        ],
    ),
    // The public face.
    layer("server", &["server"]),
    layer("client", &[]),
    layer("cmd::check", &["cmd", "server"]),
    layer("cmd::cli", &["cmd"]),
    layer("cmd::serve", &["cmd", "server"]),
    layer("cmd::usage", &["cmd", "cmd::cli"]),
    layer("cmd", &["client"]),
    layer("bin", &["cmd"]),
    layer("", &[]),
];

/// What the endpoints of all families share is above these.
pub(super) const BELOW_ENDPOINTS: &[&str] = &[
    "server::access",
    "server::broker",
    "server::config",
    "server::exchange",
    "server::fanout",
    "server::observe",
];
/// What a protocol family may use: no other family.
pub(super) const FAMILY: &[&str] = &[
    "server::access",
    "server::broker",
    "server::config",
    "server::endpoint",
    "server::exchange",
    "server::fanout",
    "server::observe",
];
/// What connections and routing may use.
pub(super) const BELOW_HTTP: &[&str] = &[
    "server::access",
    "server::broker",
    "server::config",
    "server::endpoint",
    "server::exchange",
    "server::fanout",
    "server::nchan",
    "server::nhpm",
    "server::observe",
    "server::push_stream",
];

pub(super) const fn layer(module: &'static str, may_use: &'static [&'static str]) -> Layer {
    Layer { module, may_use }
}

/// The most special layer with this module.
pub(super) fn layer_of(module: &str) -> &'static Layer {
    LAYERS
        .iter()
        .find(|layer| layer.module.is_empty() || is_in(module, layer.module))
        .expect("the last layer has all modules")
}

/// Whether `module` is `ancestor` or below it.
pub(super) fn is_in(module: &str, ancestor: &str) -> bool {
    module
        .strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || ancestor.is_empty() || rest.starts_with("::"))
}

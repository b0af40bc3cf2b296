//! The configuration: what a server listens on, and what its locations do.
//!
//! | module | content |
//! |---|---|
//! | [`model`] | the types: [`Config`], its servers, locations and their settings, the defaults |
//! | [`expression`] | values with variables, regular expressions, what they read of a request |
//! | [`source`] | where a configuration comes from: built-in, nginx.conf, TOML |
//!
//! The model describes what a location does; `push_stream`, `nhpm`, `nchan` and `http` implement
//! it. Facts and defaults: push-stream.md, section 15.

pub mod expression;
pub mod model;
pub mod source;

pub use self::expression::map::{Map, MapVariable};
pub use self::expression::path::{normalise, normalise_with_slashes};
pub use self::expression::regex_pattern::{Captures, RegexPattern};
pub use self::expression::secure_link::SecureLink;
pub use self::model::browsers::BrowserAccess;
pub use self::model::compression::GzipSettings;
pub use self::model::engine::EngineChoice;
#[cfg(debug_assertions)]
pub use self::model::engine::TestEngineSettings;
pub use self::model::limits::{ConnectionLimits, TcpSettings};
pub use self::model::location::pattern::{Locations, Pattern};
pub use self::model::location::rewrite_phase::condition::Condition;
pub use self::model::location::rewrite_phase::rewrite::Rewrite;
pub use self::model::location::rewrite_phase::{
    LocationChoice, Return, RewriteEnd, RewriteFrame, RewriteStep,
};
pub use self::model::location::{
    Endpoint, Location, LocationSettings, SlowPolicy, SubscriberMode, Types,
};
pub use self::model::logs::{ErrorLog, LogTarget};
pub use self::model::nchan::NchanSettings;
pub use self::model::nhpm::NhpmSettings;
pub use self::model::padding::{Padding, Paddings};
pub use self::model::proxy::ProxySettings;
pub use self::model::server::listener::Listener;
pub use self::model::server::names::{ServerName, Servers};
pub use self::model::server::{
    BrokerSettings, Config, ListenAddress, MemoryAccounting, ProcessSettings, VirtualServer,
};
pub use self::model::template::MessageFormat;
pub use self::model::upstream::{Upstream, Upstreams};
pub use self::model::web::WebSettings;
pub use self::source::builtin::BuiltinOptions;
pub use expression::{Expression, VariableNames, Variables};

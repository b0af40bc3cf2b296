//! The model: what a configuration says, whatever its source.
//!
//! | modules | content |
//! |---|---|
//! | [`server`], [`location::pattern`] | from an address and a request to a location |
//! | [`location`], [`template`], [`padding`], [`compression`] | push locations |
//! | [`nhpm`], [`nchan`] | the endpoints of these families |
//! | [`web`], [`clients`], [`users`], [`browsers`] | access control, added headers, files |
//! | [`proxy`], [`upstream`], [`tls`] | back-ends |
//! | [`limits`], [`engine`], [`logs`], [`defaults`] | limits, engine, logs, all default values |

pub mod browsers;
pub mod clients;
pub mod compression;
pub mod defaults;
pub mod engine;
pub mod limits;
pub mod location;
pub mod logs;
pub mod nchan;
pub mod nhpm;
pub mod padding;
pub mod proxy;
pub mod server;
pub mod template;
pub mod tls;
pub(in crate::server) mod units;
pub mod upstream;
pub mod users;
pub mod web;

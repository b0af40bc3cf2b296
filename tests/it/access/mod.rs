//! Access control: the built-in locations, `auth_basic`, `auth_request`, and real browsers.

mod access_options;
mod allowed_origins;
mod auth_request;
mod basic_auth;
mod browser;
mod builtin_locations;
mod denied_channels;
mod denied_subscriptions;
mod guarded_locations;
mod loopback_names;
mod script_safety;

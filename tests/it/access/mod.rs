//! Access control: the built-in locations, `auth_basic`, `auth_request`, and real browsers.

mod auth_request;
mod basic_auth;
mod browser;
mod builtin_locations;

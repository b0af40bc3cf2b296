//! Back-ends: requests to them, for hooks, `auth_request` and `proxy_pass`.

pub(in crate::server) mod accel_redirect;
pub(in crate::server) mod auth_request;
pub(in crate::server) mod backend;
pub(in crate::server) mod backend_connection;
pub(in crate::server) mod backend_request;
pub(in crate::server) mod balancer;
pub(in crate::server) mod hook_response;
pub(in crate::server) mod hooks;
pub(in crate::server) mod live_hooks;
pub(in crate::server) mod message_hook;
pub(in crate::server) mod notices;
pub(in crate::server) mod peers;
pub(in crate::server) mod pending_notices;
pub(in crate::server) mod proxy_request;
pub(in crate::server) mod time_limit;

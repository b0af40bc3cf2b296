//! Upstreams: `upstream` blocks, their connections and TLS, and the hooks that use them.

mod connections;
mod hook_requests;
mod hook_responses;
mod hooks;
mod servers;
mod tls;
mod waiting_requests;

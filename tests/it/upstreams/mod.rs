//! Upstreams: `upstream` blocks, their connections and TLS, and the hooks that use them.

mod connections;
mod hooks;
mod servers;
mod tls;

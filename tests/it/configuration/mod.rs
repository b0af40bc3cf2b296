//! Configuration: nginx.conf compared with Debian's nginx (access, servers, requests, rewriting,
//! compression, logs), unsupported directives, configurations that users published, and nginx in front.

mod compression;
mod copied_configs;
mod front;
mod log_variables;
pub(crate) mod nginx_access;
mod nginx_requests;
mod nginx_servers;
mod response_headers;
mod rewriting;
mod servers;
mod tutorials;
mod unenforced;

//! Configuration: nginx.conf compared with Debian's nginx (access, servers, requests, rewriting,
//! compression, logs), unsupported directives, configurations that users published, and nginx in
//! front.

mod compression;
mod copied_configs;
mod front;
mod front_rules;
mod front_servers;
mod log_variables;
mod nginx_access;
mod nginx_logs;
mod nginx_requests;
mod nginx_servers;
mod push_rewriting;
mod regular_expressions;
mod request_logs;
mod response_headers;
mod rewriting;
mod servers;
mod static_files;
mod tutorial_listeners;
mod tutorials;
mod unenforced;

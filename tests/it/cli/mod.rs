//! The command line from outside: a file per command, with real processes, exit codes and outputs
//! byte by byte.
//!
//! `fake` is a server with scripted replies; `many` publishes many messages; `resume` uses a real
//! server across restarts; `pipeline` runs a script as CI does; `terminal` is a pseudo terminal.

mod answer_limits;
mod bench;
mod bench_nchan;
mod bench_processes;
mod bench_report;
mod check;
mod check_nchan;
mod check_syntax;
mod check_toml;
mod completion_safety;
mod completion_shells;
mod completions;
mod credentials;
mod errors;
mod fake;
mod file_safety;
mod help;
mod many;
mod missing;
mod nchan;
mod nchan_commands;
mod nchan_detection;
mod nchan_events;
mod nchan_messages;
mod nchan_restarts;
mod nchan_server;
mod nhpm;
mod pipeline;
mod profile_secrets;
mod profiles;
mod progress;
mod publish;
mod publish_ndjson;
mod resume;
mod rm;
mod stats;
mod stats_tables;
mod stats_watch;
mod sub;
mod sub_backlog;
mod sub_cursor;
mod sub_ends;
mod sub_failures;
mod sub_fallback;
mod sub_gaps;
mod sub_gaps_of_servers;
mod sub_kill;
mod sub_pages;
mod sub_safety;
mod sub_silence;
mod sub_start;
mod terminal;
mod unix_sockets;
mod usage_tips;
mod wait;
mod with_server;

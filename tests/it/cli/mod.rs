//! The command line from outside: a file per command, with real processes, exit codes and outputs
//! byte by byte.
//!
//! `fake` is a server that answers what a test wants; `many` publishes much at once; `resume`
//! follows a real one through restarts; `pipeline` runs a script as CI would; `terminal` is a
//! pseudo terminal to look at.

mod answer_limits;
mod bench;
mod bench_nchan;
mod bench_report;
mod check;
mod check_nchan;
mod check_syntax;
mod completions;
mod errors;
mod fake;
mod help;
mod many;
mod missing;
mod nchan;
mod nchan_detection;
mod nchan_events;
mod nchan_server;
mod nhpm;
mod pipeline;
mod profiles;
mod progress;
mod publish;
mod resume;
mod rm;
mod stats;
mod stats_watch;
mod sub;
mod sub_cursor;
mod sub_ends;
mod sub_gaps;
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

//! The one integration test binary: the built program from outside, over real sockets.

mod cli_bench;
mod cli_errors;
mod cli_fake;
mod cli_publish;
mod cli_resume;
mod cli_stats;
mod cli_sub;
mod generated;

//! The command line from outside: a file per command, with real processes, exit codes and outputs byte by byte.
//!
//! `fake` is a server that answers what a test wants; `resume` follows a real one through restarts.

mod bench;
mod check;
mod errors;
mod fake;
mod publish;
mod resume;
mod stats;
mod sub;

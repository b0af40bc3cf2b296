//! Limits: bounds on connections, requests, rates and memory, and clients that test them.

mod bad_clients;
mod bad_input;
mod bad_requests;
mod capacity;
mod connection_limits;
mod memory_bounds;
mod memory_limit;
mod pauses;
mod rejection_log;
mod unfinished_requests;

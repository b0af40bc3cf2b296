//! The bare sockets of `bench`.

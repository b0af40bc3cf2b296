//! URLs of servers: in messages to the user, on unix sockets, and through a proxy. Sends no
//! requests; [`super::endpoint`] builds the URLs of requests.

pub mod proxy;
mod shown;
pub mod unix_socket;

pub use shown::{origin, shown, shown_text};

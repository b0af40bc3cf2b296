//! Engines decide where messages are kept and when a publish is acknowledged. Readers always read
//! the logs of the channels.
//!
//! The memory engine acknowledges at once. Any other engine accepts a request, carries it out on
//! its own thread, and completes the [`Waiter`] of the request. What it has accepted is bounded in
//! number and in memory ([`pending`]).

mod pending;
#[cfg(debug_assertions)]
mod test_engine;
mod ticket;
mod waiter;

#[cfg(debug_assertions)]
pub(super) use test_engine::{EngineRequest, TestEngine};
pub use ticket::{PendingTickets, Ticket, Tickets};
pub use waiter::Waiter;

use crate::server::config::EngineChoice;

/// The engine of a broker.
#[derive(Debug)]
pub(super) enum Engine {
    /// Appends to the log of the channel, and acknowledges at once.
    Memory,
    /// Does the same late, with errors or never.
    #[cfg(debug_assertions)]
    Test(TestEngine),
}

impl Engine {
    pub(super) fn new(choice: &EngineChoice) -> Self {
        match choice {
            EngineChoice::Memory => Self::Memory,
            #[cfg(debug_assertions)]
            EngineChoice::Test(settings) => Self::Test(TestEngine::new(settings.clone())),
        }
    }
}

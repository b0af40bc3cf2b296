//! Tickets: the acknowledgement of a request to the engine, now or later.

use smallvec::SmallVec;

use super::Waiter;
use crate::server::broker::{ChannelInfo, PublishError};

/// The acknowledgement of a request to the engine: there already, or still to come.
#[derive(Debug)]
#[must_use]
pub enum Ticket<T = ChannelInfo> {
    /// The engine has carried out or rejected the request.
    Ready(Result<T, PublishError>),
    /// The engine will complete the waiter. The request is carried out even if it is dropped.
    Pending(Waiter<T>),
}

/// The acknowledgements of a request for several channels.
#[derive(Debug)]
#[must_use]
pub enum Tickets<T = ChannelInfo> {
    /// The results in the order of the channels, or the first error.
    Ready(Result<SmallVec<[T; 1]>, PublishError>),
    /// At least one acknowledgement is still to come.
    Pending(PendingTickets<T>),
}

/// Acknowledgements of which at least one is still to come.
#[derive(Debug)]
pub struct PendingTickets<T>(Vec<Ticket<T>>);

impl<T> Ticket<T> {
    /// Does not wait for the acknowledgement.
    ///
    /// # Errors
    /// When the request was rejected already.
    pub fn detach(self) -> Result<(), PublishError> {
        match self {
            Self::Ready(result) => result.map(drop),
            Self::Pending(_) => Ok(()),
        }
    }

    async fn settle(self) -> Result<T, PublishError> {
        match self {
            Self::Ready(result) => result,
            Self::Pending(waiter) => waiter.await,
        }
    }
}

impl<T> Tickets<T> {
    /// Collects the tickets of a request, up to the first one that is rejected at once.
    pub fn collect(mut tickets: impl Iterator<Item = Ticket<T>>) -> Self {
        let mut ready = SmallVec::new();
        while let Some(ticket) = tickets.next() {
            match ticket {
                Ticket::Ready(Ok(value)) => ready.push(value),
                Ticket::Ready(Err(error)) => return Self::Ready(Err(error)),
                Ticket::Pending(waiter) => {
                    return Self::Pending(PendingTickets::collect(ready, waiter, tickets));
                }
            }
        }
        Self::Ready(Ok(ready))
    }
}

impl<T> PendingTickets<T> {
    #[cold]
    fn collect(
        ready: SmallVec<[T; 1]>,
        first: Waiter<T>,
        rest: impl Iterator<Item = Ticket<T>>,
    ) -> Self {
        let mut tickets: Vec<_> = ready
            .into_iter()
            .map(|value| Ticket::Ready(Ok(value)))
            .collect();
        tickets.push(Ticket::Pending(first));
        for ticket in rest {
            let is_rejected = matches!(ticket, Ticket::Ready(Err(_)));
            tickets.push(ticket);
            if is_rejected {
                break;
            }
        }
        Self(tickets)
    }

    /// The acknowledgements of these tickets.
    #[must_use]
    pub fn new(tickets: Vec<Ticket<T>>) -> Self {
        Self(tickets)
    }

    /// Waits for all acknowledgements.
    ///
    /// # Errors
    /// The first error; the request may have been carried out for some channels.
    pub async fn settle(self) -> Result<SmallVec<[T; 1]>, PublishError> {
        let mut values = SmallVec::with_capacity(self.0.len());
        let mut first_error = None;
        for ticket in self.0 {
            match ticket.settle().await {
                Ok(value) => values.push(value),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(values), Err)
    }
}

//! Subscribing: every mode, resuming after a cursor, gaps, replayed polls, slow consumers, and the
//! ledger of many subscribers.

mod followers;
mod gaps;
mod ledger;
mod poll_replay;
mod resume;
mod slow_consumers;
mod websockets;

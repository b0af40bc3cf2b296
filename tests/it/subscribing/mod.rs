//! Subscribing: every mode, resuming after a cursor, gaps, replayed polls, slow consumers, and the
//! ledger of many subscribers.

mod followers;
mod framing;
mod gaps;
mod ledger;
mod poll_replay;
mod poll_replay_limits;
mod replayed_cursor;
mod restarts;
mod resume;
mod slow_consumer_gaps;
mod slow_consumers;
mod websocket_endings;
mod websockets;

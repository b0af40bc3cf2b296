//! Presence: a line of text for each subscriber of a channel, recorded only if the configuration
//! asks for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Broker, Charge, OutOfMemory};

/// The lines of each channel, with the number of the entry.
#[derive(Debug, Default)]
pub(super) struct Presences {
    lines: Mutex<HashMap<Bytes, Vec<(u64, Bytes)>>>,
    last: AtomicU64,
}

/// A subscriber's entry; removed on drop.
#[derive(Debug)]
pub struct Presence {
    broker: Broker,
    number: u64,
    channels: Vec<Bytes>,
    _charge: Charge,
}

/// Memory of an entry besides its line.
const ENTRY_BYTES: usize = 160;

/// The lines of subscribers that a broker records.
#[derive(Clone, Copy, Debug)]
pub struct BrokerPresences<'a> {
    pub(super) broker: &'a Broker,
}

impl BrokerPresences<'_> {
    /// Records a subscriber of these channels.
    ///
    /// # Errors
    /// When there is no memory for the line.
    pub fn enter_presence(
        &self,
        line: &Bytes,
        channels: Vec<Bytes>,
    ) -> Result<Presence, OutOfMemory> {
        let keys: usize = channels
            .iter()
            .map(|channel| channel.len() + ENTRY_BYTES)
            .sum();
        let charge = self.broker.0.charge((line.len() + keys) as u64)?;
        let number = self.broker.0.presences.last.fetch_add(1, Ordering::Relaxed);
        let mut lines = self.broker.0.presences.lines.lock();
        for channel in &channels {
            lines
                .entry(channel.clone())
                .or_default()
                .push((number, line.clone()));
        }
        drop(lines);
        Ok(Presence {
            broker: self.broker.clone(),
            number,
            channels,
            _charge: charge,
        })
    }

    /// The lines of the subscribers of a channel.
    #[must_use]
    pub fn presences(&self, channel: &[u8]) -> Vec<Bytes> {
        let lines = self.broker.0.presences.lines.lock();
        lines
            .get(channel)
            .map(|lines| lines.iter().map(|(_, line)| line.clone()).collect())
            .unwrap_or_default()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut lines = self.broker.0.presences.lines.lock();
        for channel in &self.channels {
            if let Some(entries) = lines.get_mut(channel) {
                entries.retain(|(number, _)| *number != self.number);
                if entries.is_empty() {
                    lines.remove(channel);
                }
            }
        }
    }
}

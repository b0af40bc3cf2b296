//! The channels by id: a map in parts, each with its own lock.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::channel::Channel;

/// Number of parts; enough that publishers on all cores rarely contend.
const PARTS: usize = 32;

type Part = Mutex<HashMap<Bytes, Arc<Channel>>>;

/// All channels by id.
#[derive(Debug)]
pub(super) struct Registry {
    parts: Vec<Part>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
        }
    }

    /// FNV-1a, which only spreads ids over the parts. Within a part, the keyed hash of the map
    /// resists chosen collisions.
    fn part(&self, id: &[u8]) -> &Part {
        let hash = id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<Arc<Channel>> {
        self.part(id).lock().get(id).cloned()
    }

    /// Finds `id` or inserts the channel that `make` creates. Returns the channel, and whether it
    /// was created.
    pub(super) fn find_or_insert<E>(
        &self,
        id: &Bytes,
        make: impl FnOnce() -> Result<Channel, E>,
    ) -> Result<(Arc<Channel>, bool), E> {
        let mut part = self.part(id).lock();
        if let Some(channel) = part.get(id) {
            return Ok((Arc::clone(channel), false));
        }
        let channel = Arc::new(make()?);
        part.insert(channel.id.clone(), Arc::clone(&channel));
        Ok((channel, true))
    }

    /// Removes `id` if `accept` returns true. `accept` is called with the part locked.
    pub(super) fn remove_if(
        &self,
        id: &[u8],
        accept: impl FnOnce(&Arc<Channel>) -> bool,
    ) -> Option<Arc<Channel>> {
        let mut part = self.part(id).lock();
        let agreed = part.get(id).is_some_and(accept);
        let removed = if agreed { part.remove(id) } else { None };
        if part.len() * 8 < part.capacity() {
            part.shrink_to_fit();
        }
        removed
    }

    /// The channels that match, in the order of their creation.
    pub(super) fn list(&self, wanted: impl Fn(&Channel) -> bool) -> Vec<Arc<Channel>> {
        let mut found: Vec<Arc<Channel>> = Vec::new();
        for part in &self.parts {
            found.extend(
                part.lock()
                    .values()
                    .filter(|channel| wanted(channel))
                    .cloned(),
            );
        }
        found.sort_by_key(|channel| channel.number);
        found
    }
}

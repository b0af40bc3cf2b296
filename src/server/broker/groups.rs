//! Groups of channels: the channels whose ids begin with `group/`. What each uses is counted, and
//! may be limited.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::memory::{Charge, allocated};
use super::{Broker, OutOfMemory};

/// What a table's entry takes beside the name.
const OTHER_BYTES: usize = 160;

/// What the channels of a group use. Counted without locks.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) channels: AtomicU64,
    pub(super) subscribers: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) messages_memory: AtomicU64,
    limits: Mutex<GroupLimits>,
}

/// Limits of a group; 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Channels.
    pub channels: u64,
    /// Subscribers of all channels.
    pub subscribers: u64,
    /// Stored messages of all channels.
    pub messages: u64,
    /// Their memory in bytes.
    pub messages_memory: u64,
    /// Bytes on disk: nothing is kept there, so that this limit is never reached.
    pub messages_disk: u64,
}

/// What a group uses and may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// Channels.
    pub channels: u64,
    /// Subscribers of all channels.
    pub subscribers: u64,
    /// Stored messages of all channels.
    pub messages: u64,
    /// Their memory in bytes.
    pub messages_memory: u64,
    /// Its limits.
    pub limits: GroupLimits,
}

/// Which limit of a group is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupFull {
    /// `channels`
    #[error("Group limit reached for number of channels.")]
    Channels,
    /// `subscribers`
    #[error("Group limit reached for number of subscribers.")]
    Subscribers,
    /// `messages`
    #[error("Group limit reached for number of messages.")]
    Messages,
    /// `messages_memory`
    #[error("Group limit reached for memory used by messages.")]
    MessagesMemory,
}

/// The groups that have channels or limits.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<HashMap<Bytes, (Arc<Group>, Charge)>>);

impl Groups {
    /// The group of a channel with this id, made where there is none; `None` if it is in no group,
    /// or if there is no room to count it.
    pub(super) fn of_channel(
        &self,
        id: &[u8],
        charge: impl FnOnce(u64) -> Result<Charge, OutOfMemory>,
    ) -> Option<Arc<Group>> {
        let slash = memchr::memchr(b'/', id).filter(|slash| *slash > 0)?;
        self.entry(&id[..slash], charge).ok()
    }

    fn entry(
        &self,
        name: &[u8],
        charge: impl FnOnce(u64) -> Result<Charge, OutOfMemory>,
    ) -> Result<Arc<Group>, OutOfMemory> {
        let mut groups = self.0.lock();
        if let Some((group, _)) = groups.get(name) {
            return Ok(Arc::clone(group));
        }
        let charge = charge(allocated(
            name.len() + std::mem::size_of::<Group>() + OTHER_BYTES,
        ))?;
        let group = Arc::<Group>::default();
        groups.insert(Bytes::copy_from_slice(name), (Arc::clone(&group), charge));
        Ok(group)
    }

    fn find(&self, name: &[u8]) -> Option<Arc<Group>> {
        self.0.lock().get(name).map(|(group, _)| Arc::clone(group))
    }

    /// Forgets groups that have neither channels nor limits.
    pub(super) fn sweep(&self) {
        self.0.lock().retain(|_, (group, _)| {
            Arc::strong_count(group) > 1 || *group.limits.lock() != GroupLimits::default()
        });
    }
}

impl Group {
    fn info(&self) -> GroupInfo {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        GroupInfo {
            channels: of(&self.channels),
            subscribers: of(&self.subscribers),
            messages: of(&self.messages),
            messages_memory: of(&self.messages_memory),
            limits: *self.limits.lock(),
        }
    }
}

impl GroupInfo {
    /// Whether a message of `bytes` may come, to a channel that is new or not.
    ///
    /// # Errors
    /// When a limit is in the way.
    pub fn may_publish(&self, bytes: u64, is_new: bool) -> Result<(), GroupFull> {
        let is_over =
            |used: u64, more: u64, most: u64| most > 0 && used.saturating_add(more) > most;
        if is_new && is_over(self.channels, 1, self.limits.channels) {
            return Err(GroupFull::Channels);
        }
        if is_over(self.messages, 1, self.limits.messages) {
            return Err(GroupFull::Messages);
        }
        if is_over(self.messages_memory, bytes, self.limits.messages_memory) {
            return Err(GroupFull::MessagesMemory);
        }
        Ok(())
    }

    /// Whether a subscriber may come, to a channel that is new or not.
    ///
    /// # Errors
    /// When a limit is in the way.
    pub fn may_subscribe(&self, is_new: bool) -> Result<(), GroupFull> {
        let is_full = |used: u64, most: u64| most > 0 && used >= most;
        if is_new && is_full(self.channels, self.limits.channels) {
            return Err(GroupFull::Channels);
        }
        if is_full(self.subscribers, self.limits.subscribers) {
            Err(GroupFull::Subscribers)
        } else {
            Ok(())
        }
    }
}

impl Broker {
    /// What a group uses and may use.
    #[must_use]
    pub fn group_info(&self, name: &[u8]) -> GroupInfo {
        self.0
            .groups
            .find(name)
            .map(|group| group.info())
            .unwrap_or_default()
    }

    /// Changes the limits of a group.
    ///
    /// # Errors
    /// When a group of its own has no room.
    pub fn limit_group(
        &self,
        name: &[u8],
        change: impl FnOnce(&mut GroupLimits),
    ) -> Result<(), OutOfMemory> {
        let group = match self.0.groups.find(name) {
            Some(group) => group,
            None => self.0.groups.entry(name, |bytes| self.0.charge(bytes))?,
        };
        change(&mut group.limits.lock());
        Ok(())
    }

    /// The ids of a group's channels.
    #[must_use]
    pub fn group_channels(&self, name: &[u8]) -> Vec<Bytes> {
        let prefix = [name, b"/"].concat();
        self.0
            .registry
            .list(|channel| channel.id.starts_with(&prefix))
            .iter()
            .map(|channel| channel.id.clone())
            .collect()
    }
}

//! Groups of channels: the channels whose ids begin with `group/`. Their usage is counted and can
//! be limited.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::memory::{Charge, allocated};
use super::{Inner, OutOfMemory};

/// Memory of a table entry besides the name.
const OTHER_BYTES: usize = 160;

/// Usage of a group. Counted without locks.
#[derive(Debug, Default)]
pub(super) struct ChannelGroup {
    pub(super) channels: AtomicU64,
    pub(super) subscribers: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) messages_memory: AtomicU64,
    limits: Mutex<GroupLimits>,
}

/// Limits of a group; 0 = unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Number of channels.
    pub channels: u64,
    /// Number of subscribers of all channels.
    pub subscribers: u64,
    /// Number of stored messages of all channels.
    pub messages: u64,
    /// Memory of these messages in bytes.
    pub messages_memory: u64,
    /// Bytes on disk. Messages are not stored on disk, so this limit is never reached.
    pub messages_disk: u64,
}

/// Usage and limits of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// Number of channels.
    pub channels: u64,
    /// Number of subscribers of all channels.
    pub subscribers: u64,
    /// Number of stored messages of all channels.
    pub messages: u64,
    /// Memory of these messages in bytes.
    pub messages_memory: u64,
    /// Its limits.
    pub limits: GroupLimits,
}

/// The limit of a group that was reached. The texts are those of nchan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupLimitError {
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
pub(super) struct Groups(Mutex<HashMap<Bytes, (Arc<ChannelGroup>, Charge)>>);

impl Groups {
    /// The group of the channel with this id, created if it does not exist; `None` if the channel
    /// is in no group, or if there is no memory to count it.
    pub(super) fn of_channel(
        &self,
        id: &[u8],
        charge: impl FnOnce(u64) -> Result<Charge, OutOfMemory>,
    ) -> Option<Arc<ChannelGroup>> {
        let slash = memchr::memchr(b'/', id).filter(|slash| *slash > 0)?;
        self.entry(&id[..slash], charge).ok()
    }

    fn entry(
        &self,
        name: &[u8],
        charge: impl FnOnce(u64) -> Result<Charge, OutOfMemory>,
    ) -> Result<Arc<ChannelGroup>, OutOfMemory> {
        let mut groups = self.0.lock();
        if let Some((group, _)) = groups.get(name) {
            return Ok(Arc::clone(group));
        }
        let charge = charge(allocated(
            name.len() + std::mem::size_of::<ChannelGroup>() + OTHER_BYTES,
        ))?;
        let group = Arc::<ChannelGroup>::default();
        groups.insert(Bytes::copy_from_slice(name), (Arc::clone(&group), charge));
        Ok(group)
    }

    fn find(&self, name: &[u8]) -> Option<Arc<ChannelGroup>> {
        self.0.lock().get(name).map(|(group, _)| Arc::clone(group))
    }

    /// Removes groups that have neither channels nor limits.
    pub(super) fn sweep(&self) {
        self.0.lock().retain(|_, (group, _)| {
            Arc::strong_count(group) > 1 || *group.limits.lock() != GroupLimits::default()
        });
    }
}

impl ChannelGroup {
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
    /// Checks whether a message of `bytes` may be published to a channel that is new or not.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn check_publication(&self, bytes: u64, is_new: bool) -> Result<(), GroupLimitError> {
        let is_over =
            |used: u64, more: u64, most: u64| most > 0 && used.saturating_add(more) > most;
        if is_new && is_over(self.channels, 1, self.limits.channels) {
            return Err(GroupLimitError::Channels);
        }
        if is_over(self.messages, 1, self.limits.messages) {
            return Err(GroupLimitError::Messages);
        }
        if is_over(self.messages_memory, bytes, self.limits.messages_memory) {
            return Err(GroupLimitError::MessagesMemory);
        }
        Ok(())
    }

    /// Checks whether a subscriber may attach to a channel that is new or not.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn check_subscription(&self, is_new: bool) -> Result<(), GroupLimitError> {
        let is_full = |used: u64, most: u64| most > 0 && used >= most;
        if is_new && is_full(self.channels, self.limits.channels) {
            return Err(GroupLimitError::Channels);
        }
        if is_full(self.subscribers, self.limits.subscribers) {
            Err(GroupLimitError::Subscribers)
        } else {
            Ok(())
        }
    }
}

/// The groups of channels of a broker.
#[derive(Clone, Copy, Debug)]
pub struct BrokerGroups<'a>(pub(super) &'a Inner);

impl BrokerGroups<'_> {
    /// Usage and limits of a group.
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
    /// When there is no memory for a new group.
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

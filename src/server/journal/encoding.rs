//! What segments and groups have in common: the id of the journal, and numbers.

/// The id of a journal.
pub(super) type JournalId = [u8; 16];

/// Reads a number of four bytes.
pub(super) fn read_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("the caller passes four bytes"))
}

/// Reads a number of eight bytes.
pub(super) fn read_u64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("the caller passes eight bytes"))
}

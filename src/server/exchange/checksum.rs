//! Checksums of what was sent, for formats that end with one.

/// Checksum (CRC-32) and length of bytes, as in the trailer of a gzip stream (RFC 1952, section
/// 2.3.1). Checksums of consecutive parts can be concatenated, so shared frames are hashed once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// The CRC-32.
    pub crc: u32,
    /// The length modulo 2^32.
    pub length: u32,
}

impl Checksum {
    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // The cast is the reduction modulo 2^32.
        Self {
            crc: crc32fast::hash(bytes),
            length: bytes.len() as u32,
        }
    }

    /// The checksum of these bytes followed by those of `next`.
    #[must_use]
    pub fn concat(self, next: Self) -> Self {
        if next.length == 0 {
            return self;
        }
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc);
        hasher.combine(&crc32fast::Hasher::new_with_initial_len(
            next.crc,
            u64::from(next.length),
        ));
        Self {
            crc: hasher.finalize(),
            length: self.length.wrapping_add(next.length),
        }
    }
}

//! Keys of channels that NHPM and nchan locations name by group and id.
//!
//! The key is `group/id`. Without a group it is the id alone, which makes it the channel that
//! push-stream locations serve under this id. An id that contains a slash keeps the slash of the
//! empty group, so that an id such as `group/id` cannot reach into a group.

use bytes::Bytes;

/// Returns the broker's id of a channel.
#[must_use]
pub fn channel_key(group: &[u8], id: &[u8]) -> Bytes {
    if group.is_empty() && !id.is_empty() && !id.contains(&b'/') {
        return Bytes::copy_from_slice(id);
    }
    Bytes::from([group, b"/", id].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_reach_into_groups() {
        let key = |group: &str, id: &str| {
            String::from_utf8_lossy(&channel_key(group.as_bytes(), id.as_bytes())).into_owned()
        };
        assert_eq!(key("", "news"), "news");
        assert_eq!(key("g", "news"), "g/news");
        assert_eq!(key("", "g/news"), "/g/news");
        assert_eq!(key("", ""), "/");
        assert_eq!(key("g", ""), "g/");
    }
}

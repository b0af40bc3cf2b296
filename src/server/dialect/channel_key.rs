//! The channel of a group and an id, as NHPM and nchan name channels.
//!
//! Their own keys are `group/id`. Without a group the key is the id alone, so that the channel is
//! the one that push-stream locations know under this id. An id with a slash in it keeps the empty
//! group's slash: nobody can reach into a group by an id such as `group/id`.

use bytes::Bytes;

/// The id under which the broker knows a channel.
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

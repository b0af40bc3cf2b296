//! Normalisation of request paths as in nginx: percent-decoding, merging of `//`, resolution of `.`
//! and `..`.

use std::borrow::Cow;

use super::percent::escaped_byte;

/// An invalid path: a malformed percent sequence, a NUL byte, or `..` above the root. The response
/// is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of the request is not valid")]
pub struct BadPath;

/// Normalises the path of a request line, which ends at `?` or `#`. Borrows if the path is already
/// normal, as in most requests.
///
/// # Errors
/// See [`BadPath`].
pub fn normalise(raw: &[u8]) -> Result<Cow<'_, [u8]>, BadPath> {
    if raw.first() != Some(&b'/') {
        return Err(BadPath);
    }
    if is_normal(raw) {
        Ok(Cow::Borrowed(raw))
    } else {
        rewrite(raw, true).map(Cow::Owned)
    }
}

/// Normalises a path like [`normalise`], but keeps `//` (`merge_slashes off`).
///
/// # Errors
/// See [`BadPath`].
pub fn normalise_with_slashes(raw: &[u8]) -> Result<Cow<'_, [u8]>, BadPath> {
    if raw.first() != Some(&b'/') {
        return Err(BadPath);
    }
    if is_normal(raw) {
        Ok(Cow::Borrowed(raw))
    } else {
        rewrite(raw, false).map(Cow::Owned)
    }
}

fn is_normal(raw: &[u8]) -> bool {
    let mut previous = 0;
    raw.iter().all(|&byte| {
        let special = matches!(byte, b'%' | b'?' | b'#' | 0)
            || (previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        !special
    })
}

fn rewrite(raw: &[u8], merges: bool) -> Result<Vec<u8>, BadPath> {
    let mut path = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [byte, after @ ..] = rest {
        let mut byte = *byte;
        rest = after;
        match byte {
            b'?' | b'#' => break,
            b'%' => {
                let escaped = escaped_byte(rest).ok_or(BadPath)?;
                byte = escaped.byte;
                rest = escaped.rest;
            }
            _ => {}
        }
        match byte {
            0 => return Err(BadPath),
            b'/' if !path.is_empty() => end_segment(&mut path, true, merges)?,
            _ => path.push(byte),
        }
    }
    end_segment(&mut path, false, merges)?;
    Ok(path)
}

/// Resolves the last segment of `path`; `slash` = it is followed by a slash.
fn end_segment(path: &mut Vec<u8>, slash: bool, merges: bool) -> Result<(), BadPath> {
    let start = memchr::memrchr(b'/', path).map_or(0, |at| at + 1);
    match &path[start..] {
        b"" if slash && !merges => path.push(b'/'),
        b"" => {}
        b"." => path.truncate(start),
        b".." => {
            let parent = start.checked_sub(1).filter(|end| *end > 0).ok_or(BadPath)?;
            path.truncate(memchr::memrchr(b'/', &path[..parent]).map_or(0, |at| at + 1));
        }
        _ if slash => path.push(b'/'),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_and_resolved() {
        for (raw, expected) in [
            ("/", Some("/")),
            ("/pub", Some("/pub")),
            ("/a.b/.c", Some("/a.b/.c")),
            ("//pub", Some("/pub")),
            ("/./pub", Some("/pub")),
            ("/%70ub", Some("/pub")),
            ("/a//b///", Some("/a/b/")),
            ("/a/./b/.", Some("/a/b/")),
            ("/a/b/../c", Some("/a/c")),
            ("/a/b/..", Some("/a/")),
            ("/a/..", Some("/")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a%2F%2fb", Some("/a/b")),
            ("/...", Some("/...")),
            ("/a%3Fb?c", Some("/a?b")),
            ("/a%23b#c", Some("/a#b")),
            ("/a%2520b", Some("/a%20b")),
            ("/a+b", Some("/a+b")),
            ("/%00", None),
            ("/..", None),
            ("/a/../..", None),
            ("/%2e./x", None),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("", None),
            ("*", None),
        ] {
            let found = normalise(raw.as_bytes()).ok();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{raw}");
        }
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        assert!(matches!(normalise(b"/sub/a.b10"), Ok(Cow::Borrowed(_))));
    }
}

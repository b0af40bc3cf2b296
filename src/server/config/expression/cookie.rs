//! Search in `Cookie` headers (`$cookie_NAME`).

/// Finds a cookie by name, compared without case. As in nginx, a name follows `;` or `,`, and a
/// value ends with `;` only.
pub(in crate::server) fn find_cookie<'a>(cookies: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = cookies;
    loop {
        let named = rest
            .split_at_checked(name.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(name));
        let after_name = named.map_or(rest, |(_, after)| without_spaces(after));
        if let (Some(_), Some(value)) = (named, after_name.strip_prefix(b"=")) {
            return without_spaces(value).split(|byte| *byte == b';').next();
        }
        // nginx continues its search after the byte that is not `=`, even if that byte ends the
        // cookie.
        let skipped = if named.is_some() {
            after_name.get(1..)?
        } else {
            rest
        };
        let end = skipped
            .iter()
            .position(|byte| matches!(byte, b';' | b','))?;
        rest = without_spaces(&skipped[end + 1..]);
    }
}

fn without_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b' ').count()..]
}

//! Rules for the headers of a request: which may occur once, which are joined, and the length of
//! the body and the persistence of the connection that follow from them.

use httparse::Header;

/// Length of the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum BodyLength {
    None,
    Bytes(u64),
    Chunked,
}

/// Restores the tabs at both ends of values, which `httparse` trims and nginx keeps, where rules
/// can match them.
pub(in crate::server) fn restore_tabs<'a>(head: &'a [u8], headers: &mut [Header<'a>]) {
    if memchr::memchr(b'\t', head).is_none() {
        return;
    }
    for header in headers {
        let name_end = header.name.as_ptr() as usize + header.name.len() - head.as_ptr() as usize;
        let Some(rest) = head.get(name_end + 1..) else {
            continue;
        };
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        header.value = trim_spaces(line.strip_suffix(b"\r").unwrap_or(line));
    }
}

fn trim_spaces(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| *byte == b' ';
    let start = text
        .iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    &text[start..end]
}

/// Values of repeated headers that nginx joins; `None` if there is at most one.
#[derive(Default)]
pub(in crate::server) struct JoinedHeaders {
    pub(in crate::server) cookie: Option<Vec<u8>>,
    pub(in crate::server) forwarded_for: Option<Vec<u8>>,
}

impl JoinedHeaders {
    pub(in crate::server) fn of(headers: &[Header<'_>]) -> Self {
        let joined = |name: &str, separator: &[u8]| {
            let mut values = headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value);
            let first = values.next()?;
            let second = values.next()?;
            let mut text = [first, separator, second].concat();
            for value in values {
                text.extend_from_slice(separator);
                text.extend_from_slice(value);
            }
            Some(text)
        };
        Self {
            cookie: joined("cookie", b"; "),
            forwarded_for: joined("x-forwarded-for", b", "),
        }
    }
}

/// Headers that may occur once, as in nginx: proxies in front or back-ends might use the second
/// value.
#[derive(Default)]
pub(in crate::server) struct UniqueHeaders<'a> {
    pub(in crate::server) host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
}

impl<'a> UniqueHeaders<'a> {
    pub(in crate::server) fn of(headers: &'a [Header<'a>]) -> Result<Self, u16> {
        let mut unique = Self::default();
        let mut seen = 0_u16;
        for header in headers {
            let Some(number) = unique_number(header.name) else {
                continue;
            };
            if seen & (1 << number) != 0 {
                return Err(400);
            }
            seen |= 1 << number;
            match UNIQUE_HEADERS[number] {
                "host" => unique.host = Some(header.value),
                "content-length" => unique.content_length = Some(header.value),
                "transfer-encoding" => unique.transfer_encoding = Some(header.value),
                _ => {}
            }
        }
        Ok(unique)
    }

    /// Determines the length of the body (RFC 9112, section 6.3); ambiguous requests are rejected.
    pub(in crate::server) fn body_length(&self, minor_version: u8) -> Result<BodyLength, u16> {
        match (self.content_length, self.transfer_encoding) {
            (None, None) => Ok(BodyLength::None),
            (Some(_), Some(_)) => Err(400),
            (Some(digits), None) if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) => {
                Err(400)
            }
            (Some(digits), None) => {
                let number = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|digits| digits.parse().ok());
                // More than 64 bits is more than any limit.
                Ok(BodyLength::Bytes(number.unwrap_or(u64::MAX)))
            }
            (None, Some(_)) if minor_version == 0 => Err(400),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(BodyLength::Chunked)
            }
            (None, Some(_)) => Err(501),
        }
    }
}

/// Headers that may occur once: those of nginx 1.22.
const UNIQUE_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "authorization",
    "expect",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "content-range",
];

fn unique_number(name: &str) -> Option<usize> {
    UNIQUE_HEADERS
        .iter()
        .position(|unique| unique.len() == name.len() && unique.eq_ignore_ascii_case(name))
}

pub(in crate::server) fn keeps_alive(headers: &[Header<'_>], minor_version: u8) -> bool {
    let connection = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"));
    let mut tokens = connection
        .flat_map(|header| header.value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    if minor_version == 0 {
        tokens.any(|token| token.eq_ignore_ascii_case(b"keep-alive"))
    } else {
        !tokens.any(|token| token.eq_ignore_ascii_case(b"close"))
    }
}

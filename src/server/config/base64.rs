//! Base64 as nginx decodes it: it ends at the first `=`, padding and the bits that are left over do
//! not matter.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::RequireNone);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// Decodes the alphabet with `+` and `/`.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    PLAIN.decode(before_padding(text)).ok()
}

/// Decodes the alphabet with `-` and `_`.
#[must_use]
pub fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    URL.decode(before_padding(text)).ok()
}

fn before_padding(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_what_follows_it_do_not_matter() {
        // By nginx 1.22: `auth_basic` with these as credentials and `$remote_user` in the answer.
        for (text, expected) in [
            ("dTpwdw==", Some("u:pw")),
            ("dTpwdw", Some("u:pw")),
            ("dTpwdw=x y", Some("u:pw")),
            ("dTpwdx", Some("u:pw")),
            ("dTpwd", None),
            ("dTpw dw", None),
            ("dTp-", None),
            ("", Some("")),
        ] {
            assert_eq!(
                decode(text.as_bytes()).as_deref(),
                expected.map(str::as_bytes),
                "{text}"
            );
        }
        assert_eq!(decode_url(b"-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(
            (decode_url(b"+/+/"), decode(b"+/+/")),
            (None, Some(vec![0xfb, 0xff, 0xbf]))
        );
    }
}

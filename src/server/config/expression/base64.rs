//! Base64 decoding as in nginx: input ends at the first `=`; padding and trailing bits are ignored.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::RequireNone);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// Decodes the standard alphabet (`+` and `/`); `None` = invalid.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    PLAIN.decode(before_padding(text)).ok()
}

/// Decodes the URL-safe alphabet (`-` and `_`); `None` = invalid.
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
        // Observed with nginx 1.22: `auth_basic` with these credentials, `$remote_user` returned.
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

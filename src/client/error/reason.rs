//! Causes of errors in our words: lower case, without numbers, with what to do.

use std::error::Error as _;

/// The error of the TLS stack that is behind `error`. It hides in an I/O error, which does not show
/// it as its source.
pub(super) fn of_tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(inner) = cause {
        let mut found = inner.downcast_ref();
        // One I/O error may be within another.
        let mut outer = inner.downcast_ref::<std::io::Error>();
        while let (None, Some(hidden)) = (found, outer.and_then(std::io::Error::get_ref)) {
            found = hidden.downcast_ref();
            outer = hidden.downcast_ref();
        }
        if found.is_some() {
            return found;
        }
        cause = inner.source();
    }
    None
}

/// What is wrong with a certificate, and what to do.
pub(super) fn distrust(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match error {
        Expired | ExpiredContext { .. } => {
            "it has expired (renew it, or set the clock of this machine)".to_owned()
        }
        NotValidYet | NotValidYetContext { .. } => {
            "it is not valid yet (set the clock of this machine)".to_owned()
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "it is for another name (use that one with --url)".to_owned()
        }
        other => {
            let reason = match other {
                UnknownIssuer => "nobody here knows its issuer".to_owned(),
                other => lower_first(&other.to_string()),
            };
            format!(
                "{reason} (if it is your own, put its issuer's certificate into a file and set \
                 SSL_CERT_FILE to that)"
            )
        }
    }
}

/// The innermost cause, in our style: lower case, without error number.
pub(super) fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    if error.source().is_some() {
        while let Some(inner) = cause.source() {
            cause = inner;
        }
    }
    if let Some(io) = cause.downcast_ref::<std::io::Error>()
        && io.raw_os_error().is_some()
    {
        return io_reason(io);
    }
    lower_first(&cause.to_string())
}

/// An error of the system in our style.
#[must_use]
pub fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        kind if error.raw_os_error().is_some() => kind.to_string(),
        _ => lower_first(&error.to_string()),
    }
}

/// `text` with a small first letter, unless it starts with an acronym.
#[must_use]
pub fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

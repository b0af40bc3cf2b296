//! Causes of errors in the style of this program: lower case, without numbers, with a remedy.

use std::error::Error as _;

/// Finds the error of the TLS stack behind `error`. It is inside an I/O error, whose `source` does
/// not return it.
pub(super) fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(inner) = cause {
        let mut found = inner.downcast_ref();
        // I/O errors may be nested.
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

/// Describes the problem of a certificate and its remedy.
pub(super) fn describe_certificate_error(error: &rustls::CertificateError) -> String {
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
            "it is for another name (use that name with --url)".to_owned()
        }
        other => {
            let reason = match other {
                UnknownIssuer => "its issuer is unknown".to_owned(),
                other => lower_first(&other.to_string()),
            };
            format!(
                "{reason} (if it is your own, set SSL_CERT_FILE to a file with its issuer's \
                 certificate)"
            )
        }
    }
}

/// Describes the innermost cause: lower case, without error number.
pub(super) fn innermost_cause(error: &reqwest::Error) -> String {
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

/// Describes a system error: lower case, without error number.
#[must_use]
pub fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        kind if error.raw_os_error().is_some() => kind.to_string(),
        _ => lower_first(&error.to_string()),
    }
}

/// `text` with its first letter in lower case, unless it starts with an acronym.
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

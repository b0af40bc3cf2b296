//! Negotiation of compression in websocket handshakes: `permessage-deflate` (RFC 7692) and the
//! older `deflate-frame`.

use crate::server::config::model::nchan::DeflateSettings;

/// The compression that client and server agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedDeflate {
    /// Value of `Sec-WebSocket-Extensions` in the response.
    pub extension: String,
    /// The client compresses each message independently.
    pub client_has_no_context: bool,
}

/// Accepts the first acceptable extension that a client offers (RFC 7692, section 5.1); `None` if
/// it offers no supported one.
///
/// # Errors
/// The mistake in the first supported offer, if none is acceptable: nchan responds with 400.
pub fn negotiate(
    offers: Option<&[u8]>,
    deflate: DeflateSettings,
) -> Result<Option<NegotiatedDeflate>, &'static str> {
    let offers = String::from_utf8_lossy(offers.unwrap_or_default()).into_owned();
    let mut wrong = None;
    for offer in offers.split(',') {
        let mut parts = offer.split(';').map(str::trim);
        match parts.next().unwrap_or_default() {
            "permessage-deflate" => match negotiate_permessage(parts, deflate) {
                Ok(negotiated) => return Ok(Some(negotiated)),
                Err(reason) => wrong = wrong.or(reason),
            },
            name @ ("x-webkit-deflate-frame" | "deflate-frame") => {
                match negotiate_frame(name, parts, deflate) {
                    Ok(negotiated) => return Ok(Some(negotiated)),
                    Err(reason) => wrong = wrong.or(reason),
                }
            }
            _ => {}
        }
    }
    wrong.map_or(Ok(None), Err)
}

/// Why an offer is declined: nchan responds with 400 and the text. Without a text the connection
/// continues uncompressed.
type Declined = Option<&'static str>;

/// Splits a parameter into name and value; an empty value counts as none.
fn parameter(text: &str) -> (&str, Option<&str>) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (
        name.trim_end(),
        Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty()),
    )
}

/// Reads the size of a window in bits: 9 to 15.
fn window_bits(value: &str) -> Option<u8> {
    value
        .parse::<u8>()
        .ok()
        .filter(|bits| (9..=15).contains(bits))
}

/// Negotiates `deflate-frame`, the extension of the drafts before RFC 7692.
fn negotiate_frame<'a>(
    name: &str,
    parameters: impl Iterator<Item = &'a str>,
    deflate: DeflateSettings,
) -> Result<NegotiatedDeflate, Declined> {
    let mut bits = None;
    for text in parameters {
        if let ("max_window_bits", Some(value)) = parameter(text) {
            let wanted = window_bits(value)
                .ok_or(Some("invalid max_window_bits perframe-deflate setting"))?;
            if wanted < deflate.window {
                return Err(Some("max_window_bits perframe-deflate is too small"));
            }
            if bits
                .replace(wanted)
                .is_some_and(|earlier| earlier != wanted)
            {
                return Err(None);
            }
        }
    }
    let extension = if bits.is_some() {
        format!("{name}; max_window_bits={}", deflate.window)
    } else {
        name.to_owned()
    };
    Ok(NegotiatedDeflate {
        extension,
        client_has_no_context: false,
    })
}

/// Negotiates `permessage-deflate` (RFC 7692, section 7.1).
fn negotiate_permessage<'a>(
    parameters: impl Iterator<Item = &'a str>,
    deflate: DeflateSettings,
) -> Result<NegotiatedDeflate, Declined> {
    let mut offer = PermessageOffer::default();
    for text in parameters {
        let (name, value) = parameter(text);
        offer.set(name, value, deflate)?;
    }
    Ok(NegotiatedDeflate {
        extension: offer.response(deflate),
        client_has_no_context: offer.client_has_no_context,
    })
}

/// The parameters of an offer of `permessage-deflate`. The outer `Option` of a window is `None`
/// until the parameter occurs, the inner one if it has no value.
#[derive(Default)]
struct PermessageOffer {
    server_has_no_context: bool,
    client_has_no_context: bool,
    server_window_bits: Option<Option<u8>>,
    client_window_bits: Option<Option<u8>>,
}

impl PermessageOffer {
    /// Adds a parameter. One that occurs with two different values cannot be honoured, so that the
    /// offer is declined.
    fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
        deflate: DeflateSettings,
    ) -> Result<(), Declined> {
        let is_contradiction = match name {
            "server_no_context_takeover" => {
                self.server_has_no_context = true;
                false
            }
            "client_no_context_takeover" => {
                self.client_has_no_context = true;
                false
            }
            "server_max_window_bits" => {
                let bits = value.map(|value| {
                    window_bits(value)
                        .ok_or("invalid server_max_window_bits permessage-deflate setting")
                });
                let bits = bits.transpose().map_err(Some)?;
                if bits.is_some_and(|bits| bits < deflate.window) {
                    return Err(Some("server_max_window_bits perframe-deflate is too small"));
                }
                let earlier = self.server_window_bits.replace(bits);
                earlier.is_some_and(|earlier| earlier != bits)
            }
            "client_max_window_bits" => {
                let bits = value.map(|value| {
                    window_bits(value)
                        .ok_or("invalid client_max_window_bits permessage-deflate setting")
                });
                let bits = bits.transpose().map_err(Some)?;
                let earlier = self.client_window_bits.replace(bits);
                earlier.is_some_and(|earlier| earlier != bits)
            }
            _ => false,
        };
        if is_contradiction { Err(None) } else { Ok(()) }
    }

    /// The extension in the response: the accepted parameters.
    fn response(&self, deflate: DeflateSettings) -> String {
        let mut response = "permessage-deflate".to_owned();
        if self.server_has_no_context {
            response.push_str("; server_no_context_takeover");
        }
        if self.client_has_no_context {
            response.push_str("; client_no_context_takeover");
        }
        if self.server_window_bits.flatten().is_some() {
            response.push_str(&format!("; server_max_window_bits={}", deflate.window));
        }
        if let Some(bits) = self.client_window_bits.flatten() {
            response.push_str(&format!("; client_max_window_bits={bits}"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Negotiated = Result<Option<&'static str>, &'static str>;

    /// Offers of `Sec-WebSocket-Extensions`, and what nchan responded.
    const RECORDED: &[(&str, Negotiated)] = &[
        ("foo", Ok(None)),
        (
            "permessage-deflate; client_max_window_bits",
            Ok(Some("permessage-deflate")),
        ),
        (
            "permessage-deflate; client_max_window_bits=12",
            Ok(Some("permessage-deflate; client_max_window_bits=12")),
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            Ok(Some("permessage-deflate; server_max_window_bits=10")),
        ),
        (
            "permessage-deflate; server_max_window_bits=9",
            Err("server_max_window_bits perframe-deflate is too small"),
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            Err("invalid client_max_window_bits permessage-deflate setting"),
        ),
        (
            "permessage-deflate; server_max_window_bits=x",
            Err("invalid server_max_window_bits permessage-deflate setting"),
        ),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            Ok(Some("permessage-deflate")),
        ),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate; \
                 client_max_window_bits=8",
            Err("server_max_window_bits perframe-deflate is too small"),
        ),
        (
            "permessage-deflate; server_max_window_bits",
            Ok(Some("permessage-deflate")),
        ),
        (
            "permessage-deflate; server_max_window_bits=\"12\"",
            Ok(Some("permessage-deflate; server_max_window_bits=10")),
        ),
        (
            "permessage-deflate; client_max_window_bits=",
            Ok(Some("permessage-deflate")),
        ),
        (
            "permessage-deflate;client_no_context_takeover;server_no_context_takeover;\
                 server_max_window_bits=15",
            Ok(Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=10",
            )),
        ),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            Ok(Some("permessage-deflate; server_no_context_takeover")),
        ),
        (
            "permessage-deflate; server_max_window_bits=12; server_max_window_bits=15",
            Ok(None),
        ),
        (
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            Ok(None),
        ),
        ("x-webkit-deflate-frame", Ok(Some("x-webkit-deflate-frame"))),
        (
            "x-webkit-deflate-frame; max_window_bits=12",
            Ok(Some("x-webkit-deflate-frame; max_window_bits=10")),
        ),
        (
            "deflate-frame; max_window_bits=10; no_context_takeover",
            Ok(Some("deflate-frame; max_window_bits=10")),
        ),
        (
            "deflate-frame; max_window_bits=9",
            Err("max_window_bits perframe-deflate is too small"),
        ),
        (
            "deflate-frame; max_window_bits=8",
            Err("invalid max_window_bits perframe-deflate setting"),
        ),
        (
            "deflate-frame; max_window_bits=16",
            Err("invalid max_window_bits perframe-deflate setting"),
        ),
        (
            "deflate-frame; max_window_bits=8, permessage-deflate",
            Ok(Some("permessage-deflate")),
        ),
        ("foo, deflate-frame", Ok(Some("deflate-frame"))),
    ];

    #[test]
    fn responses_to_offers_are_as_recorded() {
        let response = |offer: &str| {
            negotiate(Some(offer.as_bytes()), DeflateSettings::default())
                .map(|found| found.map(|found| found.extension))
        };
        for &(offer, expected) in RECORDED {
            assert_eq!(
                response(offer),
                expected.map(|extension| extension.map(str::to_owned)),
                "{offer}"
            );
        }
    }
}

//! Cross-origin headers (nhpm-nchan.md, section 2.12), sent only if the request names its origin.

use crate::server::config::{NchanSettings, Variables};
use crate::server::exchange::response::{HeaderList, HeaderListBuilder};

/// Result of checking the origin of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Headers of every response.
    pub headers: HeaderList,
    /// The origin is not allowed at this location: 403.
    pub is_rejected: bool,
}

/// Checks the origin of a request.
#[must_use]
pub fn of_request(settings: &NchanSettings, variables: &dyn Variables) -> Cors {
    let Some(origin) = variables
        .header("origin")
        .filter(|origin| !origin.is_empty())
    else {
        return Cors::default();
    };
    let allowed = settings
        .allow_origin
        .as_ref()
        .map(|allowed| allowed.evaluate(variables));
    let mut words = allowed
        .iter()
        .flat_map(|allowed| allowed.split(|byte| *byte == b' '));
    let (shown, is_allowed) = match &allowed {
        None => (origin, true),
        Some(_) if words.clone().any(|word| word == b"*") => (&b"*"[..], true),
        Some(_) => (origin, words.any(|word| word == origin)),
    };
    let mut headers = HeaderListBuilder::default();
    if settings.allow_credentials {
        headers.push("Access-Control-Allow-Credentials", "true");
    }
    headers.push("Access-Control-Allow-Origin", shown);
    Cors {
        headers: headers.build(),
        is_rejected: !is_allowed,
    }
}

impl Cors {
    /// The header that lets scripts read the message headers; none without an origin.
    #[must_use]
    pub fn expose(&self, settings: &NchanSettings) -> HeaderList {
        if self.headers.is_empty() {
            return HeaderList::default();
        }
        let names = [
            b"Last-Modified, ",
            &settings.etag_header[..],
            b", Content-Type",
        ]
        .concat();
        HeaderList::of("Access-Control-Expose-Headers", names)
    }
}

/// The headers of a response to OPTIONS.
#[must_use]
pub fn options(cors: &Cors, methods: &str, headers: &str) -> HeaderList {
    let mut list = HeaderListBuilder::default();
    list.push("Allow", methods);
    if !cors.headers.is_empty() {
        list.push("Access-Control-Allow-Headers", headers);
        list.push("Access-Control-Allow-Methods", methods);
        list.extend(&cors.headers);
    }
    list.build()
}

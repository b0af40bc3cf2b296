//! The headers that a location adds to its responses (`add_header`).

use super::{HeaderList, HeaderListBuilder, Status};
use crate::server::config::{Variables, WebSettings};

/// Evaluated headers of `add_header`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedHeaders {
    /// For the successful statuses of [`AddedHeaders::for_status`].
    pub good: HeaderList,
    /// For all other statuses (`always`).
    pub any: HeaderList,
}

impl AddedHeaders {
    /// Evaluates the headers of a location. Empty ones are not sent.
    #[must_use]
    pub fn of(web: &WebSettings, variables: &dyn Variables) -> Self {
        let mut good = HeaderListBuilder::default();
        let mut any = HeaderListBuilder::default();
        for header in &web.added_headers {
            let value = header.value.evaluate(variables);
            if value.is_empty() {
                continue;
            }
            good.push(&header.name, &value);
            if header.always {
                any.push(&header.name, &value);
            }
        }
        Self {
            good: good.build(),
            any: any.build(),
        }
    }

    /// Adds the same headers to all statuses.
    #[must_use]
    pub fn to_all(headers: HeaderList) -> Self {
        Self {
            any: headers.clone(),
            good: headers,
        }
    }

    /// Inserts headers before those of the location.
    pub fn insert(&mut self, headers: &HeaderList) {
        for list in [&mut self.good, &mut self.any] {
            *list = HeaderList::concat(&[headers, list]);
        }
    }

    /// Returns the headers for a status, as nginx chooses them.
    #[must_use]
    pub fn for_status(&self, status: Status) -> &HeaderList {
        match status.0 {
            200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308 => &self.good,
            _ => &self.any,
        }
    }
}

//! Files beside the endpoints: `root`, `alias` and `index`, as nginx's static module answers them.
//! Reading, ranges and their bodies are `tower-http`'s.
//!
//! | request | answer |
//! |---|---|
//! | GET, HEAD of a file | 200, 206, 304, 412, 416 |
//! | of a directory | the index file; without one 403; without the slash at its end 301 |
//! | POST of a file, any other method | 405 |
//! | anything else | 404; 403 where the system refuses |
//!
//! The path of a request is decoded and has no `..` left. Symbolic links are followed, as nginx
//! does by default. Of several ranges in one request none is served: the answer is the whole file.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request as HttpRequest, header};
use bytes::Bytes;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::web;
use crate::message::http_date;
use crate::server::compression::{self, Compression};
use crate::server::config::web::IfModifiedSince;
use crate::server::config::{LocationSettings, Variables, WebSettings};
use crate::server::request::Request;
use crate::server::response::{Response, Status};

/// What a request for a file needs when the file is looked for.
pub(super) struct Job {
    path: PathBuf,
    /// The request's path, for indexes.
    uri: Vec<u8>,
    indexes: Vec<Vec<u8>>,
    content_type: Bytes,
    is_allowed: bool,
    /// It gets no file, but is answered as for one where there is none.
    is_post: bool,
    is_head: bool,
    /// The answer if it is a directory without a slash.
    redirection: Response,
    conditions: Conditions,
    compression: Compression,
    web: Arc<WebSettings>,
}

/// Headers that make an answer depend on the file.
struct Conditions {
    range: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<Vec<u8>>,
    if_unmodified_since: Option<Vec<u8>>,
}

/// What became of a job.
pub(super) enum FileOutcome {
    Respond(Response),
    /// The head, and what follows it.
    Stream(Response, Found),
    /// The index file: the request is for this path.
    Redirect(Vec<u8>),
}

/// The body of a file, or of a range of it.
pub(super) struct Found {
    /// Its length.
    pub(super) length: u64,
    pub(super) body: Body,
    /// It is compressed at this level.
    pub(super) level: Option<u32>,
}

impl Job {
    /// The job of a request at a location with files; `None` = it has none.
    pub(super) fn new(
        settings: &LocationSettings,
        request: &Request<'_>,
        variables: &dyn Variables,
    ) -> Option<Box<Self>> {
        let root = settings.web.root.as_ref()?;
        let path = root.file(&request.path, variables);
        let header = |name| request.header(name).map(<[u8]>::to_vec);
        let mut directory = web::encoded(&request.path);
        directory.push(b'/');
        if !request.query.is_empty() {
            directory.push(b'?');
            directory.extend_from_slice(request.query);
        }
        Some(Box::new(Self {
            path,
            uri: request.path.to_vec(),
            indexes: settings
                .web
                .index
                .iter()
                .map(|index| index.evaluate(variables).into_owned())
                .collect(),
            content_type: settings.types.of(&request.path),
            is_allowed: matches!(request.method, "GET" | "HEAD" | "POST"),
            is_post: request.method == "POST",
            is_head: request.method == "HEAD",
            redirection: web::redirection(301, &directory, request),
            compression: Compression::for_request(settings.gzip.as_ref(), request),
            web: Arc::clone(&settings.web),
            conditions: Conditions {
                range: header("range"),
                if_range: header("if-range"),
                if_match: header("if-match"),
                if_none_match: header("if-none-match"),
                if_modified_since: header("if-modified-since"),
                if_unmodified_since: header("if-unmodified-since"),
            },
        }))
    }

    /// It is for a directory.
    pub(super) fn is_index(&self) -> bool {
        self.uri.ends_with(b"/")
    }

    /// Looks for the file.
    pub(super) async fn answer(self) -> FileOutcome {
        if self.uri.ends_with(b"/") {
            return self.index().await;
        }
        if !self.is_allowed {
            return FileOutcome::Respond(Response::error_page(Status::NOT_ALLOWED));
        }
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_dir() => FileOutcome::Respond(self.redirection),
            Ok(found) if found.is_file() && self.is_post => {
                FileOutcome::Respond(Response::error_page(Status::NOT_ALLOWED))
            }
            Ok(found) if found.is_file() => self.file(&found).await,
            Ok(_) => FileOutcome::Respond(Response::error_page(Status::NOT_FOUND)),
            Err(error) => FileOutcome::Respond(refused(&error)),
        }
    }

    async fn index(self) -> FileOutcome {
        if !self.is_allowed {
            return FileOutcome::Respond(Response::error_page(Status::NOT_ALLOWED));
        }
        for name in &self.indexes {
            // An index that begins with a slash is a path of its own, which must exist, too; it is
            // not looked for.
            if name.starts_with(b"/") {
                return FileOutcome::Redirect(name.clone());
            }
            if tokio::fs::metadata(self.path.join(OsStr::from_bytes(name)))
                .await
                .is_ok()
            {
                return FileOutcome::Redirect([&self.uri[..], name].concat());
            }
        }
        let status = match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_dir() => Status::FORBIDDEN,
            _ => Status::NOT_FOUND,
        };
        FileOutcome::Respond(Response::error_page(status))
    }

    async fn file(self, found: &Metadata) -> FileOutcome {
        let modified = u64::try_from(found.mtime()).unwrap_or(0);
        let etag = format!("\"{:x}-{:x}\"", found.mtime(), found.len());
        let last_modified = http_date(modified);
        let head = |status, headers: String| Response {
            content_type: Some(self.content_type.clone()),
            last_modified: Some(last_modified.clone()),
            ..Response::header_only(status, headers.into_bytes())
        };
        // Without a tag no condition about tags can hold.
        let etag = if self.web.without_etag {
            String::new()
        } else {
            etag
        };
        let etag_line = if etag.is_empty() {
            String::new()
        } else {
            format!("ETag: {etag}\r\n")
        };
        if let Some(status) =
            self.conditions
                .status(&etag, (&last_modified, modified), self.web.unmodified)
        {
            return FileOutcome::Respond(match status {
                Status::NOT_MODIFIED => Response {
                    content_type: None,
                    bodiless: true,
                    ..head(status, etag_line)
                },
                status => Response::error_page(status),
            });
        }
        let decision = self.compression.decide(&compression::ResponseFacts {
            status: Status::OK.0,
            content_type: &self.content_type,
            length: Some(found.len()),
            has_last_modified: true,
            headers: etag_line.as_bytes(),
        });
        let lines = String::from_utf8_lossy(decision.lines());
        let mut request = HttpRequest::builder().method(if self.is_head { "HEAD" } else { "GET" });
        // Of what is compressed there are no ranges.
        if let (None, Some(range)) = (
            decision.level,
            self.conditions
                .wanted_range(&etag, &last_modified)
                .filter(|_| self.web.max_ranges != Some(0)),
        ) {
            request = request.header(header::RANGE, range);
        }
        let Ok(request) = request.body(Body::empty()) else {
            return FileOutcome::Respond(Response::error_page(Status::BAD_REQUEST));
        };
        let Ok(served) = ServeFile::new(&self.path).oneshot(request).await;
        let content_range = served
            .headers()
            .get(header::CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let length = served
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let range_line = content_range
            .map(|range| format!("Content-Range: {range}\r\n"))
            .unwrap_or_default();
        match (served.status().as_u16(), length) {
            (200, Some(length)) => {
                let headers = if decision.level.is_some() {
                    let weak = if etag.is_empty() { "" } else { "W/" };
                    etag_line.replacen("\"", &format!("{weak}\""), 1) + &lines
                } else {
                    let ranges = if self.web.max_ranges == Some(0) {
                        ""
                    } else {
                        "Accept-Ranges: bytes\r\n"
                    };
                    format!("{etag_line}{lines}{ranges}")
                };
                FileOutcome::Stream(
                    head(Status::OK, headers),
                    Found {
                        length,
                        body: Body::new(served.into_body()),
                        level: decision.level,
                    },
                )
            }
            (206, Some(length)) => {
                let found = Found {
                    length,
                    body: Body::new(served.into_body()),
                    level: None,
                };
                FileOutcome::Stream(
                    head(Status(206), format!("{etag_line}{lines}{range_line}")),
                    found,
                )
            }
            (416, _) => FileOutcome::Respond(
                Response::error_page(Status(416)).with_headers(range_line.as_bytes()),
            ),
            // It went away meanwhile.
            _ => FileOutcome::Respond(Response::error_page(Status::NOT_FOUND)),
        }
    }
}

impl Conditions {
    /// 304 or 412, if one of them is the answer (nginx's conditional filter,
    /// `if_modified_since exact`).
    fn status(
        &self,
        etag: &str,
        (last_modified, modified): (&str, u64),
        unmodified: IfModifiedSince,
    ) -> Option<Status> {
        let same = |header: &[u8]| match unmodified {
            IfModifiedSince::Never => false,
            IfModifiedSince::Exact => header == last_modified.as_bytes(),
            IfModifiedSince::Before => {
                crate::message::parse_http_date(header).is_some_and(|time| modified <= time)
            }
        };
        let is_later = |header: &Vec<u8>| {
            crate::message::parse_http_date(header).is_some_and(|time| modified > time)
        };
        if self.if_unmodified_since.as_ref().is_some_and(is_later)
            || self
                .if_match
                .as_ref()
                .is_some_and(|tags| !has_tag(tags, etag, false))
        {
            return Some(Status(412));
        }
        if self.if_modified_since.is_none() && self.if_none_match.is_none() {
            return None;
        }
        let is_new = self
            .if_modified_since
            .as_deref()
            .is_some_and(|header| !same(header))
            || self
                .if_none_match
                .as_ref()
                .is_some_and(|tags| !has_tag(tags, etag, true));
        (!is_new).then_some(Status::NOT_MODIFIED)
    }

    /// The range, unless it is for another version of the file, or one of several.
    fn wanted_range(&self, etag: &str, last_modified: &str) -> Option<&[u8]> {
        let range = self.range.as_deref().filter(|range| {
            range
                .get(..6)
                .is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes="))
        })?;
        let is_same = self
            .if_range
            .as_deref()
            .is_none_or(|wanted| wanted == etag.as_bytes() || wanted == last_modified.as_bytes());
        (is_same && !range.contains(&b',')).then_some(range)
    }
}

/// Whether `tag` is in the list of a header; `weak` = weak tags count, too.
fn has_tag(tags: &[u8], tag: &str, weak: bool) -> bool {
    tags == b"*"
        || tags
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|known| {
                let known = if weak {
                    known.strip_prefix(b"W/").unwrap_or(known)
                } else {
                    known
                };
                !tag.is_empty() && known == tag.as_bytes()
            })
}

/// What the system's refusal to open a file is in HTTP.
fn refused(error: &std::io::Error) -> Response {
    use std::io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    let status = match error.kind() {
        NotFound | NotADirectory | InvalidFilename => Status::NOT_FOUND,
        PermissionDenied => Status::FORBIDDEN,
        _ => return Response::error_page(Status::INTERNAL).closing(),
    };
    Response::error_page(status)
}

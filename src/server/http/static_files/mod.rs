//! Static files: `root`, `alias` and `index`, with the responses of nginx's static module. Files,
//! ranges and bodies are read by `tower-http`.
//!
//! | request | response |
//! |---|---|
//! | GET, HEAD of a file | 200, 206, 304, 412, 416 |
//! | of a directory | the index file; 403 without one; 301 without a slash at the end |
//! | POST of a file, any other method | 405 |
//! | anything else | 404; 403 where the system denies access |
//!
//! The path of a request is decoded and contains no `..`. Symbolic links are followed, as nginx
//! does by default. A request for several ranges gets the whole file.

mod conditions;
mod pieces;

pub(super) use pieces::{FilePieces, IncompleteFile};

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request as HttpRequest, Response as HttpResponse, header};
use bytes::Bytes;
use tower::ServiceExt;
use tower_http::services::ServeFile;
use tower_http::services::fs::ServeFileSystemResponseBody;

use super::return_response;
use crate::message::http_date;
use crate::server::config::model::web::Root;
use crate::server::config::{LocationSettings, Variables, WebSettings};
use crate::server::exchange::compression;
use crate::server::exchange::compression::Compression;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{
    HeaderList, HttpDate, Response, ResponseHead, Status, header_list,
};
use conditions::{Conditions, Validators};

/// A request for a static file.
pub(in crate::server) struct FileRequest {
    path: PathBuf,
    /// Path of the request, for indexes.
    uri: Vec<u8>,
    indexes: Vec<Vec<u8>>,
    content_type: Bytes,
    is_allowed: bool,
    /// It gets 405 where there is a file, and the ordinary response where there is none.
    is_post: bool,
    is_head: bool,
    /// Response for a directory without a slash.
    redirection: Response,
    conditions: Conditions,
    compression: Compression,
    web: Arc<WebSettings>,
}

/// Result of looking for a file.
pub(in crate::server) enum FileOutcome {
    Respond(Response),
    /// The head, and the body that follows it.
    Stream(ResponseHead, FileBody),
    /// The path of the index file, to which the request is redirected.
    Redirect(Vec<u8>),
}

/// The body of a file, or of a range of it.
pub(in crate::server) struct FileBody {
    /// Its length before compression.
    length: u64,
    body: Body,
    /// Compression level; `None` if it is not compressed.
    level: Option<u32>,
}

impl FileBody {
    pub(in crate::server::http) fn length(&self) -> u64 {
        self.length
    }

    pub(in crate::server::http) fn level(&self) -> Option<u32> {
        self.level
    }

    pub(in crate::server::http) fn into_pieces(self) -> FilePieces {
        FilePieces::new(self.length, self.body)
    }
}

impl FileRequest {
    /// Prepares a request at a location with this `root` or `alias`.
    pub(in crate::server) fn new(
        root: &Root,
        settings: &LocationSettings,
        request: &Request<'_>,
        variables: &dyn Variables,
    ) -> Box<Self> {
        let path = root.file(&request.path, variables);
        let mut directory = return_response::encode_path(&request.path);
        directory.push(b'/');
        if !request.query.is_empty() {
            directory.push(b'?');
            directory.extend_from_slice(request.query);
        }
        Box::new(Self {
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
            redirection: return_response::redirection(301, &directory, request),
            compression: Compression::for_request(settings.gzip.as_ref(), request),
            web: Arc::clone(&settings.web),
            conditions: Conditions::of(request),
        })
    }

    /// Returns whether the request is for a directory, by its path.
    pub(in crate::server) fn is_directory(&self) -> bool {
        self.uri.ends_with(b"/")
    }

    /// Looks for the file.
    pub(in crate::server) async fn find(self) -> FileOutcome {
        if self.is_directory() {
            return self.find_index().await;
        }
        if !self.is_allowed {
            return error_page(Status::NOT_ALLOWED);
        }
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_dir() => FileOutcome::Respond(self.redirection),
            Ok(found) if found.is_file() && self.is_post => error_page(Status::NOT_ALLOWED),
            Ok(found) if found.is_file() => self.open(&found).await,
            Ok(_) => error_page(Status::NOT_FOUND),
            Err(error) => FileOutcome::Respond(io_error_page(&error)),
        }
    }

    /// Looks for the index file of a directory.
    async fn find_index(self) -> FileOutcome {
        if !self.is_allowed {
            return error_page(Status::NOT_ALLOWED);
        }
        for name in &self.indexes {
            // An index that begins with a slash is a separate path. As in nginx it is not looked
            // for, and ends the search.
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
        error_page(match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_dir() => Status::FORBIDDEN,
            _ => Status::NOT_FOUND,
        })
    }

    /// Evaluates the conditions of the request, and opens the file.
    async fn open(self, found: &Metadata) -> FileOutcome {
        let modified = u64::try_from(found.mtime()).unwrap_or(0);
        let etag = if self.web.without_etag {
            // Without a tag no condition about tags holds.
            String::new()
        } else {
            format!("\"{:x}-{:x}\"", found.mtime(), found.len())
        };
        let file = Validators {
            etag,
            last_modified: http_date(modified),
            modified,
        };
        let etag = if file.etag.is_empty() {
            HeaderList::default()
        } else {
            HeaderList::of("ETag", &file.etag)
        };
        if let Some(status) = self.conditions.status(&file, self.web.unmodified) {
            return match status {
                Status::NOT_MODIFIED => FileOutcome::Respond(
                    Response::bodiless(status, etag)
                        .with_last_modified(Some(HttpDate::of(modified))),
                ),
                status => error_page(status),
            };
        }
        let compressed = self.compression.decide(&compression::ResponseFacts {
            status: Status::OK.0,
            content_type: &self.content_type,
            length: Some(found.len()),
            has_last_modified: true,
            headers: &etag,
        });
        // A compressed response has no ranges.
        let range = if compressed.level.is_none() && self.has_ranges() {
            self.conditions.range(&file)
        } else {
            None
        };
        let Some(served) = self.serve(range).await else {
            return error_page(Status::BAD_REQUEST);
        };
        let headers = FileHeaders {
            etag,
            compression: compressed.headers(),
            level: compressed.level,
        };
        self.respond(served, &file, &headers)
    }

    /// Opens the file with `tower-http`; `None` if the range is no header value.
    async fn serve(
        &self,
        range: Option<&[u8]>,
    ) -> Option<HttpResponse<ServeFileSystemResponseBody>> {
        let method = if self.is_head { "HEAD" } else { "GET" };
        let mut request = HttpRequest::builder().method(method);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let request = request.body(Body::empty()).ok()?;
        let Ok(served) = ServeFile::new(&self.path).oneshot(request).await;
        Some(served)
    }

    /// Turns the response of `tower-http` into nginx's.
    fn respond(
        &self,
        served: HttpResponse<ServeFileSystemResponseBody>,
        file: &Validators,
        headers: &FileHeaders,
    ) -> FileOutcome {
        let header = |name| {
            let value = served.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        let range = header(header::CONTENT_RANGE)
            .map(|range| HeaderList::of("Content-Range", range))
            .unwrap_or_default();
        let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let FileHeaders {
            etag,
            compression,
            level,
        } = headers;
        match (served.status().as_u16(), length) {
            (200, Some(length)) => {
                let headers = if level.is_none() {
                    HeaderList::concat(&[etag, compression, &self.accepted_ranges()])
                } else if etag.is_empty() {
                    compression.clone()
                } else {
                    let weak = HeaderList::of("ETag", format!("W/{}", file.etag));
                    HeaderList::concat(&[&weak, compression])
                };
                let body = FileBody {
                    length,
                    body: Body::new(served.into_body()),
                    level: *level,
                };
                FileOutcome::Stream(self.head(Status::OK, file, headers), body)
            }
            (206, Some(length)) => {
                let headers = HeaderList::concat(&[etag, compression, &range]);
                let body = FileBody {
                    length,
                    body: Body::new(served.into_body()),
                    level: None,
                };
                FileOutcome::Stream(self.head(Status(206), file, headers), body)
            }
            (416, _) => {
                FileOutcome::Respond(Response::error_page(Status(416)).with_headers(&range))
            }
            // The file was removed in the meantime.
            _ => error_page(Status::NOT_FOUND),
        }
    }

    /// The head of a response with the file.
    fn head(&self, status: Status, file: &Validators, headers: HeaderList) -> ResponseHead {
        ResponseHead {
            content_type: Some(self.content_type.clone()),
            last_modified: Some(HttpDate::of(file.modified)),
            ..ResponseHead::new(status, headers)
        }
    }

    /// The header that announces ranges, if the location serves them.
    fn accepted_ranges(&self) -> HeaderList {
        if self.has_ranges() {
            header_list!("Accept-Ranges": "bytes")
        } else {
            HeaderList::default()
        }
    }

    /// Returns whether the location serves ranges.
    fn has_ranges(&self) -> bool {
        self.web.max_ranges != Some(0)
    }
}

/// Headers of a file's response that depend on the request.
struct FileHeaders {
    etag: HeaderList,
    compression: HeaderList,
    level: Option<u32>,
}

fn error_page(status: Status) -> FileOutcome {
    FileOutcome::Respond(Response::error_page(status))
}

/// Maps an error of the file system to a response, as nginx does.
fn io_error_page(error: &std::io::Error) -> Response {
    use std::io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    let status = match error.kind() {
        NotFound | NotADirectory | InvalidFilename => Status::NOT_FOUND,
        PermissionDenied => Status::FORBIDDEN,
        _ => return Response::error_page(Status::INTERNAL).closing(),
    };
    Response::error_page(status)
}

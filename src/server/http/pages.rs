//! Pages of the built-in configuration, served by an axum router: `GET /` (200, 405) is a page for
//! trying the server.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Html;
use axum::routing::get;
use futures_util::StreamExt;
use tower::ServiceExt;

use crate::server::exchange::response::{HeaderList, Response, Status, header_list};

/// Largest page in bytes.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

fn router() -> Router {
    Router::new().route("/", get(async || Html(include_str!("welcome.html"))))
}

/// Renders the page at `target`, or nginx's error page if there is none for this method.
pub(in crate::server) async fn render(method: &str, target: &str) -> Response {
    // HEAD gets the head of the page; the body is omitted when the response is written.
    let method = if method == "HEAD" { "GET" } else { method };
    let Ok(request) = Request::builder()
        .method(method)
        .uri(target)
        .body(Body::empty())
    else {
        return Response::error_page(Status::BAD_REQUEST);
    };
    let Ok(rendered) = router().oneshot(request).await;
    match rendered.status() {
        StatusCode::OK => {}
        StatusCode::METHOD_NOT_ALLOWED => {
            return Response::error_page(Status::NOT_ALLOWED)
                .with_headers(&header_list!("Allow": "GET, HEAD"));
        }
        _ => return Response::error_page(Status::NOT_FOUND),
    }
    let content_type = rendered
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|value| bytes::Bytes::copy_from_slice(value.as_bytes()));
    let mut page = Vec::new();
    let mut body = rendered.into_body().into_data_stream();
    while let Some(Ok(piece)) = body.next().await {
        if page.len() + piece.len() > MAX_PAGE_BYTES {
            return Response::error_page(Status::INTERNAL);
        }
        page.extend_from_slice(&piece);
    }
    Response::sized(Status::OK, "", HeaderList::default(), page).with_content_type(content_type)
}

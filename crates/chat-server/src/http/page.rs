//! The page and the JavaScript client, out of the binary: nothing to install, nothing to lose.
//!
//! Serves single files by name, never a path: what is in a deeper folder (tests) stays inside.

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use rust_embed::{Embed, EmbeddedFile};

use super::answer;

#[derive(Embed)]
#[folder = "page/"]
struct Page;

#[derive(Embed)]
#[folder = "../../clients/js/"]
struct Client;

pub(super) async fn index(headers: HeaderMap) -> Response {
    serve(Page::get("index.html"), "/", "index.html", &headers)
}

pub(super) async fn icon(headers: HeaderMap) -> Response {
    serve(Page::get("favicon.svg"), "/", "favicon.svg", &headers)
}

pub(super) async fn page_file(Path(file): Path<String>, headers: HeaderMap) -> Response {
    serve(Page::get(&file), "/page/", &file, &headers)
}

pub(super) async fn client_file(Path(file): Path<String>, headers: HeaderMap) -> Response {
    serve(Client::get(&file), "/client/", &file, &headers)
}

fn serve(found: Option<EmbeddedFile>, folder: &str, file: &str, headers: &HeaderMap) -> Response {
    match (found, media_type(file)) {
        // A slash gets here as %2F.
        (Some(found), Some(media_type)) if !file.contains('/') => {
            with_tag(found, media_type, headers)
        }
        _ => answer::not_found(&format!("{folder}{file}")),
    }
}

/// Browsers ask each time whether they still have the right version: a page must never speak
/// with another version's client.
fn with_tag(found: EmbeddedFile, media_type: &'static str, headers: &HeaderMap) -> Response {
    let tag = tag(&found.metadata.sha256_hash());
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| {
        let known = known.to_str().unwrap_or_default();
        known
            .split(',')
            .any(|known| [tag.as_str(), "*"].contains(&known.trim().trim_start_matches("W/")))
    });
    let mut response = Response::new(if is_known {
        Body::empty()
    } else {
        Body::from(found.data.into_owned())
    });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The first half of a SHA-256 is enough to tell versions of one file apart.
fn tag(hash: &[u8; 32]) -> String {
    let hex: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// What browsers are told a file is. Files of other kinds are not part of the page.
pub(super) fn media_type(file: &str) -> Option<&'static str> {
    let (_, extension) = file.rsplit_once('.')?;
    match extension {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        _ => None,
    }
}

//! The shapes of answers: JSON objects, and errors with the codes of the wire.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use chat_proto::ErrorCode;
use serde_json::{Value, json};

/// Most characters of a request that an error repeats.
const CHARS_SHOWN: usize = 100;

/// An answer that describes this moment, so nobody may keep it.
pub(super) fn fresh(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn object(status: StatusCode, value: &Value) -> Response {
    fresh(status, "application/json", value.to_string())
}

pub(super) fn error(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    let error = json!({"code": code.as_str(), "message": message});
    object(status, &json!({ "error": error }))
}

pub(super) fn not_found(path: &str) -> Response {
    let message = format!("there is nothing at {}", shown(path));
    error(StatusCode::NOT_FOUND, ErrorCode::NotFound, &message)
}

/// The router adds the `Allow` header that says which methods there are.
pub(super) fn method_not_allowed(method: &Method, path: &str) -> Response {
    let method = shown(method.as_str());
    let message = format!("{} cannot be asked with {method}", shown(path));
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::BadRequest,
        &message,
    )
}

fn shown(input: &str) -> String {
    input.chars().take(CHARS_SHOWN).collect()
}

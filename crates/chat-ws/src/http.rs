//! What is not a WebSocket: the seam to whoever answers it, and refusals in the shape of the wire.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use chat_proto::{ErrorCode, ErrorObject};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer, whatever makes it.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The answer to come.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Who sent a request: an extension of every request that a handler gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Answers every request that is not for `/ws`.
pub trait HttpHandler: Send + Sync + 'static {
    /// Answers one request. Limits on the time that it takes and on the body that it reads are the
    /// handler's own.
    fn handle(&self, request: Request<Incoming>) -> ResponseFuture;
}

impl<F> HttpHandler for F
where
    F: Fn(Request<Incoming>) -> ResponseFuture + Send + Sync + 'static,
{
    fn handle(&self, request: Request<Incoming>) -> ResponseFuture {
        self(request)
    }
}

/// A body that is there as a whole.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An error as HTTP clients get it: `{"error": {"code": …, "message": …}}`.
#[must_use]
pub fn error_response(status: StatusCode, error: &ErrorObject) -> Response<Body> {
    let mut object = serde_json::json!({
        "code": error.code.as_str(),
        "message": error.message,
    });
    if let Some(retry_after_ms) = error.retry_after_ms {
        object["retry_after_ms"] = retry_after_ms.into();
    }
    let text = serde_json::json!({ "error": object }).to_string();
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    if let Some(retry_after_ms) = error.retry_after_ms {
        let seconds = HeaderValue::from(retry_after_ms.div_ceil(1_000));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// A refused upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: ErrorObject,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            error: ErrorObject::new(code, message.into()),
        }
    }

    /// Too much, for now.
    pub(crate) fn too_many(error: &ErrorObject) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: error.clone(),
        }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        error_response(self.status, &self.error)
    }
}

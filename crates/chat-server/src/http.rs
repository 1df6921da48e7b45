//! What the server answers over plain HTTP: probes, metrics, and the page with its client library.
//!
//! Opens no socket: chat-ws accepts connections, keeps `/ws` for itself and hands everything else
//! here. Every answer carries the same protective headers, errors included.

mod answer;
mod metrics;
mod page;
mod probes;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use chat_core::Health;
use prometheus_client::registry::Registry;

/// Everything comes from this server, nothing may frame it, nothing inline is run. A message that
/// got into the page as markup could still do nothing.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Room names are in the address; they are nobody else's business.
    (REFERRER_POLICY, "no-referrer"),
];

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct HttpState {
    /// How the node is, now.
    pub(crate) health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// Everything that is counted.
    pub(crate) registry: Arc<Registry>,
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState").finish_non_exhaustive()
    }
}

/// All routes but `/ws`.
pub(crate) fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/favicon.svg", get(page::icon))
        .route("/page/{file}", get(page::page_file))
        .route("/client/{file}", get(page::client_file))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(map_response(protect))
        .with_state(state)
}

async fn protect(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn not_found(request: Request) -> Response {
    answer::not_found(request.uri().path())
}

async fn method_not_allowed(request: Request) -> Response {
    answer::method_not_allowed(request.method(), request.uri().path())
}

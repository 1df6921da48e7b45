//! `/metrics`, in the OpenMetrics text form.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chat_proto::ErrorCode;
use prometheus_client::encoding::text::encode;

use super::{HttpState, answer};

/// As Prometheus asks for it.
/// <https://prometheus.io/docs/specs/om/open_metrics_spec/#overall-structure>
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(state): State<HttpState>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &state.registry) {
        Ok(()) => answer::fresh(StatusCode::OK, OPEN_METRICS, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            answer::error(status, ErrorCode::Internal, "the metrics cannot be written")
        }
    }
}

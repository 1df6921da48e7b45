//! `/healthz`: does the process answer? `/readyz`: should a balancer send it new clients?
//!
//! A node without its broker or store is alive and not ready: restarting it would heal nothing,
//! and would cost its clients their connections.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chat_core::{Health, Part};
use serde_json::{Map, Value, json};

use super::{HttpState, answer};

/// Every part, and whether the node can serve new clients without it. Chat goes on without
/// presence.
const PARTS: [(Part, &str, bool); 4] = [
    (Part::BrokerIn, "broker_in", true),
    (Part::BrokerOut, "broker_out", true),
    (Part::Presence, "presence", false),
    (Part::Store, "store", true),
];

pub(super) async fn healthz() -> Response {
    answer::object(StatusCode::OK, &json!({"status": "ok"}))
}

pub(super) async fn readyz(State(state): State<HttpState>) -> Response {
    let (status, body) = readiness(&(state.health)());
    answer::object(status, &body)
}

fn readiness(health: &Health) -> (StatusCode, Value) {
    let is_away = |part: &Part| health.degraded.contains(part);
    let ready = !health.draining
        && !PARTS
            .iter()
            .any(|(part, _, needed)| *needed && is_away(part));
    let parts: Map<String, Value> = PARTS
        .iter()
        .map(|(part, name, _)| {
            let state = if is_away(part) { "degraded" } else { "ok" };
            ((*name).to_owned(), state.into())
        })
        .collect();
    let body = json!({"ready": ready, "draining": health.draining, "parts": parts});
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, body)
}

//! The router as a client sees it, without a socket.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{Request, Response, StatusCode};
use chat_core::{Health, Metrics, Part};
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{HEADERS, HttpState, router};
use crate::process::ProcessCollector;

fn healthy() -> Health {
    health(&[], false)
}

fn health(degraded: &[Part], draining: bool) -> Health {
    Health {
        degraded: degraded.to_vec(),
        draining,
    }
}

async fn ask(request: Request<Body>, health: Health) -> Response<Body> {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    metrics.limit("lanes");
    registry.register_collector(Box::new(ProcessCollector));
    let state = HttpState {
        health: Arc::new(move || health.clone()),
        registry: Arc::new(registry),
    };
    router(state).oneshot(request).await.unwrap()
}

async fn get(path: &str) -> Response<Body> {
    ask(Request::get(path).body(Body::empty()).unwrap(), healthy()).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn object(response: Response<Body>) -> Value {
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    serde_json::from_str(&text(response).await).unwrap()
}

async fn readyz(health: Health) -> (StatusCode, Value) {
    let response = ask(Request::get("/readyz").body(Body::empty()).unwrap(), health).await;
    (response.status(), object(response).await)
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let missing = ["/nowhere", "/client/nowhere.js"];
    for path in ["/", "/client/index.js", "/healthz", "/metrics"]
        .iter()
        .chain(&missing)
    {
        let response = get(path).await;
        for (name, value) in HEADERS {
            assert_eq!(response.headers()[&name], value, "{path}");
        }
    }
    let policy = &get("/").await.headers()["content-security-policy"].clone();
    let policy = policy.to_str().unwrap();
    assert!(
        !policy.contains("unsafe") && !policy.contains("  "),
        "{policy}"
    );
}

#[tokio::test]
async fn the_page_is_html_and_the_client_a_module() {
    let page = get("/").await;
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(text(page).await.starts_with("<!doctype html>"));
    let client = get("/client/index.js").await;
    assert_eq!(
        client.headers()[CONTENT_TYPE],
        "text/javascript; charset=utf-8"
    );
    assert!(text(client).await.contains("ChatClient"));
    assert_eq!(
        get("/favicon.svg").await.headers()[CONTENT_TYPE],
        "image/svg+xml"
    );
}

/// What a folder of the repository has that browsers can be sent.
fn files(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let names = std::fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| super::page::media_type(name).is_some())
        .collect()
}

#[tokio::test]
async fn every_file_of_page_and_client_is_served() {
    for (folder, path) in [("page", "/page/"), ("../../clients/js", "/client/")] {
        let files = files(folder);
        assert!(!files.is_empty());
        for file in files {
            let response = get(&format!("{path}{file}")).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}{file}");
        }
    }
}

#[tokio::test]
async fn what_is_no_part_of_the_page_is_not_served() {
    let hidden = [
        "/client/package.json",
        "/client/test/client.test.js",
        "/client/test%2Fclient.test.js",
        "/client/..%2F..%2FCargo.toml",
        "/page/..%2Fsrc%2Fmain.rs",
        "/client/",
    ];
    for path in hidden {
        assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let first = get("/client/index.js").await;
    let tag = first.headers()[ETAG].clone();
    for known in [
        tag.to_str().unwrap(),
        &format!("\"x\", W/{}", tag.to_str().unwrap()),
    ] {
        let request = Request::get("/client/index.js").header(IF_NONE_MATCH, known);
        let again = ask(request.body(Body::empty()).unwrap(), healthy()).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[ETAG], tag);
        assert_eq!(text(again).await, "");
    }
    let other = Request::get("/client/errors.js").header(IF_NONE_MATCH, &tag);
    let other = ask(other.body(Body::empty()).unwrap(), healthy()).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_healthy_node_is_ready_and_names_its_parts() {
    let (status, body) = readyz(healthy()).await;
    assert_eq!(status, StatusCode::OK);
    let parts = json!({"broker_in": "ok", "broker_out": "ok", "presence": "ok", "store": "ok"});
    assert_eq!(
        body,
        json!({"ready": true, "draining": false, "parts": parts})
    );
}

#[tokio::test]
async fn a_node_that_cannot_serve_new_clients_is_not_ready() {
    let unready = [
        health(&[], true),
        health(&[Part::BrokerIn], false),
        health(&[Part::BrokerOut], false),
        health(&[Part::Store, Part::Presence], false),
    ];
    for health in unready {
        let (status, body) = readyz(health.clone()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{health:?}");
        assert_eq!(body["ready"], false);
        assert_eq!(body["draining"], health.draining);
    }
}

#[tokio::test]
async fn a_node_without_presence_is_ready_and_says_so() {
    let (status, body) = readyz(health(&[Part::Presence], false)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["parts"]["presence"], "degraded");
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_alive() {
    let request = Request::get("/healthz").body(Body::empty()).unwrap();
    let response = ask(request, health(&[Part::Store], true)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(object(response).await, json!({"status": "ok"}));
}

#[tokio::test]
async fn metrics_are_open_metrics_with_the_engine_and_the_process() {
    let response = get("/metrics").await;
    let media_type = response.headers()[CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(media_type.starts_with("application/openmetrics-text; version=1.0.0"));
    let text = text(response).await;
    assert!(
        text.contains("chat_limited_total{limit=\"lanes\"} 1"),
        "{text}"
    );
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        let lines = text.lines();
        let line = lines
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .next();
        let value: u64 = line
            .unwrap_or_else(|| panic!("{name} in {text}"))
            .parse()
            .unwrap();
        assert!(value > 0, "{name}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_wrong_path_and_a_wrong_method_are_answered_with_error_objects() {
    let missing = get("/v2/nothing").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let error = json!({"code": "not_found", "message": "there is nothing at /v2/nothing"});
    assert_eq!(object(missing).await, json!({ "error": error }));

    let request = Request::post("/metrics").body(Body::empty()).unwrap();
    let refused = ask(request, healthy()).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[ALLOW], "GET,HEAD");
    assert_eq!(object(refused).await["error"]["code"], "bad_request");
}

#[tokio::test]
async fn a_long_path_is_not_repeated_in_full() {
    let missing = get(&format!("/{}", "x".repeat(10_000))).await;
    assert!(text(missing).await.len() < 300);
}

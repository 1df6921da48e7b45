//! The tool as it is run, against the real server in this process.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use chat_core::Limits;
use chat_testkit::Certificate;
use chat_ws::{Config, ResponseFuture, Server, Tls};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A server that shares nothing with any other.
fn start() -> String {
    start_with(Limits::default().without_rates())
}

fn start_with(limits: Limits) -> String {
    format!("ws://{}/ws", listen(&limits, None))
}

fn listen(limits: &Limits, tls: Option<Tls>) -> SocketAddr {
    let service = chat_memory::embedded(limits).build().unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.address();
    let nothing = |_: chat_ws::Request<chat_ws::Incoming>| -> ResponseFuture {
        Box::pin(async { chat_ws::Response::new(chat_ws::full("")) })
    };
    let mut config = Config::new(limits);
    config.tls = tls;
    tokio::spawn(server.serve(config, service, Arc::new(nothing), CancellationToken::new()));
    address
}

async fn bench(arguments: &str, urls: &[&String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-bench"));
    command
        .args(arguments.split(' '))
        .args(["--quiet", "--json", "--warmup", "0.1"]);
    for url in urls {
        command.args(["--url", url]);
    }
    // The servers run meanwhile.
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.unwrap().unwrap()
}

/// What a run said that found nothing wrong.
async fn clean(arguments: &str, url: &String) -> Value {
    let output = bench(arguments, &[url]).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    for fault in [
        "lost",
        "doubled",
        "out_of_order",
        "unanswered",
        "unreadable",
        "absent",
    ] {
        assert_eq!(report[fault], 0, "{fault}: {report}");
    }
    assert_eq!(report["acked"], report["published"]);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fanout_delivers_every_message_to_every_member_in_either_codec() {
    let url = start();
    for codec in ["json", "msgpack"] {
        let line =
            format!("fanout --rooms 2 --members 5 --threads 2 --duration 0.4 --codec {codec}");
        let report = clean(&line, &url).await;
        let acked = report["acked"].as_u64().unwrap();
        assert!(acked > 0);
        assert_eq!(report["delivered"], acked * 5);
        assert!(report["latency_us"]["p99"].as_f64().unwrap() > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pingpong_keeps_its_schedule() {
    let report = clean("pingpong --rate 100 --duration 0.5", &start()).await;
    // The speaker hears himself too, but is not measured.
    let of = |what: &str| report[what].as_u64().unwrap();
    assert_eq!(of("delivered"), 2 * of("published"));
    assert!(report["latency_us"]["count"].as_u64().unwrap() <= of("published"));
    assert_eq!(report["conditions"]["rate"], 100.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_still_hear_what_is_said_in_the_end() {
    let report = clean("idle --connections 40 --duration 0.1", &start()).await;
    assert!(report["delivered"].as_u64().unwrap() >= 40);
    assert_eq!(report["server_bytes_per_connection"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_survived_twice() {
    let line = "storm --clients 40 --room-size 20 --rate 100 --away 0.2 --rounds 2 --duration 0.2";
    let report = clean(line, &start()).await;
    assert_eq!(report["storms_ms"].as_array().unwrap().len(), 2);
    assert_eq!(report["catch_up_us"]["count"], 80);
    assert!(report["resumed"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_limited_and_the_crowd_is_not() {
    let mut limits = Limits::default().without_rates();
    limits.messages_per_user = 20;
    limits.message_window = Duration::from_secs(600);
    let line = "noisy --rooms 4 --members 4 --rate 10 --flood-window 8 --duration 0.6";
    let report = clean(line, &start_with(limits)).await;
    assert_eq!(report["limited"], 0);
    let noise = &report["noise"];
    assert!(noise["p99_ratio"].as_f64().unwrap() > 0.0);
    assert_eq!(noise["flood_acked"], 20);
    assert!(noise["flood_refused"].as_u64().unwrap() > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_do_not_share_their_rooms_are_found_out() {
    let (one, other) = (start(), start());
    let line = "fanout --members 4 --rate 50 --duration 0.3 --drain-timeout 0.5";
    let output = bench(line, &[&one, &other]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["lost"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_no_result() {
    let nobody = "ws://127.0.0.1:1/ws".to_owned();
    let output = bench("fanout --connect-timeout 0.3", &[&nobody]).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("0 of 10 connections") && said.contains(&nobody),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_behind_tls_are_loaded_if_they_are_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (shown, other) = (Certificate::make(), Certificate::make());
    shown.write(directory.path(), "shown");
    other.write(directory.path(), "other");
    let tls = Tls::from_pem(&shown.chain, &shown.key).unwrap();
    let address = listen(&Limits::default().without_rates(), Some(tls));
    let url = format!("wss://{address}/ws");
    let ca = |name: &str| format!("--ca {}/{name}.pem", directory.path().display());

    let trusted = format!(
        "storm --clients 10 --room-size 5 --duration 0.4 {}",
        ca("shown")
    );
    let report = clean(&trusted, &url).await;
    assert!(report["acked"].as_u64().unwrap() > 0);

    let distrusted = format!("fanout --connect-timeout 0.5 {}", ca("other"));
    let output = bench(&distrusted, &[&url]).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--ca FILE") && said.contains("UnknownIssuer"),
        "{said}"
    );
}

//! Everybody talks at once, on all nodes.

use chat_testkit::servers::RedisServer;
use chat_tests::ServerProcess;

use crate::crowd::Crowd;

async fn everybody_hears_everything(mode: &str) {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let node = || ServerProcess::start(&["--redis", &url, "--redis-subscribe", mode]);
    let nodes = [node(), node(), node()];
    let mut crowd = Crowd::enter(&nodes, 10).await;
    crowd.until_more_was_said(20).await;
    crowd.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_show_every_message_once_in_one_order() {
    everybody_hears_everything("rooms").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_so_they_do_when_they_listen_to_everything() {
    everybody_hears_everything("all").await;
}

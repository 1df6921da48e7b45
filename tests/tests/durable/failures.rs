//! What happens to people whose messages are kept when the server or its database ends, is harmed or
//! has no room left: nothing acked is lost, nothing is there twice, and it heals by itself.

mod postgres;
mod sqlite;

use chat_client::{Client, Options};
use chat_core::UserId;
use chat_tests::ServerProcess;

use crate::person::soon;

/// How often in a row a server is killed.
const KILLS: usize = 4;

/// What somebody says who is none of the crowd: a number that none of it says.
const BESIDE: u64 = 999_000_000;

/// A server that keeps rooms there.
fn server_on(store: &str) -> ServerProcess {
    ServerProcess::start(&["--store", store, "--limit", "append_timeout=1s"])
}

/// Somebody who has joined nothing yet.
async fn connected(server: &ServerProcess, name: &str) -> Client {
    let options = Options::with_user(UserId::new(name).unwrap());
    let connected = soon("hello", Client::connect(&server.ws_url(), options)).await;
    connected.unwrap().0
}

//! Goes away without anybody noticing much.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Delivery, Event};
use crate::outbox::{CloseReason, Outgoing};
use crate::service::connection::Connection;
use crate::service::{Inner, millis};

/// Connections are told to go in this many batches, so that the nodes they come to are not
/// overrun.
const BATCHES: usize = 20;
/// Time between two batches.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Clients spread their return over this long.
const RECONNECT_SPREAD: Duration = Duration::from_secs(2);
/// How long the answers to what a connection has sent are waited for.
const ANSWERS_WAIT: Duration = Duration::from_secs(1);
/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(10);

pub(super) async fn drain(inner: &Arc<Inner>) {
    if inner.draining.swap(true, Ordering::SeqCst) {
        return;
    }
    let deadline = Instant::now() + inner.limits.drain_timeout;
    let goodbye = async {
        let connections: Vec<_> = inner.connections.read().values().cloned().collect();
        let size = connections.len().div_ceil(BATCHES).max(1);
        for batch in connections.chunks(size) {
            // Not awaited: connections that are never done would hold up the batches behind them.
            inner.spawn(send_away(batch.to_vec()));
            tokio::time::sleep(BATCH_INTERVAL).await;
        }
        while !inner.connections.read().is_empty() {
            tokio::time::sleep(POLL).await;
        }
    };
    if tokio::time::timeout_at(deadline, goodbye).await.is_err() {
        tracing::warn!(
            left = inner.connections.read().len(),
            "drain timeout: the rest is cut"
        );
    }
    // People who went to another node are counted there; the sweep counts out the rest.
    match tokio::time::timeout(ANSWERS_WAIT, inner.presence.retire()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot retire from presence: the lease will end by itself");
        }
        Err(_) => tracing::warn!("presence does not answer: the lease will end by itself"),
    }
    inner.stop.cancel();
    inner.tasks.close();
    // Tasks end at their next await; one that does not is ended with the process.
    let _ended = tokio::time::timeout(ANSWERS_WAIT, inner.tasks.wait()).await;
}

async fn send_away(batch: Vec<Arc<Connection>>) {
    let until = Instant::now() + ANSWERS_WAIT;
    for connection in &batch {
        let reconnect_after_ms = fastrand::u64(0..=millis(RECONNECT_SPREAD));
        let event = Delivery::new(Event::GoAway { reconnect_after_ms });
        connection.outbox.push(Outgoing::Event(event));
    }
    while Instant::now() < until && batch.iter().any(|connection| connection.is_busy()) {
        tokio::time::sleep(POLL).await;
    }
    for connection in &batch {
        connection.outbox.close(CloseReason::GoingAway);
    }
}

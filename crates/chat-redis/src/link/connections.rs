//! How a pool makes its connections, and looks at one before it is used again.
//!
//! deadpool-redis asks PING at each checkout and waits for the answer: a message alone pays a second
//! round trip. Whoever answered a moment ago is only asked whether the server has hung up since,
//! which this side knows without asking it. All others are asked as ever.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};

use crate::limits::PING_SPARED;
use crate::store_clock::StoreClock;

/// Makes and checks the connections of one pool.
pub(super) struct Connections {
    pub(super) pinging: deadpool_redis::Manager,
    pub(super) clock: Arc<StoreClock>,
}

impl Connections {
    /// Reads the store's clock over a new connection before it is used: after a fail-over it leads
    /// to another machine.
    async fn measure_clock(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let sent = Instant::now();
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = time.query_async(connection).await?;
        self.clock
            .observe(sent, Instant::now(), seconds * 1_000_000 + micros);
        Ok(())
    }
}

impl managed::Manager for Connections {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.pinging.create().await?;
        self.measure_clock(&mut connection).await?;
        Ok(connection)
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        metrics: &Metrics,
    ) -> RecycleResult<RedisError> {
        // What is in the pool has answered whoever used it last, or it would have been thrown away.
        if metrics.last_used() >= PING_SPARED {
            return self.pinging.recycle(connection, metrics).await;
        }
        if is_closed(connection) {
            return Err(RecycleError::message("the server has hung up"));
        }
        Ok(())
    }
}

/// Whether the connection's task is gone, as it is once it has read the end of the stream.
///
/// The driver has no question for that. A request that is polled once fails at once if nobody takes
/// requests any more; if somebody does it is dropped, and one that nobody waits for is not written.
fn is_closed(connection: &mut MultiplexedConnection) -> bool {
    let ping = redis::cmd("PING");
    let asked = pin!(connection.send_packed_command(&ping));
    let answer = asked.poll(&mut Context::from_waker(Waker::noop()));
    matches!(answer, Poll::Ready(Err(_)))
}

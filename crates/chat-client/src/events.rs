//! What the server tells without having been asked, as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chat_proto::received::ServerEvent;
use futures_util::Stream;
use tokio::sync::mpsc;

use crate::error::Disconnected;
use crate::pending::Pending;

/// The events of one connection, in order, none left out. It ends when the connection does.
///
/// Read it, or drop it. Once `events_max` events wait the connection reads no more, answers
/// included, until some are taken; if that lasts, the server closes it with 4008. So commands are
/// better not awaited by the task that reads events.
#[derive(Debug)]
pub struct Events {
    pub(crate) events: mpsc::Receiver<ServerEvent>,
    pub(crate) pending: Arc<Pending>,
}

impl Events {
    /// The next event; nothing once the connection has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        self.events.recv().await
    }

    /// Why the connection ended; nothing while it lives.
    #[must_use]
    pub fn ended(&self) -> Option<Disconnected> {
        self.pending.ended()
    }
}

impl Stream for Events {
    type Item = ServerEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        self.events.poll_recv(context)
    }
}

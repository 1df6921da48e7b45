//! The one task of a connection: writes commands, reads answers and events.
//!
//! It reads while it writes. Otherwise a client that sends much and a server that says much could
//! wait for each other for ever.

use std::sync::Arc;

use bytes::Bytes;
use chat_proto::received::{ServerEvent, ServerFrame};
use chat_proto::{Codec, ReceiveError};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::{CommandError, Disconnected};
use crate::limits::CLOSE_TIMEOUT;
use crate::pending::Pending;
use crate::raw::{RawConnection, RawReceiver, RawSender};

/// What the task works with.
pub(crate) struct Task {
    pub(crate) frames: mpsc::Receiver<Bytes>,
    pub(crate) events: mpsc::Sender<ServerEvent>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) stop: CancellationToken,
}

impl Task {
    pub(crate) async fn run(self, connection: RawConnection) {
        let Self {
            mut frames,
            events,
            pending,
            stop,
        } = self;
        let codec = connection.codec();
        let (mut sender, mut receiver) = connection.split();
        let why = tokio::select! {
            why = read(&mut receiver, codec, &pending, &events) => why,
            why = write(&mut sender, &mut frames) => why,
            () = stop.cancelled() => Disconnected::Local,
        };
        debug!(%why, "connection ended");
        // Before `events` is dropped: whoever sees the end of the events can ask why.
        pending.end(why.clone());
        drop(events);
        if !matches!(why, Disconnected::Lost(_)) {
            // Too late means dropped, which tells the server the same.
            let _ = timeout(CLOSE_TIMEOUT, close(sender, receiver)).await;
        }
    }
}

/// Closes from this side, or sends the answer to the server's close.
async fn close(mut sender: RawSender, mut receiver: RawReceiver) {
    // After the server's close this fails once its answer is written: there is no more to say.
    let _ = sender.close().await;
    while receiver.receive().await.is_ok() {}
}

async fn write(sender: &mut RawSender, frames: &mut mpsc::Receiver<Bytes>) -> Disconnected {
    loop {
        let Some(frame) = frames.recv().await else {
            // The last handle is gone.
            return Disconnected::Local;
        };
        if let Err(why) = write_all(sender, frame, frames).await {
            return why;
        }
    }
}

/// Everything that waits goes out in one write.
async fn write_all(
    sender: &mut RawSender,
    first: Bytes,
    more: &mut mpsc::Receiver<Bytes>,
) -> Result<(), Disconnected> {
    sender.feed(first).await?;
    while let Ok(frame) = more.try_recv() {
        sender.feed(frame).await?;
    }
    sender.flush().await
}

async fn read(
    receiver: &mut RawReceiver,
    codec: Codec,
    pending: &Pending,
    events: &mpsc::Sender<ServerEvent>,
) -> Disconnected {
    loop {
        let frame = match receiver.receive().await {
            Ok(frame) => frame,
            Err(why) => return why,
        };
        match codec.decode_server(&frame) {
            Ok(frame) => deliver(frame, pending, events).await,
            Err(error) => return not_understood(error),
        }
    }
}

fn not_understood(error: ReceiveError) -> Disconnected {
    Disconnected::NotUnderstood(Arc::new(error))
}

async fn deliver(frame: ServerFrame, pending: &Pending, events: &mpsc::Sender<ServerEvent>) {
    let (id, answer) = match frame {
        ServerFrame::Event(event) => {
            // Nobody reads events any more: commands go on.
            let _ = events.send(*event).await;
            return;
        }
        ServerFrame::Ok { id, body } => (id, Ok(body)),
        ServerFrame::Error { id, error } => (id, Err(CommandError::Refused(error))),
        // Of a newer protocol crate.
        _ => return,
    };
    if !id.is_some_and(|id| pending.answer(id, answer)) {
        debug!(?id, "an answer that nobody asked for");
    }
}

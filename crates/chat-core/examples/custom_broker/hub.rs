//! The broker of the example: passes frames on to whoever wants their topic, and keeps nothing.

use std::collections::{BTreeSet, HashMap};
use std::{io, sync::Arc};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{Frame, QUEUE, Wire, receive, send};

/// By client: what it wants, and what waits for it.
type Clients = Arc<Mutex<HashMap<u64, (BTreeSet<String>, mpsc::Sender<(u64, Frame)>)>>>;

/// Passes frames on until its process ends.
pub(crate) async fn run(listener: TcpListener) {
    let clients = Clients::default();
    for client in 0.. {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let clients = Arc::clone(&clients);
        tokio::spawn(async move {
            let wire = Framed::new(socket, LengthDelimitedCodec::new());
            let _ended = serve(wire, client, &clients).await;
            clients.lock().remove(&client);
        });
    }
}

async fn serve(mut wire: Wire, client: u64, clients: &Clients) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel(QUEUE);
    // A full queue means that something was dropped: the client learns it by losing its link.
    while queue.capacity() > 0 {
        let (number, frame) = tokio::select! {
            Some(frame) = queued.recv() => {
                send(&mut wire, &frame).await?;
                continue;
            }
            frame = receive(&mut wire) => frame?,
        };
        let mut clients = clients.lock();
        match frame {
            Frame::Want(topics) => drop(clients.insert(client, (topics, queue.clone()))),
            Frame::Publish(batch) => {
                for one in batch {
                    for (_, queue) in clients.values().filter(|(wants, _)| wants.contains(&one.0)) {
                        let _full = queue.try_send((0, Frame::Publish(vec![one.clone()])));
                    }
                }
            }
            Frame::Done => {}
        }
        queue
            .try_send((number, Frame::Done))
            .map_err(io::Error::other)?;
    }
    Ok(())
}

//! A TCP proxy in front of a redis-server that can stall or cut the connections of one kind.
//!
//! A connection that speaks RESP3 is the subscriber's; all others are the pools'.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Subscriber,
    Pool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Faults {
    /// Nothing passes towards the server.
    stalled: [bool; 2],
    /// Nothing passes towards the client.
    deaf: [bool; 2],
    /// Counts up to cut all connections of a kind.
    cuts: [u32; 2],
}

pub struct Proxy {
    port: u16,
    faults: Arc<watch::Sender<Faults>>,
    task: JoinHandle<()>,
}

impl Kind {
    fn index(self) -> usize {
        match self {
            Self::Subscriber => 0,
            Self::Pool => 1,
        }
    }
}

impl Proxy {
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(watch::Sender::new(Faults::default()));
        let shared = Arc::clone(&faults);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server_port, shared.subscribe()));
            }
        });
        Self { port, faults, task }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Requests of these connections wait from now on; `false` lets them through, late.
    pub fn stall(&self, kind: Kind, stalled: bool) {
        self.faults
            .send_modify(|faults| faults.stalled[kind.index()] = stalled);
    }

    /// Answers and messages on these connections are held back from now on.
    pub fn deafen(&self, kind: Kind, deaf: bool) {
        self.faults
            .send_modify(|faults| faults.deaf[kind.index()] = deaf);
    }

    pub fn cut(&self, kind: Kind) {
        self.faults
            .send_modify(|faults| faults.cuts[kind.index()] += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, server_port: u16, faults: watch::Receiver<Faults>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
        return;
    };
    let mut first = vec![0; 4096];
    let Ok(read) = client.read(&mut first).await else {
        return;
    };
    first.truncate(read);
    let is_resp3 = first.windows(5).any(|word| word == b"HELLO");
    let kind = if is_resp3 {
        Kind::Subscriber
    } else {
        Kind::Pool
    };
    let index = kind.index();
    let (from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut cut = faults.clone();
    let cuts = faults.borrow().cuts[index];
    if to_server.write_all(&first).await.is_err() {
        return;
    }
    tokio::select! {
        () = copy(from_client, to_server, faults.clone(), move |faults| faults.stalled[index]) => {}
        () = copy(from_server, to_client, faults, move |faults| faults.deaf[index]) => {}
        _ = cut.wait_for(|faults| faults.cuts[index] > cuts) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Faults>,
    is_held: impl Fn(&Faults) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if faults.wait_for(|faults| !is_held(faults)).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

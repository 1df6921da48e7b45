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
pub(crate) enum Kind {
    Subscriber,
    Pool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Faults {
    /// Nothing passes towards the server.
    stalled: [bool; 2],
    /// Nothing passes towards the client.
    deaf: [bool; 2],
    /// All connections are cut, and new ones at once.
    refused: [bool; 2],
    /// Once these bytes have passed towards the server, answers are held back.
    deaf_after: Option<&'static [u8]>,
    /// Messages to subscribers are dropped; everything else passes.
    muted: bool,
    /// These bytes and whatever follows do not pass towards the server.
    stalled_at: Option<&'static [u8]>,
}

pub(crate) struct Proxy {
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
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(watch::Sender::new(Faults::default()));
        let shared = Arc::clone(&faults);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server_port, Arc::clone(&shared)));
            }
        });
        Self { port, faults, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Requests of these connections wait from now on; `false` lets them through, late.
    pub(crate) fn stall(&self, kind: Kind, stalled: bool) {
        self.faults.send_modify(|faults| {
            faults.stalled[kind.index()] = stalled;
            faults.stalled_at = None;
        });
    }

    /// Drops messages to subscribers, so that they are deaf and yet answer pings.
    pub(crate) fn mute(&self, muted: bool) {
        self.faults.send_modify(|faults| faults.muted = muted);
    }

    /// Requests with `word` in them wait, and what is behind them.
    pub(crate) fn stall_at(&self, word: &'static [u8]) {
        self.faults
            .send_modify(|faults| faults.stalled_at = Some(word));
    }

    /// Answers and messages on these connections are held back from now on.
    pub(crate) fn deafen(&self, kind: Kind, deaf: bool) {
        self.faults.send_modify(|faults| {
            faults.deaf[kind.index()] = deaf;
            faults.deaf_after = None;
        });
    }

    /// Answers are held back once `word` has passed towards the server.
    pub(crate) fn deafen_after(&self, kind: Kind, word: &'static [u8]) {
        assert_eq!(kind, Kind::Pool, "only pools ask questions");
        self.faults
            .send_modify(|faults| faults.deaf_after = Some(word));
    }

    /// Cuts these connections, and new ones at once; `false` lets new ones live.
    pub(crate) fn refuse(&self, kind: Kind, refused: bool) {
        self.faults
            .send_modify(|faults| faults.refused[kind.index()] = refused);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, server_port: u16, shared: Arc<watch::Sender<Faults>>) {
    let faults = shared.subscribe();
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
    if to_server.write_all(&first).await.is_err() {
        return;
    }
    let watched = Arc::clone(&shared);
    let requests = copy(
        (from_client, to_server),
        faults.clone(),
        move |faults, bytes| faults.stalled[index] || has(bytes, faults.stalled_at),
        move |bytes| {
            if has(bytes, watched.borrow().deaf_after) {
                watched.send_modify(|faults| faults.deaf[index] = true);
            }
            None
        },
    );
    let answers = copy(
        (from_server, to_client),
        faults,
        move |faults, _| faults.deaf[index],
        move |bytes| {
            // Both kinds of messages have this line; an answer to a ping may come with them.
            let muted = shared.borrow().muted && has(bytes, Some(b"message\r\n"));
            let pong: &[u8] = b"+PONG\r\n";
            muted.then_some(if has(bytes, Some(pong)) { pong } else { b"" })
        },
    );
    tokio::select! {
        () = requests => {}
        () = answers => {}
        _ = cut.wait_for(|faults| faults.refused[index]) => {}
    }
}

/// Copies until one end closes. What `is_held` says waits; `instead` may put something in its place.
async fn copy(
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    mut faults: watch::Receiver<Faults>,
    is_held: impl Fn(&Faults, &[u8]) -> bool,
    instead: impl Fn(&[u8]) -> Option<&'static [u8]>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        let free = faults.wait_for(|faults| !is_held(faults, bytes)).await;
        let held_for_ever = free.map(drop).is_err();
        let bytes = instead(bytes).unwrap_or(bytes);
        if held_for_ever || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

fn has(bytes: &[u8], word: Option<&[u8]>) -> bool {
    word.is_some_and(|word| bytes.windows(word.len()).any(|found| found == word))
}

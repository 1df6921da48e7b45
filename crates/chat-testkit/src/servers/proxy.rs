//! A TCP proxy that harms what passes through it.
//!
//! A connection ends here in one of the ways in which networks end them: it is cut, it is stalled
//! (open, and nothing comes), it is slow, or it is never made.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that are passed on at a time.
const CHUNK: usize = 16 * 1024;
/// Connections at once; more are closed at once.
const CONNECTIONS_MAX: usize = 10_000;

/// A proxy in front of one address. Cuts everything when dropped.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    /// Ends with the proxy, and all connections with it.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    refuses: bool,
    /// What new connections begin with.
    mode: Mode,
    connections: BTreeMap<u64, watch::Sender<Mode>>,
    made: u64,
}

/// How a connection is treated now.
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    cut: bool,
    stalled: bool,
    questions_stalled: bool,
    delay: Duration,
    answer_delay: Duration,
}

impl Mode {
    /// Whether nothing passes towards the server, and how late what does.
    fn of_questions(&self) -> (bool, Duration) {
        (self.stalled || self.questions_stalled, self.delay)
    }

    /// The same towards the client.
    fn of_answers(&self) -> (bool, Duration) {
        (self.stalled, self.delay + self.answer_delay)
    }
}

impl TcpProxy {
    /// Starts one on a free port of this machine alone.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Mutex::new(Shared {
            upstream,
            refuses: false,
            mode: Mode::default(),
            connections: BTreeMap::new(),
            made: 0,
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on new connections go there, as after a fail-over.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.shared.lock().upstream = upstream;
    }

    /// The connections that there are, in the order in which they were made.
    #[must_use]
    pub fn connections(&self) -> Vec<u64> {
        self.shared.lock().connections.keys().copied().collect()
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        for mode in self.shared.lock().connections.values() {
            mode.send_modify(|mode| mode.cut = true);
        }
    }

    /// Cuts one connection.
    pub fn cut(&self, connection: u64) {
        self.change(connection, |mode| mode.cut = true);
    }

    /// Stalls all connections, new ones too, or lets them go on: nothing passes, nothing is closed.
    pub fn stall(&self, stalled: bool) {
        self.change_all(|mode| mode.stalled = stalled);
    }

    /// Stalls what clients say, on new connections too, or lets it go on: what the server still has to
    /// say passes.
    pub fn stall_questions(&self, stalled: bool) {
        self.change_all(|mode| mode.questions_stalled = stalled);
    }

    /// Delays what the server says, on new connections too: it hears everything in time, and is
    /// heard too late.
    pub fn slow_down_answers(&self, delay: Duration) {
        self.change_all(|mode| mode.answer_delay = delay);
    }

    /// Stalls one connection, or lets it go on.
    pub fn stall_one(&self, connection: u64, stalled: bool) {
        self.change(connection, |mode| mode.stalled = stalled);
    }

    /// Delays whatever passes, in both directions, on new connections too.
    pub fn slow_down(&self, delay: Duration) {
        self.change_all(|mode| mode.delay = delay);
    }

    /// Closes new connections at once, or takes them again.
    pub fn refuse(&self, refuses: bool) {
        self.shared.lock().refuses = refuses;
    }

    fn change_all(&self, change: impl Fn(&mut Mode)) {
        let mut shared = self.shared.lock();
        change(&mut shared.mode);
        for mode in shared.connections.values() {
            mode.send_modify(&change);
        }
    }

    fn change(&self, connection: u64, change: impl FnOnce(&mut Mode)) {
        if let Some(mode) = self.shared.lock().connections.get(&connection) {
            mode.send_modify(change);
        }
    }
}

impl Shared {
    /// Admits a connection: its number, its mode and where it goes.
    fn admit(&mut self) -> Option<(u64, watch::Receiver<Mode>, SocketAddr)> {
        if self.refuses || self.connections.len() >= CONNECTIONS_MAX {
            return None;
        }
        let (sender, mode) = watch::channel(self.mode);
        let connection = self.made;
        self.made += 1;
        self.connections.insert(connection, sender);
        Some((connection, mode, self.upstream))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    let mut carriers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Only to forget those that have ended.
            Some(_) = carriers.join_next(), if !carriers.is_empty() => continue,
        };
        let Ok((client, _)) = accepted else {
            continue;
        };
        let Some((connection, mode, upstream)) = shared.lock().admit() else {
            continue;
        };
        let shared = Arc::clone(&shared);
        carriers.spawn(async move {
            // How it ended is for both ends to find out.
            let _ = carry(client, upstream, mode).await;
            shared.lock().connections.remove(&connection);
        });
    }
}

async fn carry(
    client: TcpStream,
    upstream: SocketAddr,
    mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = mode.clone();
    tokio::select! {
        ended = async {
            tokio::try_join!(
                pass(from_client, to_server, mode.clone(), Mode::of_questions),
                pass(from_server, to_client, mode, Mode::of_answers)
            )
        } => ended.map(|_| ()),
        _ = cut.wait_for(|mode| mode.cut) => Ok(()),
    }
}

/// Passes bytes one way until their end, which it passes on too.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    treatment: fn(&Mode) -> (bool, Duration),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await?;
        let (_, delay) = treatment(&mode.borrow());
        tokio::time::sleep(delay).await;
        // Stalled: what was read waits here, and the next ones in the sockets' own buffers.
        if mode.wait_for(|mode| !treatment(mode).0).await.is_err() {
            return Ok(());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..length]).await?;
    }
}

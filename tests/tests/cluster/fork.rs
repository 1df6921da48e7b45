//! A node's link to its Redis, of which each half fails alone: the subscriber's connection, and
//! all others.
//!
//! A node knows one address. Who connects there is known by what he says first: only a subscriber
//! asks for push messages (`HELLO 3`).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use chat_testkit::servers::TcpProxy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Cuts everything when dropped.
#[derive(Debug)]
pub(crate) struct Fork {
    /// What listens.
    pub(crate) ear: TcpProxy,
    /// What appends, reads and publishes.
    pub(crate) pool: TcpProxy,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Fork {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let ear = TcpProxy::start(upstream).await;
        let pool = TcpProxy::start(upstream).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, ear.address(), pool.address()));
        Self {
            ear,
            pool,
            address,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Cuts both halves and lets nothing in, or lets it in again.
    pub(crate) fn cut_off(&self, is_cut_off: bool) {
        for half in [&self.ear, &self.pool] {
            half.refuse(is_cut_off);
            if is_cut_off {
                half.cut_all();
            }
        }
    }
}

async fn accept(listener: TcpListener, ear: SocketAddr, pool: SocketAddr) {
    let mut carriers = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        carriers.spawn(async move {
            // How it ended is for both ends to find out.
            let _ = carry(client, ear, pool).await;
        });
        while carriers.try_join_next().is_some() {}
    }
}

async fn carry(mut client: TcpStream, ear: SocketAddr, pool: SocketAddr) -> io::Result<()> {
    let mut first = [0; 64];
    let length = client.peek(&mut first).await?;
    let asks_for_pushes = first[..length].windows(5).any(|word| word == b"HELLO");
    let half = if asks_for_pushes { ear } else { pool };
    let mut server = TcpStream::connect(half).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

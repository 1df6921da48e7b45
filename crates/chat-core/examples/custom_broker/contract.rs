//! The contract suite of `PubSub`, run against the example.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::PubSub;
use chat_testkit::contract::pubsub::PubSubHarness;
use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{TcpPubSub, hub};

chat_testkit::pubsub_contract!(tcp, Harness::start);

const QUEUE: usize = 16;

/// A hub, and before each node a gate that can be shut.
struct Harness {
    hub: String,
    gates: Mutex<Vec<watch::Sender<bool>>>,
}

impl Harness {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(hub::run(listener));
        Self {
            hub: address,
            gates: Mutex::default(),
        }
    }

    /// Passes connections on to the hub while the gate is open.
    async fn gate(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (gate, open) = watch::channel(true);
        self.gates.lock().push(gate);
        let hub = self.hub.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (hub, mut open) = (hub.clone(), open.clone());
                tokio::spawn(async move {
                    if !*open.borrow() {
                        return;
                    }
                    let mut to = TcpStream::connect(hub).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut socket, &mut to) => {}
                        _ = open.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        address
    }
}

#[async_trait]
impl PubSubHarness for Harness {
    async fn node(&self) -> Arc<dyn PubSub> {
        let gate = self.gate().await;
        Arc::new(TcpPubSub::connect(gate, QUEUE).await.unwrap())
    }

    async fn cut(&self, index: usize) {
        self.gates.lock()[index].send_replace(false);
    }

    async fn restore(&self, index: usize) {
        self.gates.lock()[index].send_replace(true);
    }

    fn queue_capacity(&self) -> usize {
        QUEUE
    }
}

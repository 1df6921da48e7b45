//! A network cable between a browser and the server that can be pulled and put back.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes everything on, until it is cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Proxy {
    /// To a server.
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (whole, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, state.clone()));
            }
        });
        Self { address, whole }
    }

    /// Where the browser finds the server.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection, and each new one at once.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections pass again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, mut whole: watch::Receiver<bool>) {
    let passing = async {
        if let Ok(mut server) = TcpStream::connect(to).await {
            // However it ends, it has ended.
            drop(copy_bidirectional(&mut client, &mut server).await);
        }
    };
    tokio::select! {
        () = passing => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

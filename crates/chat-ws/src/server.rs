//! The accept loop: sockets in, one task each.
//!
//! Knows hyper and the limits on sockets; what a request asks for is decided in `upgrade` or by
//! the handler.
//!
//! Invariant: a socket holds a permit from its accept to its end, upgraded or not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::ChatService;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span, warn};

use crate::addresses::{Addresses, Held};
use crate::config::Config;
use crate::http::{Body, HttpHandler, Peer};
use crate::limits;
use crate::upgrade;

/// The path of the WebSocket.
pub const PATH: &str = "/ws";

/// A bound listener, not serving yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) service: ChatService,
    http: Arc<dyn HttpHandler>,
    sockets: Arc<Semaphore>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) tasks: TaskTracker,
    /// Stop taking requests.
    pub(crate) stop: CancellationToken,
    /// Stop whatever is left.
    pub(crate) cut: CancellationToken,
}

/// A socket's place among `sockets_max`, freed with its last clone.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Taken>);

/// What a socket has taken.
#[derive(Debug)]
struct Taken {
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop")]
    held: Option<Held>,
    /// A handshake that was counted when it came, and that no upgrade has used yet.
    handshake: AtomicBool,
}

impl Place {
    /// Whether the next upgrade over it was counted already.
    pub(crate) fn take_handshake(&self) -> bool {
        self.0.handshake.swap(false, Ordering::Relaxed)
    }
}

/// A port that was taken, and that refuses whoever connects.
#[derive(Debug)]
pub struct Reserved(TcpSocket);

impl Reserved {
    /// Takes a port before there is anything to serve on it: whoever comes too early is refused at
    /// once instead of left waiting. Port 0 takes a free one.
    ///
    /// Keeps out nobody who reserves it likewise: of two, the second to [`listen`](Self::listen) is
    /// refused.
    ///
    /// # Errors
    /// What the system says, `AddrInUse` and `PermissionDenied` above all.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restarted node takes its port back while old connections linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self(socket))
    }

    /// Lets connections in: they wait until they are served.
    ///
    /// # Errors
    /// What the system says; `AddrInUse` if somebody else was faster.
    pub fn listen(self) -> io::Result<Server> {
        let listener = self.0.listen(limits::BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Server { listener, address })
    }
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says, `AddrInUse` and `PermissionDenied` above all.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Reserved::new(address)?.listen()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled: takes no more connections then, lets requests end, and
    /// waits `stop_timeout` for WebSockets before it cuts what is left. It does not close them
    /// itself: [`ChatService::drain`] does, in paced batches, and is to be run before `stop` is
    /// cancelled.
    ///
    /// Where names are taken without proof on the loopback, only pages that came by `localhost` or an
    /// address are this server's own: any other name may be a foreign page's.
    pub async fn serve(
        self,
        mut config: Config,
        service: ChatService,
        http: Arc<dyn HttpHandler>,
        stop: CancellationToken,
    ) {
        if service.is_development() && self.address.ip().to_canonical().is_loopback() {
            config.origins = config.origins.local();
        }
        let shared = Arc::new(Shared {
            sockets: Arc::new(Semaphore::new(
                config.sockets_max.min(Semaphore::MAX_PERMITS),
            )),
            addresses: Addresses::new(service.limits(), service.metrics()),
            config,
            service,
            http,
            tasks: TaskTracker::new(),
            stop,
            cut: CancellationToken::new(),
        });
        accept(&self.listener, &shared).await;
        // Closed before the wait: a load balancer that still tries is refused and goes elsewhere.
        drop(self.listener);
        shared.tasks.close();
        let waited = tokio::time::timeout(shared.config.stop_timeout, shared.tasks.wait()).await;
        if waited.is_err() {
            warn!(
                connections = shared.tasks.len(),
                "cutting what did not end in time"
            );
            shared.cut.cancel();
            shared.tasks.wait().await;
        }
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            // First, so that a flood of connections cannot keep the server from stopping.
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => shared.admit(socket, peer),
            Err(error) if is_of_one_connection(&error) => debug!(%error, "a connection failed"),
            Err(error) => {
                warn!(%error, "cannot accept connections, will try again");
                shared.service.metrics().limit("accept");
                tokio::time::sleep(limits::ACCEPT_REST).await;
            }
        }
    }
}

/// Whether only the connection that was to be accepted failed, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

impl Shared {
    fn admit(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.sockets).try_acquire_owned() else {
            // Dropped at once instead of left in the backlog, where it would wait for a timeout: a
            // load balancer goes elsewhere.
            self.service.metrics().limit("sockets_max");
            return;
        };
        // What comes over a proxy is counted when it says for whom.
        let is_proxy = self.config.trusted_proxies.contains(peer.ip());
        // A handshake of TLS costs more than all that may come behind it.
        let handshake = self.config.tls.is_some() && !is_proxy;
        if handshake && !self.addresses.may_shake_hands(peer.ip()) {
            return;
        }
        let held = if is_proxy {
            None
        } else {
            let Some(held) = self.addresses.socket(peer.ip()) else {
                return;
            };
            Some(held)
        };
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "connection ended before it began");
            return;
        }
        let place = Place(Arc::new(Taken {
            permit,
            held,
            handshake: AtomicBool::new(handshake),
        }));
        // Boxed, because each wrapper below would hold it more than once.
        let task = Box::pin(serve(Arc::clone(self), socket, peer, place));
        let task = self.cut.child_token().run_until_cancelled_owned(task);
        self.tasks
            .spawn(task.instrument(debug_span!("http", %peer)));
    }

    async fn route(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        place: Place,
    ) -> Response<Body> {
        if request.uri().path() == PATH {
            return upgrade::upgrade(&self, request, peer, place);
        }
        request.extensions_mut().insert(Peer(peer));
        self.http.handle(request).await
    }
}

async fn serve(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr, place: Place) {
    let Some(tls) = &shared.config.tls else {
        return serve_http(shared, socket, peer, place).await;
    };
    let handshake = tls.acceptor().accept(socket);
    // Boxed, like what comes behind it: connections without TLS need not carry it.
    let handshake = Box::pin(tokio::time::timeout(
        shared.config.header_timeout,
        handshake,
    ));
    match shared.stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => Box::pin(serve_http(shared, stream, peer, place)).await,
        Some(Ok(Err(error))) => debug!(%error, "no handshake"),
        Some(Err(_)) => shared.service.metrics().limit("header_timeout"),
        None => {}
    }
}

async fn serve_http<S>(shared: Arc<Shared>, socket: S, peer: SocketAddr, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let response = Arc::clone(&shared).route(request, peer, place.clone());
        async { Ok::<_, std::convert::Infallible>(response.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.header_timeout)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "http connection failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_listener_make_the_accept_loop_rest() {
        let emfile = io::Error::from_raw_os_error(24);
        assert!(!is_of_one_connection(&emfile));
        assert!(is_of_one_connection(
            &io::ErrorKind::ConnectionAborted.into()
        ));
    }
}

//! A server's life: bind, wire, say where it is, serve, and go in peace.
//!
//! Order of the end: not ready and draining first, while the port still answers, so that a
//! balancer sees it coming; then no more connections; then the process.

use std::io;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chat_core::{ChatService, Metrics};
use chat_sql::SqlStore;
use chat_ws::HttpHandler;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{Instrument, info, info_span, warn};

use crate::config::{Config, Store, TlsFileError, TlsFiles};
use crate::http::{HttpState, router};
use crate::listener::{ListenError, Port, reachable};
use crate::process::{ProcessCollector, raise_open_files, warn_of_few_files};
use crate::reload::{Reloads, Watched};
use crate::signals::Signals;
use crate::wiring::{self, Wired, WiringError};

/// What the end may take beyond the drain: closing the listener, answering the last requests.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why a server does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServeError {
    /// The port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The parts do not fit together, or cannot be built.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The certificate or its key has gone since the configuration was read.
    #[error("TLS cannot be served: {0}")]
    Tls(TlsFileError),
    /// The system lets nobody catch signals.
    #[error("cannot catch SIGTERM: {0}")]
    Signals(io::Error),
    /// The task that accepts connections has ended: a fault of this program, see its log.
    #[error("the listener has ended by itself")]
    ListenerGone,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// After everybody was told and gone, or the time for that was over.
    InPeace,
    /// By a second signal, whatever was going on.
    AtOnce,
}

/// Serves until a signal.
///
/// # Errors
/// [`ServeError`]
pub(crate) async fn run(config: Config) -> Result<Ended, ServeError> {
    if let Some(warning) = warn_of_few_files(raise_open_files()) {
        warn!("{warning}");
    }
    let port = Port::take(config.listen)?;
    let mut signals = Signals::catch().map_err(ServeError::Signals)?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector));
    let metrics = Metrics::new(&mut registry);
    let reloads = Reloads::new();
    let tls = config.tls.as_ref().map(|files| tls(files, &reloads));
    let tls = tls.transpose().map_err(ServeError::Tls)?;
    let Wired {
        service,
        unusable,
        store,
    } = tokio::select! {
        wired = wiring::build(&config, metrics, &reloads) => wired?,
        // A database may be waited for. Nothing was served yet that would have to end in peace.
        signal = signals.next() => {
            info!(signal, "going, before anything was served");
            return Ok(Ended::InPeace);
        }
    };
    let server = port.open()?;
    let address = server.address();
    info!(%address, instance = %service.instance(), "serving");

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let mut transport = chat_ws::Config::new(&config.limits);
    transport.origins = config.allowed_origins.clone();
    transport.tls = tls;
    transport.token_in_url = config.token_in_url;
    transport.trusted_proxies = config.trusted_proxies.clone();
    transport.stop_timeout = STOP_GRACE;
    let handler = handler(&service, registry);
    let serving = server.serve(transport, service.clone(), handler, stop.clone());
    tasks.spawn(serving.instrument(info_span!("listener", %address)));
    tasks.close();
    announce(&config, address);

    let signal = tokio::select! {
        signal = signals.next() => signal,
        // Nobody could connect any more: better to be started again than to look alive.
        () = tasks.wait() => return Err(ServeError::ListenerGone),
        // Serving on it would break promises silently.
        error = unusable => return Err(error.into()),
    };
    info!(
        signal,
        "going: telling everybody, then stopping; once more stops at once"
    );
    let farewell = farewell(&service, &stop, &tasks, store);
    tokio::select! {
        () = farewell => Ok(Ended::InPeace),
        _ = signals.next() => Ok(Ended::AtOnce),
    }
}

/// The certificate, exchanged whenever its files change.
fn tls(files: &TlsFiles, reloads: &Reloads) -> Result<chat_ws::Tls, TlsFileError> {
    let watched = Watched::new(vec![files.cert.clone(), files.key.clone()]);
    let tls = files.load()?;
    let (files, shown) = (files.clone(), tls.clone());
    reloads.keep("certificate", watched, move || files.replace(&shown));
    Ok(tls)
}

/// Lets everybody go, then stops listening. Ends in bounded time, whatever happens.
async fn farewell(
    service: &ChatService,
    stop: &CancellationToken,
    tasks: &TaskTracker,
    store: Option<SqlStore>,
) {
    let going = async {
        service.drain().await;
        stop.cancel();
        tasks.wait().await;
        if let Some(store) = store {
            store.close().await;
        }
    };
    let most = service.limits().drain_timeout + 2 * STOP_GRACE;
    if tokio::time::timeout(most, going).await.is_err() {
        warn!("stopping although something has not ended in time");
    }
}

/// The router as chat-ws wants it.
fn handler(service: &ChatService, registry: Registry) -> Arc<dyn HttpHandler> {
    let service = service.clone();
    let router: Router = router(HttpState {
        health: Arc::new(move || service.health()),
        registry: Arc::new(registry),
    });
    Arc::new(
        move |request: Request<Incoming>| -> chat_ws::ResponseFuture {
            let answer = router.clone().oneshot(request);
            Box::pin(async move {
                let response = match answer.await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            })
        },
    )
}

/// Says on stdout what somebody who just started it needs to know.
fn announce(config: &Config, address: SocketAddr) {
    let lines = lines(config, address).join("\n");
    // Whoever closed stdout does not want to read it.
    let _ = writeln!(io::stdout(), "{lines}");
}

fn lines(config: &Config, address: SocketAddr) -> Vec<String> {
    let near = reachable(address);
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut lines = vec![format!("Chat is open at {scheme}://{near}/")];
    if config.jwt.is_some() {
        lines.push("Whoever has a token may come in (--auth jwt).".to_owned());
    } else if address.ip().to_canonical().is_loopback() {
        lines.push("Development mode: anybody on this machine may take any name.".to_owned());
    } else {
        lines.push(format!(
            "Not safe: anybody who reaches {address} may come in, by any name (--insecure-anonymous)."
        ));
    }
    lines.push(match (&config.store, &config.redis) {
        (Store::Sql(sql), _) => format!("Rooms and history are kept in {}.", sql.url),
        (Store::Redis, Some(redis)) => {
            format!("Rooms and history are kept by {redis}, for all nodes that use it.")
        }
        (Store::Redis | Store::Memory, _) => {
            "Rooms and history are in memory: they are gone when this server stops.".to_owned()
        }
    });
    lines.push("Ctrl-C stops it.".to_owned());
    lines
}

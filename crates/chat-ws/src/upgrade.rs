//! From a request for `/ws` to a WebSocket, or to a refusal that says what to do.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chat_core::{Credentials, ServiceError, UserId};
use chat_proto::{Codec, ErrorCode, ErrorObject};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::{Instrument, debug, debug_span};

use crate::addresses::{Crowded, Held};
use crate::bearer;
use crate::connection;
use crate::http::{Body, Refusal, full};
use crate::limits;
use crate::offer::{self, Choice};
use crate::origin::Origins;
use crate::query;
use crate::server::{Place, Shared};
use crate::wire::Wire;

/// Answers a request for a WebSocket, and starts its task if it is one.
pub(crate) fn upgrade(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    place: Place,
) -> Response<Body> {
    let (response, asked) = match check(shared, &request, peer, &place) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            debug!(status = %refusal.status, error = %refusal.error, "upgrade refused");
            return refusal.into_response();
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    // Boxed, because each wrapper below would hold it more than once.
    let task = Box::pin(connect(Arc::clone(shared), upgraded, asked, place));
    debug_assert!(
        std::mem::size_of_val(&*task) <= limits::TASK_BYTES_MAX,
        "{}",
        std::mem::size_of_val(&*task)
    );
    let task = shared.cut.child_token().run_until_cancelled_owned(task);
    shared
        .tasks
        .spawn(task.instrument(debug_span!("connection", %peer)));
    response
}

/// What a request for a WebSocket asked for.
#[derive(Debug)]
struct Asked {
    codec: Codec,
    /// What came with the request. Boxed, because most clients say it in hello.
    carried: Option<Box<Credentials>>,
    /// Its count among those of its address.
    held: Held,
}

fn check(
    shared: &Shared,
    request: &Request<Incoming>,
    peer: SocketAddr,
    place: &Place,
) -> Result<(Response<Body>, Asked), Refusal> {
    let mut response = create_response_with_body(request, || full(Bytes::new()))
        .map_err(|error| not_a_websocket(&error))?;
    let client = shared
        .config
        .trusted_proxies
        .client(peer.ip(), request.headers());
    let is_counted = place.take_handshake();
    let held = shared.addresses.handshake(client, is_counted);
    let held = held.map_err(crowded)?;
    check_origin(&shared.config.origins, request.headers())?;
    if shared.stop.is_cancelled() || shared.service.health().draining {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "this node is going away, connect to another one",
        ));
    }
    if let Err(error) = shared.service.check_room() {
        return Err(Refusal::too_many(&ErrorObject::from(&error)));
    }
    let codec = match choose(request.headers()) {
        Choice::Default => Codec::Json,
        Choice::Chosen(codec) => {
            let name = HeaderValue::from_static(codec.subprotocol());
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
            codec
        }
        Choice::None => return Err(no_subprotocol()),
    };
    let carried = carried(shared, request)?;
    Ok((
        response,
        Asked {
            codec,
            carried,
            held,
        },
    ))
}

fn carried(
    shared: &Shared,
    request: &Request<Incoming>,
) -> Result<Option<Box<Credentials>>, Refusal> {
    let query = request.uri().query();
    let token = bearer::token(request.headers(), query, shared.config.token_in_url)?;
    let user = if shared.service.is_development() {
        user_of(query)?
    } else {
        None
    };
    let carries = token.is_some() || user.is_some();
    Ok(carries.then(|| Box::new(Credentials { token, user })))
}

fn crowded(crowded: Crowded) -> Refusal {
    let error = ServiceError::RateLimited {
        limit: crowded.message,
        retry_after: crowded.retry_after,
    };
    Refusal::too_many(&ErrorObject::from(&error))
}

fn not_a_websocket(error: &Error) -> Refusal {
    let status = match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => StatusCode::UPGRADE_REQUIRED,
        Error::Protocol(ProtocolError::WrongHttpMethod) => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::BAD_REQUEST,
    };
    Refusal::new(
        status,
        ErrorCode::BadRequest,
        format!("connect with a WebSocket client: {error}"),
    )
}

fn check_origin(origins: &Origins, headers: &HeaderMap) -> Result<(), Refusal> {
    let origin = headers.get(ORIGIN).map(HeaderValue::to_str);
    // An origin that is no text is no origin of ours.
    let origin = origin.map(|text| text.unwrap_or("?"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if origins.check(origin, host) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        ErrorCode::Forbidden,
        format!(
            "pages of origin {:?} may not connect here; allowed: {origins}. Whoever runs this \
             server can list it",
            origin
                .unwrap_or_default()
                .chars()
                .take(100)
                .collect::<String>(),
        ),
    ))
}

fn choose(headers: &HeaderMap) -> Choice {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    offer::choose(offers.iter().map(|offer| offer.to_str().unwrap_or("?")))
}

fn no_subprotocol() -> Refusal {
    let ours = Codec::ALL.map(Codec::subprotocol).join(", ");
    Refusal::new(
        StatusCode::BAD_REQUEST,
        ErrorCode::BadRequest,
        format!("none of the offered subprotocols is spoken here; offer one of {ours}, or none"),
    )
}

fn user_of(query: Option<&str>) -> Result<Option<UserId>, Refusal> {
    let Some(name) = query.and_then(|query| query::value(query, "user")) else {
        return Ok(None);
    };
    name.parse().map(Some).map_err(|error| {
        let message = format!("user in the URL {error}");
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
    })
}

/// The life of a connection, from the end of its HTTP.
async fn connect(shared: Arc<Shared>, upgraded: OnUpgrade, asked: Asked, place: Place) {
    let upgraded = match upgraded.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%error, "client left before the upgrade"),
    };
    let Asked {
        codec,
        carried,
        held,
    } = asked;
    // The socket itself: one that stays wrapped costs a dynamic call per read and write.
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            // Here and not in a function of its own, whose future would hold all of it twice.
            let frame_bytes_max = shared.service.limits().frame_bytes_max;
            let socket = parts.io.into_inner();
            let wire = Wire::new(socket, parts.read_buf, codec, frame_bytes_max).await;
            connection::run(wire, &shared.service, carried).await;
        }
        // Boxed, so that connections without TLS do not carry what it needs.
        Err(upgraded) => Box::pin(connect_tls(&shared, upgraded, codec, carried)).await,
    }
    drop((place, held));
}

async fn connect_tls(
    shared: &Shared,
    upgraded: Upgraded,
    codec: Codec,
    carried: Option<Box<Credentials>>,
) {
    let Ok(parts) = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() else {
        return debug_assert!(false, "the accept loop serves TCP and TLS only");
    };
    let frame_bytes_max = shared.service.limits().frame_bytes_max;
    let socket = parts.io.into_inner();
    let wire = Wire::new(socket, parts.read_buf, codec, frame_bytes_max).await;
    connection::run(wire, &shared.service, carried).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_page_says_which_pages_may() {
        let origins = Origins::parse(["https://app.example.com"]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://evil.example"));
        headers.insert(HOST, HeaderValue::from_static("chat.example.com"));
        let refusal = check_origin(&origins, &headers).unwrap_err();
        assert_eq!(refusal.status, StatusCode::FORBIDDEN);
        assert!(refusal.error.message.contains("https://evil.example"));
        assert!(
            refusal
                .error
                .message
                .contains("https://app.example.com:443")
        );
    }

    #[test]
    fn an_origin_that_is_no_text_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(b"http://\xff").unwrap());
        headers.insert(HOST, HeaderValue::from_static("\x21"));
        assert!(check_origin(&Origins::default(), &headers).is_err());
    }

    #[test]
    fn a_name_in_the_url_is_checked_before_the_upgrade() {
        assert_eq!(user_of(None), Ok(None));
        assert_eq!(user_of(Some("room=general")), Ok(None));
        let alice = user_of(Some("x=1&user=alice%40example")).unwrap().unwrap();
        assert_eq!(alice.as_str(), "alice@example");
        let refusal = user_of(Some("user=a%20b")).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        assert!(refusal.error.message.contains("user"));
    }
}

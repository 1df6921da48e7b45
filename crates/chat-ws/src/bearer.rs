//! The token of a request for a WebSocket: in a header, or where a browser can put one.
//!
//! A browser sets no header of a WebSocket, so it may offer the token as a subprotocol. What is
//! refused is never repeated.

use chat_core::Token;
use chat_proto::ErrorCode;
use chat_proto::limits::TOKEN_BYTES_MAX;
use hyper::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};

use crate::StatusCode;
use crate::http::Refusal;
use crate::query;

/// What the subprotocol that carries a token begins with.
const SUBPROTOCOL: &str = "chat.token.";

/// The one token of a request, if it has one.
pub(crate) fn token(
    headers: &HeaderMap,
    query: Option<&str>,
    allowed_in_url: bool,
) -> Result<Option<Token>, Refusal> {
    let in_url = query.and_then(|query| query::value(query, "token"));
    if in_url.is_some() && !allowed_in_url {
        return Err(bad(
            "a token in the URL ends up in logs: send it in hello, as Authorization: Bearer, or as \
             the subprotocol chat.token.TOKEN. Whoever runs this server can allow it",
        ));
    }
    let header = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    });
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let offered = offers
        .iter()
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offers| offers.split(','))
        .filter_map(|offer| offer.trim().strip_prefix(SUBPROTOCOL))
        .map(str::to_owned);
    let mut tokens = header.into_iter().chain(offered).chain(in_url);
    let Some(token) = tokens.next() else {
        return Ok(None);
    };
    if tokens.next().is_some() {
        return Err(bad("there is more than one token: send one"));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(bad("the token is longer than 8192 bytes"));
    }
    Ok(Some(token.into()))
}

fn bad(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(authorization: Option<&str>, offers: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        }
        for offer in offers {
            let offer = HeaderValue::from_str(offer).unwrap();
            headers.append(SEC_WEBSOCKET_PROTOCOL, offer);
        }
        headers
    }

    fn found(headers: &HeaderMap, query: Option<&str>, allowed: bool) -> Option<String> {
        let token = token(headers, query, allowed).unwrap();
        token.map(|token| token.reveal().to_owned())
    }

    #[test]
    fn a_token_is_found_wherever_it_may_be() {
        let nowhere = headers(None, &["chat.v1.json"]);
        assert_eq!(found(&nowhere, Some("user=alice"), false), None);
        let header = headers(Some("bearer a.b.c"), &[]);
        assert_eq!(found(&header, None, false).as_deref(), Some("a.b.c"));
        let offer = headers(None, &["chat.v1.json, chat.token.a.b.c"]);
        assert_eq!(found(&offer, None, false).as_deref(), Some("a.b.c"));
        let url = found(&nowhere, Some("token=a.b.c"), true);
        assert_eq!(url.as_deref(), Some("a.b.c"));
    }

    #[test]
    fn a_header_that_is_somebody_else_s_business_is_left_alone() {
        assert_eq!(found(&headers(Some("Basic YTpi"), &[]), None, false), None);
        assert_eq!(found(&headers(Some("Bearer"), &[]), None, false), None);
    }

    #[test]
    fn refusals_say_what_to_do_and_repeat_no_token() {
        let long = format!("Bearer {}", "s3cret".repeat(2_000));
        let cases = [
            (headers(None, &[]), Some("token=s3cret")),
            (headers(Some("Bearer s3cret"), &["chat.token.s3cret"]), None),
            (headers(Some(&long), &[]), None),
        ];
        for (headers, query) in cases {
            let refusal = token(&headers, query, false).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            let message = &refusal.error.message;
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}

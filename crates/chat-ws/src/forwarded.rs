//! Where a request came from: the peer of its socket, or what proxies that are trusted say.
//!
//! Anybody may write these headers, so only what a listed proxy added is believed: the addresses are
//! read from the end, past all listed ones, up to the first that is not.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::limits::FORWARDED_MAX;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word on a client's address counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that is no address and no network: write it as an operator does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address or network: write 10.0.0.7, 10.0.0.0/8 or fd00::/8")]
pub struct TrustedProxyError(String);

impl TrustedProxies {
    /// Reads a list of addresses and networks.
    ///
    /// # Errors
    /// [`TrustedProxyError`] names the first one that is none.
    pub fn parse<T: AsRef<str>>(
        list: impl IntoIterator<Item = T>,
    ) -> Result<Self, TrustedProxyError> {
        let parse = |text: T| {
            let text = text.as_ref().trim();
            let network = text.parse::<IpNet>().ok();
            let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| TrustedProxyError(text.to_owned()))
        };
        list.into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an address is one of them.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who is behind a request.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        for said in said(headers).into_iter().rev().take(FORWARDED_MAX) {
            // What cannot be read cannot be gone past: the proxy itself is all that is known.
            let Some(before) = said.and_then(address) else {
                break;
            };
            client = before.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// The addresses that were said, nearest last. Of the two headers the older one, which most proxies
/// write; a proxy has to remove the one that it does not write.
fn said(headers: &HeaderMap) -> Vec<Option<&str>> {
    let said = items(headers, &X_FORWARDED_FOR);
    if !said.is_empty() {
        return said;
    }
    let elements = items(headers, &FORWARDED).into_iter();
    elements.map(|element| element.and_then(for_of)).collect()
}

/// The items of a list that may be spread over several lines; nothing for a line that is no text.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Option<&'a str>> {
    let mut items = Vec::new();
    for line in headers.get_all(name) {
        match line.to_str() {
            Ok(text) => items.extend(text.split(',').map(|item| Some(item.trim()))),
            Err(_) => items.push(None),
        }
    }
    items
}

/// The value of `for` in an element of `Forwarded`.
fn for_of(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(value.trim().trim_matches('"'))
}

/// An address, with or without a port, with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(inside) = bracketed {
        return inside.parse().ok();
    }
    let alone = text.parse().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::parse(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]).unwrap()
    }

    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        trusted().client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn nobody_is_believed_but_a_listed_proxy() {
        let forged = [("x-forwarded-for", "1.2.3.4")];
        assert_eq!(client("203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &forged), "1.2.3.4");
        assert_eq!(client("::ffff:10.1.2.3", &forged), "1.2.3.4");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_client_wrote_before_the_first_proxy_is_not_believed() {
        let chain = [("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.9.9.9")];
        assert_eq!(client("10.1.2.3", &chain), "203.0.113.9");
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client("10.1.2.3", &lines), "203.0.113.9");
        let inside = [("x-forwarded-for", "10.0.0.5")];
        assert_eq!(client("10.1.2.3", &inside), "10.0.0.5");
    }

    #[test]
    fn both_headers_and_all_forms_are_read() {
        for (header, value, expected) in [
            ("x-forwarded-for", "1.2.3.4:5678", "1.2.3.4"),
            ("x-forwarded-for", "[2001:db8::1]:80", "2001:db8::1"),
            ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
            ("forwarded", "for=1.2.3.4;proto=https", "1.2.3.4"),
            (
                "forwarded",
                "for=6.6.6.6, proto=http; For=\"[2001:db8::1]:4711\"",
                "2001:db8::1",
            ),
        ] {
            assert_eq!(client("10.1.2.3", &[(header, value)]), expected, "{value}");
        }
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.2.3.4")];
        assert_eq!(client("10.1.2.3", &both), "1.2.3.4");
    }

    #[test]
    fn what_cannot_be_read_is_not_gone_past() {
        for value in ["unknown", "_hidden", "", "1.2.3.4, ,", "1.2.3.4, x"] {
            let headers = [("x-forwarded-for", value)];
            assert_eq!(client("10.1.2.3", &headers), "10.1.2.3", "{value:?}");
        }
        let long = vec!["10.0.0.1"; 10_000].join(",");
        assert_eq!(
            client("10.1.2.3", &[("x-forwarded-for", &long)]),
            "10.0.0.1"
        );
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        let error = TrustedProxies::parse(["10.0.0.0/8", "10.0.0.0/99"]).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/99"));
    }
}

//! Which web pages may open a connection: those of this server, and those that were listed.
//!
//! A browser sends `Origin` with every WebSocket, other programs need not and could lie. So this
//! protects people whose browser is led here by a foreign page, nobody else.
//!
//! "This server's own" is a page whose origin is the `Host` that was asked for. A foreign page can
//! bring that about too, by letting its own name point here (DNS rebinding), but not for a name that
//! belongs to this machine alone, nor for an address.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The web pages that may connect besides this server's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    /// Own pages come by `localhost` or an address only.
    local: bool,
    listed: Vec<Site>,
}

/// A text that is no origin: write it as a browser does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no origin: write scheme, host and port, as in https://chat.example.com:8443, or * for any"
)]
pub struct OriginError(String);

/// Scheme, host and port, the default port filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    scheme: String,
    host: String,
    port: u16,
}

impl Origins {
    /// Reads a list of origins; `*` stands for any.
    ///
    /// # Errors
    /// [`OriginError`] names the first one that is none.
    pub fn parse<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        for text in list {
            match text.as_ref().trim() {
                "*" => origins.any = true,
                text => origins
                    .listed
                    .push(Site::parse(text).ok_or_else(|| OriginError(text.to_owned()))?),
            }
        }
        Ok(origins)
    }

    /// The same, where no token stands between a page and what is said here: then only those pages
    /// are this server's own that came by a name that nobody else can point here.
    pub(crate) fn local(self) -> Self {
        Self {
            local: true,
            ..self
        }
    }

    /// Whether a request with this `Origin` and this `Host` may connect.
    pub(crate) fn check(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        if self.any {
            return true;
        }
        let Some(site) = Site::parse(origin) else {
            return false;
        };
        let is_own =
            |host| site.is_served_at(host) && (!self.local || is_local_or_address(&site.host));
        self.listed.contains(&site) || host.is_some_and(is_own)
    }
}

impl Site {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (host, port) = split_authority(authority, default_port)?;
        Some(Self { scheme, host, port })
    }

    /// `Host` leaves out the default port of the scheme that the page was loaded with. A proxy may
    /// have ended TLS on the way, so the scheme itself proves nothing.
    fn is_served_at(&self, host: &str) -> bool {
        let default_port = if self.scheme == "https" { 443 } else { 80 };
        split_authority(host, default_port)
            .is_some_and(|(host, port)| host == self.host && port == self.port)
    }
}

/// Browsers ask nobody what these are.
fn is_local_or_address(host: &str) -> bool {
    let is_localhost = host == "localhost" || host.ends_with(".localhost");
    let v6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    is_localhost
        || host.parse::<Ipv4Addr>().is_ok()
        || v6.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok())
}

fn split_authority(authority: &str, default_port: u16) -> Option<(String, u16)> {
    // The colons of an IPv6 address are inside its brackets.
    let colon = authority
        .rfind(':')
        .filter(|at| !authority[*at..].contains(']'));
    let (host, port) = match colon {
        Some(at) => (&authority[..at], authority[at + 1..].parse().ok()?),
        None => (authority, default_port),
    };
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
    is_host.then(|| (host.to_ascii_lowercase(), port))
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this server's own")?;
        if self.local {
            f.write_str(" by localhost or an address")?;
        }
        if self.any {
            f.write_str(", any other")?;
        }
        for Site { scheme, host, port } in &self.listed {
            write!(f, ", {scheme}://{host}:{port}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(origin: &str, host: &str) -> bool {
        Origins::default().check(Some(origin), Some(host))
    }

    #[test]
    fn a_program_without_an_origin_passes() {
        assert!(Origins::default().check(None, Some("chat.example.com")));
    }

    #[test]
    fn the_servers_own_page_passes() {
        assert!(own("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(own("http://[::1]:8080", "[::1]:8080"));
        assert!(own("http://Chat.Example.com", "chat.example.COM"));
    }

    #[test]
    fn default_ports_are_the_same_written_or_not() {
        assert!(own("https://chat.example.com", "chat.example.com"));
        assert!(own("https://chat.example.com", "chat.example.com:443"));
        assert!(own("http://chat.example.com:80", "chat.example.com"));
        assert!(!own("https://chat.example.com", "chat.example.com:80"));
    }

    #[test]
    fn another_page_is_refused() {
        assert!(!own("https://evil.example", "chat.example.com"));
        assert!(!own("http://127.0.0.1:9999", "127.0.0.1:8080"));
        assert!(!own(
            "https://chat.example.com.evil.example",
            "chat.example.com"
        ));
        assert!(!own(
            "https://evil.example@chat.example.com",
            "chat.example.com"
        ));
        assert!(!own("null", "chat.example.com"));
        assert!(!own("", ""));
        assert!(!Origins::default().check(Some("https://chat.example.com"), None));
    }

    /// What a page gets that lets its own name point to this machine.
    #[test]
    fn a_name_that_others_can_point_here_is_not_our_own_where_no_token_is_asked_for() {
        let origins = Origins::parse(["http://chat.example:8080"]).unwrap();
        let own = |host: &str| {
            let origin = format!("http://{host}");
            origins.clone().local().check(Some(&origin), Some(host))
        };
        for host in [
            "localhost:8080",
            "LOCALHOST",
            "chat.localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "chat.example:8080",
        ] {
            assert!(own(host), "{host}");
        }
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "1.evil",
            "[evil]:8080",
            "chat.example",
        ] {
            assert!(!own(host), "{host}");
        }
        assert!(origins.local().to_string().contains("by localhost"));
    }

    #[test]
    fn a_listed_page_passes_with_its_own_scheme_and_port_only() {
        let origins = Origins::parse(["https://app.example.com", "http://localhost:5173"]).unwrap();
        let check = |origin| origins.check(Some(origin), Some("chat.example.com"));
        assert!(check("https://app.example.com"));
        assert!(check("https://app.example.com:443"));
        assert!(check("http://localhost:5173"));
        assert!(!check("http://app.example.com"));
        assert!(!check("http://localhost:5174"));
    }

    #[test]
    fn a_star_lets_any_page_pass() {
        let origins = Origins::parse(["*"]).unwrap();
        assert!(origins.check(Some("null"), None));
    }

    #[test]
    fn a_list_that_holds_no_origin_is_a_mistake() {
        for text in [
            "chat.example.com",
            "ftp://x",
            "https://",
            "https://x/y",
            "https://x:port",
        ] {
            assert!(Origins::parse([text]).is_err(), "{text}");
        }
    }
}

//! Binding the port, with an answer for whoever is refused.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use chat_ws::{Reserved, Server};

/// Why an address cannot be listened on, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ListenError {
    /// Another program has the port: end it, or take another port.
    #[error(
        "another program listens on {address}. End it, or take another port:\n    \
         chat-server --listen {}", free(.address)
    )]
    Taken { address: SocketAddr },
    /// The system lets nobody but root have the port: take a higher one, or allow it.
    #[error(
        "this user may not listen on port {}. Take one from 1024 on:\n    \
         chat-server --listen {}\nor allow this program the low ones:\n    \
         sudo setcap cap_net_bind_service=+ep \"$(command -v chat-server)\"",
        .address.port(), SocketAddr::new(.address.ip(), 8080)
    )]
    Refused { address: SocketAddr },
    /// No network of this machine has the address: take one that it has.
    #[error(
        "{} is no address of this machine (`ip address` lists them). 127.0.0.1 is for this \
         machine alone, 0.0.0.0 for all of its networks", .address.ip()
    )]
    Elsewhere { address: SocketAddr },
    /// Anything else, as the system says it.
    #[error("cannot listen on {address}: {source}")]
    Other {
        address: SocketAddr,
        source: io::Error,
    },
}

/// A port that is ours, and refuses whoever connects.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    reserved: Reserved,
}

impl Port {
    /// Takes it, first of all: beside a server that serves, a second one by mistake should touch nothing.
    /// Beside one that still waits for its database it may: whoever opens the port first has it, and the
    /// other one is told then.
    ///
    /// # Errors
    /// [`ListenError`], which says what to do.
    pub(crate) fn take(address: SocketAddr) -> Result<Self, ListenError> {
        let reserved = Reserved::new(address).map_err(|error| explain(address, error))?;
        Ok(Self { address, reserved })
    }

    /// Lets connections in, once there is something to serve: a probe that came before would wait
    /// and wait.
    ///
    /// # Errors
    /// [`ListenError`], which says what to do.
    pub(crate) fn open(self) -> Result<Server, ListenError> {
        let Self { address, reserved } = self;
        reserved.listen().map_err(|error| explain(address, error))
    }
}

fn explain(address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address },
        io::ErrorKind::PermissionDenied => ListenError::Refused { address },
        io::ErrorKind::AddrNotAvailable => ListenError::Elsewhere { address },
        _ => ListenError::Other { address, source },
    }
}

/// The same address with the next port, as a suggestion.
fn free(address: &SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(8080))
}

/// Where a program on this machine reaches a server that listens there: the address for all
/// networks is none that one can connect to.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(address: &str, kind: io::ErrorKind) -> String {
        explain(address.parse().unwrap(), kind.into()).to_string()
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let taken = explained("127.0.0.1:8080", io::ErrorKind::AddrInUse);
        assert!(
            taken.contains("chat-server --listen 127.0.0.1:8081"),
            "{taken}"
        );
        let refused = explained("127.0.0.1:80", io::ErrorKind::PermissionDenied);
        assert!(refused.contains("may not listen on port 80."), "{refused}");
        assert!(
            refused.contains("chat-server --listen 127.0.0.1:8080"),
            "{refused}"
        );
        let elsewhere = explained("192.0.2.1:80", io::ErrorKind::AddrNotAvailable);
        assert!(
            elsewhere.contains("192.0.2.1 is no address of this machine"),
            "{elsewhere}"
        );
    }

    #[test]
    fn the_address_for_all_networks_is_reached_by_the_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let found = reachable(listen.parse().unwrap());
            assert_eq!(found.to_string(), reached);
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_recognised() {
        let first = Port::take("127.0.0.1:0".parse().unwrap());
        let first = first.unwrap().open().unwrap();
        let second = Port::take(first.address()).unwrap_err();
        assert!(matches!(second, ListenError::Taken { .. }), "{second:?}");
    }
}

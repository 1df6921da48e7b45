//! How many sockets and WebSockets an address has, and how often it comes.
//!
//! An address is one of IPv4, or a network of 64 bits of IPv6, because that is what one customer
//! gets. What is known of an address that is idle is forgotten. Addresses beyond the limit share one
//! entry: an attacker who has that many is limited as one, and nobody is let in uncounted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Limits, Metrics, TokenBucket};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{ADDRESSES_LOOK, ADDRESSES_MAX, HTTP_SOCKETS_PER_ADDRESS};

/// When an address with too many connections may try again.
const CROWDED_RETRY: Duration = Duration::from_secs(5);

/// What is counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Address {
    V4(Ipv4Addr),
    V6([u16; 4]),
    /// All that found no place.
    Others,
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    sockets: usize,
    connections: usize,
    handshakes: TokenBucket,
}

/// Why an address may not come in now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crowded {
    pub(crate) message: String,
    pub(crate) retry_after: Duration,
}

/// All addresses of a node.
#[derive(Debug)]
pub(crate) struct Addresses {
    connections_max: usize,
    handshakes_per_second: u64,
    handshakes_burst: u64,
    base: Instant,
    entries: Mutex<Entries>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Entries {
    by_address: HashMap<Address, Entry>,
    /// How many there may be before idle ones are looked for.
    look_at: usize,
}

/// What an address has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    addresses: Arc<Addresses>,
    address: Address,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Socket,
    Connection,
}

impl Addresses {
    pub(crate) fn new(limits: &Limits, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.connections_per_ip,
            handshakes_per_second: limits.handshakes_per_ip,
            handshakes_burst: limits.handshakes_burst,
            base: Instant::now(),
            entries: Mutex::default(),
            metrics: metrics.clone(),
        })
    }

    /// Counts a socket, whatever comes over it; nothing if there are too many.
    pub(crate) fn socket(self: &Arc<Self>, address: IpAddr) -> Option<Held> {
        let most = self
            .connections_max
            .saturating_add(HTTP_SOCKETS_PER_ADDRESS);
        let (address, is_allowed) = self.with(address, |entry, _| {
            let is_allowed = self.connections_max == 0 || entry.sockets < most;
            entry.sockets += usize::from(is_allowed);
            is_allowed
        });
        if !is_allowed {
            self.metrics.limit("connections_per_ip");
            return None;
        }
        Some(self.held(address, What::Socket))
    }

    /// Counts a handshake of TLS, and with it that of the WebSocket that may follow; whether there
    /// is one left.
    pub(crate) fn may_shake_hands(&self, address: IpAddr) -> bool {
        let (_, taken) = self.with(address, |entry, now| self.take_handshake(entry, now));
        if taken.is_err() {
            self.metrics.limit("handshakes_per_ip");
        }
        taken.is_ok()
    }

    fn take_handshake(&self, entry: &mut Entry, now: u64) -> Result<(), Duration> {
        let (rate, burst) = (self.handshakes_per_second, self.handshakes_burst);
        match rate {
            0 => Ok(()),
            _ => entry.handshakes.take(rate, burst, now),
        }
    }

    /// Counts a WebSocket that is asked for; `is_counted` if its handshake was, with that of TLS.
    ///
    /// # Errors
    /// What to say instead.
    pub(crate) fn handshake(
        self: &Arc<Self>,
        address: IpAddr,
        is_counted: bool,
    ) -> Result<Held, Crowded> {
        let (address, counted) = self.with(address, |entry, now| {
            if !is_counted {
                let taken = self.take_handshake(entry, now);
                taken.map_err(|retry_after| ("handshakes_per_ip", retry_after))?;
            }
            if self.connections_max > 0 && entry.connections >= self.connections_max {
                return Err(("connections_per_ip", CROWDED_RETRY));
            }
            entry.connections += 1;
            Ok(())
        });
        match counted {
            Ok(()) => Ok(self.held(address, What::Connection)),
            Err((limit, retry_after)) => {
                self.metrics.limit(limit);
                let message = self.explain(limit);
                Err(Crowded {
                    message,
                    retry_after,
                })
            }
        }
    }

    fn explain(&self, limit: &'static str) -> String {
        let what = match limit {
            "handshakes_per_ip" => format!("{} per second", self.handshakes_per_second),
            _ => format!("{} connections", self.connections_max),
        };
        format!(
            "{limit}: at most {what} from one address; wait. Whoever runs a proxy before this server \
             lists it in --trusted-proxies"
        )
    }

    fn held(self: &Arc<Self>, address: Address, what: What) -> Held {
        Held {
            addresses: Arc::clone(self),
            address,
            what,
        }
    }

    /// Does something with the entry of an address, and says which one it is.
    fn with<T>(&self, address: IpAddr, act: impl FnOnce(&mut Entry, u64) -> T) -> (Address, T) {
        let now = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut entries = self.entries.lock();
        let mut address = Address::from(address);
        if !entries.by_address.contains_key(&address) && entries.by_address.len() >= entries.look_at
        {
            entries.forget_idle(self.handshakes_per_second, now);
            if entries.by_address.len() >= ADDRESSES_MAX {
                self.metrics.limit("addresses_max");
                address = Address::Others;
            }
        }
        let acted = act(entries.by_address.entry(address).or_default(), now);
        (address, acted)
    }
}

impl Entries {
    fn forget_idle(&mut self, rate: u64, now: u64) {
        self.by_address.retain(|_, entry| {
            entry.sockets > 0 || entry.connections > 0 || !entry.handshakes.is_full(rate, now)
        });
        self.look_at = (self.by_address.len() * 2).clamp(ADDRESSES_LOOK, ADDRESSES_MAX);
        if self.by_address.capacity() > self.look_at * 4 {
            self.by_address.shrink_to(self.look_at);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut entries = self.addresses.entries.lock();
        if let Some(entry) = entries.by_address.get_mut(&self.address) {
            let count = match self.what {
                What::Socket => &mut entry.sockets,
                What::Connection => &mut entry.connections,
            };
            debug_assert!(*count > 0, "held is counted once");
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(change: impl FnOnce(&mut Limits)) -> Arc<Addresses> {
        let mut limits = Limits::default();
        change(&mut limits);
        Addresses::new(&limits, &Metrics::unregistered())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn known(addresses: &Addresses) -> usize {
        addresses.entries.lock().by_address.len()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_so_many_connections_until_one_ends() {
        let addresses = addresses(|limits| limits.connections_per_ip = 2);
        let first = addresses.handshake(ip("1.2.3.4"), false).unwrap();
        let _second = addresses.handshake(ip("::ffff:1.2.3.4"), false).unwrap();
        let crowded = addresses.handshake(ip("1.2.3.4"), false).unwrap_err();
        assert!(crowded.message.starts_with("connections_per_ip: at most 2"));
        assert!(crowded.message.contains("--trusted-proxies"));
        assert!(addresses.handshake(ip("1.2.3.5"), false).is_ok());
        drop(first);
        assert!(addresses.handshake(ip("1.2.3.4"), false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_sixty_four_bits_is_one_address() {
        let addresses = addresses(|limits| limits.connections_per_ip = 1);
        let _held = addresses.handshake(ip("2001:db8:1:2:3::4"), false).unwrap();
        assert!(
            addresses
                .handshake(ip("2001:db8:1:2:ffff::5"), false)
                .is_err()
        );
        assert!(addresses.handshake(ip("2001:db8:1:3:3::4"), false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_come_at_a_rate_with_a_burst() {
        let addresses = addresses(|limits| {
            (limits.handshakes_per_ip, limits.handshakes_burst) = (2, 3);
        });
        assert!((0..3).all(|_| addresses.handshake(ip("1.2.3.4"), false).is_ok()));
        let crowded = addresses.handshake(ip("1.2.3.4"), false).unwrap_err();
        assert!(
            crowded
                .message
                .starts_with("handshakes_per_ip: at most 2 per second")
        );
        assert_eq!(crowded.retry_after, Duration::from_millis(500));
        assert!(addresses.handshake(ip("1.2.3.5"), false).is_ok());
        tokio::time::advance(crowded.retry_after).await;
        assert!(addresses.handshake(ip("1.2.3.4"), false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_of_tls_counts_once_with_its_websocket() {
        let addresses = addresses(|limits| {
            (limits.handshakes_per_ip, limits.handshakes_burst) = (1, 2);
        });
        let address = ip("1.2.3.4");
        assert!(addresses.may_shake_hands(address));
        let first = addresses.handshake(address, true);
        assert!(first.is_ok() && addresses.may_shake_hands(address));
        assert!(!addresses.may_shake_hands(address), "the burst is used up");
        assert!(addresses.handshake(address, true).is_ok());
        assert!(addresses.handshake(address, false).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_that_ask_for_nothing_are_limited_too() {
        let addresses = addresses(|limits| limits.connections_per_ip = 10);
        let take = || addresses.socket(ip("1.2.3.4"));
        let held: Vec<_> = std::iter::from_fn(take).collect();
        assert_eq!(held.len(), 10 + HTTP_SOCKETS_PER_ADDRESS);
        drop(held);
        assert!(take().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_nothing_is_refused() {
        let addresses =
            Addresses::new(&Limits::default().without_rates(), &Metrics::unregistered());
        let address = ip("1.2.3.4");
        let all: Vec<_> = (0..20_000)
            .map(|_| {
                (
                    addresses.socket(address),
                    addresses.handshake(address, false),
                )
            })
            .collect();
        assert!(
            all.iter()
                .all(|(socket, held)| socket.is_some() && held.is_ok())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn idle_addresses_are_forgotten_and_the_rest_share_one_entry() {
        let addresses = addresses(|limits| {
            limits.connections_per_ip = 1;
            (limits.handshakes_per_ip, limits.handshakes_burst) = (1, 10);
        });
        let at = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        let count = u32::try_from(ADDRESSES_MAX).unwrap();
        let held: Vec<_> = (0..count)
            .map(|number| addresses.handshake(at(number), false))
            .collect();
        assert!(held.iter().all(Result::is_ok));
        let _one = addresses.handshake(at(count), false).unwrap();
        assert!(addresses.handshake(at(count + 1), false).is_err(), "as one");
        assert_eq!(known(&addresses), ADDRESSES_MAX + 1);
        drop(held);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(addresses.handshake(at(count + 1), false).is_ok());
        assert!(known(&addresses) < 5);
    }
}

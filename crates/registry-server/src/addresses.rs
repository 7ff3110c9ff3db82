//! What each client address holds: connections, memory, open files.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use registry_types::Network;

use crate::{Limits, pool::Pool, turns::Turns};

/// The prefix of an IPv6 network whose addresses count together: one customer gets at least a /64.
const IPV6_PREFIX_BITS: u32 = 64;

/// The addresses that hold something. An address that holds nothing has no entry.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<HashMap<IpAddr, Weak<Holder>>>>);

/// What one address holds. The entry lives as long as a connection or an answer refers to it.
pub(crate) struct Holder {
    key: IpAddr,
    all: Addresses,
    pub(crate) connections: Pool,
    pub(crate) memory: Pool,
    pub(crate) windows: Pool,
    pub(crate) files: Pool,
    /// For the one large document that is parsed, or is next of this address.
    pub(crate) turns: Turns,
}

/// The size of each address's share.
#[derive(Clone, Copy)]
pub(crate) struct Shares {
    pub(crate) connections: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) window_bytes: usize,
    pub(crate) files: usize,
}

impl Addresses {
    /// The entry of an address, which is made with these shares if there is none.
    pub(crate) fn holder(&self, address: IpAddr, shares: Shares) -> Arc<Holder> {
        let key = key(address);
        let mut entries = self.0.lock();
        if let Some(holder) = entries.get(&key).and_then(Weak::upgrade) {
            return holder;
        }
        let holder = Arc::new(Holder {
            key,
            all: self.clone(),
            connections: Pool::new(shares.connections),
            memory: Pool::new(shares.memory_bytes),
            windows: Pool::new(shares.window_bytes),
            files: Pool::new(shares.files),
            turns: Turns::of_client(),
        });
        entries.insert(key, Arc::downgrade(&holder));
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut entries = self.all.0.lock();
        // A new entry may have taken the place of this one.
        if entries.get(&self.key).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.key);
        }
    }
}

/// Which addresses have a share of their own, and how many connections that is.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    per_address: Option<usize>,
    connections_max: usize,
    proxies: Vec<Network>,
}

impl Sharing {
    /// As `limits` say, of so many connections.
    pub(crate) fn new(limits: &Limits, connections_max: usize) -> Sharing {
        let per_address = limits.connections_per_address;
        Sharing { per_address, connections_max, proxies: limits.proxies.clone() }
    }

    /// How many connections an address may hold. `None` for an address without a share: a trusted proxy, or a loopback or
    /// private address while no number is configured, since any number of clients may be behind it.
    pub(crate) fn connections_of(&self, address: IpAddr) -> Option<usize> {
        /// A public address may hold this part of all connections.
        const PART: usize = 4;

        if self.proxies.iter().any(|proxy| proxy.contains(address)) {
            return None;
        }
        let default = (!is_private(address)).then_some((self.connections_max / PART).max(1));
        self.per_address.or(default)
    }
}

fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << (128 - IPV6_PREFIX_BITS));
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// Whether any number of clients may be behind an address: a proxy, a container's gateway, a machine's own.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares { connections: 2, memory_bytes: 10, window_bytes: 10, files: 1 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_one_entry_while_it_holds_something() {
        let all = Addresses::default();
        let first = all.holder(address("192.0.2.1"), SHARES);
        // Mapped into IPv6 it is the same address.
        let same = all.holder(address("::ffff:192.0.2.1"), SHARES);
        assert!(Arc::ptr_eq(&first, &same));
        assert!(!Arc::ptr_eq(&first, &all.holder(address("192.0.2.2"), SHARES)));
        drop((first, same));
        assert!(all.0.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let all = Addresses::default();
        let first = all.holder(address("2001:db8:0:1::1"), SHARES);
        assert!(Arc::ptr_eq(&first, &all.holder(address("2001:db8:0:1:ffff:ffff:ffff:ffff"), SHARES)));
        assert!(!Arc::ptr_eq(&first, &all.holder(address("2001:db8:0:2::1"), SHARES)));
    }

    #[test]
    fn public_addresses_have_a_share_and_private_ones_if_it_is_configured() {
        let sharing = |per_address| {
            let proxies = vec!["198.51.100.0/24".parse().unwrap()];
            let limits = Limits { connections_per_address: per_address, proxies, ..Limits::default() };
            Sharing::new(&limits, 100)
        };
        for (text, expected) in [
            ("192.0.2.1", [Some(25), Some(3)]),
            ("10.1.2.3", [None, Some(3)]),
            ("127.0.0.1", [None, Some(3)]),
            ("198.51.100.7", [None, None]),
        ] {
            let shares = [None, Some(3)].map(|number| sharing(number).connections_of(address(text)));
            assert_eq!(shares, expected, "{text}");
        }
    }

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(address(private)), "{private}");
        }
        for public in ["192.0.2.1", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(!is_private(address(public)), "{public}");
        }
    }
}

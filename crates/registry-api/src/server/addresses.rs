//! How many connections each address holds.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

/// Whose connections count together: an IPv4 address, or the network of an IPv6 address that one customer gets.
const IPV6_PREFIX_BITS: u32 = 64;

/// The connections of each address that holds some. No address is kept that holds none.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    all: Addresses,
    holder: IpAddr,
}

impl Addresses {
    /// Counts a connection, unless its address holds `limit` of them.
    pub(super) fn count(&self, address: IpAddr, limit: usize) -> Option<Counted> {
        let holder = holder(address);
        let mut held = self.0.lock();
        let count = held.entry(holder).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Counted { all: self.clone(), holder })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut held = self.all.0.lock();
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << (128 - IPV6_PREFIX_BITS));
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// Whether everybody may be behind an address: a proxy, a container's gateway, a machine's own.
pub(super) fn is_private(address: IpAddr) -> bool {
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_takes_its_share_and_no_more() {
        let all = Addresses::default();
        let held: Vec<_> = (0..3).map_while(|_| all.count(address("192.0.2.1"), 2)).collect();
        assert_eq!(held.len(), 2);
        // Mapped into IPv6 it is the same one.
        assert!(all.count(address("::ffff:192.0.2.1"), 2).is_none());
        assert!(all.count(address("192.0.2.2"), 2).is_some());
        drop(held);
        assert!(all.0.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let all = Addresses::default();
        let _held = all.count(address("2001:db8:0:1::1"), 1).unwrap();
        assert!(all.count(address("2001:db8:0:1:ffff:ffff:ffff:ffff"), 1).is_none());
        assert!(all.count(address("2001:db8:0:2::1"), 1).is_some());
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

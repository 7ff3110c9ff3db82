//! What each client holds: connections, memory, open files.
//!
//! A client is an address, and an address is of networks that one customer may have: all of them hold what the address holds.
//! Each may hold a part of what is free, and not of all: so the more it holds, the more is left to others, and what is left is
//! never its own.

use std::{
    collections::HashMap,
    fmt,
    iter::successors,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use registry_types::Network;

use crate::{Limits, pool::Pool, turns::Turns};

/// How much of what is free a connection may hold whose address has no share; as much as that.
const CONNECTION_PARTS: usize = 1;

/// How many bits of an address tell clients apart, of its networks as well, and how many times what is free each may hold. Of
/// IPv6 a customer gets at least a /64, and may have a /56 or a /48.
const IPV4_LEVELS: [(u32, usize); 2] = [(24, 4), (32, 2)];
const IPV6_LEVELS: [(u32, usize); 3] = [(48, 4), (56, 3), (64, 2)];

/// The addresses and networks that hold something. One that holds nothing has no entry.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<HashMap<Key, Weak<Holder>>>>);

/// The first bits of an address, and how many.
type Key = (IpAddr, u32);

/// What one connection, address or network holds. An entry lives as long as a connection or an answer refers to it.
pub(crate) struct Holder {
    pub(crate) level: Level,
    /// How many times what is free it may hold.
    parts: usize,
    /// The network that holds this as well.
    within: Option<Arc<Holder>>,
    entry: Option<(Key, Addresses)>,
    pub(crate) connections: Pool,
    pub(crate) memory: Pool,
    pub(crate) windows: Pool,
    pub(crate) files: Pool,
    /// For the one large document that is parsed, or is next.
    pub(crate) turns: Turns,
}

/// What holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// A connection of an address without a share.
    Connection,
    Address,
    Network,
}

impl Addresses {
    /// The entry of an address that may hold so many connections, and those of its networks. An address that is not public is
    /// in no customer's network.
    pub(crate) fn holder(&self, address: IpAddr, connections: usize) -> Arc<Holder> {
        let address = address.to_canonical();
        let levels: &[_] = if address.is_ipv4() { &IPV4_LEVELS } else { &IPV6_LEVELS };
        let (last, networks) = levels.split_last().unwrap_or((&(128, 1), &[]));
        let networks = if is_private(address) { &[] } else { networks };
        let network = |within, (bits, parts): &(u32, usize)| {
            let holder = Holder::new(Level::Network, *parts, usize::MAX, within);
            Some(self.entry(prefix(address, *bits), holder))
        };
        let within = networks.iter().fold(None, network);
        let (bits, parts) = *last;
        self.entry(prefix(address, bits), Holder::new(Level::Address, parts, connections, within))
    }

    /// The entry with this key, which is `new` if there is none.
    fn entry(&self, key: Key, mut new: Holder) -> Arc<Holder> {
        let mut entries = self.0.lock();
        if let Some(holder) = entries.get(&key).and_then(Weak::upgrade) {
            // `new` is dropped without the lock, which its networks may need.
            drop(entries);
            return holder;
        }
        new.entry = Some((key, self.clone()));
        let holder = Arc::new(new);
        entries.insert(key, Arc::downgrade(&holder));
        holder
    }
}

impl Holder {
    /// That of a connection whose address has no share.
    pub(crate) fn of_connection() -> Arc<Holder> {
        Arc::new(Holder::new(Level::Connection, CONNECTION_PARTS, 1, None))
    }

    fn new(level: Level, parts: usize, connections: usize, within: Option<Arc<Holder>>) -> Holder {
        Holder {
            level,
            parts,
            within,
            entry: None,
            connections: Pool::new(connections),
            memory: Pool::new(usize::MAX),
            windows: Pool::new(usize::MAX),
            files: Pool::new(usize::MAX),
            turns: Turns::of_client(),
        }
    }

    /// This, and what holds it as well.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Holder> {
        successors(Some(self), |holder| holder.within.as_deref())
    }

    /// How much this may hold in all when so much is free.
    pub(crate) fn part_of(&self, free: usize) -> usize {
        free.saturating_mul(self.parts)
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let Some((key, all)) = &self.entry else { return };
        let mut entries = all.0.lock();
        // A new entry may have taken the place of this one.
        if entries.get(key).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(key);
        }
    }
}

/// The pools of one thing: the node's, and which of a holder's.
pub(crate) type Pools<'a> = (&'a Pool, fn(&Holder) -> &Pool);

/// How much may be in use once an amount was taken.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Of the node.
    pub(crate) node: usize,
    /// What is free of this is free for a holder, which may hold a part of that in all.
    pub(crate) shared: usize,
    /// What a holder may hold in any case.
    pub(crate) least: usize,
}

/// Takes of the holder, what holds it as well, and the node; or of none. Then it says which had too little, the node if none
/// is named.
pub(crate) fn take(
    holder: Option<&Holder>,
    (node, pool): Pools<'_>,
    amount: usize,
    bounds: Bounds,
) -> Result<(), Option<Level>> {
    let used = node.used();
    if amount > bounds.node.saturating_sub(used) {
        return Err(None);
    }
    let free = bounds.shared.saturating_sub(used);
    let all = || holder.into_iter().flat_map(Holder::all);
    let is_taken = |holder: &Holder| {
        let pool = pool(holder);
        pool.take_within(amount, holder.part_of(free).max(bounds.least).min(pool.total()))
    };
    let short = all().enumerate().find(|(_, holder)| !is_taken(holder));
    if short.is_none() && node.take_within(amount, bounds.node) {
        return Ok(());
    }
    let taken = short.map_or(usize::MAX, |(index, _)| index);
    all().take(taken).for_each(|holder| pool(holder).give_back(amount));
    Err(short.map(|(_, holder)| holder.level))
}

/// Takes whatever there is.
pub(crate) fn add(holder: Option<&Holder>, (node, pool): Pools<'_>, amount: usize) {
    holder.into_iter().flat_map(Holder::all).for_each(|holder| pool(holder).add(amount));
    node.add(amount);
}

/// Gives back what was taken.
pub(crate) fn give_back(holder: Option<&Holder>, (node, pool): Pools<'_>, amount: usize) {
    holder.into_iter().flat_map(Holder::all).for_each(|holder| pool(holder).give_back(amount));
    node.give_back(amount);
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

    /// How many connections there may be.
    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max
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

/// The address by which a client is told from others: of IPv6 the first of its /64 network.
pub(crate) fn client_prefix(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    let levels: &[_] = if address.is_ipv4() { &IPV4_LEVELS } else { &IPV6_LEVELS };
    let (bits, _) = levels.last().unwrap_or(&(128, 1));
    prefix(address, *bits).0
}

fn prefix(address: IpAddr, bits: u32) -> Key {
    let first = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    };
    (first, bits)
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_one_entry_while_it_holds_something() {
        let all = Addresses::default();
        let first = all.holder(address("192.0.2.1"), 2);
        // Mapped into IPv6 it is the same address.
        let same = all.holder(address("::ffff:192.0.2.1"), 2);
        assert!(Arc::ptr_eq(&first, &same));
        assert!(!Arc::ptr_eq(&first, &all.holder(address("192.0.2.2"), 2)));
        drop((first, same));
        assert!(all.0.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let all = Addresses::default();
        let first = all.holder(address("2001:db8:0:1::1"), 2);
        assert!(Arc::ptr_eq(&first, &all.holder(address("2001:db8:0:1:ffff:ffff:ffff:ffff"), 2)));
        assert!(!Arc::ptr_eq(&first, &all.holder(address("2001:db8:0:2::1"), 2)));
    }

    #[test]
    fn networks_hold_what_their_addresses_hold() {
        let all = Addresses::default();
        for (one, other, shared) in [
            ("2001:db8:0:1::1", "2001:db8:0:ff::1", 2),
            ("2001:db8:0:1::1", "2001:db8:0:100::1", 1),
            ("2001:db8:0:1::1", "2001:db8:1::1", 0),
            ("192.0.2.1", "192.0.2.255", 1),
            ("192.0.2.1", "192.0.3.1", 0),
            ("10.0.0.1", "10.0.0.2", 0),
            ("fd00::1", "fd00::1:0:0:0:1", 0),
        ] {
            let [one, other] = [one, other].map(|text| all.holder(address(text), 2));
            let is_shared = |holder: &&Holder| other.all().any(|other| std::ptr::eq(*holder, other));
            assert_eq!(one.all().filter(is_shared).count(), shared);
        }
        assert!(all.0.lock().is_empty());
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

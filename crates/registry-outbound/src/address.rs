//! Which addresses belong to the public internet.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use registry_types::Network;

/// Addresses of IPv4 at which no public server is, and of IPv6 within [`GLOBAL`].
///
/// Source: IANA, "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry".
const SPECIAL: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a provider's customers"),
    ("127.0.0.0/8", "this machine"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("2001::/23", "reserved for protocols"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "for documentation"),
];

/// The only addresses of IPv6 that are given out to public servers.
///
/// Source: IANA, "Internet Protocol Version 6 Address Space".
const GLOBAL: &str = "2000::/3";

/// IPv4 addresses as a translator shows them to machines that have IPv6 alone. A translator within a provider's network uses
/// `64:ff9b:1::/48`, which is not global and is refused.
///
/// Source: RFC 6052 section 2.1.
const TRANSLATED: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

struct Table {
    special: Vec<(Network, &'static str)>,
    global: Network,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table {
    special: SPECIAL.iter().map(|(network, what)| (network_of(network), *what)).collect(),
    global: network_of(GLOBAL),
});

fn network_of(text: &str) -> Network {
    text.parse().expect("the table holds networks")
}

/// The address that is reached in the end: that of IPv4 which a mapped or translated address of IPv6 holds, and this machine
/// for an address that is none, to which systems connect as to `127.0.0.1` and `::1`.
pub(crate) fn unmapped(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(v6) => translated(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    }
}

fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let [a, b] = segments[6].to_be_bytes();
    let [c, d] = segments[7].to_be_bytes();
    (segments[..6] == TRANSLATED).then(|| Ipv4Addr::new(a, b, c, d))
}

/// What an address is, if it is not one of the public internet: `private`, `link-local`, and so on.
pub fn special(address: IpAddr) -> Option<&'static str> {
    let address = unmapped(address);
    let found = TABLE.special.iter().find(|(network, _)| network.contains(address));
    match (found, address) {
        (Some((_, what)), _) => Some(what),
        (None, IpAddr::V6(_)) if !TABLE.global.contains(address) => Some("not global"),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Option<&'static str> {
        special(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[test]
    fn addresses_of_the_internet_are_not_special() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:829::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(ask(public), None, "{public}");
        }
    }

    #[test]
    fn all_else_is() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.5",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.5",
            "::ffff:169.254.169.254",
            "::ffff:0:7f00:1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:4136:e378::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(ask(special).is_some(), "{special}");
        }
    }
}

use std::net::{IpAddr, Ipv6Addr};

/// Where a login comes from, as far as fairness between strangers goes. Of an IPv6 address the first 64 bits count: what
/// follows is the client's to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A public address: one party, or a few behind one router.
    Own(IpAddr),
    /// An address behind which everybody may be: loopback, private networks and Unix sockets are where proxies stand. It
    /// is never slowed as a whole.
    Shared(Option<IpAddr>),
}

impl Source {
    pub(crate) fn of(address: Option<IpAddr>) -> Source {
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return Source::Shared(None);
        };
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        };
        if may_be_a_proxy(address) { Source::Shared(Some(network)) } else { Source::Own(network) }
    }

    /// Whether everybody may be behind it.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Source::Shared(_))
    }
}

fn may_be_a_proxy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            // RFC 6598: between carriers and their customers, and in clusters.
            let is_carriers = a == 100 && (64..128).contains(&b);
            address.is_loopback() || address.is_private() || address.is_link_local() || is_carriers
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Source {
        Source::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn proxies_stand_where_addresses_are_not_public() {
        for (address, is_shared) in [
            ("127.0.0.1", true),
            ("127.8.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("203.0.113.9", false),
            ("::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:203.0.113.9", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(of(address).is_shared(), is_shared, "{address}");
        }
        assert!(Source::of(None).is_shared());
    }

    #[test]
    fn a_client_is_the_same_whatever_it_puts_into_the_last_half_of_its_address() {
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::7"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:203.0.113.9"), of("203.0.113.9"));
        assert_ne!(of("203.0.113.9"), of("203.0.113.10"));
    }
}

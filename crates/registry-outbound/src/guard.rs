use std::net::IpAddr;

use registry_types::{Allowed, Network};

use crate::{
    Destination, Refusal,
    address::{special, unmapped},
    destination::Host,
};

/// Ports below 1024 at which HTTP is spoken.
const LOW_PORTS: [u16; 2] = [80, 443];

/// Ports from 1024 on at which servers of other protocols take a request for commands of theirs.
///
/// Source: WHATWG Fetch, "port blocking"; and those of PostgreSQL, MySQL, Redis and memcached.
const FOREIGN_PORTS: [u16; 12] = [1719, 1720, 1723, 2049, 3306, 3659, 4045, 5060, 5061, 5432, 6379, 11211];

/// Judges where URLs that users enter may lead to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    pub(crate) allowed: Vec<Allowed>,
    pub(crate) own: Vec<Network>,
    /// A proxy connects, so that names are judged and addresses are not seen.
    pub(crate) is_proxied: bool,
}

impl Guard {
    /// Judges what the URL itself says.
    pub(crate) fn judge_url(&self, url: &Destination) -> Result<(), Refusal> {
        self.judge_port(url.port())?;
        let is_listed = match url.kind_of_host() {
            Host::Address(address) => {
                self.judge(address)?;
                self.allowed.iter().any(|allowed| allowed.has_address(unmapped(address)))
            }
            Host::Name(name) => self.has_name(name),
        };
        let is_name = matches!(url.kind_of_host(), Host::Name(_));
        match is_listed {
            true => Ok(()),
            false if self.is_proxied && is_name => Err(Refusal::NotListed),
            false if !url.is_https() => Err(Refusal::Plain),
            false => Ok(()),
        }
    }

    /// Judges the addresses of a name: each must be one that may be asked, so that a second one can not be tried after the
    /// first.
    pub(crate) fn judge_addresses(&self, name: &str, addresses: &[IpAddr]) -> Result<(), Refusal> {
        match self.has_name(name) {
            true => addresses.iter().try_for_each(|address| self.judge_own(*address)),
            false => addresses.iter().try_for_each(|address| self.judge(*address)),
        }
    }

    /// Judges a connection for a protocol other than HTTP: to an address that the caller names, or to those of a name.
    pub(crate) fn judge_connection(
        &self,
        host: &str,
        literal: Option<IpAddr>,
        addresses: &[IpAddr],
    ) -> Result<(), Refusal> {
        match literal {
            Some(address) => self.judge(address),
            None => self.judge_addresses(host, addresses),
        }
    }

    fn has_name(&self, name: &str) -> bool {
        let name = &name.to_ascii_lowercase();
        self.allowed.iter().any(|allowed| allowed.has_name(name))
    }

    fn judge(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = unmapped(address);
        self.judge_own(address)?;
        let is_listed = self.allowed.iter().any(|allowed| allowed.has_address(address));
        if is_listed || special(address).is_none() { Ok(()) } else { Err(Refusal::Special) }
    }

    fn judge_own(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = unmapped(address);
        let is_own = self.own.iter().any(|network| network.contains(address));
        if is_own { Err(Refusal::Own) } else { Ok(()) }
    }

    pub(crate) fn judge_port(&self, port: u16) -> Result<(), Refusal> {
        let is_for_http = LOW_PORTS.contains(&port) || port >= 1024 && !FOREIGN_PORTS.contains(&port);
        if is_for_http { Ok(()) } else { Err(Refusal::Port(port)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str], own: &[&str]) -> Guard {
        Guard {
            allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
            own: own.iter().map(|text| text.parse().unwrap()).collect(),
            is_proxied: false,
        }
    }

    fn judged(guard: &Guard, url: &str) -> Result<(), Refusal> {
        guard.judge_url(&url.parse().unwrap())
    }

    #[test]
    fn what_the_url_says_is_judged() {
        let guard = guard(&["10.1.0.0/16", "ci.internal", "*.lan"], &["10.1.0.9"]);
        for (url, judgement) in [
            ("https://example.com/", Ok(())),
            ("https://8.8.8.8/", Ok(())),
            ("http://example.com/", Err(Refusal::Plain)),
            ("https://10.0.0.5/", Err(Refusal::Special)),
            ("https://10.1.0.5/", Ok(())),
            ("http://10.1.0.5:8080/", Ok(())),
            ("http://10.1.0.9:8080/", Err(Refusal::Own)),
            ("https://[::ffff:10.1.0.9]/", Err(Refusal::Own)),
            ("https://[::ffff:10.0.0.5]/", Err(Refusal::Special)),
            ("https://[64:ff9b::a00:5]/", Err(Refusal::Special)),
            ("https://0x7f.1/", Err(Refusal::Special)),
            ("http://ci.internal/", Ok(())),
            ("http://CI.internal./", Ok(())),
            ("http://a.lan/", Ok(())),
            ("http://lan/", Err(Refusal::Plain)),
            ("http://a.flan/", Err(Refusal::Plain)),
            ("https://example.com:22/", Err(Refusal::Port(22))),
            ("https://example.com:6379/", Err(Refusal::Port(6379))),
            ("https://example.com:8443/", Ok(())),
        ] {
            assert_eq!(judged(&guard, url), judgement, "{url}");
        }
    }

    #[test]
    fn one_bad_address_of_a_name_is_enough() {
        let guard = guard(&["ci.internal"], &["10.1.0.9"]);
        let addresses =
            |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        for (name, texts, judgement) in [
            ("example.com", &["8.8.8.8", "2606:4700::1"][..], Ok(())),
            ("example.com", &["8.8.8.8", "127.0.0.1"], Err(Refusal::Special)),
            ("ci.internal", &["10.0.0.5"], Ok(())),
            ("ci.internal", &["10.0.0.5", "10.1.0.9"], Err(Refusal::Own)),
        ] {
            assert_eq!(guard.judge_addresses(name, &addresses(texts)), judgement, "{name} {texts:?}");
        }
    }

    #[test]
    fn through_a_proxy_names_are_judged() {
        let guard = Guard { is_proxied: true, ..guard(&["*.example.com"], &[]) };
        assert_eq!(judged(&guard, "https://hooks.example.com/"), Ok(()));
        assert_eq!(judged(&guard, "https://example.org/"), Err(Refusal::NotListed));
        assert_eq!(judged(&guard, "https://127.0.0.1/"), Err(Refusal::Special));
        assert_eq!(
            judged(&Guard { is_proxied: true, ..self::guard(&["*"], &[]) }, "https://example.org/"),
            Ok(())
        );
    }
}

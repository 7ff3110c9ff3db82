//! Which hosts a configuration says to be the registry's, and what becomes of requests for others.

use registry_config::{self as config, Config, Listen};
use registry_server::UnknownHosts;

/// The hosts that are known to be this registry's: those that are named, and the names on which it listens, which are the operator's
/// as well, and which `registry health` asks for.
pub(crate) fn hosts(http: &config::Http) -> Vec<String> {
    let listen = match &http.listen {
        Listen::Tcp(address) => Some(address),
        Listen::Unix(_) => None,
    };
    let debug = http.debug.as_ref().map(|debug| &debug.address);
    let names = listen.into_iter().chain(debug).map(|address| address.host.clone());
    http.hosts.iter().cloned().chain(names.filter(|name| !name.is_empty())).collect()
}

/// What becomes of requests for hosts that are not known. Proxies and companies give registries names that the configuration does
/// not tell, so by default such requests are answered.
pub(crate) fn unknown_hosts(config: &Config) -> UnknownHosts {
    match config.safety {
        config::Safety::Warn => UnknownHosts::Warn,
        config::Safety::Strict => UnknownHosts::Refuse,
    }
}

/// The same for a server on `listen` that asks for no users. Without a file, and on loopback, it is one user's own: no operator has
/// given it a name, so a request with one is a web page's.
pub(crate) fn unknown_hosts_on(
    config: &Config,
    address: Option<&config::TcpAddress>,
    has_file: bool,
) -> UnknownHosts {
    let is_own = !has_file && address.is_some_and(config::TcpAddress::is_loopback);
    if is_own { UnknownHosts::Refuse } else { unknown_hosts(config) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_on_which_a_registry_listens_are_its_own() {
        for (http, expected) in [
            ("{addr: 'registry.lan:5000', insecure: true}", vec!["registry.lan"]),
            ("{addr: ':5000', insecure: true, hosts: [a.example]}", vec!["a.example"]),
            (
                "{addr: '127.0.0.1:5000', hosts: [a.example], debug: {addr: 'debug.lan:5001', insecure: true}}",
                vec!["a.example", "127.0.0.1", "debug.lan"],
            ),
            ("{net: unix, addr: /run/registry.sock}", vec![]),
        ] {
            let yaml = format!("version: 0.1\nauth: none\nhttp: {http}");
            let config = config::parse(&yaml, std::iter::empty()).unwrap().config;
            assert_eq!(hosts(&config.http), expected, "{http}");
        }
    }
}

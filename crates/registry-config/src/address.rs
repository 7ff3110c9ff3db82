use std::fmt;
use std::net::IpAddr;

/// A TCP address to listen on or connect to. `Display` gives `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAddress {
    /// A name or an IP address, without brackets. Empty for all addresses of the machine.
    pub host: String,
    /// Zero for a free port.
    pub port: u16,
}

impl TcpAddress {
    /// Whether only programs on the same machine can reach it. A name other than `localhost` counts as reachable: what it
    /// stands for may change.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<TcpAddress> {
        let (host, port) = text.rsplit_once(':')?;
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match in_brackets {
            Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|_| address)?,
            None => Some(host).filter(|host| host.bytes().all(is_of_name))?,
        };
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(TcpAddress { host: host.to_owned(), port: port.parse().ok()? })
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_those_of_this_machine_known() {
        for (text, is_loopback) in [
            ("127.0.0.1:5000", true),
            ("127.1.2.3:80", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("localhost:5000", true),
            ("LocalHost:0", true),
            (":5000", false),
            ("0.0.0.0:5000", false),
            ("[::]:5000", false),
            ("192.0.2.7:443", false),
            ("registry.example.com:443", false),
            ("localhost.example.com:443", false),
        ] {
            let address = TcpAddress::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(address.is_loopback(), is_loopback, "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "5000",
            "localhost",
            ":",
            "a:b",
            ":65536",
            ":+1",
            "::1:5000",
            "[localhost]:1",
            "a b:1",
            "http://a:1",
        ] {
            assert_eq!(TcpAddress::parse(text), None, "{text}");
        }
    }
}

//! Which hosts users may name although their addresses are not public.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::Network;

/// A host that users may name although its address is not public: a network, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// `10.0.0.0/8`, `10.0.0.5`.
    Network(Network),
    /// `ci.internal`, with all addresses that it has.
    Name(String),
    /// `*.internal`: every name that ends so, with at least one more component. `*` is every name.
    Below(String),
}

/// Why a text is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAllowedError(String);

impl fmt::Display for ParseAllowedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither a network such as 10.0.0.0/8 nor a name such as ci.internal or *.internal",
            self.0
        )
    }
}

impl std::error::Error for ParseAllowedError {}

impl FromStr for Allowed {
    type Err = ParseAllowedError;

    fn from_str(text: &str) -> Result<Allowed, ParseAllowedError> {
        if let Ok(network) = text.parse() {
            return Ok(Allowed::Network(network));
        }
        let (name, is_below) = match text.strip_prefix('*') {
            Some("") => return Ok(Allowed::Below(String::new())),
            Some(rest) => (rest.strip_prefix('.'), true),
            None => (Some(text), false),
        };
        let is_name = |name: &&str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            (1..=253).contains(&name.len())
                && name.bytes().all(fits)
                && name.split('.').all(|part| !part.is_empty())
        };
        let name = name.filter(is_name).ok_or_else(|| ParseAllowedError(text.chars().take(64).collect()))?;
        let name = name.to_ascii_lowercase();
        Ok(if is_below { Allowed::Below(name) } else { Allowed::Name(name) })
    }
}

impl Allowed {
    /// Whether a host of this name, in lower case, is one of them.
    pub fn has_name(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        match self {
            Allowed::Network(_) => false,
            Allowed::Name(ours) => ours == name,
            Allowed::Below(suffix) if suffix.is_empty() => true,
            Allowed::Below(suffix) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }

    /// Whether an address is one of them, of a host that is named by it.
    pub fn has_address(&self, address: IpAddr) -> bool {
        matches!(self, Allowed::Network(network) if network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        for bad in ["", "10.0.0.0/33", "a..b", "*a", "a/b", "*.", "a b"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad:?}");
        }
    }
}

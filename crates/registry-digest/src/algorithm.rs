use std::{fmt, str::FromStr};

use crate::ParseDigestError;

/// A hash function that content is addressed by.
///
/// Spec: image-spec v1.1.1, "Registered Algorithms". The two that are registered for general use are supported; the
/// order of the variants is the order of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, what practically all content uses.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm, in the order of their names.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    /// The name before the colon of a digest: `sha256` or `sha512`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// How many bytes a digest has: 32 or 64. Its text has twice as many hex digits.
    pub const fn digest_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = ParseDigestError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sha256" => Ok(Algorithm::Sha256),
            "sha512" => Ok(Algorithm::Sha512),
            _ => Err(ParseDigestError::unsupported_algorithm(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_sort_like_the_variants() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.as_str().parse::<Algorithm>(), Ok(algorithm));
        }
        assert!(Algorithm::ALL.is_sorted());
        assert!(Algorithm::ALL.is_sorted_by_key(|algorithm| algorithm.as_str()));
    }

    #[test]
    fn other_names_are_refused_by_name() {
        for name in ["", "SHA256", "sha384", "sha256 ", "md5"] {
            let expected = ParseDigestError::UnsupportedAlgorithm { name: name.into() };
            assert_eq!(name.parse::<Algorithm>(), Err(expected));
        }
    }
}

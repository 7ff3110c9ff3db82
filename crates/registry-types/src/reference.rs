use std::{fmt, str::FromStr};

use registry_digest::{Digest, ParseDigestError};
use thiserror::Error;

use crate::{ParseTagError, Tag};

/// What a manifest is asked for by: a tag or a digest.
///
/// A text with a colon is a digest and nothing else, since no tag has one. So a digest with a mistake in it is reported
/// as such, and never looked up as a tag.
///
/// Spec: distribution-spec v1.1.1, `<reference>` in "Pulling manifests".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// By a name that may point elsewhere tomorrow.
    Tag(Tag),
    /// By content.
    Digest(Digest),
}

/// Why a text is not a reference.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseReferenceError {
    /// There is no colon in it, and it is not a tag.
    #[error(transparent)]
    Tag(#[from] ParseTagError),
    /// There is a colon in it, and it is not a digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

impl Reference {
    /// The tag, if it is one.
    pub fn tag(&self) -> Option<&Tag> {
        match self {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        }
    }

    /// The digest, if it is one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Reference::Tag(_) => None,
            Reference::Digest(digest) => Some(digest),
        }
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.as_bytes().contains(&b':') {
            return Ok(Reference::Digest(text.parse()?));
        }
        Ok(Reference::Tag(text.parse()?))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Reference::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Reference::Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_decides() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(digest.parse(), Ok(Reference::Digest(registry_digest::digest!(&digest))));
        assert_eq!("latest".parse(), Ok(Reference::Tag("latest".parse().unwrap())));
        for text in [digest.as_str(), "latest"] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_digest_with_a_mistake_is_never_taken_for_a_tag() {
        let error = "sha256:abc".parse::<Reference>().unwrap_err();
        assert!(matches!(
            error,
            ParseReferenceError::Digest(ParseDigestError::WrongLength { actual: 3, .. })
        ));
        let error = "sha384:abc".parse::<Reference>().unwrap_err();
        assert!(matches!(error, ParseReferenceError::Digest(ParseDigestError::UnsupportedAlgorithm { .. })));
        let error = "a/b".parse::<Reference>().unwrap_err();
        assert!(matches!(error, ParseReferenceError::Tag(ParseTagError::InvalidCharacter { .. })));
    }
}

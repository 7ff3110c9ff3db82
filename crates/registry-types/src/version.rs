//! Tags that are semantic versions.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::Tag;

/// A tag that is a semantic version: `1.4.0`, `v1.4.0-rc.1`, and with `_` for `+`, which no tag can have, `1.4.0_build.7`.
/// Ordered as versions are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(semver::Version);

impl Version {
    /// The version that a tag is. None for all other tags: `latest`, `1.4`, `1.4.0.1`.
    pub fn of(tag: &Tag) -> Option<Version> {
        let text = tag.as_str();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        semver::Version::parse(&text.replacen('_', "+", 1)).ok().map(Version)
    }
}

/// Versions from one to another, as Cargo writes it: `>=1.2, <2`, `~1.4`, `*`. A version before a release (`2.0.0-rc.1`) is in
/// it only if a bound names one before the same release.
#[derive(Clone, Debug)]
pub struct VersionRange {
    text: Box<str>,
    range: semver::VersionReq,
}

/// A range of versions can not be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{text}` is no range of versions: {reason}")]
pub struct ParseVersionRangeError {
    text: String,
    reason: String,
}

impl VersionRange {
    /// Whether a version is in it.
    pub fn contains(&self, version: &Version) -> bool {
        self.range.matches(&version.0)
    }

    /// The range as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for VersionRange {
    type Err = ParseVersionRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(range) => Ok(VersionRange { text: text.into(), range }),
            Err(error) => Err(ParseVersionRangeError {
                text: text.to_owned(),
                reason: semver::Error::to_string(&error),
            }),
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for VersionRange {
    fn eq(&self, other: &VersionRange) -> bool {
        self.text == other.text
    }
}

impl Eq for VersionRange {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(tag: &str) -> Option<Version> {
        Version::of(&tag.parse().unwrap())
    }

    #[test]
    fn tags_are_versions_with_and_without_a_letter() {
        for tag in ["1.4.0", "v1.4.0", "V1.4.0", "1.4.0-rc.1", "1.4.0_build.7"] {
            assert!(version(tag).is_some(), "{tag}");
        }
        for tag in ["latest", "1.4", "v1", "1.4.0.1", "version1.4.0", "01.4.0", "vv1.4.0"] {
            assert!(version(tag).is_none(), "{tag}");
        }
        assert_eq!(version("v1.4.0"), version("1.4.0"));
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        let tags = ["1.4.0-rc.1", "1.4.0", "v1.10.0", "2.0.0-alpha", "v2.0.0"];
        let versions: Vec<_> = tags.iter().map(|tag| version(tag).unwrap()).collect();
        assert!(versions.is_sorted());
    }

    #[test]
    fn a_range_has_what_lies_in_it() {
        for (range, inside, outside) in [
            (">=1.2, <2", &["1.2.0", "v1.9.9"][..], &["1.1.9", "2.0.0", "1.5.0-rc.1"][..]),
            ("~1.4", &["1.4.0", "1.4.9"], &["1.5.0", "2.4.0"]),
            (">=2.0.0-0", &["2.0.0-rc.1", "2.0.0", "3.0.0"], &["1.9.9"]),
            ("*", &["0.0.1", "9.9.9"], &["1.0.0-rc.1"]),
        ] {
            let parsed: VersionRange = range.parse().unwrap();
            assert!(inside.iter().all(|tag| parsed.contains(&version(tag).unwrap())), "{range}");
            assert!(!outside.iter().any(|tag| parsed.contains(&version(tag).unwrap())), "{range}");
        }
        let error = "newest".parse::<VersionRange>().unwrap_err();
        assert!(error.to_string().contains("newest"), "{error}");
    }
}

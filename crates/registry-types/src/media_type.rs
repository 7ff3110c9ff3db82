use std::{borrow::Cow, str::FromStr};

use thiserror::Error;

use crate::{ManifestKind, text::checked_text};

/// The longest media type, in bytes: two names of at most 127 and a slash.
pub const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// The longest of its two names, in bytes.
const NAME_BYTES_MAX: usize = 127;

/// What kind of content something is, such as `application/vnd.oci.image.manifest.v1+json`.
///
/// Always 1 to [`MEDIA_TYPE_BYTES_MAX`] printable ASCII characters, so that it can be a header's value. Two doors lead
/// in: parsing (`FromStr`) takes a `Content-Type`, drops its parameters and holds the rest to the grammar of RFC 6838;
/// [`verbatim`](Self::verbatim) takes what stands in a document as it is. Compared as sent, upper case and all, because
/// that is what clients do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Cow<'static, str>);

/// Why a text is not a media type.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseMediaTypeError {
    /// There is nothing.
    #[error("a media type can not be empty")]
    Empty,
    /// More than [`MEDIA_TYPE_BYTES_MAX`], or more than 127 on one side of the slash.
    #[error("a media type has at most {MEDIA_TYPE_BYTES_MAX} bytes and 127 on each side of its slash")]
    TooLong,
    /// There is no slash.
    #[error("a media type has the form `type/subtype`, this has no slash")]
    MissingSlash,
    /// A character that may not stand there, or nothing before or after the slash.
    #[error("a media type has letters, digits and `!#$&-^_.+`, not so at byte {position}")]
    InvalidCharacter {
        /// Where it is.
        position: usize,
    },
}

/// Declares the known media types: as constants, and as a list of texts that need not be copied.
macro_rules! known {
    ($($(#[$doc:meta])+ $name:ident = $text:literal;)+) => {
        impl MediaType {
            $($(#[$doc])+ pub const $name: MediaType = MediaType(Cow::Borrowed($text));)+
        }

        /// The static copy of a text, if it is known.
        fn intern(text: &str) -> Option<&'static str> {
            match text {
                $($text => Some($text),)+
                _ => None,
            }
        }
    };
}

known! {
    /// An OCI image manifest; artifacts use it too.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// A Docker image manifest, version 2 schema 2.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker image manifest of schema 1, which is not accepted.
    DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// The same with a signature.
    DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Any bytes.
    OCTET_STREAM = "application/octet-stream";
    /// JSON without a schema.
    JSON = "application/json";
    /// The two bytes `{}`, where an artifact has no config.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// The config of an OCI image.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// The config of a Docker image.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// The config of a plugin of the docker daemon.
    DOCKER_PLUGIN_CONFIG = "application/vnd.docker.plugin.v1+json";
    /// An OCI layer.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// An OCI layer, compressed with gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// An OCI layer, compressed with zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// A Docker layer.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// A Docker layer that is to be fetched from elsewhere.
    DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}

impl MediaType {
    /// The four kinds of manifest that a registry accepts.
    pub const MANIFESTS: [MediaType; 4] =
        [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX, MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST];

    /// The type as it stands in a document. Tools put there what their users type, and whoever reads it compares it as
    /// a whole; so its form is not looked at, and parameters stay.
    ///
    /// # Errors
    /// `Empty`, `TooLong`, and `InvalidCharacter` for anything but printable ASCII.
    pub fn verbatim(text: &str) -> Result<MediaType, ParseMediaTypeError> {
        if text.is_empty() {
            return Err(ParseMediaTypeError::Empty);
        }
        if text.len() > MEDIA_TYPE_BYTES_MAX {
            return Err(ParseMediaTypeError::TooLong);
        }
        match text.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
            Some(position) => Err(ParseMediaTypeError::InvalidCharacter { position }),
            None => Ok(MediaType::new(text)),
        }
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a manifest, and which kind, if a registry accepts it as one.
    pub fn kind(&self) -> Option<ManifestKind> {
        match self.as_str() {
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Some(ManifestKind::Image),
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Some(ManifestKind::Index),
            _ => None,
        }
    }

    fn new(text: &str) -> MediaType {
        MediaType(intern(text).map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed))
    }
}

/// Reads the value of a `Content-Type` header: `type/subtype`, white space around it and parameters after it dropped.
impl FromStr for MediaType {
    type Err = ParseMediaTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let essence = text.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        if let Some(known) = intern(essence) {
            return Ok(MediaType(Cow::Borrowed(known)));
        }
        check(essence)?;
        Ok(MediaType(Cow::Owned(essence.to_owned())))
    }
}

checked_text!(MediaType, "a media type");

impl PartialEq<str> for MediaType {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for MediaType {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

fn check(essence: &str) -> Result<(), ParseMediaTypeError> {
    if essence.is_empty() {
        return Err(ParseMediaTypeError::Empty);
    }
    let (kind, subtype) = essence.split_once('/').ok_or(ParseMediaTypeError::MissingSlash)?;
    check_name(kind, 0)?;
    check_name(subtype, kind.len() + 1)
}

/// One side of the slash: `restricted-name` of RFC 6838, section 4.2.
fn check_name(name: &str, start: usize) -> Result<(), ParseMediaTypeError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(ParseMediaTypeError::TooLong);
    }
    if !name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) {
        return Err(ParseMediaTypeError::InvalidCharacter { position: start });
    }
    match name.bytes().position(|byte| !is_restricted(byte)) {
        Some(index) => Err(ParseMediaTypeError::InvalidCharacter { position: start + index }),
        None => Ok(()),
    }
}

fn is_restricted(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MediaType, ParseMediaTypeError> {
        text.parse()
    }

    #[test]
    fn a_content_type_loses_its_parameters() {
        for text in [
            "application/vnd.oci.image.index.v1+json",
            " application/vnd.oci.image.index.v1+json ; charset=utf-8",
            "application/vnd.oci.image.index.v1+json;q=\"a;b\"",
        ] {
            assert_eq!(parse(text), Ok(MediaType::OCI_INDEX));
        }
        assert_eq!(parse("text/x-own!#$&-^_.+").unwrap(), "text/x-own!#$&-^_.+");
        assert_eq!(parse("Application/JSON").unwrap().as_str(), "Application/JSON");
    }

    #[test]
    fn known_types_are_not_copied() {
        for known in MediaType::MANIFESTS {
            assert!(matches!(parse(known.as_str()).unwrap().0, Cow::Borrowed(_)));
            assert!(matches!(MediaType::verbatim(known.as_str()).unwrap().0, Cow::Borrowed(_)));
            assert!(known.kind().is_some());
        }
        assert_eq!(MediaType::OCI_CONFIG.kind(), None);
        assert_eq!(MediaType::DOCKER_SCHEMA1.kind(), None);
    }

    #[test]
    fn mistakes_are_told_apart() {
        use ParseMediaTypeError::*;
        let longest = format!("{0}/{0}", "a".repeat(127));
        assert_eq!(longest.len(), MEDIA_TYPE_BYTES_MAX);
        assert!(parse(&longest).is_ok());
        let cases = [
            ("", Empty),
            (" ; charset=utf-8", Empty),
            ("text", MissingSlash),
            ("/", InvalidCharacter { position: 0 }),
            ("a/", InvalidCharacter { position: 2 }),
            ("a/b/c", InvalidCharacter { position: 3 }),
            ("a/+b", InvalidCharacter { position: 2 }),
            ("*/*", InvalidCharacter { position: 0 }),
            ("a b/c", InvalidCharacter { position: 1 }),
            ("a/é", InvalidCharacter { position: 2 }),
            ("a/b\n", InvalidCharacter { position: 3 }),
            (&format!("{longest}a"), TooLong),
            (&format!("{}/a", "a".repeat(128)), TooLong),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_document_may_have_any_printable_text() {
        assert_eq!(MediaType::verbatim("text/plain; charset=utf-8").unwrap(), "text/plain; charset=utf-8");
        assert_eq!(MediaType::verbatim("foo").unwrap(), "foo");
        assert_eq!(MediaType::verbatim(""), Err(ParseMediaTypeError::Empty));
        assert_eq!(MediaType::verbatim(&"a".repeat(256)), Err(ParseMediaTypeError::TooLong));
        for text in ["a\nb", "a\0b", "aéb", "a\x7fb"] {
            assert_eq!(MediaType::verbatim(text), Err(ParseMediaTypeError::InvalidCharacter { position: 1 }));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_accepted_can_be_parsed_again(text in "\\PC{0,5}/\\PC{0,5}") {
            if let Ok(media_type) = parse(&text) {
                proptest::prop_assert_eq!(parse(media_type.as_str()), Ok(media_type.clone()));
                proptest::prop_assert_eq!(MediaType::verbatim(media_type.as_str()), Ok(media_type));
            }
        }
    }
}

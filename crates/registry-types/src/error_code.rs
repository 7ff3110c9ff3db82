use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a client is told when a request fails.
///
/// Spec: distribution-spec v1.1.1, "Error Codes"; the last ones are not in it, but the Go registry and Docker's clients
/// know them. Which status goes with which code is for the HTTP layer to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A blob is not in the repository.
    BlobUnknown,
    /// An upload can not go on or be completed as asked.
    BlobUploadInvalid,
    /// There is no such upload session.
    BlobUploadUnknown,
    /// A digest can not be read, or is not the content's.
    DigestInvalid,
    /// A manifest refers to something that is not in the repository.
    ManifestBlobUnknown,
    /// A manifest is not acceptable.
    ManifestInvalid,
    /// There is no such manifest in the repository.
    ManifestUnknown,
    /// A repository's name is not one.
    NameInvalid,
    /// There is no such repository.
    NameUnknown,
    /// The length of a content is not the announced one.
    SizeInvalid,
    /// Somebody has to say who they are.
    Unauthorized,
    /// Somebody is known and still may not.
    Denied,
    /// The operation is not offered here.
    Unsupported,
    /// Somebody asks too often.
    TooManyRequests,
    /// Something that has no code of its own.
    Unknown,
    /// The registry can not serve right now.
    Unavailable,
    /// A range of bytes can not be served or does not continue an upload.
    RangeInvalid,
    /// A tag is not one.
    TagInvalid,
    /// The number of entries asked for is not one.
    PaginationNumberInvalid,
    /// A manifest's signature is wrong.
    ManifestUnverified,
}

/// Every code with its wire form and its message.
const TABLE: [(ErrorCode, &str, &str); 20] = [
    (ErrorCode::BlobUnknown, "BLOB_UNKNOWN", "blob unknown to registry"),
    (ErrorCode::BlobUploadInvalid, "BLOB_UPLOAD_INVALID", "blob upload invalid"),
    (ErrorCode::BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
    (ErrorCode::DigestInvalid, "DIGEST_INVALID", "provided digest did not match uploaded content"),
    (ErrorCode::ManifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
    (ErrorCode::ManifestInvalid, "MANIFEST_INVALID", "manifest invalid"),
    (ErrorCode::ManifestUnknown, "MANIFEST_UNKNOWN", "manifest unknown"),
    (ErrorCode::NameInvalid, "NAME_INVALID", "invalid repository name"),
    (ErrorCode::NameUnknown, "NAME_UNKNOWN", "repository name not known to registry"),
    (ErrorCode::SizeInvalid, "SIZE_INVALID", "provided length did not match content length"),
    (ErrorCode::Unauthorized, "UNAUTHORIZED", "authentication required"),
    (ErrorCode::Denied, "DENIED", "requested access to the resource is denied"),
    (ErrorCode::Unsupported, "UNSUPPORTED", "The operation is unsupported."),
    (ErrorCode::TooManyRequests, "TOOMANYREQUESTS", "too many requests"),
    (ErrorCode::Unknown, "UNKNOWN", "unknown error"),
    (ErrorCode::Unavailable, "UNAVAILABLE", "service unavailable"),
    (ErrorCode::RangeInvalid, "RANGE_INVALID", "invalid content range"),
    (ErrorCode::TagInvalid, "TAG_INVALID", "manifest tag did not match URI"),
    (ErrorCode::PaginationNumberInvalid, "PAGINATION_NUMBER_INVALID", "invalid number of results requested"),
    (ErrorCode::ManifestUnverified, "MANIFEST_UNVERIFIED", "manifest failed signature verification"),
];

impl ErrorCode {
    /// Every code.
    pub fn all() -> impl Iterator<Item = ErrorCode> {
        TABLE.iter().map(|(code, _, _)| *code)
    }

    /// The code as it stands in an answer, such as `BLOB_UNKNOWN`.
    pub fn as_str(self) -> &'static str {
        // The table is in the order of the variants; a test holds it to that.
        TABLE[self as usize].1
    }

    /// A message for a person, in the words of the Go registry: people look for them, and programs compare them.
    pub fn default_message(self) -> &'static str {
        TABLE[self as usize].2
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Codes of other registries that are not ours become [`ErrorCode::Unknown`].
impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = TABLE.iter().find(|(_, code, _)| *code == text);
        Ok(known.map_or(ErrorCode::Unknown, |(code, _, _)| *code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (index, (code, text, message)) in TABLE.into_iter().enumerate() {
            assert_eq!(code as usize, index);
            assert_eq!((code.as_str(), code.default_message()), (text, message));
        }
        assert_eq!(
            ErrorCode::ManifestUnverified as usize,
            TABLE.len() - 1,
            "the last variant is the last entry"
        );
    }

    #[test]
    fn codes_round_trip_and_foreign_ones_become_unknown() {
        for code in ErrorCode::all() {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"BLOB_MISSING\"").unwrap(), ErrorCode::Unknown);
    }
}

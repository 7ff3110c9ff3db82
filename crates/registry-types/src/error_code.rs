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
    (ErrorCode::BlobUnknown, "BLOB_UNKNOWN", "blob unknown to this repository"),
    (ErrorCode::BlobUploadInvalid, "BLOB_UPLOAD_INVALID", "blob upload invalid"),
    (ErrorCode::BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown"),
    (ErrorCode::DigestInvalid, "DIGEST_INVALID", "digest invalid or not that of the content"),
    (ErrorCode::ManifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN", "manifest refers to unknown content"),
    (ErrorCode::ManifestInvalid, "MANIFEST_INVALID", "manifest invalid"),
    (ErrorCode::ManifestUnknown, "MANIFEST_UNKNOWN", "manifest unknown to this repository"),
    (ErrorCode::NameInvalid, "NAME_INVALID", "repository name invalid"),
    (ErrorCode::NameUnknown, "NAME_UNKNOWN", "repository name unknown"),
    (ErrorCode::SizeInvalid, "SIZE_INVALID", "length differs from that of the content"),
    (ErrorCode::Unauthorized, "UNAUTHORIZED", "authentication required"),
    (ErrorCode::Denied, "DENIED", "access to the resource denied"),
    (ErrorCode::Unsupported, "UNSUPPORTED", "operation unsupported"),
    (ErrorCode::TooManyRequests, "TOOMANYREQUESTS", "too many requests"),
    (ErrorCode::Unknown, "UNKNOWN", "unknown error"),
    (ErrorCode::Unavailable, "UNAVAILABLE", "service unavailable"),
    (ErrorCode::RangeInvalid, "RANGE_INVALID", "range invalid"),
    (ErrorCode::TagInvalid, "TAG_INVALID", "tag invalid"),
    (ErrorCode::PaginationNumberInvalid, "PAGINATION_NUMBER_INVALID", "number of entries invalid"),
    (ErrorCode::ManifestUnverified, "MANIFEST_UNVERIFIED", "manifest signature invalid"),
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

    /// A message for a person, when there is nothing more precise to say.
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

use serde::{Deserialize, Serialize};

use crate::ErrorCode;

/// The JSON body of a failed request: `{"errors":[{"code":"…","message":"…","detail":…}]}`.
///
/// Spec: distribution-spec v1.1.1, "Error Codes".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// At least one when a registry answers.
    pub errors: Vec<ErrorEntry>,
}

/// One error of an [`ErrorBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// For the client's program.
    pub code: ErrorCode,
    /// For the client's user.
    #[serde(default)]
    pub message: String,
    /// Anything more, such as the digest in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

impl ErrorBody {
    /// A body with one error.
    pub fn one(entry: ErrorEntry) -> ErrorBody {
        ErrorBody { errors: vec![entry] }
    }
}

impl ErrorEntry {
    /// An entry with the code's own message and no detail.
    pub fn new(code: ErrorCode) -> ErrorEntry {
        ErrorEntry { code, message: code.default_message().to_owned(), detail: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_that_of_the_specification() {
        let mut entry = ErrorEntry::new(ErrorCode::BlobUnknown);
        let without_detail = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
        assert_eq!(serde_json::to_string(&ErrorBody::one(entry.clone())).unwrap(), without_detail);
        entry.message = "no".into();
        entry.detail = Some("sha256:abc".into());
        let with_detail = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no","detail":"sha256:abc"}]}"#;
        assert_eq!(serde_json::to_string(&ErrorBody::one(entry)).unwrap(), with_detail);
    }

    #[test]
    fn answers_of_other_registries_are_read() {
        let answer = r#"{"errors":[{"code":"X","detail":null,"more":1},{"code":"DENIED","message":"no"}]}"#;
        let body: ErrorBody = serde_json::from_str(answer).unwrap();
        let codes: Vec<ErrorCode> = body.errors.iter().map(|entry| entry.code).collect();
        assert_eq!(codes, [ErrorCode::Unknown, ErrorCode::Denied]);
    }
}

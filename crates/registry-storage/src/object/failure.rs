use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

use crate::StorageError;

/// An error of a store, with those told apart that pass by themselves.
pub(super) fn failure(operation: &'static str, source: object_store::Error) -> StorageError {
    match is_passing(&source) {
        true => StorageError::Unavailable { operation, source: source.into() },
        false => StorageError::Backend { operation, source: source.into() },
    }
}

/// Whether the store is out of reach or overloaded, and the same may succeed later.
pub(super) fn is_passing(error: &object_store::Error) -> bool {
    if let object_store::Error::AlreadyExists { .. } = error {
        // Of requests that race for the same key.
        return true;
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return !matches!(error.kind(), HttpErrorKind::Decode);
        }
        next = error.source();
    }
    // The library keeps its type with the status to itself.
    let text = error.to_string();
    ["status code: 5", "status code: 429", "status code: 408", "SlowDown", "InternalError"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Whether another request for the same key, or for one beside it, was in the way: 409, which S3 says of two conditional
/// writes at once, and file systems behind S3 when they make and remove a folder at once.
pub(super) fn is_conflict(error: &object_store::Error) -> bool {
    error.to_string().contains("status code: 409")
}

/// Whether a range was asked for that does not begin within the object.
pub(super) fn is_bad_range(error: &object_store::Error) -> bool {
    let text = error.to_string();
    text.contains("status code: 416") || text.contains("InvalidRange") || text.contains("range")
}

/// Whether a store does not know an upload, or a part, any more.
pub(super) fn is_unknown_upload(error: &object_store::Error) -> bool {
    let text = || error.to_string();
    matches!(error, object_store::Error::NotFound { .. })
        || ["NoSuchUpload", "InvalidPart", "InvalidBlockList", "InvalidBlobOrBlock"]
            .iter()
            .any(|sign| text().contains(sign))
}

//! What the wire says of a request's path and query.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use registry_types::ErrorCode;

use super::{Wire, one, words};
use crate::route::RouteError;

/// The words that clients look for, before what was wrong with the request's path or query.
pub(super) fn message(error: &RouteError) -> String {
    let code = match error {
        RouteError::Method { .. } => return format!("{} {error}", words(ErrorCode::Unsupported)),
        RouteError::Name(_) | RouteError::Escaped => ErrorCode::NameInvalid,
        RouteError::Digest(_) | RouteError::DigestMissing => ErrorCode::DigestInvalid,
        RouteError::PageSize { .. } => ErrorCode::PaginationNumberInvalid,
        RouteError::Upload { .. } => ErrorCode::BlobUploadUnknown,
        RouteError::Unknown { .. }
        | RouteError::Moved { .. }
        | RouteError::Tag(_)
        | RouteError::TooManyTags => return error.to_string(),
    };
    format!("{}: {error}", words(code))
}

pub(super) fn status_and_code(error: &RouteError) -> Wire {
    use ErrorCode as Code;
    use StatusCode as Status;
    match error {
        RouteError::Unknown { .. } => (Status::NOT_FOUND, Code::Unsupported),
        RouteError::Method { .. } => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
        RouteError::Moved { .. } => (Status::MOVED_PERMANENTLY, Code::Unsupported),
        RouteError::Name(_) | RouteError::Escaped => (Status::BAD_REQUEST, Code::NameInvalid),
        RouteError::Digest(_) | RouteError::DigestMissing => (Status::BAD_REQUEST, Code::DigestInvalid),
        RouteError::Tag(_) => (Status::BAD_REQUEST, Code::TagInvalid),
        // The spec names this status for it.
        RouteError::TooManyTags => (Status::URI_TOO_LONG, Code::TagInvalid),
        RouteError::PageSize { .. } => (Status::BAD_REQUEST, Code::PaginationNumberInvalid),
        // Ids are opaque to clients: one that can not be ours is as unknown as any other.
        RouteError::Upload { .. } => (Status::NOT_FOUND, Code::BlobUploadUnknown),
    }
}

pub(super) fn headers(error: RouteError) -> HeaderMap {
    match error {
        RouteError::Method { allow } => {
            HeaderMap::from_iter([(header::ALLOW, HeaderValue::from_static(allow))])
        }
        RouteError::Moved { path } => one(header::LOCATION, path),
        RouteError::Unknown { .. }
        | RouteError::Escaped
        | RouteError::Name(_)
        | RouteError::Digest(_)
        | RouteError::DigestMissing
        | RouteError::Tag(_)
        | RouteError::TooManyTags
        | RouteError::PageSize { .. }
        | RouteError::Upload { .. } => HeaderMap::new(),
    }
}

//! What is answered where an upstream gives nothing.

use http::StatusCode;
use registry_types::ErrorCode;

use super::{AWAY, FAILED, Wire, words};
use crate::origin::OriginError;

pub(super) fn message(error: &OriginError) -> String {
    match error {
        OriginError::Unknown { .. } => format!("{}: {error}", words(ErrorCode::NameUnknown)),
        OriginError::Limited { .. } => format!("{}: {error}", words(ErrorCode::TooManyRequests)),
        OriginError::Unavailable { .. } => format!("{}: {error}", words(ErrorCode::Unavailable)),
        OriginError::Denied { .. } | OriginError::Unusable { .. } | OriginError::Local(_) => {
            error.to_string()
        }
    }
}

pub(super) fn status_and_code(error: &OriginError) -> Wire {
    match error {
        OriginError::Unknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
        OriginError::Denied { .. } => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        OriginError::Limited { .. } => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests),
        OriginError::Unavailable { .. } => AWAY,
        // A gateway's error: what is wrong lies behind it.
        OriginError::Unusable { .. } => (StatusCode::BAD_GATEWAY, ErrorCode::Unavailable),
        OriginError::Local(_) => FAILED,
    }
}

/// Whether an operator should see it: not what clients ask for in vain.
pub(super) fn is_for_the_log(error: &OriginError) -> bool {
    matches!(error, OriginError::Unavailable { .. } | OriginError::Unusable { .. } | OriginError::Local(_))
}

//! Reading a request's body, frame by frame, with a limit on how long it may pause.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::{ApiError, chain};

/// The next bytes of a body; nothing at its end. Trailers are passed over.
pub(crate) async fn next_frame(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await;
        match frame.map_err(|_| ApiError::BodyIdle { idle_secs: idle.as_secs() })? {
            None => return Ok(None),
            Some(Err(error)) => return Err(ApiError::BodyBroken { reason: chain(&error) }),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// What `Content-Length` says.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

//! Small things that several answers share.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use registry_digest::Digest;
use registry_server::{Body, Reservation, Share};
use serde::Serialize;

use crate::error::ApiError;

pub(crate) use http::Response;

pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(crate) const DOCKER_API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// An answer without a body. `Content-Length: 0` is said, because docker's older clients wait for it.
pub(crate) fn empty_response(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// An answer with a JSON body.
pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("our own answers are representable in JSON");
    bytes_response(status, "application/json", bytes)
}

/// As [`json_response`], whose body counts until it is sent.
pub(crate) fn held_json_response(
    memory: Reservation,
    content_type: &str,
    value: &impl Serialize,
) -> Result<Response<Body>, ApiError> {
    let bytes = serde_json::to_vec(value).expect("our own answers are representable in JSON");
    Ok(bytes_response(StatusCode::OK, content_type, memory.hold(bytes.into())?))
}

/// Memory for a page of so many entries while it is read and written down. A page that turns out larger is counted as it is
/// once it is there.
pub(crate) fn page_memory(
    share: &Share,
    entries: usize,
    entry_bytes: usize,
) -> Result<Reservation, ApiError> {
    const BYTES_MAX: usize = 1024 * 1024;
    Ok(share.memory(entries.saturating_mul(entry_bytes).min(BYTES_MAX))?)
}

/// An answer whose body is at hand.
pub(crate) fn bytes_response(
    status: StatusCode,
    content_type: &str,
    bytes: impl Into<Bytes>,
) -> Response<Body> {
    let bytes = bytes.into();
    let length_bytes = bytes.len();
    let mut response = Response::new(Body::full(bytes));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, length_bytes.into());
    response
}

/// Sets a header to a text of ours. What can not stand in a header is left out rather than sent in part.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        headers.insert(name, value);
    }
}

/// `Docker-Content-Digest`, and the digest as entity tag: content that is addressed by it never changes.
pub(crate) fn set_digest(headers: &mut HeaderMap, digest: &Digest) {
    let tag = Bytes::from(format!("\"{digest}\""));
    let text = tag.slice(1..tag.len() - 1);
    for (name, value) in [(header::ETAG, tag), (DOCKER_CONTENT_DIGEST, text)] {
        headers.insert(
            name,
            HeaderValue::from_maybe_shared(value).expect("a digest's characters may stand in a header"),
        );
    }
}

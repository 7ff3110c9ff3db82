//! The one place where what went wrong becomes what the wire says: nothing else names both a status and an error code.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use registry_auth::{Access, AuthenticationError};
use registry_digest::Digest;
use registry_metadata::{ByteSize, MetadataError, QuotaExceeded};
use registry_storage::StorageError;
use registry_types::{
    ErrorBody, ErrorCode, ErrorEntry, ManifestError, MediaType, Reference, RepositoryName, Tag, UploadId,
};
use serde_json::{Value, json};

use crate::{
    body::Body,
    content_range::ContentRangeError,
    response::{Response, json_response, set},
    route::RouteError,
};

/// When to come again after a 503: what fails for a moment is often over by then.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

/// How many missing references are named one by one.
const MISSING_MAX: usize = 100;

/// What may go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("{}", words(ErrorCode::Unauthorized))]
    Unauthenticated { challenge: Option<HeaderValue>, access: Option<Access> },
    #[error("{}: wrong user name or password", words(ErrorCode::Unauthorized))]
    WrongCredentials { challenge: Option<HeaderValue>, access: Option<Access> },
    #[error("{}: the Authorization header is malformed: {reason}", words(ErrorCode::Unauthorized))]
    MalformedCredentials { reason: String },
    #[error(
        "{}: too many logins that failed come from here, or too many wait to be checked; try again in {retry_after_secs} s",
        words(ErrorCode::TooManyRequests)
    )]
    LoginsSlowed { retry_after_secs: u64 },
    #[error("{}", words(ErrorCode::Denied))]
    Denied,
    #[error(
        "{} Deletion is off; `storage.delete.enabled: true` in the configuration allows it",
        words(ErrorCode::Unsupported)
    )]
    DeleteDisabled,
    #[error("{} The registry is read-only for maintenance", words(ErrorCode::Unsupported))]
    ReadOnly,
    #[error(
        "{}: the registry is not healthy; /debug/health on the debug address says why",
        words(ErrorCode::Unavailable)
    )]
    Unhealthy,
    #[error("{}", words(ErrorCode::NameUnknown))]
    RepositoryUnknown { name: RepositoryName },
    #[error("{}: {digest} is not in this repository", words(ErrorCode::BlobUnknown))]
    BlobUnknown { digest: Digest },
    #[error("{}: `{reference}` is not in this repository", words(ErrorCode::ManifestUnknown))]
    ManifestUnknown { repository: Option<RepositoryName>, reference: Reference },
    #[error("{}: there is no upload {id} in this repository", words(ErrorCode::BlobUploadUnknown))]
    UploadUnknown { id: UploadId },
    #[error(
        "the repository has {limit} unfinished uploads; finish or cancel some, or wait until they are given up"
    )]
    TooManyUploads { limit: usize },
    #[error("another request is writing to upload {id}")]
    UploadBusy { id: UploadId },
    #[error(
        "the upload has {expected_offset} bytes, so the next chunk must begin there, not at {got_offset}"
    )]
    ChunkOutOfOrder { expected_offset: u64, got_offset: u64, headers: Box<HeaderMap> },
    #[error(transparent)]
    ContentRange(#[from] ContentRangeError),
    #[error(
        "{}: {declared_bytes} bytes were declared and {received_bytes} received",
        words(ErrorCode::SizeInvalid)
    )]
    LengthMismatch { declared_bytes: u64, received_bytes: u64 },
    #[error("{}: it has the digest {actual}, not {expected}", words(ErrorCode::DigestInvalid))]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error("{}: {_0}", words(ErrorCode::ManifestInvalid))]
    Manifest(#[from] ManifestError),
    #[error(
        "{}: it has the media type {expected}, which must be its Content-Type",
        words(ErrorCode::ManifestInvalid)
    )]
    ManifestContentType { expected: MediaType },
    #[error("{}: a manifest has at most {limit_bytes} bytes", words(ErrorCode::ManifestInvalid))]
    ManifestTooLarge { limit_bytes: usize },
    #[error("a blob has at most {} here; `http.limits.blobbytes` says so", ByteSize(*limit_bytes))]
    BlobTooLarge { limit_bytes: u64 },
    #[error("layer URL `{url}` is not allowed here; `validation.manifests.urls` says which are")]
    LayerUrl { url: String },
    #[error("the manifest refers to what this repository lacks")]
    MissingReferences { digests: Vec<Digest> },
    #[error("{digest} is referred to by {}", list(by))]
    Referenced { digest: Digest, by: Vec<Digest> },
    #[error("tag `{tag}` is immutable: it leads to {digest} for good")]
    TagImmutable { tag: Tag, digest: Digest },
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    #[error(
        "{}: the object has {size_bytes} bytes, and none of the ranges lies within it",
        words(ErrorCode::RangeInvalid)
    )]
    RangeNotSatisfiable { size_bytes: u64 },
    #[error("the resource is not as the request's conditions want it")]
    PreconditionFailed,
    #[error("a request names its host exactly once, and not by an empty name")]
    Host,
    #[error(
        "`{host}` is not known to be a host of this registry: add the name to `http.hosts` in its configuration, or set \
         REGISTRY_HTTP_HOSTS={host}"
    )]
    HostUnknown { host: String },
    #[error(
        "a web page of {origin} may change nothing here: it is not a page of this registry under a host that is known \
         (`http.hosts`), nor one that `Access-Control-Allow-Origin` in `http.headers` names"
    )]
    ForeignPage { origin: String },
    #[error("the only transfer coding that is taken is `chunked`, once")]
    TransferEncoding,
    #[error("the request's body broke off: {reason}")]
    BodyBroken { reason: String },
    #[error("no byte of the body came for {idle_secs} s")]
    BodyIdle { idle_secs: u64 },
    #[error("a body brings at least {bytes} bytes in {secs} s")]
    BodySlow { bytes: u64, secs: u64 },
    #[error("the registry has no {resource} left right now")]
    Busy { resource: &'static str },
    #[error("the registry has no space left; nothing of this request was kept")]
    NoSpace,
    #[error("{}: {operation} is not available right now", words(ErrorCode::Unavailable))]
    Unavailable {
        operation: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{operation} failed")]
    Internal {
        operation: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ApiError {
    /// The answer: status, code, what the client may know. Spec: distribution-spec main, "Error Codes"; it fixes the
    /// codes and a few of the statuses. Where we chose, the arm says why.
    pub(crate) fn into_response(self) -> Response<Body> {
        let message = self.to_string();
        let mut headers = HeaderMap::new();
        let (status, code, detail) = match self {
            ApiError::Route(error) => return route_error(error, message),
            ApiError::Unauthenticated { challenge, access }
            | ApiError::WrongCredentials { challenge, access } => {
                if let Some(challenge) = challenge {
                    headers.insert(header::WWW_AUTHENTICATE, challenge);
                }
                (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, Some(needed(access.as_ref())))
            }
            ApiError::MalformedCredentials { .. } => (StatusCode::BAD_REQUEST, ErrorCode::Unauthorized, None),
            ApiError::LoginsSlowed { retry_after_secs } => {
                set(&mut headers, header::RETRY_AFTER, retry_after_secs.to_string());
                (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, None)
            }
            ApiError::Denied => (StatusCode::FORBIDDEN, ErrorCode::Denied, None),
            ApiError::DeleteDisabled | ApiError::ReadOnly => {
                (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, None)
            }
            ApiError::Unhealthy | ApiError::Busy { .. } => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS);
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, None)
            }
            ApiError::RepositoryUnknown { name } => {
                (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Some(json!({ "name": name })))
            }
            ApiError::BlobUnknown { digest } => {
                (StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, Some(json!(digest)))
            }
            ApiError::ManifestUnknown { repository, reference } => {
                let detail = match reference {
                    Reference::Tag(tag) => json!({ "Tag": tag }),
                    Reference::Digest(digest) => json!({ "Name": repository, "Revision": digest }),
                };
                (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, Some(detail))
            }
            ApiError::UploadUnknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown, None),
            ApiError::TooManyUploads { limit } => {
                (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, Some(json!({ "limit": limit })))
            }
            // The other request may still succeed; the client should look at the session before it goes on.
            ApiError::UploadBusy { .. } => (StatusCode::CONFLICT, ErrorCode::BlobUploadInvalid, None),
            ApiError::ChunkOutOfOrder { headers: session, .. } => {
                headers = *session;
                (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid, None)
            }
            ApiError::ContentRange(_) => (StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid, None),
            ApiError::LengthMismatch { .. } => (StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, None),
            ApiError::DigestMismatch { expected, actual } => (
                StatusCode::BAD_REQUEST,
                ErrorCode::DigestInvalid,
                Some(
                    json!({ "Digest": expected, "Reason": message, "expected": expected, "actual": actual }),
                ),
            ),
            ApiError::Manifest(_) | ApiError::ManifestContentType { .. } => {
                (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, None)
            }
            ApiError::ManifestTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid, None)
            }
            ApiError::LayerUrl { .. } => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, None),
            ApiError::MissingReferences { digests } => return missing_references(&digests),
            // 409: right request, wrong moment. 405 would say that it can never be deleted.
            ApiError::Referenced { by, .. } => {
                (StatusCode::CONFLICT, ErrorCode::Denied, Some(json!({ "referenced_by": by })))
            }
            // As for what is referred to; clients show the message of either.
            ApiError::TagImmutable { tag, digest } => {
                (StatusCode::CONFLICT, ErrorCode::Denied, Some(json!({ "tag": tag, "digest": digest })))
            }
            // As for a quota.
            ApiError::BlobTooLarge { limit_bytes } => {
                (StatusCode::FORBIDDEN, ErrorCode::Denied, Some(json!({ "limit": limit_bytes })))
            }
            // Clients show the message of this one, and do not try again as they would after 413 or 507.
            ApiError::QuotaExceeded(QuotaExceeded { prefix, kind, limit, usage, requested }) => {
                let detail = json!({
                    "prefix": prefix, "kind": kind.as_str(), "limit": limit, "usage": usage, "requested": requested,
                });
                (StatusCode::FORBIDDEN, ErrorCode::Denied, Some(detail))
            }
            ApiError::RangeNotSatisfiable { size_bytes } => {
                set(&mut headers, header::CONTENT_RANGE, format!("bytes */{size_bytes}"));
                (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, None)
            }
            ApiError::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, ErrorCode::Denied, None),
            // Spec: RFC 9110, section 15.5.20: this server has nothing to say for that host.
            ApiError::HostUnknown { .. } => (StatusCode::MISDIRECTED_REQUEST, ErrorCode::Denied, None),
            ApiError::ForeignPage { .. } => (StatusCode::FORBIDDEN, ErrorCode::Denied, None),
            ApiError::TransferEncoding => {
                // Where the body ends is anybody's guess.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                (StatusCode::BAD_REQUEST, ErrorCode::Unsupported, None)
            }
            ApiError::Host => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported, None),
            ApiError::BodyBroken { .. } => (StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, None),
            ApiError::BodyIdle { .. } | ApiError::BodySlow { .. } => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                (StatusCode::REQUEST_TIMEOUT, ErrorCode::BlobUploadInvalid, None)
            }
            // 507 tells an operator at once what a 500 would hide.
            ApiError::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unavailable, None),
            ApiError::Unavailable { .. } => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS);
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, None)
            }
            ApiError::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, None),
        };
        render(status, vec![ErrorEntry { code, message, detail }], headers)
    }
}

/// What a request needs, in the Go registry's form: some clients show why they were refused only if it is there.
fn needed(access: Option<&Access>) -> Value {
    let entry = |kind: &str, name: &str, action: &str| json!({ "Type": kind, "Class": "", "Name": name, "Action": action });
    match access {
        None | Some(Access::Base) => Value::Null,
        Some(Access::Catalog) => json!([entry("registry", "catalog", "*")]),
        Some(Access::Repository { name, actions }) => {
            actions.iter().map(|action| entry("repository", name.as_ref(), action.as_str())).collect()
        }
    }
}

fn route_error(error: RouteError, message: String) -> Response<Body> {
    let mut headers = HeaderMap::new();
    let message = match &error {
        RouteError::Method { .. } => format!("{} {message}", words(ErrorCode::Unsupported)),
        RouteError::Name(_) | RouteError::Escaped => format!("{}: {message}", words(ErrorCode::NameInvalid)),
        RouteError::Digest(_) | RouteError::DigestMissing => {
            format!("{}: {message}", words(ErrorCode::DigestInvalid))
        }
        RouteError::PageSize { .. } => format!("{}: {message}", words(ErrorCode::PaginationNumberInvalid)),
        RouteError::Upload { .. } => format!("{}: {message}", words(ErrorCode::BlobUploadUnknown)),
        _ => message,
    };
    let (status, code) = match error {
        RouteError::Unknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
        RouteError::Method { allow } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported)
        }
        RouteError::Moved { path } => {
            set(&mut headers, header::LOCATION, path);
            (StatusCode::MOVED_PERMANENTLY, ErrorCode::Unsupported)
        }
        RouteError::Name(_) | RouteError::Escaped => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
        RouteError::Digest(_) | RouteError::DigestMissing => {
            (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid)
        }
        RouteError::Tag(_) => (StatusCode::BAD_REQUEST, ErrorCode::TagInvalid),
        // The spec names this status for it.
        RouteError::TooManyTags => (StatusCode::URI_TOO_LONG, ErrorCode::TagInvalid),
        RouteError::PageSize { .. } => (StatusCode::BAD_REQUEST, ErrorCode::PaginationNumberInvalid),
        // Ids are opaque to clients: one that can not be ours is as unknown as any other.
        RouteError::Upload { .. } => (StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
    };
    render(status, vec![ErrorEntry { code, message, detail: None }], headers)
}

/// One error for each missing digest, as the Go registry has it, so that clients which show them show all; up to as many as
/// anybody reads.
fn missing_references(digests: &[Digest]) -> Response<Body> {
    let entry = |digest: &Digest| ErrorEntry {
        code: ErrorCode::ManifestBlobUnknown,
        message: format!(
            "{}: the manifest refers to {digest}, which this repository lacks",
            words(ErrorCode::BlobUnknown)
        ),
        detail: Some(json!(digest)),
    };
    let mut entries: Vec<ErrorEntry> = digests.iter().take(MISSING_MAX).map(entry).collect();
    if let Some(more) = digests.len().checked_sub(MISSING_MAX).filter(|more| *more > 0) {
        let message = format!("{more} more digests that the manifest refers to are not in this repository");
        entries.push(ErrorEntry { code: ErrorCode::ManifestBlobUnknown, message, detail: None });
    }
    render(StatusCode::BAD_REQUEST, entries, HeaderMap::new())
}

fn render(status: StatusCode, errors: Vec<ErrorEntry>, headers: HeaderMap) -> Response<Body> {
    let mut response = json_response(status, &ErrorBody { errors });
    response.headers_mut().extend(headers);
    response
}

fn list(digests: &[Digest]) -> String {
    let texts: Vec<String> = digests.iter().map(Digest::to_string).collect();
    texts.join(", ")
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::DigestMismatch { expected, actual } => {
                ApiError::DigestMismatch { expected: *expected, actual: *actual }
            }
            StorageError::NoSpace { .. } => ApiError::NoSpace,
            error @ StorageError::Unavailable { .. } => {
                ApiError::Unavailable { operation: "storage", source: error.into() }
            }
            other => ApiError::Internal { operation: "storage", source: other.into() },
        }
    }
}

impl From<MetadataError> for ApiError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::RepositoryUnknown { name } => ApiError::RepositoryUnknown { name },
            MetadataError::BlobUnknown { digest } => ApiError::BlobUnknown { digest },
            MetadataError::ManifestUnknown { digest } => {
                ApiError::ManifestUnknown { repository: None, reference: Reference::Digest(digest) }
            }
            MetadataError::TagUnknown { tag } => {
                ApiError::ManifestUnknown { repository: None, reference: Reference::Tag(tag) }
            }
            MetadataError::UploadUnknown { id } => ApiError::UploadUnknown { id },
            MetadataError::TooManyUploads { limit } => ApiError::TooManyUploads { limit },
            MetadataError::UploadBusy { id } | MetadataError::UploadStale { id } => {
                ApiError::UploadBusy { id }
            }
            MetadataError::MissingReferences { digests } => ApiError::MissingReferences { digests },
            MetadataError::BlobReferenced { digest, by }
            | MetadataError::ManifestReferenced { digest, by } => ApiError::Referenced { digest, by },
            MetadataError::TagImmutable { tag, digest } => ApiError::TagImmutable { tag, digest },
            MetadataError::QuotaExceeded(exceeded) => ApiError::QuotaExceeded(exceeded),
            MetadataError::NoSpace { .. } => ApiError::NoSpace,
            error @ MetadataError::Unavailable { .. } => {
                ApiError::Unavailable { operation: "the database", source: error.into() }
            }
            other => ApiError::Internal { operation: "the database", source: other.into() },
        }
    }
}

impl ApiError {
    /// What an authenticator's refusal means, with the challenge that fits the request.
    pub(crate) fn authentication(
        error: AuthenticationError,
        challenge: Option<HeaderValue>,
        access: Option<&Access>,
    ) -> ApiError {
        match error {
            AuthenticationError::Invalid => ApiError::WrongCredentials { challenge, access: access.cloned() },
            AuthenticationError::Malformed { reason } => {
                ApiError::MalformedCredentials { reason: reason.to_string() }
            }
            AuthenticationError::Slowed { retry_after } => {
                // At least one: to come again at once is no use.
                ApiError::LoginsSlowed { retry_after_secs: retry_after.as_secs_f64().ceil().max(1.0) as u64 }
            }
            error @ AuthenticationError::Unavailable { .. } => {
                ApiError::Unavailable { operation: "authentication", source: error.into() }
            }
        }
    }

    /// The whole chain of causes, for the log, if this is an error of ours and not of the client's.
    pub(crate) fn for_the_log(&self) -> Option<String> {
        match self {
            ApiError::Internal { .. } | ApiError::Unavailable { .. } | ApiError::NoSpace => Some(chain(self)),
            _ => None,
        }
    }
}

/// What people look for, and programs compare. What we add stands behind it.
fn words(code: ErrorCode) -> &'static str {
    code.default_message()
}

/// `error: cause: cause`, for a line of the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

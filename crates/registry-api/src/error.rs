//! The one place where what went wrong becomes what the wire says: nothing else names both a status and an error code.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use registry_auth::{Access, AuthenticationError};
use registry_digest::Digest;
use registry_metadata::{ByteSize, MetadataError, QuotaExceeded};
use registry_server::{Body, Refused, chain};
use registry_storage::StorageError;
use registry_types::{
    ErrorBody, ErrorCode, ErrorEntry, ManifestError, MediaType, Reference, RepositoryName, Tag, UploadId,
};
use serde_json::{Value, json};

use crate::{
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
    #[error("{}", refusal(_0))]
    Refused(#[from] Refused),
    #[error("{}", route_message(_0))]
    Route(#[from] RouteError),
    #[error("{}", words(ErrorCode::Unauthorized))]
    Unauthenticated { challenge: Option<HeaderValue>, access: Option<Access> },
    #[error("{}: wrong user name or password", words(ErrorCode::Unauthorized))]
    WrongCredentials { challenge: Option<HeaderValue>, access: Option<Access> },
    #[error("{}: the token is not accepted", words(ErrorCode::Unauthorized))]
    InvalidToken { challenge: Option<HeaderValue>, access: Option<Access> },
    #[error("{}: the token does not allow this", words(ErrorCode::Unauthorized))]
    InsufficientScope { challenge: Option<HeaderValue>, access: Option<Access> },
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
    /// The answer: status, code, what the client may know.
    pub(crate) fn into_response(self) -> Response<Body> {
        let (status, code) = self.status_and_code();
        let errors = match &self {
            ApiError::MissingReferences { digests } => missing_references(digests),
            error => {
                let message = error.to_string();
                let detail = error.detail(&message);
                vec![ErrorEntry { code, message, detail }]
            }
        };
        let mut response = json_response(status, &ErrorBody { errors });
        response.headers_mut().extend(self.headers());
        response
    }

    /// Spec: distribution-spec main, "Error Codes"; it fixes the codes and a few of the statuses. Where we chose, the arm says why.
    fn status_and_code(&self) -> (StatusCode, ErrorCode) {
        use ApiError::*;
        use ErrorCode as Code;
        use StatusCode as Status;
        match self {
            Refused(refused) => (refused.status(), refusal_code(refused)),
            Route(error) => route_status_and_code(error),
            Unauthenticated { .. }
            | WrongCredentials { .. }
            | InvalidToken { .. }
            | InsufficientScope { .. } => (Status::UNAUTHORIZED, Code::Unauthorized),
            MalformedCredentials { .. } => (Status::BAD_REQUEST, Code::Unauthorized),
            LoginsSlowed { .. } | TooManyUploads { .. } => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Denied => (Status::FORBIDDEN, Code::Denied),
            DeleteDisabled | ReadOnly => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
            RepositoryUnknown { .. } => (Status::NOT_FOUND, Code::NameUnknown),
            BlobUnknown { .. } => (Status::NOT_FOUND, Code::BlobUnknown),
            ManifestUnknown { .. } => (Status::NOT_FOUND, Code::ManifestUnknown),
            UploadUnknown { .. } => (Status::NOT_FOUND, Code::BlobUploadUnknown),
            // The other request may still succeed; the client should look at the session before it goes on.
            UploadBusy { .. } => (Status::CONFLICT, Code::BlobUploadInvalid),
            ChunkOutOfOrder { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
            ContentRange(_) => (Status::BAD_REQUEST, Code::BlobUploadInvalid),
            LengthMismatch { .. } => (Status::BAD_REQUEST, Code::SizeInvalid),
            DigestMismatch { .. } => (Status::BAD_REQUEST, Code::DigestInvalid),
            Manifest(_) | ManifestContentType { .. } | LayerUrl { .. } => {
                (Status::BAD_REQUEST, Code::ManifestInvalid)
            }
            ManifestTooLarge { .. } => (Status::PAYLOAD_TOO_LARGE, Code::ManifestInvalid),
            MissingReferences { .. } => (Status::BAD_REQUEST, Code::ManifestBlobUnknown),
            // 409: right request, wrong moment. 405 would say that it can never be deleted. Clients show the message.
            Referenced { .. } | TagImmutable { .. } => (Status::CONFLICT, Code::Denied),
            // Clients show the message of this one, and do not try again as they would after 413 or 507.
            BlobTooLarge { .. } | QuotaExceeded(_) => (Status::FORBIDDEN, Code::Denied),
            RangeNotSatisfiable { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::RangeInvalid),
            PreconditionFailed => (Status::PRECONDITION_FAILED, Code::Denied),
            // 507 tells an operator at once what a 500 would hide.
            NoSpace => (Status::INSUFFICIENT_STORAGE, Code::Unavailable),
            Unavailable { .. } => (Status::SERVICE_UNAVAILABLE, Code::Unavailable),
            Internal { .. } => (Status::INTERNAL_SERVER_ERROR, Code::Unknown),
        }
    }

    /// What a program can make use of, where there is such a thing.
    fn detail(&self, message: &str) -> Option<Value> {
        Some(match self {
            ApiError::Unauthenticated { access, .. }
            | ApiError::WrongCredentials { access, .. }
            | ApiError::InvalidToken { access, .. }
            | ApiError::InsufficientScope { access, .. } => needed(access.as_ref()),
            ApiError::RepositoryUnknown { name } => json!({ "name": name }),
            ApiError::BlobUnknown { digest } => json!(digest),
            ApiError::ManifestUnknown { reference: Reference::Tag(tag), .. } => json!({ "Tag": tag }),
            ApiError::ManifestUnknown { repository, reference: Reference::Digest(digest) } => {
                json!({ "Name": repository, "Revision": digest })
            }
            ApiError::TooManyUploads { limit } => json!({ "limit": limit }),
            ApiError::DigestMismatch { expected, actual } => {
                json!({ "Digest": expected, "Reason": message, "expected": expected, "actual": actual })
            }
            ApiError::Referenced { by, .. } => json!({ "referenced_by": by }),
            ApiError::TagImmutable { tag, digest } => json!({ "tag": tag, "digest": digest }),
            ApiError::BlobTooLarge { limit_bytes } => json!({ "limit": limit_bytes }),
            ApiError::QuotaExceeded(QuotaExceeded { prefix, kind, limit, usage, requested }) => json!({
                "prefix": prefix, "kind": kind.as_str(), "limit": limit, "usage": usage, "requested": requested,
            }),
            _ => return None,
        })
    }

    /// Headers that belong to the error.
    fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            ApiError::Refused(refused) => return refused.headers(),
            ApiError::ChunkOutOfOrder { headers, .. } => return *headers,
            ApiError::Unauthenticated { challenge: Some(challenge), .. }
            | ApiError::WrongCredentials { challenge: Some(challenge), .. }
            | ApiError::InvalidToken { challenge: Some(challenge), .. }
            | ApiError::InsufficientScope { challenge: Some(challenge), .. } => {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            ApiError::LoginsSlowed { retry_after_secs } => {
                set(&mut headers, header::RETRY_AFTER, retry_after_secs.to_string());
            }
            ApiError::RangeNotSatisfiable { size_bytes } => {
                set(&mut headers, header::CONTENT_RANGE, format!("bytes */{size_bytes}"));
            }
            ApiError::Unavailable { .. } => _ = headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS),
            ApiError::Route(RouteError::Method { allow }) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            ApiError::Route(RouteError::Moved { path }) => set(&mut headers, header::LOCATION, path),
            _ => {}
        }
        headers
    }
}

/// What the client is told of a refusal of the server's.
fn refusal(refused: &Refused) -> String {
    match refused {
        Refused::Unhealthy => format!("{}: {refused}", words(ErrorCode::Unavailable)),
        Refused::Host
        | Refused::HostUnknown { .. }
        | Refused::ForeignPage { .. }
        | Refused::TransferEncoding
        | Refused::BodyBroken { .. }
        | Refused::BodyIdle { .. }
        | Refused::BodySlow { .. }
        | Refused::Busy { .. } => refused.to_string(),
    }
}

fn refusal_code(refused: &Refused) -> ErrorCode {
    match refused {
        Refused::Unhealthy | Refused::Busy { .. } => ErrorCode::Unavailable,
        Refused::HostUnknown { .. } | Refused::ForeignPage { .. } => ErrorCode::Denied,
        Refused::Host | Refused::TransferEncoding => ErrorCode::Unsupported,
        Refused::BodyBroken { .. } => ErrorCode::SizeInvalid,
        Refused::BodyIdle { .. } | Refused::BodySlow { .. } => ErrorCode::BlobUploadInvalid,
    }
}

/// What a request needs, in the Go registry's form: some clients show why they were refused only if it is there.
fn needed(access: Option<&Access>) -> Value {
    let entry = |kind: &str, name: &str, action: &str| json!({ "Type": kind, "Class": "", "Name": name, "Action": action });
    match access {
        None | Some(Access::Base) => Value::Null,
        Some(Access::Catalog) => json!([entry("registry", "catalog", "*")]),
        Some(Access::Repository { name, actions, source }) => {
            let of_source = source.iter().map(|source| entry("repository", source.as_ref(), "pull"));
            let words = actions.words().into_iter();
            words.map(|word| entry("repository", name.as_ref(), word)).chain(of_source).collect()
        }
    }
}

/// The words that clients look for, before what was wrong with the request's path or query.
fn route_message(error: &RouteError) -> String {
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

fn route_status_and_code(error: &RouteError) -> (StatusCode, ErrorCode) {
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

/// One error for each missing digest, as the Go registry has it, so that clients which show them show all; up to as many as
/// anybody reads.
fn missing_references(digests: &[Digest]) -> Vec<ErrorEntry> {
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
    entries
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
            error @ (StorageError::Missing { .. }
            | StorageError::Truncated { .. }
            | StorageError::UploadBytesLost { .. }
            | StorageError::UploadSuperseded { .. }
            | StorageError::UploadFailed { .. }
            | StorageError::UploadStateInvalid(_)
            | StorageError::NotForUploads { .. }
            | StorageError::NotForSmallObjects { .. }
            | StorageError::IdentityExists
            | StorageError::IdentityInvalid { .. }
            | StorageError::Locked { .. }
            | StorageError::NotServing { .. }
            | StorageError::ForeignStore { .. }
            | StorageError::ReadOnly { .. }
            | StorageError::Root { .. }
            | StorageError::Unreliable { .. }
            | StorageError::Setup { .. }
            | StorageError::Backend { .. }) => {
                ApiError::Internal { operation: "storage", source: error.into() }
            }
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
            // No endpoint asks for what the first three are answers to.
            error @ (MetadataError::ManifestRefused { .. }
            | MetadataError::RepositoryExists { .. }
            | MetadataError::TagTaken { .. }
            | MetadataError::StoreMismatch { .. }
            | MetadataError::Backend { .. }) => {
                ApiError::Internal { operation: "the database", source: error.into() }
            }
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
            AuthenticationError::InvalidToken => {
                ApiError::InvalidToken { challenge, access: access.cloned() }
            }
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

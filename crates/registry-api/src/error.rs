//! The one place where what went wrong becomes what the wire says: nothing else names both a status and an error code.
//!
//! What the server, the route or the metadata say is wrapped as it is; what of it the wire says is beside this file.

mod metadata;
mod origin;
mod route;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use registry_auth::{Access, AuthenticationError};
use registry_digest::Digest;
use registry_metadata::{ByteSize, MetadataError};
use registry_server::{Body, Refused, chain};
use registry_storage::StorageError;
use registry_types::{ErrorBody, ErrorCode, ErrorEntry, ManifestError, MediaType, Reference, RepositoryName};
use serde_json::{Value, json};

use crate::{
    content_range::ContentRangeError,
    origin::OriginError,
    response::{Response, json_response, set},
    route::RouteError,
};

/// When to come again after a 503: what fails for a moment is often over by then.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

/// What a full disk is told as, whichever of store and database met it.
const NO_SPACE: &str = "the registry has no space left; nothing of this request was kept";

/// What several errors are on the wire.
type Wire = (StatusCode, ErrorCode);
/// Clients show the message of this one, and do not try again as they would after 413 or 507.
const TOO_MUCH: Wire = (StatusCode::FORBIDDEN, ErrorCode::Denied);
/// 507 tells an operator at once what a 500 would hide.
const FULL: Wire = (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unavailable);
const AWAY: Wire = (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable);
const FAILED: Wire = (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown);

/// What may go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{}", refusal(_0))]
    Refused(#[from] Refused),
    #[error("{}", route::message(_0))]
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
    #[error("{}", metadata::message(_0))]
    Metadata(#[from] MetadataError),
    #[error("{}: `{reference}` is not in this repository", words(ErrorCode::ManifestUnknown))]
    ManifestUnknown { repository: RepositoryName, reference: Reference },
    #[error(
        "the upload has {expected_offset} bytes, so the next chunk must begin there, not at {got_offset}"
    )]
    ChunkOutOfOrder { expected_offset: u64, got_offset: u64, headers: Box<HeaderMap> },
    #[error("this repository mirrors one of another registry: push there")]
    Mirrored,
    #[error("{}", origin::message(_0))]
    Origin(#[from] OriginError),
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
    #[error(
        "{}: the registry takes no manifest whose config is of type {config}; `policy.repository.classes` in the configuration says which it takes",
        words(ErrorCode::Denied)
    )]
    ManifestClass { config: String },
    #[error(
        "{}: the object has {size_bytes} bytes, and none of the ranges lies within it",
        words(ErrorCode::RangeInvalid)
    )]
    RangeNotSatisfiable { size_bytes: u64 },
    #[error("the resource is not as the request's conditions want it")]
    PreconditionFailed,
    #[error("{NO_SPACE}")]
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
            ApiError::Metadata(MetadataError::MissingReferences { digests }) => {
                metadata::missing_references(digests)
            }
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
    fn status_and_code(&self) -> Wire {
        use ApiError::*;
        use ErrorCode as Code;
        use StatusCode as Status;
        match self {
            Refused(refused) => (refused.status(), refusal_code(refused)),
            Route(error) => route::status_and_code(error),
            Unauthenticated { .. }
            | WrongCredentials { .. }
            | InvalidToken { .. }
            | InsufficientScope { .. } => (Status::UNAUTHORIZED, Code::Unauthorized),
            MalformedCredentials { .. } => (Status::BAD_REQUEST, Code::Unauthorized),
            LoginsSlowed { .. } => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Denied | ManifestClass { .. } => (Status::FORBIDDEN, Code::Denied),
            DeleteDisabled | ReadOnly | Mirrored => (Status::METHOD_NOT_ALLOWED, Code::Unsupported),
            Metadata(error) => metadata::status_and_code(error),
            Origin(error) => origin::status_and_code(error),
            ManifestUnknown { .. } => (Status::NOT_FOUND, Code::ManifestUnknown),
            ChunkOutOfOrder { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
            ContentRange(_) => (Status::BAD_REQUEST, Code::BlobUploadInvalid),
            LengthMismatch { .. } => (Status::BAD_REQUEST, Code::SizeInvalid),
            DigestMismatch { .. } => (Status::BAD_REQUEST, Code::DigestInvalid),
            Manifest(_) | ManifestContentType { .. } | LayerUrl { .. } => {
                (Status::BAD_REQUEST, Code::ManifestInvalid)
            }
            ManifestTooLarge { .. } => (Status::PAYLOAD_TOO_LARGE, Code::ManifestInvalid),
            BlobTooLarge { .. } => TOO_MUCH,
            RangeNotSatisfiable { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::RangeInvalid),
            PreconditionFailed => (Status::PRECONDITION_FAILED, Code::Denied),
            NoSpace => FULL,
            Unavailable { .. } => AWAY,
            Internal { .. } => FAILED,
        }
    }

    /// What a program can make use of, where there is such a thing.
    fn detail(&self, message: &str) -> Option<Value> {
        match self {
            ApiError::Metadata(error) => metadata::detail(error),
            ApiError::Unauthenticated { access, .. }
            | ApiError::WrongCredentials { access, .. }
            | ApiError::InvalidToken { access, .. }
            | ApiError::InsufficientScope { access, .. } => Some(needed(access.as_ref())),
            ApiError::ManifestUnknown { repository, reference } => {
                Some(metadata::manifest_unknown(Some(repository), reference))
            }
            ApiError::DigestMismatch { expected, actual } => {
                Some(json!({ "Digest": expected, "Reason": message, "expected": expected, "actual": actual }))
            }
            ApiError::BlobTooLarge { limit_bytes } => Some(json!({ "limit": limit_bytes })),
            ApiError::Refused(_)
            | ApiError::Route(_)
            | ApiError::MalformedCredentials { .. }
            | ApiError::LoginsSlowed { .. }
            | ApiError::Denied
            | ApiError::DeleteDisabled
            | ApiError::ReadOnly
            | ApiError::Mirrored
            | ApiError::Origin(_)
            | ApiError::ChunkOutOfOrder { .. }
            | ApiError::ContentRange(_)
            | ApiError::LengthMismatch { .. }
            | ApiError::Manifest(_)
            | ApiError::ManifestContentType { .. }
            | ApiError::ManifestTooLarge { .. }
            | ApiError::LayerUrl { .. }
            | ApiError::ManifestClass { .. }
            | ApiError::RangeNotSatisfiable { .. }
            | ApiError::PreconditionFailed
            | ApiError::NoSpace
            | ApiError::Unavailable { .. }
            | ApiError::Internal { .. } => None,
        }
    }

    /// Headers that belong to the error.
    fn headers(self) -> HeaderMap {
        match self {
            ApiError::Refused(refused) => refused.headers(),
            ApiError::ChunkOutOfOrder { headers, .. } => *headers,
            ApiError::Unauthenticated { challenge, .. }
            | ApiError::WrongCredentials { challenge, .. }
            | ApiError::InvalidToken { challenge, .. }
            | ApiError::InsufficientScope { challenge, .. } => {
                challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)).into_iter().collect()
            }
            ApiError::LoginsSlowed { retry_after_secs } => {
                one(header::RETRY_AFTER, retry_after_secs.to_string())
            }
            ApiError::RangeNotSatisfiable { size_bytes } => {
                one(header::CONTENT_RANGE, format!("bytes */{size_bytes}"))
            }
            ApiError::Unavailable { .. } | ApiError::Metadata(MetadataError::Unavailable { .. }) => {
                HeaderMap::from_iter([(header::RETRY_AFTER, RETRY_AFTER_SECS)])
            }
            ApiError::Route(error) => route::headers(error),
            ApiError::Origin(OriginError::Limited { retry_after_secs, .. }) => {
                one(header::RETRY_AFTER, retry_after_secs.to_string())
            }
            ApiError::Origin(OriginError::Unavailable { .. }) => {
                HeaderMap::from_iter([(header::RETRY_AFTER, RETRY_AFTER_SECS)])
            }
            ApiError::Metadata(_)
            | ApiError::Origin(_)
            | ApiError::Mirrored
            | ApiError::MalformedCredentials { .. }
            | ApiError::Denied
            | ApiError::DeleteDisabled
            | ApiError::ReadOnly
            | ApiError::ManifestUnknown { .. }
            | ApiError::ContentRange(_)
            | ApiError::LengthMismatch { .. }
            | ApiError::DigestMismatch { .. }
            | ApiError::Manifest(_)
            | ApiError::ManifestContentType { .. }
            | ApiError::ManifestTooLarge { .. }
            | ApiError::BlobTooLarge { .. }
            | ApiError::LayerUrl { .. }
            | ApiError::ManifestClass { .. }
            | ApiError::PreconditionFailed
            | ApiError::NoSpace
            | ApiError::Internal { .. } => HeaderMap::new(),
        }
    }
}

/// One header, of a text of ours.
fn one(name: HeaderName, value: impl AsRef<str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, name, value);
    headers
}

/// What the client is told of a refusal of the server's.
fn refusal(refused: &Refused) -> String {
    match refused {
        Refused::Unhealthy => format!("{}: {refused}", words(ErrorCode::Unavailable)),
        Refused::Host
        | Refused::NoEndpoint { .. }
        | Refused::HostUnknown { .. }
        | Refused::ForeignPage { .. }
        | Refused::TransferEncoding
        | Refused::BodyBroken { .. }
        | Refused::BodyIdle { .. }
        | Refused::BodySlow { .. }
        | Refused::Busy { .. } => refused.to_string(),
        Refused::TooMany { .. } => format!("{}: {refused}", words(ErrorCode::TooManyRequests)),
    }
}

fn refusal_code(refused: &Refused) -> ErrorCode {
    match refused {
        Refused::Unhealthy | Refused::Busy { .. } => ErrorCode::Unavailable,
        Refused::TooMany { .. } => ErrorCode::TooManyRequests,
        Refused::HostUnknown { .. } | Refused::ForeignPage { .. } => ErrorCode::Denied,
        Refused::Host | Refused::NoEndpoint { .. } | Refused::TransferEncoding => ErrorCode::Unsupported,
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
            | StorageError::NotForOthers { .. }
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
            ApiError::Metadata(error) if metadata::is_ours(error) => Some(chain(self)),
            ApiError::Origin(error) if origin::is_for_the_log(error) => Some(chain(self)),
            ApiError::Metadata(_)
            | ApiError::Origin(_)
            | ApiError::Refused(_)
            | ApiError::Route(_)
            | ApiError::Unauthenticated { .. }
            | ApiError::WrongCredentials { .. }
            | ApiError::InvalidToken { .. }
            | ApiError::InsufficientScope { .. }
            | ApiError::MalformedCredentials { .. }
            | ApiError::LoginsSlowed { .. }
            | ApiError::Denied
            | ApiError::DeleteDisabled
            | ApiError::ReadOnly
            | ApiError::Mirrored
            | ApiError::ManifestUnknown { .. }
            | ApiError::ChunkOutOfOrder { .. }
            | ApiError::ContentRange(_)
            | ApiError::LengthMismatch { .. }
            | ApiError::DigestMismatch { .. }
            | ApiError::Manifest(_)
            | ApiError::ManifestContentType { .. }
            | ApiError::ManifestTooLarge { .. }
            | ApiError::BlobTooLarge { .. }
            | ApiError::LayerUrl { .. }
            | ApiError::ManifestClass { .. }
            | ApiError::RangeNotSatisfiable { .. }
            | ApiError::PreconditionFailed => None,
        }
    }
}

/// What people look for, and programs compare. What we add stands behind it.
fn words(code: ErrorCode) -> &'static str {
    code.default_message()
}

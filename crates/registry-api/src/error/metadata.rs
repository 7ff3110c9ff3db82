//! What the wire says of what the metadata answer.

use http::StatusCode;
use registry_digest::Digest;
use registry_metadata::{MetadataError, QuotaExceeded};
use registry_types::{ErrorCode, ErrorEntry, Reference, RepositoryName};
use serde_json::{Value, json};

use super::{AWAY, FAILED, FULL, NO_SPACE, TOO_MUCH, Wire, words};

/// How many missing references are named one by one.
const MISSING_MAX: usize = 100;

/// What the client is told. What failed is for the log.
pub(super) fn message(error: &MetadataError) -> String {
    let unknown =
        |code, what: &dyn std::fmt::Display| format!("{}: {what} is not in this repository", words(code));
    match error {
        MetadataError::RepositoryUnknown { .. } => words(ErrorCode::NameUnknown).to_owned(),
        MetadataError::BlobUnknown { digest } => unknown(ErrorCode::BlobUnknown, digest),
        MetadataError::ManifestUnknown { digest } => {
            unknown(ErrorCode::ManifestUnknown, &format_args!("`{digest}`"))
        }
        MetadataError::TagUnknown { tag } => unknown(ErrorCode::ManifestUnknown, &format_args!("`{tag}`")),
        MetadataError::UploadUnknown { id } => {
            format!("{}: there is no upload {id} in this repository", words(ErrorCode::BlobUploadUnknown))
        }
        MetadataError::BlobReferenced { digest, by } | MetadataError::ManifestReferenced { digest, by } => {
            format!("{digest} is referred to by {}", list(by))
        }
        MetadataError::UploadBusy { .. }
        | MetadataError::UploadStale { .. }
        | MetadataError::TooManyUploads { .. }
        | MetadataError::MissingReferences { .. }
        | MetadataError::TagImmutable { .. }
        | MetadataError::RepositoryAdopted { .. }
        | MetadataError::QuotaExceeded(_) => error.to_string(),
        MetadataError::NoSpace { .. } => NO_SPACE.to_owned(),
        MetadataError::Unavailable { .. } => {
            format!("{}: the database is not available right now", words(ErrorCode::Unavailable))
        }
        MetadataError::ManifestRefused { .. }
        | MetadataError::RepositoryExists { .. }
        | MetadataError::TagTaken { .. }
        | MetadataError::AdoptionFinished
        | MetadataError::StoreMismatch { .. }
        | MetadataError::Backend { .. } => "the database failed".to_owned(),
    }
}

pub(super) fn status_and_code(error: &MetadataError) -> Wire {
    use ErrorCode as Code;
    use StatusCode as Status;
    match error {
        MetadataError::RepositoryUnknown { .. } => (Status::NOT_FOUND, Code::NameUnknown),
        MetadataError::BlobUnknown { .. } => (Status::NOT_FOUND, Code::BlobUnknown),
        MetadataError::ManifestUnknown { .. } | MetadataError::TagUnknown { .. } => {
            (Status::NOT_FOUND, Code::ManifestUnknown)
        }
        MetadataError::UploadUnknown { .. } => (Status::NOT_FOUND, Code::BlobUploadUnknown),
        // The other request may still succeed; the client should look at the session before it goes on.
        MetadataError::UploadBusy { .. } | MetadataError::UploadStale { .. } => {
            (Status::CONFLICT, Code::BlobUploadInvalid)
        }
        MetadataError::TooManyUploads { .. } => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
        MetadataError::MissingReferences { .. } => (Status::BAD_REQUEST, Code::ManifestBlobUnknown),
        // 409: right request, wrong moment. 405 would say that it can never be deleted. Clients show the message.
        MetadataError::BlobReferenced { .. }
        | MetadataError::ManifestReferenced { .. }
        | MetadataError::TagImmutable { .. } => (Status::CONFLICT, Code::Denied),
        MetadataError::RepositoryAdopted { .. } => (Status::FORBIDDEN, Code::Denied),
        MetadataError::QuotaExceeded(_) => TOO_MUCH,
        MetadataError::NoSpace { .. } => FULL,
        MetadataError::Unavailable { .. } => AWAY,
        // No endpoint asks for what the first four are answers to.
        MetadataError::ManifestRefused { .. }
        | MetadataError::RepositoryExists { .. }
        | MetadataError::TagTaken { .. }
        | MetadataError::AdoptionFinished
        | MetadataError::StoreMismatch { .. }
        | MetadataError::Backend { .. } => FAILED,
    }
}

pub(super) fn detail(error: &MetadataError) -> Option<Value> {
    match error {
        MetadataError::RepositoryUnknown { name } => Some(json!({ "name": name })),
        MetadataError::BlobUnknown { digest } => Some(json!(digest)),
        MetadataError::ManifestUnknown { digest } => {
            Some(manifest_unknown(None, &Reference::Digest(*digest)))
        }
        MetadataError::TagUnknown { tag } => Some(manifest_unknown(None, &Reference::Tag(tag.clone()))),
        MetadataError::TooManyUploads { limit } => Some(json!({ "limit": limit })),
        MetadataError::BlobReferenced { by, .. } | MetadataError::ManifestReferenced { by, .. } => {
            Some(json!({ "referenced_by": by }))
        }
        MetadataError::TagImmutable { tag, digest } => Some(json!({ "tag": tag, "digest": digest })),
        MetadataError::QuotaExceeded(QuotaExceeded { prefix, kind, limit, usage, requested }) => {
            Some(json!({
                "prefix": prefix, "kind": kind.as_str(), "limit": limit, "usage": usage, "requested": requested,
            }))
        }
        MetadataError::RepositoryAdopted { name } => Some(json!({ "name": name })),
        // Told one by one, each with its own.
        MetadataError::MissingReferences { .. } => None,
        MetadataError::UploadUnknown { .. }
        | MetadataError::UploadBusy { .. }
        | MetadataError::UploadStale { .. }
        | MetadataError::NoSpace { .. }
        | MetadataError::Unavailable { .. }
        | MetadataError::ManifestRefused { .. }
        | MetadataError::RepositoryExists { .. }
        | MetadataError::TagTaken { .. }
        | MetadataError::AdoptionFinished
        | MetadataError::StoreMismatch { .. }
        | MetadataError::Backend { .. } => None,
    }
}

/// Whether it is a failure of ours, whose causes are for the log, and not the client's.
pub(super) fn is_ours(error: &MetadataError) -> bool {
    [FULL, AWAY, FAILED].contains(&status_and_code(error))
}

/// What is not there, in the Go registry's form; of a deletion it does not name the repository.
pub(super) fn manifest_unknown(repository: Option<&RepositoryName>, reference: &Reference) -> Value {
    match reference {
        Reference::Tag(tag) => json!({ "Tag": tag }),
        Reference::Digest(digest) => json!({ "Name": repository, "Revision": digest }),
    }
}

/// One error for each missing digest, as the Go registry has it, so that clients which show them show all; up to as many as
/// can be read.
pub(super) fn missing_references(digests: &[Digest]) -> Vec<ErrorEntry> {
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

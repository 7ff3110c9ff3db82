//! Blobs: get, look for, delete. Spec: distribution-spec, "Pulling blobs", "Deleting Blobs".

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, StatusCode, header};
use registry_digest::Digest;
use registry_metadata::{Blob, Purpose};
use registry_storage::StorageError;
use registry_types::RepositoryName;

use super::partial;
use crate::{
    app::{App, Call},
    body::{Body, Piece},
    conditional::{self, Condition},
    error::ApiError,
    file_body::FileBody,
    response::{Response, empty_response, set_digest},
};

const CONTENT_TYPE: &str = "application/octet-stream";

/// Clients and proxies may keep it for a year: what a digest names never changes.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// `GET`, `HEAD`.
pub(crate) async fn get(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: Digest,
) -> Result<Response<Body>, ApiError> {
    let purpose = if call.is_head { Purpose::Promise } else { Purpose::Read };
    let blob = call.app.metadata.blob(repository, &digest, purpose).await?;
    let blob = blob.ok_or(ApiError::BlobUnknown { digest })?;

    let mut response = match conditional::evaluate(call.headers, &digest) {
        Condition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
        Condition::Failed => return Err(ApiError::PreconditionFailed),
        Condition::Proceed if call.is_head => head(call.app, &blob, digest).await?,
        Condition::Proceed => body(call, &blob, digest).await?,
    };
    set_digest(response.headers_mut(), &digest);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    Ok(response)
}

/// `DELETE`. Refused while a manifest of the repository refers to the blob: its images would break.
pub(crate) async fn delete(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: Digest,
) -> Result<Response<Body>, ApiError> {
    call.app.metadata.delete_blob(repository, &digest).await?;
    Ok(empty_response(StatusCode::ACCEPTED))
}

/// Says "it is here" only after a look, where a look is cheap: a client that believes it does not push again.
async fn head(app: &App, blob: &Blob, digest: Digest) -> Result<Response<Body>, ApiError> {
    if app.store.is_missing(&blob.location).await? {
        let missing = StorageError::Missing { location: blob.location.clone() };
        app.hide(&blob.location, &missing).await?;
        return Err(ApiError::BlobUnknown { digest });
    }
    Ok(partial::head(CONTENT_TYPE, blob.size_bytes))
}

async fn body(call: &Call<'_>, blob: &Blob, digest: Digest) -> Result<Response<Body>, ApiError> {
    let plan = partial::plan(call.headers, &digest, blob.size_bytes)?;
    let mut pieces = Vec::with_capacity(plan.ranges().len());
    for range in plan.ranges() {
        match open(call.app, blob, range.clone()).await {
            Ok(piece) => pieces.push(piece),
            Err(error @ (StorageError::Missing { .. } | StorageError::Truncated { .. })) => {
                call.app.hide(&blob.location, &error).await?;
                return Err(ApiError::BlobUnknown { digest });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(plan.response(CONTENT_TYPE, pieces))
}

async fn open(app: &App, blob: &Blob, range: Range<u64>) -> Result<Piece, StorageError> {
    if range.is_empty() {
        return Ok(Piece::Bytes(bytes::Bytes::new()));
    }
    Ok(match app.store.open(&blob.location, range).await? {
        registry_storage::Body::File { file, range } => Piece::File(FileBody::new(file, range)),
        registry_storage::Body::Stream(stream) => {
            Piece::Stream(stream.map_err(std::io::Error::other).boxed())
        }
    })
}

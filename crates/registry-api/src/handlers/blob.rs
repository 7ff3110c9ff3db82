//! Blobs: get, look for, delete. Spec: distribution-spec, "Pulling blobs", "Deleting Blobs".

use std::{fs::File, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream::BoxStream};
use http::{HeaderValue, StatusCode, header};
use registry_digest::Digest;
use registry_metadata::{Blob, MetadataError, Purpose};
use registry_storage::StorageError;
use registry_types::{Location, RepositoryName};

use super::partial;
use registry_server::{
    Body, FileBody, Immutable, MAPPED_BYTES_MIN, MAPPED_PART_BYTES_MIN, Piece, SCARCE_READ_BYTES,
};

use crate::{
    app::{App, Call},
    conditional::{self, Condition},
    detached::told,
    error::ApiError,
    observer::{BLOB_MEDIA_TYPE as CONTENT_TYPE, Seen, SeenAction},
    origin::{Arriving, Fetched, Origin},
    response::{Response, empty_response, set, set_digest},
};

/// Clients and proxies may keep it for a year: what a digest names never changes.
pub(crate) const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The same for what a user got: not in a cache that others share.
pub(crate) const CACHE_CONTROL_PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=31536000");

/// A browser that is led to a blob saves it, whatever it holds.
const ATTACHMENT: HeaderValue = HeaderValue::from_static("attachment");

/// What a stream out of an object store holds at once, about.
const STREAM_BYTES: usize = 64 * 1024;

/// `GET`, `HEAD`.
pub(crate) async fn get(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: Digest,
) -> Result<Response<Body>, ApiError> {
    let promises = call.is_head && call.may_push();
    let purpose = if promises { Purpose::Promise } else { Purpose::Read };
    let blob = call.app.metadata.blob(repository, &digest, purpose).await?;
    let blob = match (blob, call.origin) {
        (Some(blob), _) => blob,
        (None, None) => return Err(MetadataError::BlobUnknown { digest }.into()),
        // In a box of its own: most blobs are here.
        (None, Some(origin)) => match Box::pin(fetch(call, origin, repository, digest)).await? {
            Came::Here(blob) => blob,
            Came::Arriving(response) => return Ok(response),
        },
    };

    let mut response = match conditional::evaluate(call.headers, &digest) {
        Condition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
        Condition::Failed => return Err(ApiError::PreconditionFailed),
        Condition::Proceed if call.is_head => head(call.app, &blob, digest, promises).await?,
        Condition::Proceed => match redirect(call, &blob, &digest).await {
            Some(response) => {
                pulled(call, repository, &digest, &blob);
                return Ok(response);
            }
            None => body(call, &blob, digest).await?,
        },
    };
    if response.status() != StatusCode::NOT_MODIFIED {
        pulled(call, repository, &digest, &blob);
    }
    set_blob_headers(&mut response, &digest);
    Ok(response)
}

/// What came of fetching a blob.
enum Came {
    Here(Blob),
    Arriving(Response<Body>),
}

/// Fetches a blob that is not here. Its bytes are sent on while they arrive.
async fn fetch(
    call: &Call<'_>,
    origin: &dyn Origin,
    repository: &RepositoryName,
    digest: Digest,
) -> Result<Came, ApiError> {
    let unknown = || ApiError::from(MetadataError::BlobUnknown { digest });
    if call.is_head {
        let size_bytes = origin.blob_size(repository, &digest).await?.ok_or_else(unknown)?;
        let mut response = partial::head(CONTENT_TYPE, size_bytes);
        set_blob_headers(&mut response, &digest);
        return Ok(Came::Arriving(response));
    }
    match origin.blob(repository, &digest).await? {
        Fetched::Absent => Err(unknown()),
        Fetched::Here => {
            let blob = call.app.metadata.blob(repository, &digest, Purpose::Read).await?;
            blob.map(Came::Here).ok_or_else(unknown)
        }
        Fetched::Arriving(arriving) => {
            Ok(Came::Arriving(arriving_response(call, repository, digest, &arriving)?))
        }
    }
}

fn arriving_response(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: Digest,
    arriving: &Arriving,
) -> Result<Response<Body>, ApiError> {
    let plan = partial::plan(call.headers, &digest, arriving.size_bytes)?;
    let memory = call.share.stream_memory(STREAM_BYTES)?;
    let pieces = plan.ranges().iter().map(|range| Piece::Stream(arriving.bytes.read(range.clone())));
    let pieces = pieces.collect();
    let mut response = plan.response(CONTENT_TYPE, pieces);
    response.body_mut().keep(Some(memory), None);
    set_blob_headers(&mut response, &digest);
    call.seen(|cause| Seen::blob(SeenAction::Pull, repository, &digest, arriving.size_bytes, cause));
    Ok(response)
}

fn set_blob_headers(response: &mut Response<Body>, digest: &Digest) {
    set_digest(response.headers_mut(), digest);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, ATTACHMENT);
}

fn pulled(call: &Call<'_>, repository: &RepositoryName, digest: &Digest, blob: &Blob) {
    call.seen(|cause| Seen::blob(SeenAction::Pull, repository, digest, blob.size_bytes, cause));
}

/// `DELETE`. Refused while a manifest of the repository refers to the blob: its images would break.
pub(crate) async fn delete(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: Digest,
) -> Result<Response<Body>, ApiError> {
    let (app, repository) = (call.app.clone(), repository.clone());
    let cause = app.is_observed().then(|| call.cause());
    let change = async move {
        app.metadata.delete_blob(&repository, &digest).await?;
        if let Some(cause) = cause {
            // How large it was is not looked for: receivers are told the digest alone.
            app.seen(|| Seen::blob(SeenAction::Delete, &repository, &digest, 0, cause));
        }
        Ok(())
    };
    told(call.app, change).await?;
    Ok(empty_response(StatusCode::ACCEPTED))
}

/// Says "it is here" only after a look, where a look is cheap: a client that believes it does not push again. Writes down that
/// it is not only for those who might push it.
async fn head(app: &App, blob: &Blob, digest: Digest, promises: bool) -> Result<Response<Body>, ApiError> {
    let is_lost = match promises {
        true => is_lost(app, blob).await?,
        false => app.store.is_missing(&blob.location, blob.size_bytes).await?,
    };
    if is_lost {
        return Err(MetadataError::BlobUnknown { digest }.into());
    }
    Ok(partial::head(CONTENT_TYPE, blob.size_bytes))
}

/// Whether the bytes of a blob are known to be gone. If so it is hidden, so that the next push of it heals it.
pub(crate) async fn is_lost(app: &App, blob: &Blob) -> Result<bool, ApiError> {
    let is_missing = app.store.is_missing(&blob.location, blob.size_bytes).await?;
    if is_missing {
        app.hide(&blob.location, &StorageError::Missing { location: blob.location.clone() }).await?;
    }
    Ok(is_missing)
}

/// Sends the client to the store, where the store can sign URLs and the operator lets it. The Go registry does so for
/// `HEAD` as well; here that is answered from the database, which is what promises that the blob stays.
async fn redirect(call: &Call<'_>, blob: &Blob, digest: &Digest) -> Option<Response<Body>> {
    let (store, settings) = (&call.app.store, &call.app.settings);
    let leads_elsewhere = settings.redirections.lead_elsewhere();
    if !(store.signs_urls() || leads_elsewhere) || !settings.redirects.applies_to(call.client) {
        return None;
    }
    let signed = match leads_elsewhere {
        true => None,
        false => store.redirect(&blob.location).await.unwrap_or_else(|error| {
            // The bytes can be had through us all the same.
            tracing::warn!(error = &error as &dyn std::error::Error, "could not sign a URL");
            None
        }),
    };
    let url = settings.redirections.lead(&blob.location, signed)?;
    let mut response = empty_response(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    set_digest(headers, digest);
    set(headers, header::LOCATION, url);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    // The URL ends, and is this client's.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

async fn body(call: &Call<'_>, blob: &Blob, digest: Digest) -> Result<Response<Body>, ApiError> {
    let plan = partial::plan(call.headers, &digest, blob.size_bytes)?;
    let mut memory = call.share.memory(SCARCE_READ_BYTES)?;
    let file = call.share.file()?;
    match open(call, blob, plan.ranges()).await {
        Ok(pieces) => {
            if pieces.iter().any(|piece| matches!(piece, Piece::Stream(_))) {
                memory = call.share.stream_memory(STREAM_BYTES)?;
            }
            let mut response = plan.response(CONTENT_TYPE, pieces);
            response.body_mut().keep(Some(memory), Some(file));
            Ok(response)
        }
        Err(error @ (StorageError::Missing { .. } | StorageError::Truncated { .. })) => {
            call.app.hide(&blob.location, &error).await?;
            Err(MetadataError::BlobUnknown { digest }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the ranges in their order: a file once for all of them, a stream of each when its turn comes.
async fn open(call: &Call<'_>, blob: &Blob, ranges: &[Range<u64>]) -> Result<Vec<Piece>, StorageError> {
    let (app, share) = (call.app, call.share);
    let mapped_bytes_min = if ranges.len() > 1 { MAPPED_PART_BYTES_MIN } else { MAPPED_BYTES_MIN };
    let file_piece = |file: Arc<File>, range: Range<u64>| {
        let is_large = range.end - range.start >= mapped_bytes_min;
        let body = FileBody::new(file.clone(), range, share.clone());
        // Objects of a store are written once, under names that are never used again, before anything can open them.
        let immutable = is_large.then(|| Immutable::promise(file).ok()).flatten();
        Piece::File(match immutable {
            Some(file) => body.mapped_from(file),
            None => body,
        })
    };
    let mut is_streamed = false;
    let mut pieces = Vec::with_capacity(ranges.len());
    let mut opened = None;
    for range in ranges {
        pieces.push(match &opened {
            _ if range.is_empty() => Piece::Bytes(Bytes::new()),
            Some(file) => file_piece(Arc::clone(file), range.clone()),
            None if is_streamed => Piece::Stream(later(app, &blob.location, range.clone())),
            None => match app.store.open(&blob.location, range.clone()).await? {
                registry_storage::Body::File { file, range } => {
                    let length_bytes = file.metadata().map_or(0, |metadata| metadata.len());
                    if length_bytes < blob.size_bytes {
                        return Err(StorageError::Truncated {
                            location: blob.location.clone(),
                            expected_bytes: blob.size_bytes,
                            actual_bytes: length_bytes,
                        });
                    }
                    opened = Some(Arc::clone(&file));
                    file_piece(file, range)
                }
                registry_storage::Body::Stream(stream) => {
                    is_streamed = true;
                    Piece::Stream(stream.map_err(std::io::Error::other).boxed())
                }
            },
        });
    }
    Ok(pieces)
}

/// A range that is opened when its first byte is asked for.
fn later(
    app: &Arc<App>,
    location: &Location,
    range: Range<u64>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    let (app, location) = (Arc::clone(app), location.clone());
    let opened = async move {
        let body = app.store.open(&location, range).await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(body.into_stream().map_err(std::io::Error::other))
    };
    opened.try_flatten_stream().boxed()
}

//! Uploads: start, append, finish, look, cancel, mount. Spec: distribution-spec, "Pushing blobs",
//! "Cancel a blob upload", "Mounting a blob from another repository".

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use registry_digest::{Algorithm, Digest};
use registry_metadata::{MetadataError, NewUpload, Purpose};
use registry_types::{Location, RepositoryName, UploadId};

use super::blob;
use registry_server::{Body, ServerBody, declared_length};

use crate::{
    app::{App, Call},
    content_range::ContentRange,
    detached::{detached, told},
    error::ApiError,
    links::Links,
    observer::{Seen, SeenAction},
    response::{
        DOCKER_CONTENT_DIGEST, DOCKER_UPLOAD_UUID, OCI_CHUNK_MIN_LENGTH, Response, empty_response, set,
    },
    route::StartUpload,
    session::Session,
};

/// What goes on when its client goes away, in the log.
const UPLOAD: &str = "the upload";

/// How many repositories are looked at for a blob whose source the client does not name.
const MOUNT_SOURCES_MAX: usize = 32;

/// `POST uploads/`.
pub(crate) async fn start(
    call: &Call<'_>,
    repository: &RepositoryName,
    start: &StartUpload,
    body: ServerBody,
) -> Result<Response<Body>, ApiError> {
    match start {
        StartUpload::Session { algorithm } => open_session(call, repository, *algorithm).await,
        StartUpload::Mount { digest, from } => {
            if mount(call, repository, digest, from.as_ref()).await? {
                return Ok(created(&call.links(), repository, digest));
            }
            open_session(call, repository, digest.algorithm()).await
        }
        StartUpload::Whole { digest } => {
            let id = new_session(call.app, repository, digest.algorithm()).await?;
            finish(call, repository, id, *digest, body).await
        }
    }
}

/// `GET`, `HEAD` on a session.
pub(crate) async fn status(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: UploadId,
) -> Result<Response<Body>, ApiError> {
    let status =
        call.app.metadata.upload(repository, &id).await?.ok_or(MetadataError::UploadUnknown { id })?;
    Ok(session_response(StatusCode::NO_CONTENT, &call.links(), repository, &id, status.offset))
}

/// `PATCH`.
pub(crate) async fn append(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: UploadId,
    body: ServerBody,
) -> Result<Response<Body>, ApiError> {
    let (chunk, file) = (Chunk::of(call.headers)?, call.share.file()?);
    let (app, links, repository) = (call.app.clone(), call.links(), repository.clone());
    detached(call.app, UPLOAD, async move {
        let _file = file;
        let session = Session::claim(app, &repository, id, None).await?;
        chunk.must_begin_at(session.offset(), &links, &repository, &id)?;
        let offset = session.receive(body, chunk.length_bytes()).await?.save().await?;
        Ok(session_response(StatusCode::ACCEPTED, &links, &repository, &id, offset))
    })
    .await
}

/// `PUT`, with or without the last bytes.
pub(crate) async fn finish(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: UploadId,
    digest: Digest,
    body: ServerBody,
) -> Result<Response<Body>, ApiError> {
    let (chunk, file) = (Chunk::of(call.headers)?, call.share.file()?);
    let (app, links, repository) = (call.app.clone(), call.links(), repository.clone());
    let cause = call.app.is_observed().then(|| call.cause());
    detached(call.app, UPLOAD, async move {
        let _file = file;
        let session = Session::claim(app.clone(), &repository, id, Some(&digest)).await?;
        chunk.must_begin_at(session.offset(), &links, &repository, &id)?;
        let session = session.receive(body, chunk.length_bytes()).await?;
        let size_bytes = session.offset();
        session.finish(&digest).await?;
        if let Some(cause) = cause {
            app.seen(|| Seen::blob(SeenAction::Push, &repository, &digest, size_bytes, cause));
        }
        Ok(created(&links, &repository, &digest))
    })
    .await
}

/// `DELETE` on a session.
pub(crate) async fn cancel(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: UploadId,
) -> Result<Response<Body>, ApiError> {
    call.app.metadata.cancel_upload(repository, &id).await?;
    let mut response = empty_response(StatusCode::NO_CONTENT);
    set(response.headers_mut(), DOCKER_UPLOAD_UUID, id.to_string());
    Ok(response)
}

/// What a request says of the bytes that it brings.
struct Chunk {
    range: Option<ContentRange>,
    declared_bytes: Option<u64>,
}

impl Chunk {
    fn of(headers: &HeaderMap) -> Result<Chunk, ApiError> {
        Ok(Chunk { range: ContentRange::of(headers)?, declared_bytes: declared_length(headers) })
    }

    fn length_bytes(&self) -> Option<u64> {
        self.range.map(|range| range.length).or(self.declared_bytes)
    }

    /// The place goes before the length: a client that is told where the upload is can go on, whatever else it got wrong.
    fn must_begin_at(
        &self,
        expected_offset: u64,
        links: &Links,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), ApiError> {
        match (self.range, self.declared_bytes) {
            (Some(range), _) if range.start != expected_offset => {
                let headers = Box::new(session_headers(links, repository, id, expected_offset));
                Err(ApiError::ChunkOutOfOrder { expected_offset, got_offset: range.start, headers })
            }
            (Some(range), Some(received_bytes)) if range.length != received_bytes => {
                Err(ApiError::LengthMismatch { declared_bytes: range.length, received_bytes })
            }
            _ => Ok(()),
        }
    }
}

async fn open_session(
    call: &Call<'_>,
    repository: &RepositoryName,
    algorithm: Algorithm,
) -> Result<Response<Body>, ApiError> {
    let id = new_session(call.app, repository, algorithm).await?;
    let mut response = session_response(StatusCode::ACCEPTED, &call.links(), repository, &id, 0);
    let chunk_bytes_min = call.app.settings.chunk_bytes_min;
    if chunk_bytes_min > 0 {
        response.headers_mut().insert(OCI_CHUNK_MIN_LENGTH, chunk_bytes_min.into());
    }
    Ok(response)
}

async fn new_session(
    app: &Arc<App>,
    repository: &RepositoryName,
    algorithm: Algorithm,
) -> Result<UploadId, ApiError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| ApiError::Internal { operation: "reading random bytes", source: error.into() })?;
    let id = UploadId::from_random(random);
    let location = Location::of_upload(&id);
    let repository = repository.clone();
    app.metadata.start_upload(&NewUpload { id, repository, location, algorithm }).await?;
    Ok(id)
}

/// Makes a blob of another repository one of this as well, if the caller may pull it there. Nothing is looked up but what the
/// caller may see: how long the answer takes tells nothing of what others have.
async fn mount(
    call: &Call<'_>,
    to: &RepositoryName,
    digest: &Digest,
    from: Option<&RepositoryName>,
) -> Result<bool, ApiError> {
    let metadata = &call.app.metadata;
    let sources = match from {
        Some(from) if call.may_pull(from).await => vec![from.clone()],
        Some(_) => Vec::new(),
        None => sources(call, digest).await?,
    };
    for from in sources {
        // What would be promised must be there.
        let Some(blob) = metadata.blob(&from, digest, Purpose::Read).await? else { continue };
        if blob::is_lost(call.app, &blob).await? {
            return Ok(false);
        }
        if mount_from(call, from, to, digest, blob.size_bytes).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn mount_from(
    call: &Call<'_>,
    from: RepositoryName,
    to: &RepositoryName,
    digest: &Digest,
    size_bytes: u64,
) -> Result<bool, ApiError> {
    let (app, to, digest) = (call.app.clone(), to.clone(), *digest);
    let cause = app.is_observed().then(|| call.cause());
    let change = async move {
        let is_mounted = app.metadata.mount_blob(&from, &to, &digest).await?;
        if let Some(cause) = cause.filter(|_| is_mounted) {
            let mounted = Seen::blob(SeenAction::Mount, &to, &digest, size_bytes, cause);
            app.seen(|| Seen { from: Some(from), ..mounted });
        }
        Ok(is_mounted)
    };
    told(call.app, change).await
}

/// Where a blob may lie that the client names no source for, of what the caller may see.
async fn sources(call: &Call<'_>, digest: &Digest) -> Result<Vec<RepositoryName>, ApiError> {
    let viewer = call.app.authorizer.visible(&call.caller).await;
    let metadata = &call.app.metadata;
    let mut sources = metadata.repositories_with_blob(&viewer, digest, MOUNT_SOURCES_MAX).await?;
    sources.retain(|source| call.caller.grant.on(source).contains(registry_auth::Action::Pull));
    Ok(sources)
}

fn created(links: &Links, repository: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = empty_response(StatusCode::CREATED);
    let headers = response.headers_mut();
    set(headers, header::LOCATION, links.url(format_args!("{repository}/blobs/{digest}")));
    set(headers, DOCKER_CONTENT_DIGEST, digest.to_string());
    response
}

fn session_response(
    status: StatusCode,
    links: &Links,
    repository: &RepositoryName,
    id: &UploadId,
    offset: u64,
) -> Response<Body> {
    let mut response = empty_response(status);
    response.headers_mut().extend(session_headers(links, repository, id, offset));
    response
}

fn session_headers(links: &Links, repository: &RepositoryName, id: &UploadId, offset: u64) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    // The Go registry's URLs have a query, and scripts written for it append `&digest=`: they go on working.
    let url = links.url(format_args!("{repository}/blobs/uploads/{id}?_state={offset}"));
    set(&mut headers, header::LOCATION, url);
    set(&mut headers, header::RANGE, format!("0-{}", offset.saturating_sub(1)));
    set(&mut headers, DOCKER_UPLOAD_UUID, id.to_string());
    headers
}

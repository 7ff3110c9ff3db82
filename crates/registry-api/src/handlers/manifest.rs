//! Manifests: get, look for, push, delete. Spec: distribution-spec, "Pulling manifests", "Pushing Manifests",
//! "Deleting tags", "Deleting Manifests".

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use registry_digest::{Algorithm, Digest};
use registry_metadata::{FoundManifest, Purpose, PutManifest};
use registry_types::{
    Descriptor, Manifest, ManifestClass, ManifestError, ManifestKind, MediaType, Reference, RepositoryName,
    Tag,
};
use tokio::time::timeout;

use super::partial;
use registry_server::{Body, Piece, Refused, ServerBody, declared_length};

use crate::{
    accept::Accept,
    app::{App, Call},
    conditional::{self, Condition},
    detached::told,
    error::ApiError,
    events::Change,
    observer::{Seen, SeenAction},
    origin,
    response::{DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Response, empty_response, set, set_digest},
    room::Room,
    settings::Settings,
};

/// Manifests up to this size are read with the answer that says where they are. Larger ones are counted, and shared, before
/// they are read.
const INLINE_BYTES: usize = 16 * 1024;

/// How much memory is taken at first for a manifest whose length was not said.
const STEP_BYTES: usize = 16 * 1024;

/// How much memory is taken at first, whatever length was said: the rest is taken when it arrives.
const FIRST_BYTES_MAX: usize = 256 * 1024;

/// How long a manifest may take to arrive, whose memory is counted meanwhile.
const ARRIVAL_MAX: Duration = Duration::from_secs(2 * 60);

/// `GET`, `HEAD`.
pub(crate) async fn get(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, ApiError> {
    let is_stale = origin::refresh(call, repository, reference).await?;
    let stored = find(call, repository, reference).await?;
    let content_type = stored.media_type.to_string();
    let size_bytes = stored.size_bytes;
    let mut response = match conditional::evaluate(call.headers, &stored.digest) {
        Condition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
        Condition::Failed => return Err(ApiError::PreconditionFailed),
        Condition::Proceed if call.is_head => partial::head(&content_type, size_bytes),
        Condition::Proceed => {
            let plan = partial::plan(call.headers, &stored.digest, size_bytes)?;
            let bytes = bytes_of(call, repository, &stored).await?;
            let pieces = plan.ranges().iter().map(|range| Piece::Bytes(slice(&bytes, range)));
            let pieces = pieces.collect();
            plan.response(&content_type, pieces)
        }
    };
    if response.status() != StatusCode::NOT_MODIFIED {
        call.seen(|cause| Seen {
            action: SeenAction::Pull,
            repository: repository.clone(),
            from: None,
            tag: match reference {
                Reference::Tag(tag) => Some(tag.to_string()),
                Reference::Digest(_) => None,
            },
            digest: stored.digest,
            media_type: content_type.clone(),
            size_bytes,
            is_manifest: true,
            cause,
        });
    }
    set_digest(response.headers_mut(), &stored.digest);
    origin::mark(response.headers_mut(), is_stale);
    // Whoever only looks does not pull; whoever has it already, and asks whether it is still the same, does.
    if !call.is_head {
        call.app.pulls.note(repository, &stored.digest);
    }
    Ok(response)
}

/// `PUT`, by tag or by digest.
pub(crate) async fn put(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
    query_tags: &[Tag],
    body: ServerBody,
) -> Result<Response<Body>, ApiError> {
    let settings = &call.app.settings;
    let bytes = read(call, body).await?;
    let (digest, manifest, room) = inspect(call, reference, bytes).await?;
    let tags = match reference {
        Reference::Tag(tag) => vec![tag.clone()],
        Reference::Digest(_) => query_tags.to_vec(),
    };
    let required = settings.references.required_blobs(&manifest);
    let required_children = settings.references.required_children(&manifest);
    let (teller, cause) = (call.teller(repository), call.cause());
    let change = async move {
        let put = PutManifest {
            repository: &teller.repository,
            digest,
            manifest: &manifest,
            tags: &tags,
            required: &required,
            required_children: &required_children,
            cause: &cause,
        };
        teller.app.metadata.put_manifest(&put).await?;
        teller.tell(|| Change::Pushed {
            digest,
            media_type: manifest.media_type().clone(),
            size_bytes: manifest.bytes().len() as u64,
            tags,
        });
        // What it counts is the manifest's memory.
        drop(room);
        Ok(manifest)
    };
    let manifest = told(call.app, change).await?;
    Ok(pushed(call, repository, digest, &manifest, query_tags))
}

/// `DELETE`: of a tag alone, or of a manifest with all its tags.
pub(crate) async fn delete(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, ApiError> {
    let (teller, reference, cause) = (call.teller(repository), reference.clone(), call.cause());
    let change = async move {
        let (metadata, repository) = (&teller.app.metadata, &teller.repository);
        match reference {
            Reference::Tag(tag) => {
                metadata.delete_tag(repository, &tag, &cause).await?;
                teller.tell(|| Change::TagDeleted { tag });
            }
            Reference::Digest(digest) => {
                let tags = metadata.delete_manifest(repository, &digest, &cause).await?;
                teller.tell(|| Change::ManifestDeleted { digest, tags });
            }
        }
        Ok(())
    };
    told(call.app, change).await?;
    Ok(empty_response(StatusCode::ACCEPTED))
}

/// The manifest that a reference names, or for clients that know no indexes the one of its images that they mean.
async fn find(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<FoundManifest, ApiError> {
    let promises = call.is_head && call.may_push();
    let purpose = if promises { Purpose::Promise } else { Purpose::Read };
    let stored = lookup_or_fetch(call, repository, reference, purpose).await?;
    let is_index = stored.media_type.kind() == Some(ManifestKind::Index);
    if !is_index || matches!(reference, Reference::Digest(_)) {
        return Ok(stored);
    }
    let accept = Accept::of(call.headers);
    if !accept.is_for_images_only() {
        return Ok(stored);
    }
    // Rare, so it is in a box of its own.
    match Box::pin(default_image(call, &stored, bytes_of(call, repository, &stored).await?)).await? {
        Some(image) if accept.names(&image.media_type) => {
            lookup_or_fetch(call, repository, &Reference::Digest(image.digest), purpose).await
        }
        _ => Ok(stored),
    }
}

/// A manifest, which is fetched if it is not here and the repository mirrors another.
async fn lookup_or_fetch(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
    purpose: Purpose,
) -> Result<FoundManifest, ApiError> {
    let found = lookup(call.app, repository, reference, purpose, INLINE_BYTES).await;
    match (found, call.origin, reference) {
        (Err(ApiError::ManifestUnknown { .. }), Some(origin), Reference::Digest(_)) => {
            origin.manifest(repository, reference).await?;
            lookup(call.app, repository, reference, purpose, INLINE_BYTES).await
        }
        (found, ..) => found,
    }
}

async fn lookup(
    app: &App,
    repository: &RepositoryName,
    reference: &Reference,
    purpose: Purpose,
    bytes_max: usize,
) -> Result<FoundManifest, ApiError> {
    let stored = app.metadata.manifest_within(repository, reference, purpose, bytes_max).await?;
    let unknown =
        || ApiError::ManifestUnknown { repository: repository.clone(), reference: reference.clone() };
    stored.ok_or_else(unknown)
}

/// The bytes of a manifest, for as long as which they are counted.
async fn bytes_of(
    call: &Call<'_>,
    repository: &RepositoryName,
    found: &FoundManifest,
) -> Result<Bytes, ApiError> {
    let size = usize::try_from(found.size_bytes).unwrap_or(usize::MAX);
    if let Some(bytes) = &found.bytes {
        return Ok(call.share.memory(size)?.hold(bytes.clone())?);
    }
    let load = async {
        let memory = call.share.memory(size)?;
        let reference = Reference::Digest(found.digest);
        let loaded = lookup(call.app, repository, &reference, Purpose::Read, size).await?;
        let unknown = ApiError::ManifestUnknown { repository: repository.clone(), reference };
        Ok((loaded.bytes.ok_or(unknown)?, memory))
    };
    Box::pin(call.app.manifests.get(&found.digest, call.share, load)).await
}

/// What the Go registry serves to clients from before manifest lists: the image for linux on amd64.
async fn default_image(
    call: &Call<'_>,
    index: &FoundManifest,
    bytes: Bytes,
) -> Result<Option<Descriptor>, ApiError> {
    let room = Room::take(call.share, bytes.len()).await?;
    let media_type = index.media_type.clone();
    let (parsed, _room) = room.parse(move || Manifest::parse(Some(&media_type), bytes)).await?;
    let Ok(manifest) = parsed else { return Ok(None) };
    let is_default = |child: &&Descriptor| {
        child
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
    };
    Ok(manifest.child_manifests().find(is_default).cloned())
}

/// Reads a manifest, at most as long as one may be. Its memory is taken as it arrives: a client that says a length and sends
/// nothing holds little. It counts until the last slice of the bytes is dropped.
async fn read(call: &Call<'_>, mut body: ServerBody) -> Result<Bytes, ApiError> {
    let settings = &call.app.settings;
    let limit_bytes = settings.manifest_bytes_max;
    let too_large = || ApiError::ManifestTooLarge { limit_bytes };
    let declared = declared_length(call.headers);
    let declared = declared.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if declared.is_some_and(|length| length > limit_bytes) {
        return Err(too_large());
    }
    let expected = declared.unwrap_or(limit_bytes);
    let capacity = expected.min(declared.map_or(STEP_BYTES, |_| FIRST_BYTES_MAX));
    let mut memory = call.share.memory(capacity)?;
    let mut bytes = BytesMut::with_capacity(capacity);
    let gather = async {
        while let Some(frame) = body.next(settings.body_idle).await? {
            let length = bytes.len() + frame.len();
            if length > limit_bytes {
                return Err(too_large());
            }
            if length > bytes.capacity() {
                let capacity = (bytes.capacity() * 2).min(expected).max(length);
                memory.grow_by(capacity - bytes.capacity())?;
                bytes.reserve(capacity - bytes.len());
            }
            bytes.extend_from_slice(&frame);
        }
        Ok(())
    };
    let slow =
        || Refused::BodySlow { bytes: declared.unwrap_or(limit_bytes) as u64, secs: ARRIVAL_MAX.as_secs() };
    timeout(ARRIVAL_MAX, gather).await.map_err(|_| slow())??;
    // The buffer may be larger than what arrived.
    Ok(memory.keep_with(bytes.freeze()))
}

/// The digest and the content of a manifest that was pushed, with the room that the content takes.
async fn inspect(
    call: &Call<'_>,
    reference: &Reference,
    bytes: Bytes,
) -> Result<(Digest, Manifest, Room), ApiError> {
    let room = Room::take(call.share, bytes.len()).await?;
    let (app, reference, content_type) = (call.app.clone(), reference.clone(), content_type(call.headers));
    let work = move || {
        let digest = verify(&reference, &bytes)?;
        let manifest = parse(content_type, bytes)?;
        check_urls(&app.settings, &manifest)?;
        check_class(&app.settings, &manifest)?;
        Ok::<_, ApiError>((digest, manifest))
    };
    let (inspected, room) = room.parse(work).await?;
    let (digest, manifest) = inspected?;
    let room = room.for_rows_of(&manifest);
    Ok((digest, manifest, room))
}

/// The digest of pushed bytes, which must be the one they are pushed by.
fn verify(reference: &Reference, bytes: &[u8]) -> Result<Digest, ApiError> {
    match reference {
        Reference::Tag(_) => Ok(Digest::of(Algorithm::default(), bytes)),
        Reference::Digest(expected) => {
            let actual = Digest::of(expected.algorithm(), bytes);
            let expected = *expected;
            if actual == expected { Ok(actual) } else { Err(ApiError::DigestMismatch { expected, actual }) }
        }
    }
}

/// The request's media type. Spec: clients should send it; parameters are ignored.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads a manifest as what it was sent as. One that was sent as something else than a manifest, or as nothing, is told what it
/// should have been sent as, if that can be seen.
fn parse(content_type: Option<String>, bytes: Bytes) -> Result<Manifest, ApiError> {
    let shown = content_type.as_deref().map(|text| text.chars().take(128).collect());
    let unsupported = || ManifestError::UnsupportedMediaType { media_type: shown };
    let sent_as = content_type.as_deref().map(str::parse::<MediaType>).transpose();
    let parsed = match &sent_as {
        Ok(sent_as) => Manifest::parse(sent_as.as_ref(), bytes.clone()),
        Err(_) => Err(unsupported()),
    };
    parsed.map_err(|error| match error {
        ManifestError::UnsupportedMediaType { .. } => match meant(&bytes) {
            Some(expected) => ApiError::ManifestContentType { expected },
            None => error.into(),
        },
        error => error.into(),
    })
}

/// The media type that a document names, or that its fields are those of.
fn meant(bytes: &Bytes) -> Option<MediaType> {
    let reads = |sent_as: Option<&MediaType>| Manifest::parse(sent_as, bytes.clone());
    let parsed = reads(None).or_else(|_| reads(Some(&MediaType::OCI_MANIFEST)));
    let parsed = parsed.or_else(|_| reads(Some(&MediaType::OCI_INDEX))).ok()?;
    Some(parsed.media_type().clone())
}

/// Content may be said to lie elsewhere only where the operator allows. Whatever a descriptor describes: there are clients
/// that try its URLs first.
fn check_urls(settings: &Settings, manifest: &Manifest) -> Result<(), ApiError> {
    let mut urls = manifest.descriptors().flat_map(|descriptor| &descriptor.urls);
    match urls.find(|url| !settings.layer_urls.allows(url)) {
        Some(url) => Err(ApiError::LayerUrl { url: url.chars().take(256).collect() }),
        None => Ok(()),
    }
}

/// An operator may let in images of some kinds only. An index is let in: what it leads to is looked at when it is pushed.
fn check_class(settings: &Settings, manifest: &Manifest) -> Result<(), ApiError> {
    let Some(config) = manifest.config().filter(|_| !settings.classes.is_empty()) else { return Ok(()) };
    let class = ManifestClass::of_config(&config.media_type);
    match class.is_some_and(|class| settings.classes.contains(&class)) {
        true => Ok(()),
        false => Err(ApiError::ManifestClass { config: config.media_type.to_string() }),
    }
}

fn pushed(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: Digest,
    manifest: &Manifest,
    query_tags: &[Tag],
) -> Response<Body> {
    let mut response = empty_response(StatusCode::CREATED);
    let headers = response.headers_mut();
    set(headers, header::LOCATION, call.links().url(format_args!("{repository}/manifests/{digest}")));
    set(headers, DOCKER_CONTENT_DIGEST, digest.to_string());
    if let Some(subject) = manifest.subject() {
        set(headers, OCI_SUBJECT, subject.digest.to_string());
    }
    for tag in query_tags {
        headers.append(OCI_TAG, tag.as_ref().parse().expect("a tag's characters may stand in a header"));
    }
    response
}

fn slice(bytes: &Bytes, range: &std::ops::Range<u64>) -> Bytes {
    let index = |offset: u64| usize::try_from(offset).expect("a range of a manifest lies within it");
    bytes.slice(index(range.start)..index(range.end))
}

//! Manifests: get, look for, push, delete. Spec: distribution-spec, "Pulling manifests", "Pushing Manifests",
//! "Deleting tags", "Deleting Manifests".

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use hyper::body::Incoming;
use registry_digest::{Algorithm, Digest};
use registry_metadata::{Purpose, PutManifest, StoredManifest};
use registry_types::{
    Descriptor, Manifest, ManifestError, ManifestKind, MediaType, Reference, RepositoryName, Tag,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::partial;
use crate::{
    accept::Accept,
    app::{App, Call},
    body::{Body, Piece},
    conditional::{self, Condition},
    error::ApiError,
    receive,
    response::{DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Response, empty_response, set, set_digest},
    settings::{ReferencePolicy, RequiredChildren, Settings},
};

/// How many large manifests are parsed at once: the worst of them take some thirty times their size for a moment.
const LARGE_AT_ONCE_MAX: usize = 4;

/// From this size on, a manifest is large. Images have manifests of a few kB.
const LARGE_BYTES: usize = 256 * 1024;

static LARGE: Semaphore = Semaphore::const_new(LARGE_AT_ONCE_MAX);

/// `GET`, `HEAD`.
pub(crate) async fn get(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, ApiError> {
    let stored = find(call, repository, reference).await?;
    let content_type = stored.media_type.to_string();
    let size_bytes = stored.bytes.len() as u64;
    let mut response = match conditional::evaluate(call.headers, &stored.digest) {
        Condition::NotModified => empty_response(StatusCode::NOT_MODIFIED),
        Condition::Failed => return Err(ApiError::PreconditionFailed),
        Condition::Proceed if call.is_head => partial::head(&content_type, size_bytes),
        Condition::Proceed => {
            let plan = partial::plan(call.headers, &stored.digest, size_bytes)?;
            let pieces = plan.ranges().iter().map(|range| Piece::Bytes(slice(&stored.bytes, range)));
            let pieces = pieces.collect();
            plan.response(&content_type, pieces)
        }
    };
    set_digest(response.headers_mut(), &stored.digest);
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
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let settings = &call.app.settings;
    let bytes = read(settings, call.headers, body).await?;
    let _slot = slot(&bytes).await;
    let digest = verify(reference, &bytes)?;
    let manifest = parse(content_type(call.headers), bytes)?;
    check_layer_urls(settings, &manifest)?;

    let tags = match reference {
        Reference::Tag(tag) => std::slice::from_ref(tag),
        Reference::Digest(_) => query_tags,
    };
    let put = PutManifest {
        repository,
        digest,
        manifest: &manifest,
        tags,
        required: &required_blobs(&settings.references, &manifest),
        required_children: &required_children(&settings.references, &manifest),
        actor: call.actor(),
    };
    call.app.metadata.put_manifest(&put).await?;
    Ok(pushed(call, repository, digest, &manifest, query_tags))
}

/// `DELETE`: of a tag alone, or of a manifest with all its tags.
pub(crate) async fn delete(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, ApiError> {
    match reference {
        Reference::Tag(tag) => call.app.metadata.delete_tag(repository, tag, call.actor()).await?,
        Reference::Digest(digest) => {
            call.app.metadata.delete_manifest(repository, digest, call.actor()).await?;
        }
    }
    Ok(empty_response(StatusCode::ACCEPTED))
}

/// The manifest that a reference names, or for clients that know no indexes the one of its images that they mean.
async fn find(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<StoredManifest, ApiError> {
    let promises = call.is_head && call.may_push(repository).await;
    let purpose = if promises { Purpose::Promise } else { Purpose::Read };
    let stored = lookup(call.app, repository, reference, purpose).await?;
    let is_index = stored.media_type.kind() == Some(ManifestKind::Index);
    if !is_index || matches!(reference, Reference::Digest(_)) {
        return Ok(stored);
    }
    let accept = Accept::of(call.headers);
    if !accept.is_for_images_only() {
        return Ok(stored);
    }
    match default_image(&stored) {
        Some(image) if accept.names(&image.media_type) => {
            lookup(call.app, repository, &Reference::Digest(image.digest), purpose).await
        }
        _ => Ok(stored),
    }
}

async fn lookup(
    app: &App,
    repository: &RepositoryName,
    reference: &Reference,
    purpose: Purpose,
) -> Result<StoredManifest, ApiError> {
    let stored = app.metadata.manifest(repository, reference, purpose).await?;
    let unknown =
        || ApiError::ManifestUnknown { repository: Some(repository.clone()), reference: reference.clone() };
    stored.ok_or_else(unknown)
}

/// What the Go registry serves to clients from before manifest lists: the image for linux on amd64.
fn default_image(index: &StoredManifest) -> Option<Descriptor> {
    let manifest = Manifest::parse(Some(&index.media_type), index.bytes.clone()).ok()?;
    let is_default = |child: &&Descriptor| {
        child
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
    };
    manifest.child_manifests().find(is_default).cloned()
}

/// Reads a manifest, at most as long as one may be.
async fn read(settings: &Settings, headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, ApiError> {
    let limit_bytes = settings.manifest_bytes_max;
    let too_large = ApiError::ManifestTooLarge { limit_bytes };
    if receive::declared_length(headers).is_some_and(|length| length > limit_bytes as u64) {
        return Err(too_large);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = receive::next_frame(&mut body, settings.body_idle).await? {
        if bytes.len() + frame.len() > limit_bytes {
            return Err(too_large);
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes.freeze())
}

/// A slot for a large manifest that has arrived, to be kept until it is dealt with.
async fn slot(bytes: &Bytes) -> Option<SemaphorePermit<'static>> {
    if bytes.len() < LARGE_BYTES { None } else { LARGE.acquire().await.ok() }
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

/// A layer that lies elsewhere must say where, and only where the operator allows.
fn check_layer_urls(settings: &Settings, manifest: &Manifest) -> Result<(), ApiError> {
    let foreign = manifest.blobs().filter(|blob| blob.is_foreign());
    match foreign.flat_map(|blob| &blob.urls).find(|url| !settings.layer_urls.allows(url)) {
        Some(url) => Err(ApiError::LayerUrl { url: url.chars().take(256).collect() }),
        None => Ok(()),
    }
}

fn required_blobs(policy: &ReferencePolicy, manifest: &Manifest) -> Vec<Digest> {
    if policy.layers_optional {
        return Vec::new();
    }
    manifest.blobs().filter(|blob| !blob.is_foreign()).map(|blob| blob.digest).collect()
}

fn required_children(policy: &ReferencePolicy, manifest: &Manifest) -> Vec<Digest> {
    let is_required = |child: &&Descriptor| match &policy.children {
        RequiredChildren::All => true,
        RequiredChildren::None => false,
        RequiredChildren::Platforms(platforms) => child.platform.as_ref().is_some_and(|platform| {
            platforms
                .iter()
                .any(|required| required.os == platform.os && required.architecture == platform.architecture)
        }),
    };
    manifest.child_manifests().filter(is_required).map(|child| child.digest).collect()
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
    set(headers, header::LOCATION, call.links.url(format_args!("{repository}/manifests/{digest}")));
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

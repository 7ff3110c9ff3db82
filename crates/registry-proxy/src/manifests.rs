//! Manifests and tags of upstreams.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use registry_api::{Freshness, OriginError};
use registry_digest::{Algorithm, Digest};
use registry_metadata::{MetadataError, Purpose, PutManifest};
use registry_types::{Cause, MANIFEST_BYTES_MAX, Manifest, MediaType, Reference, RepositoryName, Tag};

use crate::{
    error::UpstreamError,
    freshness::{Found, Known, Looks},
    keep::Place,
    upstream::{Question, Upstream},
};

/// What manifests are asked for as: all that there are, whatever a client would take.
const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json",
);

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What acts, in histories and events.
pub(crate) const ACTOR: &str = "mirror";

/// Brings manifests here.
#[derive(Debug)]
pub(crate) struct Manifests {
    pub(crate) place: Place,
    pub(crate) looks: Looks,
    pub(crate) freshness: Duration,
    pub(crate) keep_deleted: Duration,
}

/// Which repository: of which upstream, under which name there and here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) upstream: &'a Arc<Upstream>,
    pub(crate) remote: &'a str,
    pub(crate) repository: &'a RepositoryName,
}

/// Why a manifest does not come.
#[derive(Debug, thiserror::Error)]
enum BringError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl BringError {
    fn into_origin(self, upstream: &str) -> OriginError {
        match self {
            BringError::Upstream(error) => error.into_origin(upstream),
            BringError::Metadata(error) => OriginError::Local(error.into()),
        }
    }
}

impl Manifests {
    /// Brings a manifest here, or a tag up to date, once for all that wait.
    pub(crate) async fn refresh(&self, of: Of<'_>, reference: &Reference) -> Result<Freshness, OriginError> {
        let look = self.looks.of(of.repository, reference.to_string());
        let mut known = look.lock().await;
        match known.current(self.freshness) {
            Some(Found::Is(freshness)) if self.still_counts(of, reference, freshness).await? => {
                return Ok(freshness);
            }
            Some(Found::Failed(why)) => {
                return Err(OriginError::Unavailable {
                    upstream: of.upstream.name().into(),
                    source: why.into(),
                });
            }
            _ => {}
        }
        let result = match reference {
            Reference::Tag(tag) => self.look(of, tag, &mut known).await,
            Reference::Digest(digest) => self.bring_digest(of, digest).await,
        };
        let found = match result {
            Ok(freshness) => Ok(freshness),
            Err(error) => self.instead(of, reference, error).await,
        };
        match &found {
            Ok(freshness) => known.put(Found::Is(*freshness)),
            Err(OriginError::Unavailable { source, .. }) => known.put(Found::Failed(source.to_string())),
            Err(_) => {}
        }
        found
    }

    /// Whether what a look found is true of the database: a client or the collector may have deleted meanwhile what the look found.
    async fn still_counts(
        &self,
        of: Of<'_>,
        reference: &Reference,
        freshness: Freshness,
    ) -> Result<bool, OriginError> {
        if freshness == Freshness::Absent {
            return Ok(true);
        }
        Ok(self.here(of, reference).await.map_err(|error| OriginError::Local(error.into()))?.is_some())
    }

    async fn here(&self, of: Of<'_>, reference: &Reference) -> Result<Option<Digest>, MetadataError> {
        let found = self.place.metadata.manifest_within(of.repository, reference, Purpose::Read, 0).await?;
        Ok(found.map(|found| found.digest))
    }

    /// What is served while upstream gives nothing: what is here, if there is something.
    async fn instead(
        &self,
        of: Of<'_>,
        reference: &Reference,
        error: BringError,
    ) -> Result<Freshness, OriginError> {
        let (upstream, repository) = (of.upstream.name(), of.repository);
        if let BringError::Upstream(cause) = &error
            && matches!(self.here(of, reference).await, Ok(Some(_)))
        {
            match cause {
                UpstreamError::Offline => {}
                _ => {
                    tracing::warn!("serves {repository}:{reference} as it is here, since {upstream}: {cause}")
                }
            }
            of.upstream.metrics.stale(upstream);
            return Ok(Freshness::Stale);
        }
        Err(error.into_origin(upstream))
    }

    /// Compares a tag with upstream, and brings what it leads to there.
    async fn look(&self, of: Of<'_>, tag: &Tag, known: &mut Known) -> Result<Freshness, BringError> {
        let reference = Reference::Tag(tag.clone());
        let Some(reply) = of.upstream.ask(&question(of, Method::HEAD, tag.as_ref())).await? else {
            return self.absent(of, tag, known).await;
        };
        known.absent_since = None;
        let said = reply.headers.get(DOCKER_CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let digest: Option<Digest> = said.and_then(|text| text.parse().ok());
        drop(reply);
        if digest.is_some() && self.here(of, &reference).await? == digest {
            return Ok(Freshness::Fresh);
        }
        // By the digest that was told: the tag may move in between.
        let wanted = digest.map_or(reference, Reference::Digest);
        self.bring(of, &wanted, std::slice::from_ref(tag)).await
    }

    /// A tag that upstream does not have stays for a while if it is here: its upstream may come to its senses.
    async fn absent(&self, of: Of<'_>, tag: &Tag, known: &mut Known) -> Result<Freshness, BringError> {
        if self.here(of, &Reference::Tag(tag.clone())).await?.is_none() {
            return Ok(Freshness::Absent);
        }
        let since = *known.absent_since.get_or_insert_with(Instant::now);
        // An upstream that has nothing at all any more is broken, and not emptied.
        if since.elapsed() < self.keep_deleted || !of.upstream.was_well_since(since) {
            return Ok(Freshness::Stale);
        }
        tracing::info!("{}:{tag} goes: {} has deleted it", of.repository, of.upstream.name());
        match self.place.metadata.delete_tag(of.repository, tag, &Cause::by(ACTOR)).await {
            Ok(()) | Err(MetadataError::TagUnknown { .. }) => Ok(Freshness::Absent),
            Err(error) => Err(error.into()),
        }
    }

    async fn bring_digest(&self, of: Of<'_>, digest: &Digest) -> Result<Freshness, BringError> {
        let reference = Reference::Digest(*digest);
        match self.here(of, &reference).await? {
            Some(_) => Ok(Freshness::Fresh),
            None => self.bring(of, &reference, &[]).await,
        }
    }

    /// Brings a manifest here, and sets tags to it. One that is here already is not fetched again.
    async fn bring(&self, of: Of<'_>, reference: &Reference, tags: &[Tag]) -> Result<Freshness, BringError> {
        let here = match reference {
            Reference::Digest(_) => {
                self.place.metadata.manifest(of.repository, reference, Purpose::Read).await?
            }
            Reference::Tag(_) => None,
        };
        let (media_type, bytes) = match here {
            Some(stored) => (Some(stored.media_type), stored.bytes),
            None => match fetch(of, reference).await? {
                Some(fetched) => fetched,
                None => return Ok(Freshness::Absent),
            },
        };
        self.put(of, reference, media_type, bytes, tags).await?;
        Ok(Freshness::Fresh)
    }

    /// Nothing of what it refers to needs to be here.
    async fn put(
        &self,
        of: Of<'_>,
        reference: &Reference,
        media_type: Option<MediaType>,
        bytes: Bytes,
        tags: &[Tag],
    ) -> Result<(), BringError> {
        let unusable = |reason: String| BringError::Upstream(UpstreamError::Unusable(reason));
        let digest = match reference {
            Reference::Tag(_) => Digest::of(Algorithm::default(), &bytes),
            Reference::Digest(expected) => {
                let actual = Digest::of(expected.algorithm(), &bytes);
                if actual != *expected {
                    return Err(unusable(format!("the manifest has the digest {actual}, not {expected}")));
                }
                actual
            }
        };
        let manifest =
            Manifest::parse(media_type.as_ref(), bytes).map_err(|error| unusable(error.to_string()))?;
        let put = PutManifest {
            repository: of.repository,
            digest,
            manifest: &manifest,
            tags,
            required: &[],
            required_children: &[],
            cause: &Cause::by(ACTOR),
        };
        Ok(self.place.metadata.put_manifest(&put).await?)
    }
}

fn question<'a>(of: Of<'a>, method: Method, reference: &str) -> Question<'a> {
    let headers = HeaderMap::from_iter([(header::ACCEPT, ACCEPT)]);
    Question { method, repository: of.remote, path: format!("manifests/{reference}"), headers }
}

async fn fetch(
    of: Of<'_>,
    reference: &Reference,
) -> Result<Option<(Option<MediaType>, Bytes)>, UpstreamError> {
    let Some(reply) = of.upstream.ask(&question(of, Method::GET, &reference.to_string())).await? else {
        return Ok(None);
    };
    let said = reply.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = said.and_then(|text| text.parse().ok());
    Ok(Some((media_type, reply.read(MANIFEST_BYTES_MAX).await?)))
}

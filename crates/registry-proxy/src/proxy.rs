use std::{collections::HashMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use registry_api::{Arriving, Fetched, Freshness, Located, Origin, OriginError, OriginTags};
use registry_digest::Digest;
use registry_metadata::{MetadataError, MetadataStore};
use registry_storage::BlobStore;
use registry_types::{
    Descriptor, MANIFEST_BYTES_MAX, Manifest, MediaType, NameRange, Reference, RepositoryName, Tag, Viewer,
};
use serde::Deserialize;

use crate::{
    ProxyOptions, SetUpError,
    error::UpstreamError,
    evict::Eviction,
    fetch::{self, Began, FetchError, Fetches, Following, Wanted},
    freshness::{ABSENT_FOR, Looks},
    keep::Place,
    manifests::{Manifests, Of},
    metrics::Metrics,
    names::{Meaning, Names},
    passing::Passing,
    spool::Spool,
    upstream::{Question, Reply, Upstream},
};

/// The longest list of tags that is read, in bytes.
const TAGS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many tags are told of what is here, while upstream can not be asked and the client names no limit.
const TAGS_HERE_MAX: usize = 10_000;

/// How many referrers are told of what is here.
const REFERRERS_HERE_MAX: usize = 1_000;

/// How many blobs are remembered that an upstream does not have.
const ABSENT_MAX: usize = 10_000;

/// Mirrors other registries into a store and a database.
#[derive(Debug)]
pub struct Proxy {
    names: Names,
    upstreams: Vec<Arc<Upstream>>,
    place: Place,
    manifests: Manifests,
    fetches: Arc<Fetches>,
    absent: Mutex<HashMap<(RepositoryName, Digest), Instant>>,
    metrics: Metrics,
    ttl: Option<std::time::Duration>,
}

impl Proxy {
    /// Over this store and database. Nothing is asked yet.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub fn new(
        options: ProxyOptions,
        store: Arc<dyn BlobStore>,
        metadata: Arc<dyn MetadataStore>,
    ) -> Result<Proxy, SetUpError> {
        let names = options.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let names = Names::new(names, options.default_upstream.as_deref())?;
        let (metrics, place) = (Metrics::default(), Place { store, metadata });
        let (outbound, is_offline) = (options.outbound, options.offline);
        let upstream =
            |upstream| Arc::new(Upstream::new(upstream, outbound.clone(), is_offline, metrics.clone()));
        let spool = Spool::new(options.spool, options.spool_bytes_max);
        Ok(Proxy {
            names,
            upstreams: options.upstreams.into_iter().map(upstream).collect(),
            manifests: Manifests {
                place: place.clone(),
                looks: Looks::default(),
                freshness: options.freshness,
                keep_deleted: options.keep_deleted,
            },
            fetches: Fetches::new(place.clone(), spool),
            absent: Mutex::default(),
            metrics: metrics.clone(),
            ttl: options.ttl,
            place,
        })
    }

    /// Adds what is counted to the metrics of a server.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
    }

    /// Lets images go that were not pulled for too long, for as long as it is polled; nothing to do if images stay for ever.
    pub fn eviction(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let ttl = self.ttl?;
        let viewer = Viewer::of(self.names.ranges());
        Some(Eviction { metadata: self.place.metadata.clone(), viewer, ttl }.run())
    }

    fn wanted(&self, repository: &RepositoryName, digest: &Digest) -> Result<Wanted, OriginError> {
        let of = self.of(repository)?;
        Ok(Wanted {
            upstream: of.upstream.clone(),
            repository: repository.clone(),
            remote: of.remote.to_owned(),
            digest: *digest,
        })
    }

    fn of<'a>(&'a self, repository: &'a RepositoryName) -> Result<Of<'a>, OriginError> {
        let unknown = || OriginError::Unknown { ns: repository.to_string() };
        let (index, remote) = self.names.split(repository).ok_or_else(unknown)?;
        let upstream = &self.upstreams[index];
        match upstream.allows(remote) {
            true => Ok(Of { upstream, remote, repository }),
            false => Err(OriginError::Denied { upstream: upstream.name().to_owned() }),
        }
    }

    /// Whether the name's namespace is here, also one of which everything was deleted and can be restored, or a repository that
    /// begins with the same component: then the name never goes upstream.
    async fn is_hosted(&self, name: &RepositoryName) -> Result<bool, OriginError> {
        let first = name.as_str().split('/').next().unwrap_or_default();
        let itself = first.parse().ok().map(|first| NameRange::exactly(&first));
        let ranges = itself.into_iter().chain([NameRange::beginning_with(&format!("{first}/"))]);
        let metadata = &self.place.metadata;
        if !metadata.repositories(&Viewer::of(ranges), None, 1).await.map_err(local)?.is_empty() {
            return Ok(true);
        }
        metadata.has_namespace_of(name).await.map_err(local)
    }

    fn is_known_absent(&self, wanted: &Wanted) -> bool {
        let mut absent = self.absent.lock();
        if absent.len() > ABSENT_MAX {
            absent.retain(|_, at| at.elapsed() < ABSENT_FOR);
        }
        let at = absent.get(&(wanted.repository.clone(), wanted.digest));
        at.is_some_and(|at| at.elapsed() < ABSENT_FOR)
    }

    fn note_absent(&self, wanted: Wanted) {
        let mut absent = self.absent.lock();
        if absent.len() <= ABSENT_MAX {
            absent.insert((wanted.repository, wanted.digest), Instant::now());
        }
    }

    async fn list(
        &self,
        of: Of<'_>,
        path: String,
        accept: &'static str,
    ) -> Result<Option<Reply>, UpstreamError> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        let question = Question { method: Method::GET, repository: of.remote, path, headers };
        of.upstream.ask(&question).await
    }

    /// The tags that are here, while upstream can not be asked.
    async fn tags_here(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<OriginTags, MetadataError> {
        let limit = limit.unwrap_or(TAGS_HERE_MAX);
        let mut tags = self.place.metadata.tags(repository, after, limit.saturating_add(1)).await?;
        let has_more = tags.len() > limit;
        tags.truncate(limit);
        Ok(OriginTags { tags, has_more, is_stale: true })
    }
}

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

async fn tags_of(reply: Reply) -> Result<OriginTags, UpstreamError> {
    let has_more = reply.headers.contains_key(header::LINK);
    let unusable = |error: serde_json::Error| UpstreamError::Unusable(error.to_string());
    let list: TagList = serde_json::from_slice(&reply.read(TAGS_BYTES_MAX).await?).map_err(unusable)?;
    let tags: Vec<Tag> = list.tags.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect();
    Ok(OriginTags { tags, has_more, is_stale: false })
}

async fn referrers_of(reply: Reply) -> Result<Vec<Descriptor>, UpstreamError> {
    let unusable = |error: registry_types::ManifestError| UpstreamError::Unusable(error.to_string());
    let bytes = reply.read(MANIFEST_BYTES_MAX).await?;
    let index = Manifest::parse(Some(&MediaType::OCI_INDEX), bytes).map_err(unusable)?;
    Ok(index.children().to_vec())
}

#[async_trait]
impl Origin for Proxy {
    async fn locate(&self, name: &RepositoryName, ns: Option<&str>) -> Result<Located, OriginError> {
        match self.names.meaning(name, ns) {
            Meaning::Mirrored(name) => Ok(Located::Mirrored(name)),
            Meaning::Hosted => Ok(Located::Hosted),
            Meaning::UnlessHosted(_) if self.is_hosted(name).await? => Ok(Located::Hosted),
            Meaning::UnlessHosted(name) => Ok(Located::Mirrored(name)),
            Meaning::Unknown => {
                Err(OriginError::Unknown { ns: ns.unwrap_or_default().chars().take(255).collect() })
            }
        }
    }

    async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Freshness, OriginError> {
        self.manifests.refresh(self.of(repository)?, reference).await
    }

    async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Fetched, OriginError> {
        let wanted = self.wanted(repository, digest)?;
        if self.is_known_absent(&wanted) {
            return Ok(Fetched::Absent);
        }
        let began = self.fetches.join(&wanted).await;
        let began = began.map_err(|error| match error {
            FetchError::Upstream(error) => error.into_origin(wanted.upstream.name()),
            FetchError::Keep(error) => OriginError::Local(error.into()),
        })?;
        Ok(match began {
            Began::Here => Fetched::Here,
            Began::Arriving(growing) => {
                let size_bytes = growing.size_bytes;
                Fetched::Arriving(Arriving { size_bytes, bytes: Arc::new(Following { wanted, growing }) })
            }
            Began::Passing { size_bytes } => {
                tracing::warn!("passes {digest} of {repository} through: there is no room to keep it");
                Fetched::Arriving(Arriving { size_bytes, bytes: Arc::new(Passing { wanted, size_bytes }) })
            }
            Began::Absent => {
                self.note_absent(wanted);
                Fetched::Absent
            }
        })
    }

    async fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, OriginError> {
        let wanted = self.wanted(repository, digest)?;
        if self.is_known_absent(&wanted) {
            return Ok(None);
        }
        match fetch::ask(&wanted, Method::HEAD, None).await {
            Ok(Some(reply)) => match reply.length() {
                Some(size_bytes) => Ok(Some(size_bytes)),
                None => Err(UpstreamError::Unusable("it does not say how long a blob is".into())
                    .into_origin(wanted.upstream.name())),
            },
            Ok(None) => {
                self.note_absent(wanted);
                Ok(None)
            }
            Err(error) => Err(error.into_origin(wanted.upstream.name())),
        }
    }

    async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Option<OriginTags>, OriginError> {
        let of = self.of(repository)?;
        let after_tag = after.and_then(|after| after.parse::<Tag>().ok());
        let n = limit.map(|limit| format!("n={limit}"));
        let last = after_tag.map(|tag| format!("last={tag}"));
        let parameters: Vec<String> = n.into_iter().chain(last).collect();
        let path = format!("tags/list?{}", parameters.join("&"));
        let asked = match self.list(of, path, "application/json").await {
            Ok(Some(reply)) => tags_of(reply).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let error = match asked {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        match self.tags_here(repository, after, limit).await {
            Ok(found) => {
                of.upstream.metrics.stale(of.upstream.name());
                Ok(Some(found))
            }
            Err(_) => Err(error.into_origin(of.upstream.name())),
        }
    }

    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, OriginError> {
        let of = self.of(repository)?;
        let path = format!("referrers/{subject}");
        let asked = match self.list(of, path, "application/vnd.oci.image.index.v1+json").await {
            Ok(Some(reply)) => referrers_of(reply).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let error = match asked {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let metadata = &self.place.metadata;
        let here =
            metadata.referrers(repository, subject, None, None, REFERRERS_HERE_MAX).await.map_err(local)?;
        // An empty list would say that nothing refers to it, and that is not known.
        if here.is_empty() { Err(error.into_origin(of.upstream.name())) } else { Ok(Some(here)) }
    }
}

fn local(error: MetadataError) -> OriginError {
    OriginError::Local(error.into())
}

//! Where content comes from that is not here: the port behind which a mirror fetches what clients ask for.

use std::{fmt, io, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue, header};
use registry_digest::Digest;
use registry_types::{Descriptor, Reference, RepositoryName, Tag};

use crate::{app::Call, error::ApiError};

/// Fetches content from other registries. What it fetches becomes ordinary content: after an answer that says so, handlers look
/// for it where they always do.
#[async_trait]
pub trait Origin: fmt::Debug + Send + Sync + 'static {
    /// Which repository a request means, by the name in its path and the parameter `ns` that containerd sends to mirrors. This is
    /// the one place that decides it: what callers may do is asked for the repository that it answers.
    ///
    /// # Errors
    /// [`OriginError::Unknown`] if `ns` names no upstream.
    async fn locate(&self, name: &RepositoryName, ns: Option<&str>) -> Result<Located, OriginError>;

    /// Brings a manifest of a mirrored repository here, or a tag to what it leads to upstream. Of a tag that was looked at lately
    /// nothing is asked.
    ///
    /// # Errors
    /// [`OriginError`], if there is neither an answer nor anything to serve instead.
    async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Freshness, OriginError>;

    /// A blob of a mirrored repository that is not here: it begins to be fetched, unless it already is.
    ///
    /// # Errors
    /// [`OriginError`].
    async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Fetched, OriginError>;

    /// How many bytes a blob has upstream; nothing if it is not there. It is not fetched.
    ///
    /// # Errors
    /// [`OriginError`].
    async fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, OriginError>;

    /// The tags of a mirrored repository upstream, strictly after `after`, at most `limit` if there is a limit; nothing if upstream
    /// has no such repository.
    ///
    /// # Errors
    /// [`OriginError`].
    async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Option<OriginTags>, OriginError>;

    /// What refers to a manifest upstream; nothing if upstream has no such list, so that clients look for tags instead.
    ///
    /// # Errors
    /// [`OriginError`].
    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, OriginError>;
}

/// What a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// A repository of this registry, under the name that was asked for.
    Hosted,
    /// A repository of an upstream, under the name that its content has here.
    Mirrored(RepositoryName),
}

/// How what is here compares with upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As upstream has it, or had it a short while ago.
    Fresh,
    /// Upstream could not be asked: what is here may be older.
    Stale,
    /// Neither upstream nor here.
    Absent,
}

/// What came of asking for a blob.
pub enum Fetched {
    /// It is here by now.
    Here,
    /// It arrives.
    Arriving(Arriving),
    /// Upstream does not have it.
    Absent,
}

/// A blob that arrives.
pub struct Arriving {
    /// How many bytes it has.
    pub size_bytes: u64,
    /// Its bytes.
    pub bytes: Arc<dyn ReadArriving>,
}

/// Reads a blob while it arrives.
pub trait ReadArriving: Send + Sync {
    /// The bytes of a range, which lies within the blob. The last byte of the blob comes only after its digest was found right; if it
    /// is not, or the fetch fails, the stream ends with an error.
    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>>;
}

/// Some tags of an upstream repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginTags {
    /// The tags, as upstream orders them.
    pub tags: Vec<Tag>,
    /// Whether there are more after them.
    pub has_more: bool,
    /// Whether they are those that are here, since upstream could not be asked.
    pub is_stale: bool,
}

/// Why an upstream gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// No upstream has this name.
    #[error("this mirror has no upstream {ns}")]
    Unknown {
        /// What was asked for.
        ns: String,
    },
    /// The upstream does not let this mirror have it.
    #[error("{upstream} does not allow it")]
    Denied {
        /// Its name.
        upstream: String,
    },
    /// The upstream asked for fewer requests.
    #[error("{upstream} takes no more requests for now")]
    Limited {
        /// Its name.
        upstream: String,
        /// After how long it may be asked again.
        retry_after_secs: u64,
    },
    /// The upstream does not answer, or this mirror never asks.
    #[error("{upstream} does not answer")]
    Unavailable {
        /// Its name.
        upstream: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the upstream answered can not be used.
    #[error("what {upstream} answered can not be used: {reason}")]
    Unusable {
        /// Its name.
        upstream: String,
        /// What is wrong.
        reason: String,
    },
    /// The store or the database of this registry failed.
    #[error("the mirror can not read or keep its own content")]
    Local(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Says that what is served may be older than what upstream has. Spec: RFC 7234, section 5.5.1.
const STALE: HeaderValue = HeaderValue::from_static("110 - \"Response is Stale\"");

/// Marks an answer that may be older than what upstream has.
pub(crate) fn mark(headers: &mut HeaderMap, is_stale: bool) {
    if is_stale {
        headers.insert(header::WARNING, STALE);
    }
}

/// Has a tag of a mirrored repository brought up to date. A request for something else asks the origin nothing.
pub(crate) async fn refresh(
    call: &Call<'_>,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<bool, ApiError> {
    let Some(origin) = call.origin.filter(|_| matches!(reference, Reference::Tag(_))) else {
        return Ok(false);
    };
    Ok(origin.manifest(repository, reference).await? == Freshness::Stale)
}

use std::error::Error as StdError;

use registry_database::{Contended, Error, Fault};
use registry_digest::Digest;
use registry_types::{ManifestError, RepositoryName, Tag, UploadId};
use thiserror::Error;

use crate::QuotaExceeded;

/// What a [`MetadataStore`](crate::MetadataStore) answers.
pub type Result<T> = std::result::Result<T, MetadataError>;

/// Why a [`MetadataStore`](crate::MetadataStore) did not do what it was asked for. Nothing of the request was kept.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// No such repository was ever written to, or it is gone.
    #[error("repository `{name}` is not known")]
    RepositoryUnknown {
        /// Which.
        name: RepositoryName,
    },
    /// The repository has no such blob.
    #[error("blob {digest} is not known in this repository")]
    BlobUnknown {
        /// Which.
        digest: Digest,
    },
    /// The blob is used by manifests of the repository: delete those first.
    #[error("blob {digest} is referenced by manifests of this repository")]
    BlobReferenced {
        /// The blob.
        digest: Digest,
        /// Who references it, at most [`REFERRING_MAX`](crate::REFERRING_MAX).
        by: Vec<Digest>,
    },
    /// The repository has no such manifest.
    #[error("manifest {digest} is not known in this repository")]
    ManifestUnknown {
        /// Which.
        digest: Digest,
    },
    /// The manifest is listed in indexes of the repository: delete those first.
    #[error("manifest {digest} is referenced by indexes of this repository")]
    ManifestReferenced {
        /// The manifest.
        digest: Digest,
        /// Who references it, at most [`REFERRING_MAX`](crate::REFERRING_MAX).
        by: Vec<Digest>,
    },
    /// The repository has no such tag.
    #[error("tag `{tag}` is not known in this repository")]
    TagUnknown {
        /// Which.
        tag: Tag,
    },
    /// A deleted manifest that an earlier version accepted and this one does not: it stays in the trash.
    #[error("manifest {digest} is refused and stays deleted: {reason}")]
    ManifestRefused {
        /// The manifest.
        digest: Digest,
        /// Why this version does not accept it.
        #[source]
        reason: ManifestError,
    },
    /// There is a repository of this name already.
    #[error("there is a repository `{name}`")]
    RepositoryExists {
        /// Which.
        name: RepositoryName,
    },
    /// The repository was taken over from another registry that still changes it: until the import is finished, clients do not.
    #[error(
        "repository `{name}` was imported and is read-only until the import is finished: `registry import --finish`"
    )]
    RepositoryAdopted {
        /// Which.
        name: RepositoryName,
    },
    /// An import was finished, or never begun: nothing is taken over.
    #[error("the import is finished: the content is this registry's, and no further run takes anything over")]
    AdoptionFinished,
    /// The tag is [immutable](crate::Options::immutable_tags).
    #[error("tag `{tag}` is immutable: it leads to {digest} for good")]
    TagImmutable {
        /// Which.
        tag: Tag,
        /// What it leads to.
        digest: Digest,
    },
    /// The tag leads to something else by now.
    #[error("tag `{tag}` leads to {digest} by now")]
    TagTaken {
        /// Which.
        tag: Tag,
        /// What it leads to.
        digest: Digest,
    },
    /// A manifest refers to what its repository lacks.
    #[error("the manifest refers to {} digests that this repository lacks", digests.len())]
    MissingReferences {
        /// All of them, in order.
        digests: Vec<Digest>,
    },
    /// It does not fit into a [quota](crate::Options::quotas).
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// The repository has as many unfinished uploads as there may be.
    #[error(
        "the repository has {limit} unfinished uploads; finish or cancel some, or wait until they are given up"
    )]
    TooManyUploads {
        /// How many there may be.
        limit: usize,
    },
    /// The repository has no such upload session: finished, cancelled, expired, or never begun.
    #[error("upload {id} is not known in this repository")]
    UploadUnknown {
        /// Which.
        id: UploadId,
    },
    /// Another request works on the session.
    #[error("another request is working on upload {id}")]
    UploadBusy {
        /// Which.
        id: UploadId,
    },
    /// The claim under which this was asked for is no longer the session's current one.
    #[error("upload {id} was claimed by another request in the meantime")]
    UploadStale {
        /// Which.
        id: UploadId,
    },
    /// The database belongs to another store of bytes.
    #[error("the database belongs to the store {bound}, not to {asked}")]
    StoreMismatch {
        /// The store that the database is bound to.
        bound: String,
        /// The store that is there.
        asked: String,
    },
    /// The disk is full.
    #[error("no space left for the database: {operation}")]
    NoSpace {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The database can not serve right now: locked for too long, or shutting down. Trying again later may help.
    ///
    /// This alone may also mean that the outcome is not known: with a journal that could not store in time what
    /// was committed, it may yet be done.
    #[error("the database is not available: {operation}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The database failed, or holds what it can not hold.
    #[error("the database failed: {operation}")]
    Backend {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl MetadataError {
    /// Whether it is the database's state, and not what was asked for: asking for something else fails likewise. A
    /// transaction that lost every race against others for the same rows is no outage: other rows can be changed.
    pub fn is_outage(&self) -> bool {
        match self {
            MetadataError::NoSpace { .. } => true,
            MetadataError::Unavailable { source, .. } => !source.is::<Contended>(),
            _ => false,
        }
    }
}

/// Whether work was refused because a stored manifest can not be read as the kind that it is.
pub(crate) fn is_refused_manifest(reason: &(dyn StdError + Send + Sync + 'static)) -> bool {
    matches!(reason.downcast_ref(), Some(MetadataError::ManifestRefused { .. }))
}

impl From<MetadataError> for Fault {
    fn from(error: MetadataError) -> Fault {
        Fault::refused(error)
    }
}

impl From<Error> for MetadataError {
    fn from(error: Error) -> MetadataError {
        match error {
            Error::Refused(reason) => match reason.downcast::<MetadataError>() {
                Ok(refused) => *refused,
                // A step of another crate, whose reasons are not known here.
                Err(source) => MetadataError::Backend { operation: "change the database", source },
            },
            Error::NoSpace { operation, source } => MetadataError::NoSpace { operation, source },
            Error::Unavailable { operation, source } => MetadataError::Unavailable { operation, source },
            Error::Failed { operation, source } => MetadataError::Backend { operation, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_that_is_always_lost_is_no_outage() {
        let explained = |fault: Fault| MetadataError::from(fault.explain("collect garbage"));
        let contended = explained(Fault::Again);
        assert!(matches!(contended, MetadataError::Unavailable { .. }) && !contended.is_outage());
        assert!(explained(Fault::Silent).is_outage());
        assert!(explained(Fault::NoConnection("gone".into())).is_outage());
        let refused = explained(MetadataError::UploadBusy { id: UploadId::from_random([7; 16]) }.into());
        assert!(matches!(refused, MetadataError::UploadBusy { .. }));
    }
}

//! One database, one store: each holds the same id, and a registry does not start on two that do not belong together.

use registry_metadata::{MetadataError, MetadataStore};
use registry_storage::{BlobStore, StorageError, StoreIdentity};

use crate::OpenError;

/// How often to look again after another node was faster: once for the database, once for the store.
const LOOKS_MAX: usize = 3;

/// Checks that database and store belong together; makes them, if both are new.
///
/// The database is bound first. A crash in between leaves a bound database without content and a store without an
/// identity, which the next start completes. Several nodes that start at once may all try; one decides, and the others
/// find what it decided.
pub(crate) async fn bind(metadata: &dyn MetadataStore, store: &dyn BlobStore) -> Result<(), OpenError> {
    let mut looks = 1;
    loop {
        match bind_once(metadata, store).await {
            Err(
                OpenError::Metadata(MetadataError::StoreMismatch { .. })
                | OpenError::Storage(StorageError::IdentityExists),
            ) if looks < LOOKS_MAX => looks += 1,
            bound => return bound,
        }
    }
}

async fn bind_once(metadata: &dyn MetadataStore, store: &dyn BlobStore) -> Result<(), OpenError> {
    let expected = metadata.store_id().await?;
    let actual = store.read_identity().await?;
    match (expected, actual) {
        (Some(expected), Some(actual)) if expected == actual.id() => Ok(()),
        (expected, Some(actual)) => {
            Err(OpenError::StoreMismatch { expected, actual: actual.id().to_owned() })
        }
        (Some(expected), None) if !metadata.is_empty().await? => Err(OpenError::StoreEmpty { expected }),
        (expected, None) => {
            let identity = match &expected {
                Some(id) => StoreIdentity::with_id(id)?,
                None => StoreIdentity::random()?,
            };
            metadata.bind_store(identity.id()).await?;
            Ok(store.create_identity(&identity).await?)
        }
    }
}

/// Checks that database and store belong together, for a command that makes neither.
pub(crate) async fn check(metadata: &dyn MetadataStore, store: &dyn BlobStore) -> Result<(), OpenError> {
    let expected = metadata.store_id().await?;
    match (expected, store.read_identity().await?) {
        (Some(expected), Some(actual)) if expected == actual.id() => Ok(()),
        (Some(expected), None) => Err(OpenError::StoreEmpty { expected }),
        (expected, Some(actual)) => {
            Err(OpenError::StoreMismatch { expected, actual: actual.id().to_owned() })
        }
        (None, None) => Ok(()),
    }
}

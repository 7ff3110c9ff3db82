//! Reading an object and hashing what is read.

use futures_util::StreamExt;
use registry_digest::{Digest, Hasher};
use registry_storage::{BlobStore, StorageError};
use registry_types::Location;

use crate::Pace;

/// The digests that an object's bytes have, by the algorithms of `expected`. Reads no faster than `kibibytes` says.
pub(crate) async fn digests_of(
    store: &dyn BlobStore,
    location: &Location,
    size_bytes: u64,
    expected: &[Digest],
    kibibytes: &Pace,
) -> Result<Vec<Digest>, StorageError> {
    let mut hashers: Vec<Hasher> = expected.iter().map(|digest| Hasher::new(digest.algorithm())).collect();
    let mut pieces = store.open(location, 0..size_bytes).await?.into_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        kibibytes.wait(piece.len().div_ceil(1024)).await;
        for hasher in &mut hashers {
            hasher.update(&piece);
        }
    }
    Ok(hashers.into_iter().map(Hasher::finish).collect())
}

use registry_metadata::MetadataError;
use registry_storage::StorageError;

/// Why an import or export did not come to its end. What it did until then is done, and a later run goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The store does not answer.
    #[error("can not read or write the storage of the other registry")]
    Storage(#[from] StorageError),
    /// The database does not answer, or the import is finished.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// There is nothing to import.
    #[error("there is no data of a Go registry here: nothing lies below docker/registry/v2/repositories")]
    NothingHere,
    /// The Go registry was a mirror of another one.
    #[error(
        "the Go registry was a mirror (scheduler-state.json): what it holds are copies, which this version can not import"
    )]
    Mirror,
    /// No run came to its end.
    #[error("no import came to its end yet: run `registry import` before `registry import --finish`")]
    NeverRan,
    /// Adopted bytes are not there.
    #[error(
        "the bytes of {count} imported blobs are missing or have another size, the first of them {first}; run `registry import` again, \
         or accept that with `registry import --finish --accept-missing`, which hides them until they are pushed again"
    )]
    BytesMissing {
        /// How many.
        count: u64,
        /// The key of one of them.
        first: String,
    },
}

//! The bytes of a container registry: objects that are written once, under keys that are never reused.
//!
//! A [`BlobStore`] takes uploads that may be interrupted and go on elsewhere, compares their digest, makes them durable,
//! and gives ranges of them back. [`FilesystemStore`] keeps them in a local directory, [`MemoryStore`] in memory, and
//! `ObjectBlobStore` (features `s3`, `gcs`, `azure`) in a bucket of an object store.
//!
//! ```
//! use registry_digest::{Algorithm, Digest};
//! use registry_storage::{BlobStore, MemoryStore, UploadState};
//! use registry_types::{Location, UploadId};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), registry_storage::StorageError> {
//! let store = MemoryStore::new(); // or FilesystemStore::open(&FilesystemOptions::new("/var/lib/registry"))?
//! let location = Location::of_upload(&UploadId::from_random([7; 16]));
//!
//! let mut upload = store.begin(&location, Algorithm::Sha256).await?;
//! upload.append("hel".into()).await?;
//! let saved: Vec<u8> = upload.checkpoint().await?.to_bytes(); // durable up to here; keep this
//!
//! let mut upload = store.resume(&location, &UploadState::from_bytes(&saved)?).await?; // later, elsewhere
//! upload.append("lo".into()).await?;
//! let size_bytes = upload.finish(&Digest::of(Algorithm::Sha256, b"hello")).await?;
//! assert_eq!((size_bytes, store.size(&location).await?), (5, Some(5)));
//! # Ok(())
//! # }
//! ```
//!
//! What it is not: it knows no names, tags or links, and no HTTP. That an object is a blob, and of which repository, is
//! for the metadata to say, and only after [`Upload::finish`] has returned. So a crash in between leaves garbage, which
//! [`BlobStore::list`] shows, and never a name without bytes. It does not keep two requests from the same upload either:
//! the later one wins, and the earlier one is told so.
//!
//! | Module | What |
//! |---|---|
//! | `store` | the traits [`BlobStore`] and [`Upload`] and what they promise |
//! | `state` | [`UploadState`]: what an upload needs to go on |
//! | `small` | [`SmallObjects`]: named objects beside the blobs, created once, for a journal |
//! | `other` | [`OtherKeys`]: what another registry keeps beside it |
//! | `body` | [`Body`]: an opened object |
//! | `identity` | [`StoreIdentity`]: which store this is |
//! | `filesystem` | [`FilesystemStore`]: layout, lock, writing, flushing, listing |
//! | `memory` | [`MemoryStore`] |
//! | `object` | `ObjectBlobStore`: parts, tails, the budget of memory, the probe, each cloud's client |
//! | `contract` | the suite that every implementation passes, with feature `contract` |
//! | `error` | [`StorageError`] |

#![forbid(unsafe_code)]

mod body;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod filesystem;
mod identity;
mod memory;
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
mod object;
mod other;
mod small;
mod state;
mod store;

/// Private decoders, for fuzz targets.
#[cfg(all(fuzzing, any(feature = "azure", feature = "gcs", feature = "s3")))]
pub mod fuzzing {
    pub use crate::object::fuzzing::progress;
}

pub use body::Body;
pub use error::{StorageError, UploadStateError};
pub use filesystem::{Access, FilesystemOptions, FilesystemStore};
pub use identity::{STORE_FORMAT, StoreIdentity};
pub use memory::MemoryStore;
#[cfg(feature = "azure")]
pub use object::AzureOptions;
#[cfg(feature = "gcs")]
pub use object::GcsOptions;
#[cfg(feature = "s3")]
pub use object::S3Options;
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
pub use object::{ObjectBlobStore, ObjectOptions, Requests};
pub use other::{OtherKeys, OtherObject};
pub use registry_types::{AzureCredentials, Durability, GcsCredentials, S3Credentials, S3Encryption, Secret};
pub use small::{Creation, SMALL_OBJECT_BYTES_MAX, SmallObjects};
pub use state::UploadState;
pub use store::{BlobStore, FreeSpace, ObjectInfo, Upload};

//! Everything that a container registry knows besides bytes.

#![forbid(unsafe_code)]

pub mod clock;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod options;
mod record;
mod schema;
mod sql;
mod sqlite;
mod store;

pub use clock::{Clock, SystemClock};
pub use error::{MetadataError, Result};
pub use options::Options;
pub use record::{
    Blob, ClaimedUpload, FinishUpload, NewUpload, Purpose, PutManifest, Reclaim, StoredManifest, UploadStatus,
};
pub use schema::VOLATILE_TABLES;
pub use sqlite::{OpenError, SqliteStore};
pub use store::{MetadataStore, REFERRERS_BYTES_MAX, REFERRING_MAX};

//! The parts of a registry that another process may be serving.

use std::sync::Arc;

use registry_collector::{Collector, CollectorOptions, Fsck, FsckOptions, retention::Retention};
use registry_database::Database;
use registry_events::Recorder;
use registry_metadata::MetadataStore;
use registry_storage::BlobStore;
use registry_types::retention::Policy;

/// Store and database of a registry, for a command that works on it while another process may serve it.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The bytes: to be read and deleted, but not written.
    pub store: Arc<dyn BlobStore>,
    /// Everything else.
    pub metadata: Arc<dyn MetadataStore>,
    /// The database of the metadata, for the tables of other owners; none where an embedder gave a store of metadata.
    pub database: Option<Database>,
    /// Records events of what is changed, while there is a consumer. A task of the runtime looks each second whether there is one, for
    /// as long as this or the metadata is there.
    pub recorder: Recorder,
}

impl Beside {
    /// A collector for it.
    pub fn collector(&self, options: CollectorOptions) -> Collector {
        Collector::new(self.metadata.clone(), self.store.clone(), options)
    }

    /// These policies for it, as fast as it goes.
    pub fn retention(&self, policies: Vec<Policy>) -> Retention {
        Retention::new(self.metadata.clone(), policies, 0)
    }

    /// A check of it.
    pub fn fsck(&self, options: FsckOptions) -> Fsck {
        Fsck::new(self.metadata.clone(), self.store.clone(), options)
    }
}

//! Object stores: which one, and opening it.

use registry_storage::{Access, ObjectBlobStore, StorageError};

/// A bucket of one of the clouds.
#[derive(Clone, Debug)]
pub(crate) enum Cloud {
    #[cfg(feature = "s3")]
    S3(registry_storage::S3Options),
    #[cfg(feature = "gcs")]
    Gcs(registry_storage::GcsOptions),
    #[cfg(feature = "azure")]
    Azure(registry_storage::AzureOptions),
}

impl Cloud {
    pub(crate) async fn open(&self, access: Access) -> Result<ObjectBlobStore, StorageError> {
        let mut cloud = self.clone();
        match &mut cloud {
            #[cfg(feature = "s3")]
            Cloud::S3(options) => {
                options.common.access = access;
                ObjectBlobStore::open_s3(options).await
            }
            #[cfg(feature = "gcs")]
            Cloud::Gcs(options) => {
                options.common.access = access;
                ObjectBlobStore::open_gcs(options).await
            }
            #[cfg(feature = "azure")]
            Cloud::Azure(options) => {
                options.common.access = access;
                ObjectBlobStore::open_azure(options).await
            }
        }
    }

    /// The name under which calls are measured.
    pub(crate) fn driver(&self) -> &'static str {
        match self {
            #[cfg(feature = "s3")]
            Cloud::S3(_) => "s3",
            #[cfg(feature = "gcs")]
            Cloud::Gcs(_) => "gcs",
            #[cfg(feature = "azure")]
            Cloud::Azure(_) => "azure",
        }
    }
}

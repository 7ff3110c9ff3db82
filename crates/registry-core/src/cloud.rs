//! Object stores: which one, and opening it.

use std::time::{Duration, Instant};

use registry_storage::{Access, ObjectBlobStore, StorageError};

use crate::{
    OpenError,
    cloud_failure::{self, Key},
};

/// How long a start waits for a store that can not be reached or is overloaded: both may start together.
pub(crate) const OBJECT_STORE_WAIT: Duration = Duration::from_secs(30);

/// How long after an attempt the next one begins. An attempt itself tries for some seconds.
const ATTEMPT_EVERY: Duration = Duration::from_secs(1);

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
    /// Opens it; to serve from it, waits for it too, for [`OBJECT_STORE_WAIT`].
    pub(crate) async fn open(&self, access: Access) -> Result<ObjectBlobStore, OpenError> {
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            let error = match self.attempt(access).await {
                Ok(store) => return Ok(store),
                Err(error) => error,
            };
            let waits =
                matches!(access, Access::Serve | Access::Adopt) && begun.elapsed() < OBJECT_STORE_WAIT;
            if !waits || !cloud_failure::may_pass(&error) {
                return Err(cloud_failure::explain(self, error));
            }
            if !is_told {
                let (place, why) = (self.place(), cloud_failure::why_not_yet(self, &error));
                tracing::warn!("can not open {place} yet: {why}; trying again for {OBJECT_STORE_WAIT:?}");
                is_told = true;
            }
            tokio::time::sleep(ATTEMPT_EVERY).await;
        }
    }

    async fn attempt(&self, access: Access) -> Result<ObjectBlobStore, StorageError> {
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

    /// The bucket and its endpoint, for people.
    pub(crate) fn place(&self) -> String {
        match self {
            #[cfg(feature = "s3")]
            Cloud::S3(options) => {
                let region = || options.region.as_ref().map(|region| format!("in the region {region} of S3"));
                let endpoint = options.endpoint.as_ref().map(|endpoint| format!("at {endpoint}"));
                let place = endpoint.or_else(region).unwrap_or_else(|| "of S3".to_owned());
                format!("the bucket `{}` {place}", options.bucket)
            }
            #[cfg(feature = "gcs")]
            Cloud::Gcs(options) => {
                let endpoint = options.endpoint.as_ref().map(|endpoint| format!("at {endpoint}"));
                let place = endpoint.unwrap_or_else(|| "of Google Cloud Storage".to_owned());
                format!("the bucket `{}` {place}", options.bucket)
            }
            #[cfg(feature = "azure")]
            Cloud::Azure(options) => {
                let account = || format!("of the account {} of Azure", options.account);
                let endpoint = options.endpoint.as_ref().map(|endpoint| format!("at {endpoint}"));
                format!("the container `{}` {}", options.container, endpoint.unwrap_or_else(account))
            }
        }
    }

    /// The keys of the configuration that say a thing.
    pub(crate) fn keys(&self, key: Key) -> &'static str {
        match self {
            #[cfg(feature = "s3")]
            Cloud::S3(_) => match key {
                Key::Bucket => "storage.s3.bucket and .region",
                Key::Credentials => {
                    "storage.s3.accesskey and .secretkey, or the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                }
                Key::Endpoint => "storage.s3.regionendpoint, .secure and .skipverify",
                Key::Section => "storage.s3",
            },
            #[cfg(feature = "gcs")]
            Cloud::Gcs(_) => match key {
                Key::Bucket => "storage.gcs.bucket",
                Key::Credentials => "storage.gcs.keyfile, or the variable GOOGLE_APPLICATION_CREDENTIALS",
                Key::Endpoint => "storage.gcs.endpoint",
                Key::Section => "storage.gcs",
            },
            #[cfg(feature = "azure")]
            Cloud::Azure(_) => match key {
                Key::Bucket => "storage.azure.container",
                Key::Credentials => "storage.azure.accountkey, or storage.azure.credentials",
                Key::Endpoint => "storage.azure.accountname and .serviceurl",
                Key::Section => "storage.azure",
            },
        }
    }

    /// What it calls the place of objects.
    pub(crate) fn bucket_word(&self) -> &'static str {
        match self {
            #[cfg(feature = "s3")]
            Cloud::S3(_) => "bucket",
            #[cfg(feature = "gcs")]
            Cloud::Gcs(_) => "bucket",
            #[cfg(feature = "azure")]
            Cloud::Azure(_) => "container",
        }
    }
}

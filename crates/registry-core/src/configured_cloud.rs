//! The object store that a configuration describes.

use registry_config::{self as config, Driver};

use crate::{Builder, OpenError, outgoing};

/// The builder with the bucket of a driver.
///
/// # Errors
/// [`OpenError::NotBuilt`] if the driver was left out of this build.
pub(crate) fn place(builder: Builder, storage: &config::Storage) -> Result<Builder, OpenError> {
    for warning in outgoing::warnings(storage) {
        tracing::warn!("{warning}");
    }
    match &storage.driver {
        #[cfg(feature = "s3")]
        Driver::S3(s3) => Ok(builder.s3(s3_options(s3, storage))),
        #[cfg(feature = "gcs")]
        Driver::Gcs(gcs) => Ok(builder.gcs(gcs_options(gcs, storage))),
        #[cfg(feature = "azure")]
        Driver::Azure(azure) => Ok(builder.azure(azure_options(azure, storage))),
        #[cfg(not(feature = "s3"))]
        Driver::S3(_) => Err(OpenError::NotBuilt { key: "storage.s3", feature: "s3" }),
        #[cfg(not(feature = "gcs"))]
        Driver::Gcs(_) => Err(OpenError::NotBuilt { key: "storage.gcs", feature: "gcs" }),
        #[cfg(not(feature = "azure"))]
        Driver::Azure(_) => Err(OpenError::NotBuilt { key: "storage.azure", feature: "azure" }),
        Driver::Filesystem { .. } | Driver::InMemory => Ok(builder),
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn common(bucket: &config::Bucket, storage: &config::Storage) -> registry_storage::ObjectOptions {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    registry_storage::ObjectOptions {
        prefix: bucket.root.clone(),
        part_bytes: bytes(bucket.chunk_bytes),
        upload_memory_bytes: bytes(bucket.upload_memory_bytes),
        signed_url_lifetime: storage.redirect.lifetime,
        ..registry_storage::ObjectOptions::default()
    }
}

#[cfg(feature = "s3")]
fn s3_options(s3: &config::S3, storage: &config::Storage) -> registry_storage::S3Options {
    registry_storage::S3Options {
        bucket: s3.bucket.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        path_style: s3.path_style,
        credentials: s3.credentials.clone(),
        encryption: s3.encryption.clone(),
        storage_class: s3.storage_class.clone(),
        is_plain: !s3.is_secure,
        skip_verify: s3.skip_verify,
        user_agent: s3.user_agent.clone(),
        redirect_endpoint: s3.redirect_endpoint.clone(),
        common: common(&s3.common, storage),
    }
}

#[cfg(feature = "gcs")]
fn gcs_options(gcs: &config::Gcs, storage: &config::Storage) -> registry_storage::GcsOptions {
    registry_storage::GcsOptions {
        bucket: gcs.bucket.clone(),
        credentials: gcs.credentials.clone(),
        endpoint: gcs.endpoint.clone(),
        user_agent: gcs.user_agent.clone(),
        common: common(&gcs.common, storage),
    }
}

#[cfg(feature = "azure")]
fn azure_options(azure: &config::Azure, storage: &config::Storage) -> registry_storage::AzureOptions {
    registry_storage::AzureOptions {
        account: azure.account.clone(),
        container: azure.container.clone(),
        credentials: azure.credentials.clone(),
        endpoint: azure.endpoint.clone(),
        skip_verify: azure.skip_verify,
        common: common(&azure.common, storage),
    }
}

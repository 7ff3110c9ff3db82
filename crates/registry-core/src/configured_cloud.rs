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

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn secret(secret: &config::Secret) -> registry_storage::Secret {
    registry_storage::Secret::new(secret.expose())
}

#[cfg(feature = "s3")]
fn s3_options(s3: &config::S3, storage: &config::Storage) -> registry_storage::S3Options {
    use registry_storage::{S3Credentials, S3Encryption, S3Options};
    S3Options {
        bucket: s3.bucket.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        path_style: s3.path_style,
        credentials: s3.credentials.as_ref().map(|key| S3Credentials {
            key_id: key.access_key.clone(),
            secret: secret(&key.secret_key),
            token: key.session_token.as_ref().map(secret),
        }),
        encryption: match &s3.encryption {
            config::S3Encryption::Bucket => S3Encryption::Bucket,
            config::S3Encryption::Managed => S3Encryption::Managed,
            config::S3Encryption::Kms(key_id) => S3Encryption::Kms { key_id: key_id.clone() },
        },
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
    use registry_storage::{GcsCredentials, GcsOptions};
    GcsOptions {
        bucket: gcs.bucket.clone(),
        credentials: match &gcs.credentials {
            config::GcsCredentials::Ambient => GcsCredentials::Ambient,
            config::GcsCredentials::File(path) => GcsCredentials::File(path.clone()),
            config::GcsCredentials::Key(key) => GcsCredentials::Key(secret(key)),
        },
        endpoint: gcs.endpoint.clone(),
        user_agent: gcs.user_agent.clone(),
        common: common(&gcs.common, storage),
    }
}

#[cfg(feature = "azure")]
fn azure_options(azure: &config::Azure, storage: &config::Storage) -> registry_storage::AzureOptions {
    use registry_storage::{AzureCredentials, AzureOptions};
    AzureOptions {
        account: azure.account.clone(),
        container: azure.container.clone(),
        credentials: match &azure.credentials {
            config::AzureCredentials::Ambient => AzureCredentials::Ambient,
            config::AzureCredentials::SharedKey(key) => AzureCredentials::SharedKey(secret(key)),
            config::AzureCredentials::ClientSecret { client_id, tenant_id, secret: application } => {
                AzureCredentials::ClientSecret {
                    client_id: client_id.clone(),
                    tenant_id: tenant_id.clone(),
                    secret: secret(application),
                }
            }
        },
        endpoint: azure.endpoint.clone(),
        skip_verify: azure.skip_verify,
        common: common(&azure.common, storage),
    }
}

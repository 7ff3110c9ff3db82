//! Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use registry_types::GcsCredentials;

use super::{
    ObjectBlobStore, ObjectOptions,
    backend::Backend,
    checked,
    connector::{CompleteIfAbsent, Connector, retries},
    requests::Requests,
};
use crate::StorageError;

/// Where a bucket is and how it is spoken to. Everything but the bucket has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// Who speaks.
    pub credentials: GcsCredentials,
    /// Another service than Google's: a URL, for tests.
    pub endpoint: Option<String>,
    /// What is said in the header `User-Agent`.
    pub user_agent: Option<String>,
    /// What all object stores have in common.
    pub common: ObjectOptions,
}

impl ObjectBlobStore {
    /// Opens a bucket of Google Cloud Storage. Sends about fifteen requests, to try what the store can do.
    ///
    /// # Errors
    /// As [`open_s3`](Self::open_s3).
    pub async fn open_gcs(options: &GcsOptions) -> Result<ObjectBlobStore, StorageError> {
        checked::name("the bucket", &options.bucket)?;
        if let Some(endpoint) = &options.endpoint {
            checked::endpoint("the endpoint", endpoint)?;
        }
        checked::guarded(Self::open_checked_gcs(options)).await
    }

    async fn open_checked_gcs(options: &GcsOptions) -> Result<ObjectBlobStore, StorageError> {
        let requests = Arc::new(Requests::default());
        let connector = Connector::new(
            CompleteIfAbsent::IfGenerationMatch,
            options.user_agent.as_deref(),
            false,
            requests.clone(),
        )?;
        let client: Arc<GoogleCloudStorage> = builder(options)
            .with_http_connector(connector)
            .build()
            .map(Arc::new)
            .map_err(|error| StorageError::Setup { reason: error.to_string() })?;
        let signer = match options.credentials {
            GcsCredentials::Anonymous => None,
            _ => Some(client.clone() as _),
        };
        let backend = Backend::new(client, signer, &options.common.prefix);
        let name = format!("gs://{}/{}", options.bucket, backend.prefix());
        ObjectBlobStore::open_backend(backend, &options.common, requests, name).await
    }
}

fn builder(options: &GcsOptions) -> GoogleCloudStorageBuilder {
    let builder = match &options.credentials {
        GcsCredentials::Ambient => GoogleCloudStorageBuilder::from_env(),
        GcsCredentials::File(path) => GoogleCloudStorageBuilder::new().with_service_account_path(path),
        GcsCredentials::Key(key) => GoogleCloudStorageBuilder::new().with_service_account_key(key.expose()),
        GcsCredentials::Anonymous => {
            // Parts are written with a token all the same, so that none is fetched from elsewhere.
            GoogleCloudStorageBuilder::new().with_skip_signature(true).with_bearer_token("anonymous")
        }
    };
    let builder = match &options.endpoint {
        Some(endpoint) => builder.with_base_url(endpoint),
        None => builder,
    };
    builder.with_bucket_name(&options.bucket).with_retry(retries())
}

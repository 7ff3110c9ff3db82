//! Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use registry_types::AzureCredentials;

use super::{
    ObjectBlobStore, ObjectOptions,
    backend::Backend,
    checked,
    connector::{CompleteIfAbsent, Connector, retries},
    requests::Requests,
};
use crate::StorageError;

/// Where a container is and how it is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureOptions {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// Who speaks.
    pub credentials: AzureCredentials,
    /// Another URL of the account's blobs than `https://<account>.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Whether certificates are not checked.
    pub skip_verify: bool,
    /// What all object stores have in common.
    pub common: ObjectOptions,
}

impl ObjectBlobStore {
    /// Opens a container of Azure Blob Storage. Sends about fifteen requests, to try what the store can do.
    ///
    /// # Errors
    /// As [`open_s3`](Self::open_s3).
    pub async fn open_azure(options: &AzureOptions) -> Result<ObjectBlobStore, StorageError> {
        checked::name("the account", &options.account)?;
        checked::name("the container", &options.container)?;
        if let AzureCredentials::ClientSecret { client_id, tenant_id, .. } = &options.credentials {
            checked::name("the application's id", client_id)?;
            checked::name("the tenant's id", tenant_id)?;
        }
        if let Some(endpoint) = &options.endpoint {
            checked::endpoint("the account's URL", endpoint)?;
        }
        checked::guarded(Self::open_checked_azure(options)).await
    }

    async fn open_checked_azure(options: &AzureOptions) -> Result<ObjectBlobStore, StorageError> {
        let requests = Arc::new(Requests::default());
        let connector =
            Connector::new(CompleteIfAbsent::Unsupported, None, options.skip_verify, requests.clone())?;
        let client: Arc<MicrosoftAzure> = builder(options)
            .with_http_connector(connector)
            .build()
            .map(Arc::new)
            .map_err(|error| StorageError::Setup { reason: error.to_string() })?;
        let backend = Backend::new(client.clone(), Some(client), &options.common.prefix);
        let name = format!("azure://{}/{}/{}", options.account, options.container, backend.prefix());
        ObjectBlobStore::open_backend(backend, &options.common, requests, name).await
    }
}

fn builder(options: &AzureOptions) -> MicrosoftAzureBuilder {
    let builder = match &options.credentials {
        AzureCredentials::Ambient => MicrosoftAzureBuilder::from_env(),
        AzureCredentials::SharedKey(key) => MicrosoftAzureBuilder::new().with_access_key(key.expose()),
        AzureCredentials::ClientSecret { client_id, tenant_id, secret } => MicrosoftAzureBuilder::new()
            .with_client_secret_authorization(client_id, secret.expose(), tenant_id),
    };
    let builder = match &options.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint.clone()),
        None => builder,
    };
    builder
        .with_account(&options.account)
        .with_container_name(&options.container)
        .with_allow_http(true)
        .with_retry(retries())
}

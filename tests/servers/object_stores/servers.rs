//! How the servers are reached by a store without a registry around it.

use std::sync::atomic::{AtomicU32, Ordering};

use registry_storage::{AzureCredentials, AzureOptions, ObjectOptions, S3Credentials, S3Options, Secret};
use registry_testing::ObjectServer;

/// Azurite's container, below a prefix that nothing else has.
pub(crate) fn azure(server: &ObjectServer) -> AzureOptions {
    AzureOptions {
        account: ObjectServer::AZURITE_ACCOUNT.into(),
        container: ObjectServer::BUCKET.into(),
        credentials: AzureCredentials::SharedKey(Secret::new(ObjectServer::AZURITE_KEY)),
        endpoint: Some(format!("http://127.0.0.1:{}/{}", server.port(), ObjectServer::AZURITE_ACCOUNT)),
        common: ObjectOptions { prefix: new_prefix(), ..ObjectOptions::default() },
        ..AzureOptions::default()
    }
}

/// The bucket, below a prefix that nothing else has.
pub(crate) fn s3(server: &ObjectServer) -> S3Options {
    s3_at(server.port())
}

/// The bucket as it is reached at a port, below a prefix that nothing else has.
pub(crate) fn s3_at(port: u16) -> S3Options {
    S3Options {
        bucket: ObjectServer::BUCKET.into(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        path_style: true,
        credentials: Some(S3Credentials {
            key_id: ObjectServer::KEY_ID.into(),
            secret: Secret::new(ObjectServer::SECRET),
            token: None,
        }),
        common: ObjectOptions { prefix: new_prefix(), ..ObjectOptions::default() },
        ..S3Options::default()
    }
}

fn new_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("some/where-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

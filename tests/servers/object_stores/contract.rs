//! The contract suites, over each server, with the options that a registry has without configuration.

use std::sync::Arc;

use registry_storage::{ObjectBlobStore, contract};
use registry_testing::ObjectServer;

use super::servers::{azure, s3};

async fn open_s3(server: &ObjectServer) -> Arc<ObjectBlobStore> {
    Arc::new(ObjectBlobStore::open_s3(&s3(server)).await.unwrap())
}

async fn open_azure(server: &ObjectServer) -> Arc<ObjectBlobStore> {
    Arc::new(ObjectBlobStore::open_azure(&azure(server)).await.unwrap())
}

macro_rules! keeps_the_contract {
    ($name:ident, $server:path, $open:path) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let server = $server();
            contract::small_objects(async || $open(&server).await as _).await;
            contract::all(async || $open(&server).await as _).await;
        }
    };
}

keeps_the_contract!(versitygw_keeps_the_contract, ObjectServer::versitygw, open_s3);
keeps_the_contract!(seaweedfs_keeps_the_contract, ObjectServer::seaweedfs, open_s3);
keeps_the_contract!(azurite_keeps_the_contract, ObjectServer::azurite, open_azure);

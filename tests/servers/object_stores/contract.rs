//! The contract suites, over each server.

use std::sync::Arc;

use registry_storage::{AzureOptions, ObjectBlobStore, ObjectOptions, S3Options, contract};
use registry_testing::ObjectServer;

use super::servers::{azure, s3};

/// The suite looks for what it wrote in the store, so nothing is kept in the state instead.
fn nothing_inline(common: ObjectOptions) -> ObjectOptions {
    ObjectOptions { inline_bytes: 0, ..common }
}

async fn open_s3(server: &ObjectServer) -> Arc<ObjectBlobStore> {
    let options = s3(server);
    let options = S3Options { common: nothing_inline(options.common.clone()), ..options };
    Arc::new(ObjectBlobStore::open_s3(&options).await.unwrap())
}

async fn open_azure(server: &ObjectServer) -> Arc<ObjectBlobStore> {
    let options = azure(server);
    let options = AzureOptions { common: nothing_inline(options.common.clone()), ..options };
    Arc::new(ObjectBlobStore::open_azure(&options).await.unwrap())
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

//! The contract suites, over each server.

use std::sync::Arc;

use registry_storage::{AzureOptions, ObjectBlobStore, ObjectOptions, S3Options, contract};

use crate::servers::Server;

/// The suite looks for what it wrote in the store, so nothing is kept in the state instead.
fn nothing_inline(common: ObjectOptions) -> ObjectOptions {
    ObjectOptions { inline_bytes: 0, ..common }
}

async fn open_s3(server: &Server) -> Arc<ObjectBlobStore> {
    let options = server.s3();
    let options = S3Options { common: nothing_inline(options.common.clone()), ..options };
    Arc::new(ObjectBlobStore::open_s3(&options).await.unwrap())
}

async fn open_azure(server: &Server) -> Arc<ObjectBlobStore> {
    let options = server.azure();
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

keeps_the_contract!(versitygw_keeps_the_contract, Server::versitygw, open_s3);
keeps_the_contract!(seaweedfs_keeps_the_contract, Server::seaweedfs, open_s3);
keeps_the_contract!(azurite_keeps_the_contract, Server::azurite, open_azure);

//! Two nodes over one database and one store: what one does the other knows.

use std::sync::Arc;

use bytes::Bytes;
use registry_core::{
    metadata::PostgresOptions,
    storage::{BlobStore, MemoryStore},
};
use registry_testing::{Client, Content, Image, TestRegistry, UploadSession};
use registry_testing_postgres::PostgresServer;

/// Bytes in the memory of the test's process are as good as an object store that both nodes reach.
async fn two_nodes() -> [TestRegistry; 2] {
    let postgres: PostgresOptions = PostgresServer::shared().database().parse().unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let node = async || {
        let (store, postgres) = (store.clone(), postgres.clone());
        TestRegistry::with(|builder| builder.store(store).postgresql(postgres)).await
    };
    // At once: one of them decides which store this is, and the other finds that.
    let (one, two) = tokio::join!(node(), node());
    [one, two]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_was_told_the_other_knows_at_the_next_request() {
    let nodes = two_nodes().await;
    let clients = [nodes[0].client(), nodes[1].client()];
    let images = [Image::random(1), Image::random(2)];
    for round in 0..10 {
        let (here, there) = (&clients[round % 2], &clients[(round + 1) % 2]);
        let image = &images[round % 2];
        here.push("app", "latest", image).await.unwrap();
        there.pull("app", "latest", image).await.unwrap();
    }
    clients[0].delete("/v2/app/manifests/latest").expect(202).await;
    clients[1].get("/v2/app/manifests/latest").expect(404).await;
    let digest = &images[0].manifest.digest;
    clients[1].get(&format!("/v2/app/manifests/{digest}")).expect(200).await;
    clients[1].delete(&format!("/v2/app/manifests/{digest}")).expect(202).await;
    clients[0].get(&format!("/v2/app/manifests/{digest}")).expect(404).await;
}

/// Each request of an upload goes to another node, as a load balancer sends them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_any_node() {
    let nodes = two_nodes().await;
    let clients = [nodes[0].client(), nodes[1].client()];
    for seed in 0..10 {
        let content = Content::random(seed, 100_000);
        let mut session = clients[0].begin_upload("app").await.unwrap();
        let chunk = content.bytes.len() / 5;
        for number in 0..5 {
            let bytes = content.bytes.slice(number * chunk..(number + 1) * chunk);
            session = patch(&clients[(number + 1) % 2], &session, bytes).await;
            assert_eq!(session.offset as usize, (number + 1) * chunk);
        }
        clients[0].finish_upload(&local(&session), &content.digest, Bytes::new()).await.unwrap();
        clients[1].pull_blob("app", &content).await.unwrap();
    }
}

async fn patch(client: &Client, session: &UploadSession, bytes: Bytes) -> UploadSession {
    let response = client.patch(&local(session).location).body(bytes).expect(202).await;
    let range = response.must_have("range");
    let last: u64 = range.strip_prefix("0-").unwrap().parse().unwrap();
    UploadSession { location: response.location().to_owned(), id: session.id.clone(), offset: last + 1 }
}

/// The path alone: a `Location` names the node that answered, unless a load balancer says which host was asked.
fn local(session: &UploadSession) -> UploadSession {
    let path = session.location.split_once("/v2/").map(|(_, rest)| format!("/v2/{rest}"));
    UploadSession { location: path.unwrap(), ..session.clone() }
}

#[tokio::test]
async fn the_database_of_another_store_is_refused() {
    let url = PostgresServer::shared().database();
    let postgres: PostgresOptions = url.parse().unwrap();
    let first = TestRegistry::with(|builder| builder.postgresql(postgres.clone())).await;
    first.client().push("app", "latest", &Image::random(1)).await.unwrap();
    assert!(first.app().metadata.store_id().await.unwrap().is_some());
    let other = registry_core::Registry::builder().postgresql(postgres).open().await;
    assert!(other.is_err(), "its bytes are elsewhere");
}

//! Garbage is collected by a program beside two that serve, and the check of everything finds nothing wrong.

use std::{fs, path::Path};

use registry_testing::{Image, Program, ServerOptions, eventually};
use registry_testing_postgres::PostgresServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_gives_its_bytes_back() {
    let url = PostgresServer::shared().database();
    let options = [
        ("REGISTRY_METADATA_POSTGRESQL_URL", url.as_str()),
        ("REGISTRY_GC_ENABLED", "false"),
        ("REGISTRY_GC_LEASE", "100ms"),
        ("REGISTRY_GC_GRACE", "0s"),
        ("REGISTRY_GC_UNDELETE_WINDOW", "0s"),
    ];
    let options =
        options.iter().fold(ServerOptions::new(), |options, (name, value)| options.variable(name, value));
    let server = options.start().await;
    let client = server.client();
    let (kept, deleted) = (Image::random(1), Image::random(2));
    client.push("app", "kept", &kept).await.unwrap();
    client.push("app", "deleted", &deleted).await.unwrap();
    let digest = deleted.manifest.digest;
    client.delete(&format!("/v2/app/manifests/{digest}")).expect(202).await;
    eventually("its bytes are gone", async || {
        let run = server.options().run(Program::Gc, &["--report", "json"]).await;
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        (objects(server.data()) == kept.blobs.len()).then_some(())
    })
    .await;
    client.pull("app", "kept", &kept).await.unwrap();

    let checked = server.options().run(Program::Registry, &["fsck", "--deep"]).await;
    let said = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{said:?}");
}

fn objects(data: &Path) -> usize {
    let shards = fs::read_dir(data.join("store/blobs")).unwrap();
    shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

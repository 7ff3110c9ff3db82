//! The way from one machine to many, as `docs/many-nodes.md` has it: nothing is pushed again.

use std::{fs, path::Path};

use registry_testing::{ObjectServer, Program, Pushed, Server, ServerOptions, lists};
use registry_testing_postgres::PostgresServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_moves_into_a_bucket_its_database_into_postgresql_and_nodes_join() {
    let (store, postgres) = (ObjectServer::versitygw(), PostgresServer::shared());

    let folder = ServerOptions::new();
    let mut server = folder.start().await;
    let mut pushed = Pushed::push(&server.client(), 0, 10).await;
    let listed = lists(&server.client()).await;
    stop(&mut server).await;

    // Everything but the lock, under the same names.
    fs::remove_file(folder.data().join("store/lock")).unwrap();
    store.put_folder(&folder.data().join("store"), "store");
    let database = folder.data().join("metadata.sqlite");
    let bucket = ServerOptions::new()
        .in_bucket(store.port())
        .variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")
        .variable("REGISTRY_METADATA_SQLITE_PATH", &database.display().to_string());
    let mut server = bucket.start().await;
    server.log().wait_for("no journal of the database yet").await;
    is_all_there(&server, &pushed, &listed).await;
    pushed.extend(Pushed::push(&server.client(), 10, 10).await);
    let listed = lists(&server.client()).await;
    succeeds(&bucket, &["journal", "verify"]).await;
    stop(&mut server).await;

    succeeds(&bucket, &["journal", "drop"]).await;
    let node = || {
        let node = ServerOptions::new().in_bucket(store.port()).without("REGISTRY_METADATA_SQLITE_PATH");
        node.variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")
    };
    let url = postgres.database();
    let nodes = [(); 3].map(|()| node().variable("REGISTRY_METADATA_POSTGRESQL_URL", &url));
    let from = ["migrate", "--from", path(&database)];
    succeeds(&nodes[0], &from).await;
    let first = nodes[0].start().await;
    is_all_there(&first, &pushed, &listed).await;

    let others = [nodes[1].start().await, nodes[2].start().await];
    pushed.extend(Pushed::push(&others[0].client(), 20, 5).await);
    let listed = lists(&others[0].client()).await;
    for server in [&first, &others[1]] {
        is_all_there(server, &pushed, &listed).await;
    }
    succeeds(&nodes[2], &["fsck", "--deep"]).await;
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn stop(server: &mut Server) {
    server.terminate();
    assert!(server.ended().await.success());
}

async fn is_all_there(server: &Server, pushed: &Pushed, listed: &[String]) {
    assert_eq!(lists(&server.client()).await, listed);
    pushed.check(&server.client()).await;
}

async fn succeeds(options: &ServerOptions, arguments: &[&str]) {
    let output = options.run(Program::Registry, arguments).await;
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&text));
}

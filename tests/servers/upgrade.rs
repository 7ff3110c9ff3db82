//! The program before this one, and this one after it and beside it. `.ci/run upgrade` builds that program and runs these tests.

use std::{path::PathBuf, process::Command};

use registry_testing::{ObjectServer, Program, Pushed, Server, ServerOptions, lists};
use registry_testing_postgres::PostgresServer;

const IMAGES: u64 = 21;

fn earlier() -> PathBuf {
    let path = std::env::var_os("REGISTRY_EARLIER_BIN");
    path.expect("REGISTRY_EARLIER_BIN names the program before this one").into()
}

fn in_bucket(store: &ObjectServer) -> ServerOptions {
    ServerOptions::new().in_bucket(store.port()).variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")
}

fn over_postgres(store: &ObjectServer, url: &str) -> ServerOptions {
    let options = in_bucket(store).without("REGISTRY_METADATA_SQLITE_PATH");
    options.variable("REGISTRY_METADATA_POSTGRESQL_URL", url)
}

async fn stop(server: &mut Server) {
    server.terminate();
    assert!(server.ended().await.success());
}

async fn succeeds(options: &ServerOptions, arguments: &[&str]) {
    let output = options.run(Program::Registry, arguments).await;
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&text));
}

/// The only value that a statement gives.
fn value(url: &str, sql: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--dbname", url, "--command", sql]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Filled by the program before, then opened, listed, pulled and checked by this one, which goes on pushing.
async fn goes_on(options: &ServerOptions) {
    let mut old = options.clone().registry(&earlier()).start().await;
    let mut pushed = Pushed::push(&old.client(), 0, IMAGES).await;
    let expected = lists(&old.client()).await;
    stop(&mut old).await;
    let mut server = options.start().await;
    assert_eq!(lists(&server.client()).await, expected);
    pushed.check(&server.client()).await;
    pushed.extend(Pushed::push(&server.client(), IMAGES, IMAGES).await);
    pushed.check(&server.client()).await;
    stop(&mut server).await;
    succeeds(options, &["fsck", "--deep"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program before this one"]
async fn a_folder_goes_on() {
    goes_on(&ServerOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program before this one"]
async fn a_bucket_with_a_journal_goes_on_and_comes_back() {
    let store = ObjectServer::versitygw();
    let options = in_bucket(&store);
    goes_on(&options).await;
    succeeds(&options, &["journal", "verify"]).await;
    let expected = lists(&options.start().await.client()).await;
    std::fs::remove_dir_all(options.folder().join("disk")).unwrap();
    let server = options.start().await;
    server.log().wait_for("made again from the store's journal").await;
    assert_eq!(lists(&server.client()).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program before this one"]
async fn a_postgresql_database_goes_on() {
    let (store, url) = (ObjectServer::versitygw(), PostgresServer::shared().database());
    goes_on(&over_postgres(&store, &url)).await;
}

/// A rolling upgrade: nodes of both programs serve one database, and what one is told the other knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program before this one"]
async fn nodes_of_both_programs_serve_together() {
    let (store, url) = (ObjectServer::versitygw(), PostgresServer::shared().database());
    let options = || over_postgres(&store, &url);
    let before = options().registry(&earlier()).start().await;
    let mut pushed = Pushed::push(&before.client(), 0, IMAGES).await;
    let new = options();
    let server = new.start().await;
    // One that starts when the schema is new already is either at home in it or told why not.
    let after = options().registry(&earlier()).start().await;
    for (round, node) in [&before, &server, &after].into_iter().enumerate() {
        pushed.extend(Pushed::push(&node.client(), IMAGES * (round as u64 + 1), IMAGES).await);
        for reader in [&before, &server, &after] {
            pushed.check(&reader.client()).await;
        }
    }
    let listed = lists(&server.client()).await;
    assert_eq!(lists(&before.client()).await, listed);
    // A repository that the earlier program makes is in no namespace, until this one has looked.
    let image = registry_testing::Image::random(1);
    after.client().push("late/app", "v1", &image).await.unwrap();
    succeeds(&new, &["garbage-collect"]).await;
    let unplaced = "SELECT COUNT(*) FROM repositories WHERE namespace IS NULL";
    assert_eq!(value(&url, unplaced), "0");
    assert_eq!(value(&url, "SELECT COUNT(*) FROM namespaces WHERE name IN ('late', 'team')"), "2");
    server.client().pull("late/app", "v1", &image).await.unwrap();
    succeeds(&new, &["fsck", "--deep"]).await;
}

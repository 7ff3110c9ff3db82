//! A database of every released program opens with this one, is brought up to date, and holds what it held.

use std::{path::Path, process::Command};

use registry_testing::{Earlier, Program};
use registry_testing_postgres::PostgresServer;

/// A new database with what a dump holds; returns its URL.
fn restored(dump: &Path) -> String {
    let url = PostgresServer::shared().database();
    let mut command = Command::new("psql");
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--output",
        "/dev/null",
        "--set",
        "ON_ERROR_STOP=1",
        "--dbname",
        &url,
    ]);
    let output = command.arg("--file").arg(dump).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_an_earlier_program_opens_and_holds_what_it_held() {
    for earlier in Earlier::all("postgresql") {
        let database = restored(&earlier.beside("postgresql.sql"));
        let options = Earlier::options().variable("REGISTRY_METADATA_POSTGRESQL_URL", &database);
        earlier.unpack(options.folder());
        let mut server = options.start().await;
        earlier.check(&server.client()).await;
        earlier.finish_upload(&server.client()).await;
        earlier.undelete(&options, &server.client()).await;
        let checked = options.run(Program::Registry, &["fsck", "--deep"]).await;
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        server.terminate();
        assert!(server.ended().await.success());
    }
}

//! Data of every released program opens with this one, is brought up to date, and holds what it held.

use std::fs;

use registry_testing::{Earlier, Program, ServerOptions};

/// A folder of an earlier program is served, what was deleted comes back, and the check of everything finds no fault.
async fn is_whole(earlier: &Earlier, options: &ServerOptions) {
    let mut server = options.start().await;
    earlier.check(&server.client()).await;
    earlier.finish_upload(&server.client()).await;
    earlier.undelete(options, &server.client()).await;
    let checked = options.run(Program::Registry, &["fsck", "--deep"]).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    server.terminate();
    assert!(server.ended().await.success());
}

fn journalled() -> ServerOptions {
    let options = Earlier::options();
    let database = options.folder().join("disk/metadata.sqlite").display().to_string();
    options
        .variable("REGISTRY_METADATA_SQLITE_PATH", &database)
        .variable("REGISTRY_METADATA_SQLITE_JOURNAL_ENABLED", "true")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_opens_and_holds_what_it_held() {
    for earlier in Earlier::all("folder") {
        let options = Earlier::options();
        earlier.unpack(options.folder());
        is_whole(&earlier, &options).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_a_journal_opens_and_is_journalled_on() {
    for earlier in Earlier::all("journal") {
        let options = journalled();
        earlier.unpack(options.folder());
        is_whole(&earlier, &options).await;
        let verified = options.run(Program::Registry, &["journal", "verify"]).await;
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

/// Unfinished uploads are not journalled: they are gone with the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_made_again_from_an_earlier_journal() {
    for earlier in Earlier::all("journal") {
        let options = journalled();
        earlier.unpack(options.folder());
        fs::remove_dir_all(options.folder().join("disk")).unwrap();
        let server = options.start().await;
        server.log().wait_for("made again from the store's journal").await;
        earlier.check(&server.client()).await;
        earlier.undelete(&options, &server.client()).await;
    }
}

//! A node over a bucket whose disk is lost, old, or cut off in the middle of a push goes on with everything that it acknowledged:
//! the bucket holds the journal of its database.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use registry_testing::{ObjectServer, Program, Pushed, Server, ServerOptions, eventually, lists};

/// How many images are pushed, unless `REGISTRY_REBUILD_IMAGES` says otherwise; 500 is the long form.
const IMAGES_DEFAULT: u64 = 60;

fn images() -> u64 {
    let text = std::env::var("REGISTRY_REBUILD_IMAGES").ok();
    text.map_or(IMAGES_DEFAULT, |text| text.parse().expect("REGISTRY_REBUILD_IMAGES is a number"))
}

/// Snapshots often enough that there is one, and entries after it.
fn options(store: &ObjectServer) -> ServerOptions {
    let options = ServerOptions::new().in_bucket(store.port());
    options
        .variable("REGISTRY_STORAGE_REDIRECT_DISABLE", "true")
        .variable("REGISTRY_METADATA_SQLITE_JOURNAL_SNAPSHOT_ENTRIES", "100")
}

fn lose_disk(options: &ServerOptions) {
    fs::remove_dir_all(options.folder().join("disk")).unwrap();
}

async fn verify(options: &ServerOptions) {
    let output = options.run(Program::Registry, &["journal", "verify"]).await;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("the journal is intact"), "{text}");
}

async fn fsck(options: &ServerOptions) {
    let output = options.run(Program::Registry, &["fsck", "--deep"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_comes_back_from_the_bucket() {
    let store = ObjectServer::versitygw();
    let options = options(&store);
    let mut server = options.start().await;
    let mut pushed = Pushed::push(&server.client(), 0, images()).await;
    let expected = lists(&server.client()).await;
    verify(&options).await;
    server.kill().await;
    lose_disk(&options);

    let server = options.start().await;
    server.log().wait_for("made again from the store's journal").await;
    assert_eq!(lists(&server.client()).await, expected);
    pushed.check(&server.client()).await;
    // It goes on as before.
    pushed.extend(Pushed::push(&server.client(), images(), 3).await);
    pushed.check(&server.client()).await;
    verify(&options).await;
    fsck(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_push_loses_nothing_acknowledged() {
    let store = ObjectServer::versitygw();
    let options = options(&store);
    let (mut pushed, mut server) = (Pushed::default(), options.start().await);
    for round in 0..4 {
        let count = Arc::new(AtomicU64::new(0));
        let pushing: Vec<_> =
            (0..3).map(|client| push(&server, round * 100 + client, count.clone())).collect();
        eventually("some are pushed", async || (count.load(Relaxed) >= 5 + round).then_some(())).await;
        server.kill().await;
        for pushing in pushing {
            pushed.extend(pushing.await.unwrap());
        }
        lose_disk(&options);
        server = options.start().await;
        pushed.check(&server.client()).await;
    }
    assert!(pushed.count() > 20);
    verify(&options).await;
    fsck(&options).await;
}

/// Pushes until the server is gone, counts what was acknowledged.
fn push(server: &Server, batch: u64, count: Arc<AtomicU64>) -> tokio::task::JoinHandle<Pushed> {
    let client = server.client();
    tokio::spawn(async move {
        let mut pushed = Pushed::default();
        let on_each = || {
            count.fetch_add(1, Relaxed);
        };
        pushed.push_until_it_ends(&client, batch * 1000, on_each).await;
        pushed
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_from_earlier_catches_up() {
    let store = ObjectServer::versitygw();
    let options = options(&store);
    let disk = options.folder().join("disk");
    let mut server = options.start().await;
    let mut pushed = Pushed::push(&server.client(), 0, 10).await;
    server.terminate();
    server.ended().await;
    let earlier = disk.with_extension("earlier");
    fs::create_dir(&earlier).unwrap();
    fs::copy(disk.join("metadata.sqlite"), earlier.join("metadata.sqlite")).unwrap();
    let mut server = options.start().await;
    pushed.extend(Pushed::push(&server.client(), 10, 20).await);
    let expected = lists(&server.client()).await;
    server.kill().await;
    lose_disk(&options);
    fs::rename(&earlier, &disk).unwrap();

    let server = options.start().await;
    assert_eq!(lists(&server.client()).await, expected);
    pushed.check(&server.client()).await;
    verify(&options).await;
    fsck(&options).await;
}

/// Whichever writes first goes on; the other one ends with its first write, or as soon as it looks. What either acknowledged is in
/// the history of the one that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_started_by_mistake_one_stops_and_nothing_acknowledged_is_lost() {
    let store = ObjectServer::versitygw();
    let mut servers = vec![options(&store).start().await];
    let mut pushed = Pushed::push(&servers[0].client(), 0, 3).await;
    servers.push(options(&store).start().await);
    for number in 0..10 {
        for (node, server) in servers.iter().enumerate() {
            // Refused, or cut off, by the one that stops.
            let _ = pushed.push_one(&server.client(), 1000 * (node as u64 + 1) + number).await;
        }
    }
    let is_over = |servers: &mut Vec<Server>| servers.iter_mut().position(|server| !server.is_running());
    let stopped = eventually("one of them stops", async || is_over(&mut servers)).await;
    let log = servers[stopped].log().to_the_end().await;
    assert!(log.contains("another process has stored commit"), "{log}");
    let going_on = 1 - stopped;
    assert!(servers[going_on].is_running(), "both have stopped");
    eprintln!("node {stopped} stopped; {} images were acknowledged", pushed.count());
    assert!(pushed.count() >= 13);
    pushed.check(&servers[going_on].client()).await;

    // The one that stopped has a commit that is not in that history.
    let (_, log) = servers[stopped].options().try_start().await.unwrap_err();
    assert!(log.contains("differ from commit"), "{log}");
    servers[going_on].kill().await;
    lose_disk(servers[going_on].options());
    let again = servers[going_on].options().clone().start().await;
    pushed.check(&again.client()).await;
    verify(again.options()).await;
    fsck(again.options()).await;
}

//! What is to be done in the background is done by one of the nodes, once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use registry_testing::{Client, Content, Image, ServerOptions, eventually};

use super::{cluster::Cluster, wait_until};

const IMAGES: u64 = 40;
const UPLOADS: usize = 30;

/// No upload is given up sooner than after a minute.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(100);

/// Four sweeps come three seconds apart.
const SWEPT_WITHIN: Duration = Duration::from_secs(60);

/// The sum of a number that a line of the log has, over all nodes.
fn sum(cluster: &Cluster, before: &str, after: &str) -> u64 {
    let logs = cluster.nodes.iter().map(|node| node.log().text());
    let counts = logs.map(|log| log.lines().filter_map(|line| number_in(line, before, after)).sum::<u64>());
    counts.sum()
}

fn number_in(line: &str, before: &str, after: &str) -> Option<u64> {
    let rest = &line[..line.find(after)?];
    rest[rest.rfind(before)? + before.len()..].trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_object_is_deleted_by_one_collector() {
    // Without sweeps: one that has listed an object just before it went gives it up once more, if nothing has to age.
    let choose = |options: ServerOptions| {
        options.collecting_all_the_time().variable("REGISTRY_GC_SWEEP", "{interval: 1h}")
    };
    let cluster = Cluster::start(choose).await;
    let client = &cluster.clients[0];
    let mut objects = 0;
    for seed in 0..IMAGES {
        let image = Image::random(seed);
        objects += image.blobs.len() as u64;
        client.push("app", "latest", &image).await.unwrap();
        client.delete(&format!("/v2/app/manifests/{}", image.manifest.digest)).expect(202).await;
    }
    eventually("all is gone", async || (cluster.store.blobs().0 == 0).then_some(())).await;
    eventually("it is in the logs", async || {
        (sum(&cluster, "for deletion, deleted ", " objects") >= objects).then_some(())
    })
    .await;
    assert_eq!(sum(&cluster, "for deletion, deleted ", " objects"), objects);
    let busy =
        cluster.nodes.iter().filter(|node| node.log().text().contains("for deletion, deleted ")).count();
    assert!(busy > 1, "only one of the nodes took part");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_upload_is_given_up_by_one_node() {
    let purge = "{enabled: true, age: 60s, interval: 1s, dryrun: false}";
    let choose = |options: ServerOptions| {
        options.collecting_all_the_time().variable("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING", purge)
    };
    let cluster = Cluster::start(choose).await;
    for number in 0..UPLOADS {
        let client = &cluster.clients[number % cluster.clients.len()];
        begin(client, number as u64).await;
    }
    let given_up = || sum(&cluster, "removed ", " uploads that no client continued");
    wait_until("all are given up", GIVEN_UP_WITHIN, async || given_up() >= UPLOADS as u64).await;
    let left = || (cluster.store.blobs().0, cluster.store.tails(), cluster.store.parts());
    wait_until("nothing of them is left", GIVEN_UP_WITHIN, async || left() == (0, 0, 0)).await;
    assert_eq!(given_up(), UPLOADS as u64);
}

async fn begin(client: &Client, seed: u64) {
    let session = client.begin_upload("app").await.unwrap();
    let content = Content::random(seed, 300_000);
    client.patch(&session.location).body(Bytes::clone(&content.bytes)).expect(202).await;
}

/// Looking through the store costs a listing of it: once a day, not once a day and node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_looked_through_by_one_node() {
    const INTERVAL_SECS: u64 = 3;
    const SWEEPS: usize = 4;
    let choose = |options: ServerOptions| {
        options.variable("REGISTRY_GC_SWEEP", "{interval: 3s, age: 1h, delete: false}")
    };
    let begun = Instant::now();
    let cluster = Cluster::start(choose).await;
    cluster.store.plant("registry/store/blobs/aa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    let sweeps = || -> usize {
        let logs = cluster.nodes.iter().map(|node| node.log().text());
        logs.map(|log| log.matches("that no row refers to").count()).sum()
    };
    wait_until("the store is looked through", SWEPT_WITHIN, async || sweeps() >= SWEEPS).await;
    // Nodes that each swept by themselves would be several times as many.
    let (sweeps, most) = (sweeps() as u64, begun.elapsed().as_secs() / INTERVAL_SECS + 1);
    assert!(sweeps <= most, "{sweeps} times, and not {most}");
}

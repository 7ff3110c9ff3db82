//! Everything goes wrong while clients push to three nodes. Afterwards all that was acknowledged is there, at every node, and
//! nothing else.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use registry_testing::{Client, FaultProxy, Program, ServerOptions, eventually, lists};
use registry_testing_postgres::{Break, PostgresServer};

use super::{
    cluster::{CUT_OFF, Cluster},
    pushers::{Acknowledged, Pushers},
    wait_until,
};
use crate::number;

const LEASE: Duration = Duration::from_secs(10);

/// A node that died in the middle of an upload holds it for a minute, and one whose client never heard of it is given up
/// after a minute.
const CLEAN_WITHIN: Duration = Duration::from_secs(100);

/// The pushers never rest, but a node that meets trouble waits before it tries again.
const TROUBLE_WITHIN: Duration = Duration::from_secs(60);

/// How many uploads may be at their first bytes when something dies.
const PARTS_MAX: usize = 12;

/// The command as it is sent, which is not the end of `READ COMMITTED`.
const COMMIT: &str = "COMMIT\0";

fn collecting(options: ServerOptions) -> ServerOptions {
    options
        .variable("REGISTRY_GC_LEASE", "10s")
        .variable("REGISTRY_GC_GRACE", "1s")
        .variable("REGISTRY_GC_UNDELETE_WINDOW", "0s")
        .variable("REGISTRY_GC_UNTAGGED", "delete")
        .variable("REGISTRY_GC_INTERVAL", "200ms")
        .variable("REGISTRY_GC_RATE", "{candidates: 0, deletes: 0}")
        .variable("REGISTRY_GC_SWEEP", "{interval: 5s, age: 0s, delete: true}")
        .variable(
            "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING",
            "{enabled: true, age: 60s, interval: 1s, dryrun: false}",
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_what_was_acknowledged_is_at_every_node() {
    let rounds = number("REGISTRY_NODES_ROUNDS").unwrap_or(1);
    let mut cluster = Cluster::start(collecting).await;
    let pushers = Pushers::start(&cluster.clients, LEASE);
    pushers.go_on(10).await;
    for _ in 0..rounds {
        a_node_is_killed(&mut cluster, &pushers).await;
        the_database_restarts(&cluster, &pushers).await;
        the_store_is_slow_and_refuses(&cluster, &pushers).await;
        a_node_is_cut_off_in_a_transaction(&cluster, &pushers).await;
    }
    let refusals = pushers.refusals();
    let (acknowledged, left_behind) = pushers.stop().await;
    eprintln!("{} images were acknowledged over {refusals:?}", acknowledged.len());
    assert!(refusals.contains_key("503") && refusals.contains_key("no connection"), "nothing went wrong");

    join_all(cluster.clients.iter().map(|client| all_are_there(client, &acknowledged))).await;
    let listed = lists(&cluster.clients[0]).await;
    for client in &cluster.clients[1..] {
        assert_eq!(lists(client).await, listed);
    }
    fsck(&cluster).await;
    let kept = delete_some(&cluster, acknowledged).await;
    only_these_are_left(&cluster, &kept, &left_behind).await;
    join_all(cluster.clients.iter().map(|client| all_are_there(client, &kept))).await;
    fsck(&cluster).await;
}

async fn a_node_is_killed(cluster: &mut Cluster, pushers: &Pushers) {
    cluster.nodes[0].kill().await;
    pushers.go_on(8).await;
    cluster.kill_and_restart(0).await;
    pushers.go_on(5).await;
    // And without a pause.
    cluster.kill_and_restart(1).await;
    pushers.go_on(5).await;
}

async fn the_database_restarts(cluster: &Cluster, pushers: &Pushers) {
    for end in [PostgresServer::kill, PostgresServer::stop] {
        end(&cluster.database);
        for client in &cluster.clients {
            let answer = client.get("/v2/_catalog").expect(503).await;
            assert!(answer.header("retry-after").is_some());
        }
        cluster.database.resume();
        join_all(cluster.clients.iter().map(serves)).await;
        pushers.go_on(5).await;
    }
}

async fn the_store_is_slow_and_refuses(cluster: &Cluster, pushers: &Pushers) {
    for (trouble, connections) in
        [(FaultProxy::be_down as fn(&FaultProxy, bool), 10), (FaultProxy::be_evil, 40)]
    {
        let before = cluster.to_store.troubles();
        trouble(&cluster.to_store, true);
        let met = || cluster.to_store.troubles() - before;
        wait_until("requests met trouble", TROUBLE_WITHIN, async || met() >= connections).await;
        trouble(&cluster.to_store, false);
        pushers.go_on(5).await;
    }
}

/// The others go on although it holds locks: the server gives those up.
async fn a_node_is_cut_off_in_a_transaction(cluster: &Cluster, pushers: &Pushers) {
    cluster.to_database.break_once(Break::SilentBefore(COMMIT));
    eventually("a transaction is cut off", async || cluster.to_database.has_broken().then_some(())).await;
    pushers.go_on(10).await;
    cluster.clients[CUT_OFF].get("/v2/_catalog").expect(503).await;
    cluster.to_database.silence(false);
    serves(&cluster.clients[CUT_OFF]).await;
    pushers.go_on(5).await;
}

async fn serves(client: &Client) {
    eventually("the database is found again", async || {
        (client.get("/v2/_catalog").send().await.ok()?.status == 200).then_some(())
    })
    .await;
}

async fn all_are_there(client: &Client, acknowledged: &[Acknowledged]) {
    for Acknowledged { repository, tag, image } in acknowledged {
        let pulled = client.pull(repository, tag, image).await;
        pulled.unwrap_or_else(|error| panic!("{repository}:{tag}: {error}"));
    }
}

async fn fsck(cluster: &Cluster) {
    let output = cluster.nodes[0].options().run(Program::Registry, &["fsck", "--deep"]).await;
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said:?}");
}

/// Two of three, at any node; returns the others.
async fn delete_some(cluster: &Cluster, acknowledged: Vec<Acknowledged>) -> Vec<Acknowledged> {
    let mut kept = Vec::new();
    for (number, one) in acknowledged.into_iter().enumerate() {
        let client = &cluster.clients[number % cluster.clients.len()];
        // Those of one client come one after another, so this takes a middle part of each.
        if number % 3 == 0 {
            kept.push(one);
        } else {
            let path = format!("/v2/{}/manifests/{}", one.repository, one.image.manifest.digest);
            client.delete(&path).expect(202).await;
        }
    }
    kept
}

/// Uploads that clients know of and did not finish are cancelled by them; the others are given up.
async fn only_these_are_left(cluster: &Cluster, kept: &[Acknowledged], left_behind: &[String]) {
    let blobs = kept.iter().flat_map(|one| &one.image.blobs);
    let reachable: BTreeMap<_, _> = blobs.map(|blob| (blob.digest, blob.bytes.len() as u64)).collect();
    let expected = ((reachable.len(), reachable.values().sum()), 0);
    let begun = Instant::now();
    let mut left = expected;
    while begun.elapsed() < CLEAN_WITHIN {
        for upload in left_behind {
            let _ = cluster.clients[0].delete(upload).send().await;
        }
        left = (cluster.store.blobs(), cluster.store.tails());
        if left == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(left, expected, "blobs with their bytes, tails");
    // A node that dies, or does not get an answer, before it has saved an upload for the first time leaves parts that no row
    // knows; a bucket's lifecycle rule is for those. Whatever was saved is gone.
    let parts = cluster.store.parts();
    assert!(parts <= PARTS_MAX, "{parts} parts are left");
    eprintln!("only what can be reached was left after {:?}, and {parts} parts", begun.elapsed());
}

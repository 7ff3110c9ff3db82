//! Clients of every kind whose requests go to any of three nodes, while collectors run in each node and beside them, and leases
//! last seconds: no image breaks, and nobody is told that something is gone which was promised to be there.

use std::time::Duration;

use registry_testing::{ServerOptions, Soaked, nothing_but_what_is_reachable_is_left};

use super::cluster::Cluster;
use crate::number;

/// How long the soak runs, unless `REGISTRY_SOAK_SECONDS` says otherwise.
const SECONDS_DEFAULT: u64 = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_image_breaks_while_collectors_run_on_every_node() {
    let seconds = number("REGISTRY_SOAK_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let seed = number("REGISTRY_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("REGISTRY_SOAK_SEED={seed} REGISTRY_SOAK_SECONDS={seconds}");
    let cluster = Cluster::start(ServerOptions::collecting_all_the_time).await;
    let options = cluster.nodes[0].options();
    let soaked = Soaked::run(seed, Duration::from_secs(seconds), &cluster.clients, options).await;
    let Soaked { workers, operations, collections } = soaked;
    eprintln!(
        "{operations} operations and {collections} collections, no image broken, nothing promised was gone"
    );
    assert!(operations > 0 && collections > 0);
    nothing_but_what_is_reachable_is_left(&workers, &cluster.clients, options, || cluster.store.blobs())
        .await;
    assert_eq!((cluster.store.tails(), cluster.store.parts()), (0, 0), "nothing of an upload is left");
}

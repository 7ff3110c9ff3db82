//! The races that break registries, each in the order in which it breaks them.
//!
//! | Race | Where |
//! |---|---|
//! | 1–13, 15, 18, 21 | here, by number |
//! | 14, pages with inserts between them | the metadata's contract, `tags_between_pages_do_no_harm`; over HTTP, `pages_stay_whole_while_tags_come_and_go` |
//! | 16, a cache filled against its eviction; 17, a node with a stale cache | nothing is cached: membership, tags and manifests are read from the database, and the contract's races go through two connections to it |
//! | 19, an older database over a newer store, and the reverse | `sweep::a_database_that_is_older_than_the_store_is_not_swept`; `fsck::bytes_that_are_missing_are_hidden_and_heal_when_they_are_pushed_again` |
//! | 20, a quota counted when a commit aborts | `race_20_…` of the contract of metadata, `registry-metadata/src/contract/quotas.rs` |
//! | 21, on a file system: unlink against open | the store's contract, run over files: `an_opened_object_outlives_its_removal` |

mod blobs;
mod manifests;

use std::time::Duration;

use registry_digest::{Algorithm, Digest};
use registry_metadata::{Options, traits::*};
use registry_storage::BlobStore;
use registry_types::{Cause, RepositoryName};

use crate::{
    stage::{Client, Fate, Stage, image, sweep},
    world::DAY,
};

fn options() -> Options {
    Options { undelete_window: Duration::ZERO, ..Options::default() }
}

fn a() -> RepositoryName {
    "a".parse().unwrap()
}

fn b() -> RepositoryName {
    "b".parse().unwrap()
}

fn digest(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// All leases are over.
fn leases_end(stage: &Stage) {
    stage.world.clock.advance(stage.options.lease * 2);
}

/// Whatever is not in use goes, bytes and all.
async fn collect_everything(stage: &Stage) {
    for _ in 0..5 {
        leases_end(stage);
        stage.collect().await;
    }
}

async fn stored(stage: &Stage) -> usize {
    stage.world.store.list(None, 1000).await.unwrap().len()
}

/// What went is gone to the last byte, and what stays is whole.
async fn nothing_but(stage: &Stage, objects: usize) {
    stage.check().await.unwrap();
    collect_everything(stage).await;
    stage.check().await.unwrap();
    assert_eq!(stored(stage).await, objects);
    assert_eq!(stage.world.metadata.objects(None, 1000).await.unwrap().len(), objects);
    assert_eq!(stage.world.metadata.reclaimable(1000).await.unwrap(), []);
}

/// Old bytes whose row is gone; and a blob of `a` that nothing uses and whose lease is over. A collection has all of its
/// steps to do.
async fn garbage(stage: &Stage) {
    let client = stage.client();
    client.push_blob(&a(), b"old").await.unwrap();
    leases_end(stage);
    stage.collect().await;
    client.push_blob(&a(), b"unused").await.unwrap();
    leases_end(stage);
}

/// Does `what` before each step of a collection, each time in a registry of its own; `then` comes after the collection.
async fn before_each_step<T>(
    prepare: impl AsyncFn(&Stage),
    what: impl AsyncFn(&mut Stage) -> T,
    then: impl AsyncFn(&mut Stage, T),
) {
    for steps in 0.. {
        let mut stage = Stage::new(options());
        prepare(&stage).await;
        let mut collector = stage.collector().await;
        for _ in 0..steps {
            collector.step(0, Fate::Done).await;
            if collector.is_over() {
                assert!(steps > 5, "a collection has more steps");
                return;
            }
        }
        let done = what(&mut stage).await;
        stage.check().await.unwrap();
        collector.rest().await;
        stage.check().await.unwrap();
        then(&mut stage, done).await;
        stage.check().await.unwrap();
    }
}

#[tokio::test]
async fn race_15_the_clock_of_a_collector_is_hours_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::in_file(options(), &folder.path().join("registry.db"));
    let ahead = stage.options.lease / 2;
    let client = stage.client();
    let blob = client.push_blob(&a(), b"content").await.unwrap();
    for _ in 0..3 {
        assert!(client.head(&a(), &blob).await.unwrap());
        stage.world.clock.advance(stage.options.lease - Duration::from_millis(1));
        stage.collect_ahead(ahead).await;
        stage.check().await.unwrap();
    }
    client.put(&a(), &image(&blob, &blob, None), &["v1"]).await.unwrap();
    stage.collect_ahead(DAY * 365).await;
    stage.check().await.unwrap();
}

#[tokio::test]
async fn race_18_an_upload_is_completed_after_it_was_given_up() {
    for steps in 0.. {
        let mut stage = Stage::new(options());
        let mut pusher = stage
            .actor("pusher", async |client| {
                let id = client.start(&a()).await.unwrap();
                let _ = client.finish(&a(), id, b"content").await;
            })
            .await;
        let mut is_over = false;
        for _ in 0..steps {
            pusher.step(0, Fate::Done).await;
            is_over = pusher.is_over();
        }
        if is_over {
            return;
        }
        // Sessions end with their repository, whoever writes to them.
        let _ = stage.client().metadata.delete_repository(&a(), &Cause::UNKNOWN).await;
        for _ in 0..3 {
            stage.collect().await;
        }
        pusher.rest().await;
        for _ in 0..2 {
            sweep(&stage.client()).run().await.unwrap();
            stage.world.clock.advance(DAY);
        }
        nothing_but(&stage, 0).await;
    }
}

#[tokio::test]
async fn race_21_bytes_go_while_somebody_is_about_to_read_them() {
    let mut stage = Stage::new(options());
    let client = stage.client();
    let blob = client.push_blob(&a(), b"content").await.unwrap();
    let read = async move |client: Client| client.read(&a(), &blob).await.unwrap();
    let mut reader = stage.actor("reader", read).await;
    reader.until("open").await;
    client.metadata.delete_blob(&a(), &blob).await.unwrap();
    stage.collect().await;
    stage.world.clock.advance(stage.options.read_grace - Duration::from_millis(1));
    stage.collect().await;
    reader.rest().await;
    stage.check().await.unwrap();
    assert_eq!(stored(&stage).await, 1);
    stage.world.clock.advance(Duration::from_millis(1));
    stage.collect().await;
    assert_eq!(stored(&stage).await, 0);
}

//! Blobs that are pushed, mounted, looked for and collected.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::RepositoryName;

use super::{a, b, before_each_step, collect_everything, digest, garbage, leases_end, nothing_but, options};
use crate::{
    stage::{Actor, Fate, Stage, image, sweep},
    world::DAY,
};

/// Most of a lease passes, with collections. Then an image of a blob is pushed.
async fn uses_late(stage: &Stage, repository: &RepositoryName, blob: &Digest) {
    stage.world.clock.advance(stage.options.lease - Duration::from_millis(1));
    stage.collect().await;
    stage.client().put(repository, &image(blob, blob, None), &["v1"]).await.unwrap();
    nothing_but(stage, 1).await;
}

#[tokio::test]
async fn race_01_head_then_collection_then_manifest() {
    let head = async |stage: &mut Stage| stage.client().head(&a(), &digest(b"unused")).await.unwrap();
    before_each_step(garbage, head, async |stage, is_there| {
        if is_there {
            uses_late(stage, &a(), &digest(b"unused")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn race_02_upload_then_collection_at_once() {
    for content in [&b"unused"[..], b"old", b"new"] {
        let push = async |stage: &mut Stage| {
            let digest = stage.client().push_blob(&a(), content).await.unwrap();
            stage.world.clock.advance(Duration::from_millis(1));
            digest
        };
        before_each_step(garbage, push, async |stage, digest| uses_late(stage, &a(), &digest).await).await;
    }
}

#[tokio::test]
async fn race_03_mount_without_touching() {
    let mount = async |stage: &mut Stage| stage.client().mount(&a(), &b(), &digest(b"unused")).await.unwrap();
    let use_it = async |stage: &mut Stage, is_mounted| {
        if is_mounted {
            uses_late(stage, &b(), &digest(b"unused")).await;
        }
    };
    before_each_step(garbage, mount, use_it).await;
    // It is there already, but nothing keeps it.
    let mounted = async |stage: &Stage| {
        let client = stage.client();
        client.push_blob(&b(), b"unused").await.unwrap();
        garbage(stage).await;
    };
    before_each_step(mounted, mount, use_it).await;
}

/// Somebody pushes the same content again, and uses it.
async fn pushes_again(stage: &Stage) {
    let blob = stage.client().push_blob(&a(), b"old").await.unwrap();
    stage.client().put(&a(), &image(&blob, &blob, None), &["v1"]).await.unwrap();
}

#[tokio::test]
async fn race_04_pushed_again_while_the_delete_is_in_flight() {
    // Not yet sent; sent, failed, and late; done, and once more.
    for fate in [Fate::Done, Fate::Late, Fate::Again, Fate::AnswerLost] {
        for before in [true, false] {
            let mut stage = Stage::new(options());
            garbage(&stage).await;
            let mut collector = stage.collector().await;
            collector.until("delete").await;
            if before {
                pushes_again(&stage).await;
            }
            collector.past("delete", fate).await;
            if !before {
                pushes_again(&stage).await;
            }
            stage.check().await.unwrap();
            stage.arrive().await;
            stage.check().await.unwrap();
            collector.rest().await;
            stage.arrive().await;
            nothing_but(&stage, 1).await;
        }
    }
}

#[tokio::test]
async fn race_05_a_write_that_is_retried_after_it_had_succeeded() {
    for is_used in [true, false] {
        let mut stage = Stage::new(options());
        let mut pusher = stage
            .actor("pusher", async |client| {
                client.push_blob(&a(), b"old").await.unwrap();
            })
            .await;
        pusher.past("finish", Fate::Again).await;
        pusher.rest().await;
        if is_used {
            let blob = digest(b"old");
            stage.client().put(&a(), &image(&blob, &blob, None), &["v1"]).await.unwrap();
        }
        collect_everything(&stage).await;
        stage.arrive().await;
        stage.check().await.unwrap();
        // Its row is gone, so that it is nobody's; two sweeps find that.
        for _ in 0..2 {
            sweep(&stage.client()).run().await.unwrap();
            stage.world.clock.advance(DAY);
        }
        nothing_but(&stage, usize::from(is_used)).await;
    }
}

#[tokio::test]
async fn race_06_a_collector_pauses_between_any_two_steps() {
    for pause in [Duration::from_secs(60 * 60), DAY * 10] {
        let pushes = async |stage: &mut Stage| {
            pushes_again(stage).await;
            stage.world.clock.advance(pause);
            stage.client().push_blob(&a(), b"unused").await.unwrap()
        };
        before_each_step(garbage, pushes, async |stage, blob| {
            stage.client().put(&a(), &image(&blob, &blob, None), &["v2"]).await.unwrap();
            nothing_but(stage, 2).await;
        })
        .await;
    }
}

#[tokio::test]
async fn race_07_two_collectors_on_one_digest() {
    let collect = async |stage: &mut Stage| stage.collect().await;
    before_each_step(garbage, collect, async |stage, ()| nothing_but(stage, 0).await).await;
    // And each step of one after each step of the other.
    let mut stage = Stage::new(options());
    garbage(&stage).await;
    let mut collectors = [stage.collector().await, stage.collector().await];
    while !collectors.iter().all(Actor::is_over) {
        for collector in collectors.iter_mut().filter(|collector| !collector.is_over()) {
            collector.step(0, Fate::Done).await;
        }
        stage.check().await.unwrap();
    }
    nothing_but(&stage, 0).await;
}

/// Lets somebody do so many steps and then die. Whether it came so far.
async fn dies_after(mut actor: Actor, steps: usize) -> bool {
    for _ in 0..steps {
        if actor.is_over() {
            return false;
        }
        actor.step(0, Fate::Done).await;
    }
    !actor.is_over()
}

#[tokio::test]
async fn race_08_a_collector_is_killed_at_each_step() {
    for steps in 0.. {
        let mut stage = Stage::new(options());
        garbage(&stage).await;
        let collector = stage.collector().await;
        let is_killed = dies_after(collector, steps).await;
        nothing_but(&stage, 0).await;
        if !is_killed {
            return;
        }
    }
}

#[tokio::test]
async fn race_09_a_writer_is_killed_at_each_step() {
    for steps in 0.. {
        let mut stage = Stage::new(options());
        let pusher = stage.actor("pusher", async |client| {
            let id = client.start(&a()).await.unwrap();
            client.append(&a(), id, b"content").await.unwrap();
            client.finish(&a(), id, b"content").await.unwrap();
            let blob = digest(b"content");
            client.put(&a(), &image(&blob, &blob, None), &[]).await.unwrap();
        });
        let pusher = pusher.await;
        let is_killed = dies_after(pusher, steps).await;
        stage.check().await.unwrap();
        // Pushed again at once, by a client that does not know how far it came.
        stage.client().push_blob(&b(), b"content").await.unwrap();
        leases_end(&stage);
        stage.world.metadata.expire_uploads(stage.options.lease, 10).await.unwrap();
        nothing_but(&stage, 0).await;
        if !is_killed {
            return;
        }
    }
}

//! Pushes, deletions, whole repositories that go and come, and counts from the start, at two nodes at once: what is
//! counted at the end is what is there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use registry_testing_postgres::PostgresServer;
use registry_types::Cause;

use super::{
    super::PostgresStore,
    backend::open,
    images::{digest, image, put, repo, tag, try_push_blob},
};
use crate::{MetadataError, Options, Quota, Result, traits::*};

/// How many steps all clients take together: the counts from the start begin after a fifth of them.
const STEPS: usize = 1000;

/// How long that may take.
const STEPS_TIMEOUT: Duration = Duration::from_secs(60);

const CLIENTS: usize = 6;
const CONTENTS: u64 = 5;

fn quota(prefix: &str, tags_max: u64) -> Quota {
    let (bytes_max, tags_max) = (Some(100_000), Some(tags_max));
    Quota { prefix: prefix.to_owned(), bytes_max, held_max: Some(100_000), tags_max }
}

async fn wait_for_steps(done: &AtomicUsize, steps: usize) {
    let wait = async {
        while done.load(Ordering::Relaxed) < steps {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(STEPS_TIMEOUT, wait).await.expect("the clients go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_follow_whatever_happens_at_once() {
    let url = PostgresServer::shared().database();
    let options = Options { quotas: vec![quota("", 5), quota("team/", 4)], ..Options::default() };
    let stores = [Arc::new(open(&url, &options).await), Arc::new(open(&url, &options).await)];
    let (done, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut running = Vec::new();
    for client in 0..CLIENTS {
        let (store, done, is_over) = (stores[client % 2].clone(), done.clone(), is_over.clone());
        running.push(tokio::spawn(async move {
            let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(client as u64 + 1) | 1;
            while !is_over.load(Ordering::Relaxed) {
                may_fail(step(&store, &mut random).await);
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    wait_for_steps(&done, STEPS / 5).await;
    stores[0].begin_quotas().await.unwrap();
    wait_for_steps(&done, STEPS).await;
    is_over.store(true, Ordering::Relaxed);
    for task in running {
        task.await.unwrap();
    }
    assert_eq!(stores[1].verify().await.unwrap(), [""; 0]);
    let usage = stores[1].quota_usage().await.unwrap();
    assert!(usage.iter().all(|usage| usage.usage.unwrap().tags < 20), "{usage:?}");
}

fn below(random: &mut u64, limit: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % limit
}

/// What others did in between may stand in the way; a database that does not answer may not.
fn may_fail(result: Result<()>) {
    if let Err(
        MetadataError::Backend { .. } | MetadataError::Unavailable { .. } | MetadataError::NoSpace { .. },
    ) = result
    {
        panic!("{result:?}")
    }
}

async fn step(store: &PostgresStore, random: &mut u64) -> Result<()> {
    let repository = ["team/a", "team/b", "other"][below(random, 3) as usize];
    let [config, layer] = [(); 2].map(|()| format!("content {}", below(random, CONTENTS)));
    let (name, version) = (repo(repository), format!("v{}", below(random, 4)));
    match below(random, 20) {
        0..=7 => {
            for content in [&config, &layer] {
                try_push_blob(store, repository, content).await?;
            }
            put(store, repository, &image(&digest(&config), &[digest(&layer)]), &[&version], false).await?;
        }
        8..=9 => {
            // The manifest first, as a mirror does.
            put(store, repository, &image(&digest(&config), &[digest("late")]), &[], true).await?;
            try_push_blob(store, repository, "late").await?;
        }
        10..=12 => {
            let manifest =
                image(&digest(&config), &[digest(&layer)]).digest(registry_digest::Algorithm::Sha256);
            store.delete_manifest(&name, &manifest, &Cause::UNKNOWN).await?;
        }
        13..=14 => store.delete_tag(&name, &tag(&version), &Cause::UNKNOWN).await?,
        15 => drop(store.restore(&name, &tag(&version).into(), &Cause::UNKNOWN).await?),
        16 => store.delete_repository(&name, &Cause::UNKNOWN).await?,
        17..=18 => store.restore_repository(&name, &Cause::UNKNOWN).await?,
        _ => store.recount_quotas().await?,
    }
    Ok(())
}

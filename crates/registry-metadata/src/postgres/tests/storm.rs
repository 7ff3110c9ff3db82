//! Clients at two nodes and two collectors, all at once, with leases of a moment: what was promised is there as long as
//! was promised, and at the end nothing dangles.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use registry_testing_postgres::PostgresServer;
use registry_types::Cause;

use super::{
    backend::{PostgresProbe, open},
    images::{digest, image, put, repo, tag, try_push_blob},
};
use crate::{
    CollectRules, Collected, Kept, MetadataError, Options, Purpose, Verdict, contract::Probe, traits::*,
};

const LEASE: Duration = Duration::from_millis(400);
const LASTS: Duration = Duration::from_secs(8);
const CLIENTS: usize = 6;
const CONTENTS: u64 = 8;

#[derive(Default)]
struct Counts {
    kept: AtomicUsize,
    deleted: AtomicUsize,
    collected: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_promised_is_taken_and_nothing_dangles() {
    let url = PostgresServer::shared().database();
    let options = Options { lease: LEASE, undelete_window: Duration::ZERO, ..Options::default() };
    let stores = [Arc::new(open(&url, &options).await), Arc::new(open(&url, &options).await)];
    let (counts, is_over) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let mut running = Vec::new();
    for client in 0..CLIENTS {
        let (store, counts, is_over) = (stores[client % 2].clone(), counts.clone(), is_over.clone());
        running.push(tokio::spawn(async move {
            let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(client as u64 + 1) | 1;
            while !is_over.load(Ordering::Relaxed) {
                step(&*store, &mut random, &counts).await;
            }
        }));
    }
    for store in stores.clone() {
        let (counts, is_over) = (counts.clone(), is_over.clone());
        running.push(tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let collected = store.collect(&CollectRules { untagged: true }, 20).await.unwrap();
                let failed = |it: &Collected| matches!(it.verdict, Verdict::Kept(Kept::Failed { .. }));
                assert!(!collected.iter().any(failed), "{collected:?}");
                counts.collected.fetch_add(collected.len(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }));
    }
    tokio::time::sleep(LASTS).await;
    is_over.store(true, Ordering::Relaxed);
    for task in running {
        task.await.unwrap();
    }
    let counts =
        [&counts.kept, &counts.deleted, &counts.collected].map(|count| count.load(Ordering::Relaxed));
    eprintln!("{counts:?} promises kept, manifests deleted, entries collected");
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    nothing_dangles(&PostgresProbe::connect(&url).await).await;
}

fn below(random: &mut u64, limit: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % limit
}

async fn step(store: &dyn MetadataStore, random: &mut u64, counts: &Counts) {
    let repository = ["a", "b"][below(random, 2) as usize];
    let other = if repository == "a" { "b" } else { "a" };
    let content = format!("content {}", below(random, CONTENTS));
    match below(random, 10) {
        0..=5 => {
            // As a client does: asks, pushes or mounts what is not there, waits a while, and pushes an image of it.
            let (name, blob) = (repo(repository), digest(&content));
            let mut told = Instant::now();
            let is_here = store.blob(&name, &blob, Purpose::Promise).await.unwrap().is_some();
            if !is_here && !store.mount_blob(&repo(other), &name, &blob).await.unwrap() {
                told = Instant::now();
                try_push_blob(store, repository, &content).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(below(random, 250))).await;
            let name = format!("v{}", below(random, 4));
            let pushed = put(store, repository, &image(&blob, &[]), &[&name], false).await;
            if told.elapsed() < LEASE {
                pushed.unwrap();
                counts.kept.fetch_add(1, Ordering::Relaxed);
            }
        }
        6 => {
            // A whole push as a mirror makes it: the manifest first.
            put(store, repository, &image(&digest(&content), &[]), &["mirrored"], true).await.unwrap();
            try_push_blob(store, repository, &content).await.unwrap();
        }
        7 => {
            let manifest = image(&digest(&content), &[]).digest(registry_digest::Algorithm::Sha256);
            match store.delete_manifest(&repo(repository), &manifest, &Cause::UNKNOWN).await {
                Ok(_) => drop(counts.deleted.fetch_add(1, Ordering::Relaxed)),
                Err(MetadataError::ManifestUnknown { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        _ => {
            let tag = tag(&format!("v{}", below(random, 4)));
            match store.delete_tag(&repo(repository), &tag, &Cause::UNKNOWN).await {
                Ok(()) | Err(MetadataError::TagUnknown { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

async fn nothing_dangles(probe: &PostgresProbe) {
    for (what, sql) in [
        (
            "a reference to what is here has its foreign key",
            "SELECT COUNT(*) FROM manifest_blobs m JOIN repository_blobs b USING (repository, digest)
                WHERE m.target IS NULL",
        ),
        (
            "what nothing refers to is queued",
            "SELECT COUNT(*) FROM repository_blobs b
                WHERE NOT EXISTS (SELECT 1 FROM manifest_blobs m WHERE m.repository = b.repository AND m.digest = b.digest)
                AND NOT EXISTS (SELECT 1 FROM gc_queue q
                    WHERE q.kind = 'blob' AND q.repository = b.repository AND q.digest = b.digest)",
        ),
        (
            "a manifest without a tag is queued",
            "SELECT COUNT(*) FROM manifests m
                WHERE NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
                AND m.lease_until > now_ms()
                AND NOT EXISTS (SELECT 1 FROM gc_queue q
                    WHERE q.kind = 'manifest' AND q.repository = m.repository AND q.digest = m.digest)",
        ),
        (
            "a digest without a repository is queued",
            "SELECT COUNT(*) FROM digests d WHERE NOT EXISTS (SELECT 1 FROM repository_blobs b WHERE b.digest = d.digest)
                AND NOT EXISTS (SELECT 1 FROM gc_queue q WHERE q.kind = 'digest' AND q.digest = d.digest)",
        ),
        ("a kept object is not to be deleted", "SELECT COUNT(*) FROM objects JOIN reclaim USING (location)"),
        (
            "a repository is listed if it has a manifest",
            "SELECT COUNT(*) FROM repositories r
                WHERE (listed = 1) <> EXISTS (SELECT 1 FROM manifests m WHERE m.repository = r.id)",
        ),
    ] {
        assert_eq!(probe.rows(sql).await, ["0"], "{what}");
    }
}

//! What a collection costs, on a registry with many images of which a thousand were deleted:
//! `cargo run --release -p registry-collector --example collection_cost -- 10000 100000`
//!
//! The time must follow what became garbage and not what is stored. The database is in a file, as a server has it; bytes
//! are in memory, so that it is the collector that is measured and not a disk.

// An example of a command: what it finds out is its output, and what fails may end it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_collector::{Collector, CollectorOptions};
use registry_digest::{Algorithm, Digest};
use registry_metadata::{
    FinishUpload, NewUpload, Options, PutManifest, SqliteStore, clock::ManualClock, traits::*,
};
use registry_storage::MemoryStore;
use registry_types::{Cause, Location, Manifest, RepositoryName, UploadId};

/// How many images are deleted, whatever their number.
const DELETED: usize = 1000;

/// How many images are pushed at once, so that they share commits.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() {
    let counts: Vec<usize> = std::env::args().skip(1).map(|count| count.parse().unwrap()).collect();
    for count in if counts.is_empty() { vec![10_000, 100_000] } else { counts } {
        measure(count).await;
    }
}

async fn measure(images: usize) {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at_ms(1_790_000_000_000);
    let options = Options { undelete_window: Duration::ZERO, ..Options::default() };
    let path = folder.path().join("metadata.sqlite");
    let metadata = Arc::new(SqliteStore::open(&path, options.clone(), Arc::new(clock.clone())).unwrap());
    let mut digests = Vec::with_capacity(images);
    for first in (0..images).step_by(AT_ONCE) {
        let some = (first..images.min(first + AT_ONCE)).map(|number| push(metadata.clone(), number));
        digests.extend(futures_util::future::join_all(some).await);
    }
    let store = Arc::new(MemoryStore::new());
    let collector = Collector::new(metadata.clone(), store, CollectorOptions::default().unlimited());
    // What was queued for the ends of leases, and is in use.
    clock.advance(options.lease * 2);
    let begun = Instant::now();
    let settled = collector.collect(&()).await;
    println!(
        "{images} images: {} leases of used blobs looked at in {:?}",
        settled.looked_at,
        begun.elapsed()
    );

    for (repository, digest) in digests.iter().step_by(images / DELETED) {
        metadata.delete_manifest(repository, digest, &Cause::UNKNOWN).await.unwrap();
    }
    clock.advance(options.lease * 2);
    let begun = Instant::now();
    let report = collector.collect(&()).await;
    let took = begun.elapsed();
    println!("{images} images, {DELETED} deleted: {} candidates in {took:?}", report.looked_at);
}

/// An image of a config and two layers, of which one is shared by a hundred images.
async fn push(metadata: Arc<SqliteStore>, number: usize) -> (RepositoryName, Digest) {
    let repository: RepositoryName = format!("team/app{}", number % 1000).parse().unwrap();
    let contents = [format!("config {number}"), format!("layer {number}"), format!("base {}", number / 100)];
    let mut blobs = Vec::new();
    for (part, content) in contents.iter().enumerate() {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let seed = Digest::of(Algorithm::Sha256, format!("{number} {part}").as_bytes());
        let id = UploadId::from_random(*seed.as_bytes().first_chunk().unwrap());
        let (location, algorithm) = (Location::of_upload(&id), Algorithm::Sha256);
        let new = NewUpload { id, repository: repository.clone(), location, algorithm };
        metadata.start_upload(&new).await.unwrap();
        let epoch = metadata.claim_upload(&repository, &id).await.unwrap().epoch;
        let (repository, size_bytes) = (repository.clone(), 1000);
        let finish = FinishUpload { repository, id, epoch, digest, size_bytes, replaces: None };
        metadata.finish_upload(&finish).await.unwrap();
        metadata.release_upload(&id, epoch);
        blobs.push(digest);
    }
    let manifest = manifest(&blobs);
    let digest = manifest.digest(Algorithm::Sha256);
    let tag = format!("t{number}").parse().unwrap();
    let put = PutManifest {
        repository: &repository,
        digest,
        manifest: &manifest,
        tags: &[tag],
        required: &blobs,
        required_children: &[],
        cause: &Cause::UNKNOWN,
    };
    metadata.put_manifest(&put).await.unwrap();
    (repository, digest)
}

fn manifest(blobs: &[Digest]) -> Manifest {
    let layer = |digest: &Digest| serde_json::json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": 1000 });
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.example.config.v1+json", "digest": blobs[0], "size": 1000 },
        "layers": blobs[1..].iter().map(layer).collect::<Vec<_>>(),
    });
    Manifest::parse(None, Bytes::from(document.to_string())).unwrap()
}

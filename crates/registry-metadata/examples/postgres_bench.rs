//! What the operations of a registry cost over PostgreSQL, on one machine: a server that is started here, durable, reached
//! over 127.0.0.1.
//!
//! `cargo run --release -p registry-metadata --features postgres-server --example postgres_bench`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_metadata::{FinishUpload, NewUpload, Options, PostgresStore, Purpose, PutManifest, traits::*};
use registry_testing_postgres::PostgresServer;
use registry_types::{Cause, Location, Manifest, Reference, RepositoryName, Tag, UploadId};

const LASTS: Duration = Duration::from_secs(2);
const LAYERS: usize = 8;

static NEXT: AtomicU64 = AtomicU64::new(1);

#[derive(Clone)]
struct Bench {
    store: Arc<PostgresStore>,
    name: RepositoryName,
    blobs: Vec<Digest>,
}

#[tokio::main]
async fn main() {
    let server = PostgresServer::start();
    let options = server.database().parse().unwrap();
    let store = Arc::new(PostgresStore::open(&options, Options::default()).await.unwrap());
    let mut bench = Bench { store, name: "team/app".parse().unwrap(), blobs: Vec::new() };
    for _ in 0..=LAYERS {
        let blob = bench.push_blob().await;
        bench.blobs.push(blob);
    }
    bench.push_manifest("latest").await;
    for clients in [1, 16] {
        println!("{clients} at once:");
        let latest: Reference = "latest".parse().unwrap();
        let blob = bench.blobs[0];
        measure("blob", clients, &bench, async |b| {
            b.store.blob(&b.name, &blob, Purpose::Read).await.unwrap().unwrap();
        })
        .await;
        measure("blob, promised", clients, &bench, async |b| {
            b.store.blob(&b.name, &blob, Purpose::Promise).await.unwrap().unwrap();
        })
        .await;
        measure("manifest by tag", clients, &bench, async |b| {
            b.store.manifest(&b.name, &latest, Purpose::Read).await.unwrap().unwrap();
        })
        .await;
        measure("push a blob", clients, &bench, async |b| {
            b.push_blob().await;
        })
        .await;
        measure("push a manifest of 9 blobs", clients, &bench, async |b| {
            b.push_manifest(&format!("v{}", NEXT.fetch_add(1, Ordering::Relaxed))).await;
        })
        .await;
    }
}

async fn measure(what: &str, clients: usize, bench: &Bench, work: impl AsyncFn(&Bench)) {
    let (started, count) = (Instant::now(), AtomicU64::new(0));
    let client = async || {
        while started.elapsed() < LASTS {
            work(bench).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    futures_util::future::join_all((0..clients).map(|_| client())).await;
    let count = count.load(Ordering::Relaxed) as f64;
    let each_us = started.elapsed().as_secs_f64() * 1e6 * clients as f64 / count;
    println!("  {what:28} {:9.0} a second, {each_us:7.0} µs each", count / started.elapsed().as_secs_f64());
}

impl Bench {
    async fn push_blob(&self) -> Digest {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = UploadId::from_random(u128::from(number).to_be_bytes());
        let (location, algorithm) = (Location::of_upload(&id), Algorithm::Sha256);
        let new = NewUpload { id, repository: self.name.clone(), location, algorithm };
        self.store.start_upload(&new).await.unwrap();
        let epoch = self.store.claim_upload(&self.name, &id).await.unwrap().epoch;
        let digest = Digest::of(algorithm, &number.to_le_bytes());
        let repository = self.name.clone();
        let finish = FinishUpload { repository, id, epoch, digest, size_bytes: 8, replaces: None };
        self.store.finish_upload(&finish).await.unwrap();
        self.store.release_upload(&id, epoch);
        digest
    }

    async fn push_manifest(&self, tag: &str) {
        let tag: Tag = tag.parse().unwrap();
        let layer = |digest: &Digest| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":8}}"#
            )
        };
        let layers: Vec<String> = self.blobs[1..].iter().map(layer).collect();
        let document = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","annotations":{{"tag":"{tag}"}},
            "config":{},"layers":[{}]}}"#,
            layer(&self.blobs[0]),
            layers.join(",")
        );
        let manifest = Manifest::parse(None, Bytes::from(document)).unwrap();
        let put = PutManifest {
            repository: &self.name,
            digest: manifest.digest(Algorithm::Sha256),
            manifest: &manifest,
            tags: std::slice::from_ref(&tag),
            required: &self.blobs,
            required_children: &[],
            cause: &Cause::UNKNOWN,
        };
        self.store.put_manifest(&put).await.unwrap();
    }
}

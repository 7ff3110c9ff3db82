//! What a client's writes cost on both databases, side by side: pushes, tags that move, deletions; without a consumer of events, and
//! with events that are written and that nothing takes.
//!
//! `cargo run --release -p registry-metadata --features postgres-server --example write_bench [seconds-per-line]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the output is the product")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_database::Owners;
use registry_digest::{Algorithm, Digest};
use registry_events::Recorder;
use registry_metadata::{
    FinishUpload, MetadataStore, NewUpload, Options, PostgresStore, PutManifest, SqliteStore, SystemClock,
};
use registry_testing_postgres::PostgresServer;
use registry_types::{Cause, Location, Manifest, RepositoryName, Tag, UploadId};

const LAYERS: usize = 8;
const CLIENTS: usize = 8;

/// With the tables of events.
const OWNERS: Owners =
    Owners::new(&[&registry_metadata::SCHEMA, &registry_events::SCHEMA, &registry_database::SCHEMA]);

static NEXT: AtomicU64 = AtomicU64::new(1);

struct Bench {
    store: Arc<dyn MetadataStore>,
    name: RepositoryName,
    blobs: Vec<Digest>,
    lasts: Duration,
}

#[tokio::main]
async fn main() {
    let lasts = std::env::args().nth(1).map_or(2.0, |seconds| seconds.parse().unwrap());
    let lasts = Duration::from_secs_f64(lasts);
    let folder = tempfile::tempdir().unwrap();
    let server = PostgresServer::start();
    for (events, recorder) in [("", Recorder::default()), (", with events", Recorder::new())] {
        let options = Options { owners: OWNERS, recorder, ..Options::default() };
        let path = folder.path().join(format!("bench{events}.db"));
        let sqlite = SqliteStore::open(path, options.clone(), Arc::new(SystemClock)).unwrap();
        Bench::run(&format!("SQLite{events}"), Arc::new(sqlite), lasts).await;
        let postgres = PostgresStore::open(&server.database().parse().unwrap(), options).await.unwrap();
        Bench::run(&format!("PostgreSQL{events}"), Arc::new(postgres), lasts).await;
    }
}

impl Bench {
    async fn run(database: &str, store: Arc<dyn MetadataStore>, lasts: Duration) {
        println!("{database}, {CLIENTS} at once:");
        let mut bench = Bench { store, name: "team/app".parse().unwrap(), blobs: Vec::new(), lasts };
        for _ in 0..=LAYERS {
            bench.blobs.push(bench.push_blob().await);
        }
        bench.measure().await;
    }

    async fn measure(&self) {
        self.line("push a blob", async || {
            self.push_blob().await;
        })
        .await;
        self.line("push a manifest of 9 blobs", async || {
            self.push_manifest(&tag("new")).await;
        })
        .await;
        self.line("move a tag", async || {
            self.push_manifest(&"moving".parse().unwrap()).await;
        })
        .await;
        let tagged = self.manifest();
        self.put(&tagged, &tag("first")).await;
        self.line("push and delete a tag", async || {
            let tag = tag("gone");
            self.put(&tagged, &tag).await;
            self.store.delete_tag(&self.name, &tag, &Cause::by("bench")).await.unwrap();
        })
        .await;
        self.line("push and delete a manifest", async || {
            let digest = self.push_manifest(&tag("gone")).await;
            self.store.delete_manifest(&self.name, &digest, &Cause::by("bench")).await.unwrap();
        })
        .await;
        self.line("push and delete a blob", async || {
            let digest = self.push_blob().await;
            self.store.delete_blob(&self.name, &digest).await.unwrap();
        })
        .await;
    }

    async fn line(&self, what: &str, work: impl AsyncFn()) {
        let (started, count) = (Instant::now(), AtomicU64::new(0));
        let client = async || {
            while started.elapsed() < self.lasts {
                work().await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        futures_util::future::join_all((0..CLIENTS).map(|_| client())).await;
        let count = count.load(Ordering::Relaxed) as f64;
        println!("  {what:28} {:9.0} a second", count / started.elapsed().as_secs_f64());
    }

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

    async fn push_manifest(&self, tag: &Tag) -> Digest {
        let manifest = self.manifest();
        self.put(&manifest, tag).await
    }

    /// A new one of the same blobs.
    fn manifest(&self) -> Manifest {
        let layer = |digest: &Digest| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":8}}"#
            )
        };
        let layers: Vec<String> = self.blobs[1..].iter().map(layer).collect();
        let document = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","annotations":{{"n":"{}"}},
            "config":{},"layers":[{}]}}"#,
            NEXT.fetch_add(1, Ordering::Relaxed),
            layer(&self.blobs[0]),
            layers.join(",")
        );
        Manifest::parse(None, Bytes::from(document)).unwrap()
    }

    async fn put(&self, manifest: &Manifest, tag: &Tag) -> Digest {
        let put = PutManifest {
            repository: &self.name,
            digest: manifest.digest(Algorithm::Sha256),
            manifest,
            tags: std::slice::from_ref(tag),
            required: &self.blobs,
            required_children: &[],
            cause: &Cause::by("bench"),
        };
        self.store.put_manifest(&put).await.unwrap();
        put.digest
    }
}

fn tag(name: &str) -> Tag {
    format!("{name}{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

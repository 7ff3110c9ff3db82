//! How long the operations take that a registry does all the time, on a database of a large registry.
//!
//! `cargo run --release -p registry-metadata --example metadata_bench [folder [seconds-per-line]]`
//!
//! The folder decides which disk is measured; the default is a temporary one.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "the output is the product")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_metadata::{
    Clock, FinishUpload, NewUpload, Options, Purpose, PutManifest, SqliteStore, SystemClock, traits::*,
};
use registry_types::{Cause, Location, Manifest, NameRange, Reference, RepositoryName, UploadId, Viewer};

const TAGS: u64 = 100_000;
const REPOSITORIES: u64 = 1_000_000;
const IMAGES: u64 = 5_000;
const REFERRERS: u64 = 1_000;
const LAYERS: u64 = 5;

/// Numbers what is unique in a run.
static NEXT: AtomicU64 = AtomicU64::new(1);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.next().map_or(temporary.path().to_owned(), PathBuf::from);
    let seconds: f64 = arguments.next().map_or(2.0, |seconds| seconds.parse().unwrap());
    let path = folder.join("bench.db");
    let open = || Arc::new(SqliteStore::open(&path, Options::default(), Arc::new(SystemClock)).unwrap());

    let started = Instant::now();
    let is_new = !path.exists();
    let bench = Bench { store: open(), duration: Duration::from_secs_f64(seconds) };
    if is_new {
        fill_repositories(&path);
        fill(&bench.store).await;
    }
    NEXT.store(SystemClock.now_ms() as u64 * 4096, Ordering::Relaxed);
    println!("filled in {:.1} s, {} MB", started.elapsed().as_secs_f64(), size_mb(&path));

    println!(
        "{:44}{:>6}{:>12}{:>10}{:>10}{:>10}{:>10}",
        "", "tasks", "per s", "mean µs", "p50", "p99", "max"
    );
    reads(&bench).await;
    writes(&bench).await;
    println!("database {} MB, log {} MB, peak memory {} MB", size_mb(&path), size_mb(&wal(&path)), peak_mb());
}

struct Bench {
    store: Arc<SqliteStore>,
    duration: Duration,
}

impl Bench {
    /// Runs `work` in so many tasks for a while, and prints how long one took.
    async fn line<W, F>(&self, name: &str, tasks: usize, work: W)
    where
        W: Fn(Arc<SqliteStore>, u64) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let end = Instant::now() + self.duration;
        let (started, cpu) = (Instant::now(), cpu_time());
        let running: Vec<_> = (0..tasks)
            .map(|task| {
                let (work, store) = (work.clone(), self.store.clone());
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    let mut number = task as u64 * 7919;
                    while Instant::now() < end {
                        let begun = Instant::now();
                        work(store.clone(), number).await;
                        times.push(begun.elapsed().as_nanos() as u64);
                        number += 1;
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in running {
            times.extend(task.await.unwrap());
        }
        let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
        let cpu = (cpu_time() - cpu).as_secs_f64() * 1e6 / times.len() as f64;
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let mean = times.iter().sum::<u64>() as f64 / times.len() as f64 / 1e3;
        println!(
            "{name:44}{tasks:>6}{per_second:>10.0}{cpu:>10.1}{mean:>10.1}{:>10.1}{:>10.1}{:>10.0}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

async fn reads(bench: &Bench) {
    for tasks in [1, 8] {
        bench
            .line("blob, read", tasks, |store, n| async move {
                store.blob(&image_repository(n), &layer(n), Purpose::Read).await.unwrap().unwrap();
            })
            .await;
        bench
            .line("blob, promise of something referenced", tasks, |store, n| async move {
                store.blob(&image_repository(n), &layer(n), Purpose::Promise).await.unwrap().unwrap();
            })
            .await;
        bench
            .line("blob, unknown", tasks, |store, n| async move {
                let unknown = digest(&format!("unknown {n}"));
                assert!(
                    store.blob(&image_repository(n), &unknown, Purpose::Promise).await.unwrap().is_none()
                );
            })
            .await;
        bench
            .line("manifest by tag", tasks, |store, n| async move {
                let tag = Reference::Tag("v1".parse().unwrap());
                store.manifest(&image_repository(n), &tag, Purpose::Read).await.unwrap().unwrap();
            })
            .await;
        bench
            .line("manifest by tag, hot", tasks, |store, _| async move {
                let tag = Reference::Tag("v1".parse().unwrap());
                store.manifest(&image_repository(7), &tag, Purpose::Read).await.unwrap().unwrap();
            })
            .await;
        for (name, purpose) in [
            ("manifest by digest, read", Purpose::Read),
            ("manifest by digest, promise of a tagged one", Purpose::Promise),
        ] {
            let digests: Arc<Vec<Digest>> =
                Arc::new((0..IMAGES).map(|n| image(n % IMAGES).digest(Algorithm::Sha256)).collect());
            bench
                .line(name, tasks, move |store, n| {
                    let digest = Reference::Digest(digests[(n % IMAGES) as usize]);
                    async move {
                        store.manifest(&image_repository(n), &digest, purpose).await.unwrap().unwrap();
                    }
                })
                .await;
        }
        bench
            .line("tags, 100 of 100,000", tasks, |store, n| async move {
                let after = format!("t{:06}", n * 7919 % (TAGS - 200));
                assert_eq!(store.tags(&name("many/tags"), Some(&after), 100).await.unwrap().len(), 100);
            })
            .await;
        bench
            .line("repositories, 100 of 1,000,000", tasks, |store, n| async move {
                let after = format!("r/{:07}", n * 7919 % (REPOSITORIES - 200));
                let page = store.repositories(&Viewer::everything(), Some(&after), 100).await.unwrap();
                assert_eq!(page.len(), 100);
            })
            .await;
        bench
            .line("repositories, 100 of 10 prefixes", tasks, |store, n| async move {
                let prefix = |p: u64| format!("r/0{:04}", (n * 7919 + p * 1000) % 10_000);
                let visible = Viewer::of((0..10).map(|n| NameRange::beginning_with(&prefix(n))));
                assert_eq!(store.repositories(&visible, None, 100).await.unwrap().len(), 100);
            })
            .await;
        bench
            .line("referrers, 100 of 1,000", tasks, |store, n| async move {
                let after = digest(&format!("place {}", n % 100));
                store
                    .referrers(&name("many/referrers"), &digest("subject"), None, Some(&after), 100)
                    .await
                    .unwrap();
            })
            .await;
    }
}

async fn writes(bench: &Bench) {
    for tasks in [1, 8, 64] {
        bench.line("start upload", tasks, |store, n| async move { drop(start(&store, n).await) }).await;
        bench
            .line("start, claim, save, finish upload", tasks, |store, n| async move {
                push(&store, n, true).await;
            })
            .await;
        bench
            .line("start, claim, finish upload", tasks, |store, n| async move {
                push(&store, n, false).await;
            })
            .await;
        bench
            .line("put manifest of 5 layers", tasks, |store, n| async move {
                put(&store, &image_repository(n), &variant(n), &["latest"]).await;
            })
            .await;
        bench
            .line("push an image: 4 blobs, manifest", tasks, |store, n| async move {
                for _ in 0..4 {
                    push(&store, n, false).await;
                }
                put(&store, &image_repository(n), &variant(n), &["latest"]).await;
            })
            .await;
        bench
            .line("mount", tasks, |store, n| async move {
                let to = name(&format!("mounted/{}", unique() % 100_000));
                assert!(store.mount_blob(&image_repository(n), &to, &layer(n)).await.unwrap());
            })
            .await;
    }
}

fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

/// 5,000 images in 100 repositories.
fn image_repository(number: u64) -> RepositoryName {
    name(&format!("images/{}", number % IMAGES % 100))
}

fn layer(number: u64) -> Digest {
    layer_of(number % IMAGES, 1)
}

fn layer_of(image: u64, layer: u64) -> Digest {
    digest(&format!("layer {layer} of {image}"))
}

fn image(number: u64) -> Manifest {
    document(number, String::new())
}

/// Another manifest of the same blobs.
fn variant(number: u64) -> Manifest {
    document(number % IMAGES, format!(r#","annotations":{{"n":"{}"}}"#, unique()))
}

fn document(number: u64, more: String) -> Manifest {
    let blob = |layer| {
        let digest = layer_of(number, layer);
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":1000}}"#
        )
    };
    let layers: Vec<String> = (1..=LAYERS).map(blob).collect();
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]{more}}}"#,
        blob(0),
        layers.join(",")
    );
    Manifest::parse(None, Bytes::from(document)).unwrap()
}

fn referrer(number: u64) -> Manifest {
    let subject = digest("subject");
    let more = format!(
        r#","artifactType":"application/x.sbom","annotations":{{"n":"{number}"}},"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":7}}"#
    );
    document(0, more)
}

async fn start(store: &SqliteStore, repository: u64) -> NewUpload {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&unique().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[8..].copy_from_slice(&unique().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let id = UploadId::from_random(bytes);
    let repository = image_repository(repository);
    let new = NewUpload { id, repository, location: Location::of_upload(&id), algorithm: Algorithm::Sha256 };
    store.start_upload(&new).await.unwrap();
    new
}

async fn push(store: &SqliteStore, repository: u64, is_saved: bool) {
    push_digest(store, repository, digest(&format!("unique {}", unique())), is_saved).await;
}

async fn push_digest(store: &SqliteStore, repository: u64, digest: Digest, is_saved: bool) {
    let new = start(store, repository).await;
    let claim = store.claim_upload(&new.repository, &new.id).await.unwrap();
    if is_saved {
        store.save_upload(&new.id, claim.epoch, 1000, &[7; 200]).await.unwrap();
    }
    let finish = FinishUpload {
        repository: new.repository,
        id: new.id,
        epoch: claim.epoch,
        digest,
        size_bytes: 1000,
        replaces: None,
    };
    store.finish_upload(&finish).await.unwrap();
    store.release_upload(&new.id, claim.epoch);
}

async fn put(store: &SqliteStore, repository: &RepositoryName, manifest: &Manifest, tags: &[&str]) {
    let required: Vec<Digest> = manifest.blobs().map(|blob| blob.digest).collect();
    let tags: Vec<_> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let put = PutManifest {
        repository,
        digest: manifest.digest(Algorithm::Sha256),
        manifest,
        tags: &tags,
        required: if repository.as_str().starts_with("images/") { &required } else { &[] },
        required_children: &[],
        cause: &Cause::by("bench"),
    };
    store.put_manifest(&put).await.unwrap();
}

/// A million names, past the trait: pushing a million images would take an hour.
fn fill_repositories(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    let mut insert =
        connection.prepare("INSERT INTO repositories (name, listed, created_at) VALUES ($1, 1, 0)").unwrap();
    for number in 0..REPOSITORIES {
        insert.execute([format!("r/{number:07}")]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// Images, tags and referrers, by many clients.
async fn fill(store: &Arc<SqliteStore>) {
    let mut running = Vec::new();
    for task in 0..64 {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            for number in (task..IMAGES).step_by(64) {
                for layer in 0..=LAYERS {
                    push_digest(&store, number, layer_of(number, layer), false).await;
                }
                let tags = [format!("v{}", number / 100), "v1".to_owned()];
                put(&store, &image_repository(number), &image(number), &[&tags[0], &tags[1]]).await;
            }
            for number in (task..REFERRERS).step_by(64) {
                put(&store, &name("many/referrers"), &referrer(number), &[]).await;
            }
        }));
    }
    for task in running {
        task.await.unwrap();
    }
    let tags: Vec<String> = (0..TAGS).map(|number| format!("t{number:06}")).collect();
    for (number, tags) in tags.chunks(1000).enumerate() {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        put(store, &name("many/tags"), &image(number as u64), &tags).await;
    }
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn size_mb(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len() / 1_000_000)
}

/// What this process and its threads have used: all that a busy machine can not falsify. Linux says; elsewhere 0.
fn cpu_time() -> Duration {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0.0)).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

/// Linux says; elsewhere 0.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1000
}

//! The journal: what a database that is lost, old, or not alone comes to.

mod crashing;
mod memory;
mod rebuilding;
mod refusing;
mod waiting;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_types::{Location, Manifest, RepositoryName, UploadId};
use tempfile::TempDir;

use self::memory::MemoryJournal;
use super::backend::{START_MS, rows};
use crate::{
    FinishUpload, JournalOptions, MetadataError, NewUpload, OpenError, Options, Purpose, PutManifest, Quota,
    SqliteStore, clock::ManualClock, schema::OWNERS, traits::*,
};

/// A folder with databases, a journal, and a clock for all.
struct Bench {
    folder: TempDir,
    journal: MemoryJournal,
    clock: ManualClock,
    options: JournalOptions,
    /// Of which repositories there is a quota.
    quota: String,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().unwrap(),
            journal: MemoryJournal::new(),
            clock: ManualClock::at_ms(START_MS),
            options: JournalOptions { retention: Duration::ZERO, ..JournalOptions::default() },
            quota: "b/".to_owned(),
        }
    }

    /// Snapshots after so many entries.
    fn snapshots(mut self, entries: u64) -> Bench {
        self.options.snapshot_entries = entries;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn try_open(&self, name: &str) -> Result<SqliteStore, OpenError> {
        self.open_on(name, &self.journal).await
    }

    async fn open_on(&self, name: &str, journal: &MemoryJournal) -> Result<SqliteStore, OpenError> {
        let quotas = vec![Quota { prefix: self.quota.clone(), ..Quota::default() }];
        let (options, clock) = (Options { quotas, ..Options::default() }, Arc::new(self.clock.clone()));
        let (path, journal) = (self.path(name), Arc::new(journal.clone()));
        SqliteStore::open_journalled(path, options, clock, self.options.clone(), journal).await
    }

    async fn open(&self, name: &str) -> SqliteStore {
        self.try_open(name).await.unwrap()
    }

    /// Copies a database as a crash would leave it.
    fn copy(&self, from: &str, to: &str) {
        for suffix in ["", "-wal"] {
            let with = |name: &str| self.path(&format!("{name}{suffix}"));
            if with(from).exists() {
                std::fs::copy(with(from), with(to)).unwrap();
            }
        }
    }

    fn entries(&self) -> usize {
        self.journal.names("journal").len()
    }
}

/// Dropping waits for threads.
async fn close(store: SqliteStore) {
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}

fn repository() -> RepositoryName {
    "team/app".parse().unwrap()
}

/// Pushes a blob of these bytes.
async fn push_blob(store: &SqliteStore, content: &str) -> Result<Digest, MetadataError> {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    let id = UploadId::from_random(digest.as_bytes()[..16].try_into().unwrap());
    let (repository, location) = (repository(), Location::of_upload(&id));
    let new = NewUpload { id, repository: repository.clone(), location, algorithm: Algorithm::Sha256 };
    store.start_upload(&new).await?;
    let epoch = store.claim_upload(&repository, &id).await?.epoch;
    let size_bytes = content.len() as u64;
    let finish = FinishUpload { repository, id, epoch, digest, size_bytes, replaces: None };
    let finished = store.finish_upload(&finish).await;
    store.release_upload(&id, epoch);
    finished.map(|()| digest)
}

/// Pushes an image of one blob, under a tag of this name.
async fn push(store: &SqliteStore, name: &str) -> Result<Digest, MetadataError> {
    let blob = push_blob(store, name).await?;
    tag(store, name, blob).await
}

/// Pushes an image of a blob that is there.
async fn tag(store: &SqliteStore, name: &str, blob: Digest) -> Result<Digest, MetadataError> {
    let descriptor = |kind: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{blob}","size":{}}}"#,
            name.len()
        )
    };
    let manifest = Manifest::parse(
        None,
        Bytes::from(format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            descriptor("config.v1+json"),
            descriptor("layer.v1.tar"),
        )),
    )
    .unwrap();
    let digest = manifest.digest(Algorithm::Sha256);
    let put = PutManifest {
        repository: &repository(),
        digest,
        manifest: &manifest,
        tags: &[name.parse().unwrap()],
        required: &[blob],
        required_children: &[],
        actor: Some("anna"),
    };
    store.put_manifest(&put).await.map(|()| digest)
}

async fn resolve(store: &SqliteStore, tag: &str) -> Option<Digest> {
    let found = store.manifest(&repository(), &tag.parse().unwrap(), Purpose::Read).await.unwrap();
    found.map(|manifest| manifest.digest)
}

/// Everything that a database has but for what is volatile and the journal's own.
fn dump(store: &SqliteStore) -> Vec<String> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
        AND name NOT LIKE 'journal%' ORDER BY name";
    let mut dump = Vec::new();
    for table in
        rows(store, tables).iter().filter(|table| !OWNERS.volatile().any(|volatile| volatile == *table))
    {
        let mut all = rows(store, &format!("SELECT * FROM {table}"));
        all.sort();
        dump.extend(all.into_iter().map(|row| format!("{table}: {row}")));
    }
    dump
}

//! What is looked at after each step, and at the end.

use registry_database::sqlite::{Session, at_once};

use super::*;
use crate::{
    logic::{namespaces::namespace_of, quota},
    sqlite::tests::backend::rows,
};

impl Model {
    pub(super) async fn check(&mut self) {
        let (seed, now_ms) = (self.seed, self.clock.now_ms());
        assert!(rows(&self.store, "PRAGMA foreign_key_check").is_empty(), "seed {seed}");
        self.check_namespaces();
        let miscounted = self
            .store
            .readers
            .read("audit", |connection| at_once(quota::audit(&Session::new(connection))))
            .unwrap();
        assert_eq!(miscounted, [""; 0], "seed {seed}");
        for ((number, digest), until) in &self.blob_promises {
            if now_ms < *until {
                self.check_blob(*number, digest, "was promised").await;
            }
        }
        for ((number, digest), until) in &self.manifest_promises {
            let is_here = now_ms >= *until || self.read(*number, digest, Purpose::Read).await;
            assert!(is_here, "seed {seed}: manifest {digest} was promised");
        }
        let mut gone = Vec::new();
        for ((number, digest), manifest) in &self.manifests {
            if !self.read(*number, digest, Purpose::Read).await {
                gone.push((*number, *digest));
                continue;
            }
            for blob in manifest.blobs() {
                self.check_blob(*number, &blob.digest, "is used by a manifest").await;
            }
            for child in manifest.child_manifests() {
                let is_here = self.read(*number, &child.digest, Purpose::Read).await;
                assert!(is_here, "seed {seed}: {digest} lost its child {}", child.digest);
            }
        }
        for collected in gone {
            self.manifests.remove(&collected);
        }
    }

    /// Each repository is in the one of its name, also when it is set aside; none is empty.
    fn check_namespaces(&self) {
        let seed = self.seed;
        let placed = "SELECT r.name, n.name FROM repositories r LEFT JOIN namespaces n ON n.id = r.namespace";
        for row in rows(&self.store, placed) {
            let (repository, namespace) = row.split_once('|').unwrap();
            assert_eq!(namespace, namespace_of(repository), "seed {seed}");
        }
        let empty = "SELECT name FROM namespaces n
            WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.namespace = n.id)";
        assert_eq!(rows(&self.store, empty), [""; 0], "seed {seed}");
    }

    async fn check_blob(&self, number: usize, digest: &Digest, why: &str) {
        let repository = REPOSITORIES[number].parse().unwrap();
        let blob = self.store.blob(&repository, digest, Purpose::Read).await.unwrap();
        let blob = blob.unwrap_or_else(|| panic!("seed {}: blob {digest} {why}", self.seed));
        assert!(self.bytes.contains(&blob.location), "seed {}: the bytes of {digest} are gone", self.seed);
    }

    pub(super) async fn delete_everything(&mut self) {
        for repository in REPOSITORIES {
            let repository = repository.parse().unwrap();
            // Those that are listed in others can go once those are gone.
            for _ in 0..STEPS {
                for digest in rows(&self.store, "SELECT digest FROM manifests") {
                    let _ = self
                        .store
                        .delete_manifest(&repository, &digest.parse().unwrap(), &Cause::UNKNOWN)
                        .await;
                }
            }
        }
        for _ in 0..CONTENTS {
            self.clock.advance(self.options.lease * 2);
            self.store.expire_uploads(self.options.lease, STEPS).await.unwrap();
            self.collect().await;
            self.clock.advance(self.options.read_grace);
            self.reclaim().await;
        }
        for table in [
            "manifests",
            "repository_blobs",
            "digests",
            "objects",
            "gc_queue",
            "reclaim",
            "uploads",
            "trash_manifests",
            "trash_blobs",
            "trash_tags",
            "quota_digests",
        ] {
            assert_eq!(rows(&self.store, &format!("SELECT COUNT(*) FROM {table}")), ["0"], "{table}");
        }
        assert!(self.bytes.is_empty(), "seed {}: {:?}", self.seed, self.bytes);
    }
}

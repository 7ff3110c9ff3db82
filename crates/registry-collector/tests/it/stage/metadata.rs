//! A database whose requests wait for their turn, and fail; and who keeps the ledger.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use registry_digest::Digest;
use registry_metadata::{
    AdoptedTag, Adopting, Adoption, AdoptionState, Audit, Blob, ClaimedUpload, CollectRules, Collected,
    Collecting, Content, DeletedRepository, EndedWindows, FinishUpload, FoundManifest, Identity, Image,
    ImagePage, ImagePosition, Kept, ManifestPosition, MetadataError, MetadataStore, NewUpload, Preview, Pull,
    Purpose, PutManifest, QueuePosition, QuotaUsage, Quotas, Reclaim, Restored, Result, StoredManifest,
    StoredObject, TagChange, Trash, Trashed, UnknownObject, UploadRoom, UploadStatus, Uploads, Verdict,
};
use registry_types::{Cause, Descriptor, Location, Reference, RepositoryName, Tag, UploadId, Viewer};

use super::{
    ledger::Ledger,
    turns::{Fate, Turns},
};

/// The database as one actor sees it.
#[derive(Clone, Debug)]
pub(crate) struct SteppedMetadata {
    pub(crate) inner: Arc<dyn MetadataStore>,
    pub(crate) actor: usize,
    pub(crate) turns: Turns,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

impl SteppedMetadata {
    async fn step<T: Send>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.step_and_note(what, work, |_, _| ()).await
    }

    /// `note` sees what was done, also if the caller does not.
    async fn step_and_note<T: Send>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T>> + Send,
        note: impl FnOnce(&mut Ledger, &Result<T>) + Send,
    ) -> Result<T> {
        let turn = self.turns.turn(self.actor, what).await;
        let lost =
            || Err(MetadataError::Unavailable { operation: what, source: "the connection broke".into() });
        if matches!(turn.fate, Fate::Fails | Fate::Late) {
            return lost();
        }
        let done = work.await;
        note(&mut self.ledger(), &done);
        if turn.fate == Fate::AnswerLost { lost() } else { done }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

/// Writes out the methods that only wait and pass on.
macro_rules! metadata_store {
    ($trait:ident { $($noting:tt)* } $(async fn $name:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) -> $answer:ty;)*) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $trait for SteppedMetadata {
            $($noting)*
            $(async fn $name(&self $(, $argument: $kind)*) -> $answer {
                self.step(stringify!($name), self.inner.$name($($argument),*)).await
            })*
        }
    };
}

metadata_store! {
    Identity {
    }
    async fn store_id(&self) -> Result<Option<String>>;
    async fn bind_store(&self, id: &str) -> Result<()>;
    async fn is_empty(&self) -> Result<bool>;
    async fn check(&self) -> Result<()>;
    async fn mark(&self) -> Result<i64>;
    async fn raise_mark(&self, above: i64) -> Result<i64>;
}

metadata_store! {
    Adopting {
    }
    async fn adoption(&self) -> Result<Option<AdoptionState>>;
    async fn begin_adoption(&self) -> Result<AdoptionState>;
    async fn adopt(&self, adoption: &Adoption) -> Result<Vec<Digest>>;
    async fn adopted_repositories(&self, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>>;
    async fn stored_tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize) -> Result<Vec<AdoptedTag>>;
    async fn stored_manifests(&self, repository: &RepositoryName, after: Option<&Digest>, limit: usize) -> Result<Vec<Digest>>;
    async fn stored_blobs(&self, repository: &RepositoryName, after: Option<&Digest>, limit: usize) -> Result<Vec<Digest>>;
    async fn end_adoption_run(&self, began_at_ms: i64) -> Result<()>;
    async fn finish_adoption(&self) -> Result<()>;
    async fn keep_adopted_bytes(&self, folder: &str) -> Result<()>;
    async fn release_adopted(&self, limit: usize) -> Result<bool>;
}

metadata_store! {
    Content {
        async fn manifest_within(
            &self,
            repository: &RepositoryName,
            reference: &Reference,
            purpose: Purpose,
            bytes_max: usize,
        ) -> Result<Option<FoundManifest>> {
            let found = self.manifest(repository, reference, purpose).await?;
            Ok(found.map(|stored| FoundManifest::within(stored, bytes_max)))
        }

        async fn blob(
            &self,
            repository: &RepositoryName,
            digest: &Digest,
            purpose: Purpose,
        ) -> Result<Option<Blob>> {
            let found = self.inner.blob(repository, digest, purpose);
            self.step_and_note("blob", found, |ledger, found| {
                if let (Purpose::Promise, Ok(Some(_))) = (purpose, found) {
                    ledger.blob(repository, digest);
                }
            })
            .await
        }

        async fn manifest(
            &self,
            repository: &RepositoryName,
            reference: &Reference,
            purpose: Purpose,
        ) -> Result<Option<StoredManifest>> {
            let found = self.inner.manifest(repository, reference, purpose);
            self.step_and_note("manifest", found, |ledger, found| {
                if let (Purpose::Promise, Ok(Some(found))) = (purpose, found) {
                    ledger.manifest(repository, &found.digest);
                }
            })
            .await
        }

        async fn mount_blob(
            &self,
            from: &RepositoryName,
            to: &RepositoryName,
            digest: &Digest,
        ) -> Result<bool> {
            self.step_and_note("mount_blob", self.inner.mount_blob(from, to, digest), |ledger, done| {
                if let Ok(true) = done {
                    ledger.blob(to, digest);
                }
            })
            .await
        }

        async fn put_manifest(&self, put: &PutManifest<'_>) -> Result<()> {
            self.step_and_note("put_manifest", self.inner.put_manifest(put), |ledger, done| match done {
                Ok(()) => ledger.put(put.repository, put.digest, put.manifest, put.tags),
                Err(error) => ledger.refused(put.repository, error),
            })
            .await
        }

        async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, cause: &Cause) -> Result<()> {
            self.step_and_note("delete_tag", self.inner.delete_tag(repository, tag, cause), |ledger, done| {
                if done.is_ok() {
                    ledger.delete_tag(repository, tag);
                }
            })
            .await
        }

        async fn delete_manifest(
            &self,
            repository: &RepositoryName,
            digest: &Digest,
            cause: &Cause,
        ) -> Result<Vec<Tag>> {
            let deleted = self.inner.delete_manifest(repository, digest, cause);
            self.step_and_note("delete_manifest", deleted, |ledger, done| {
                if done.is_ok() {
                    ledger.delete_manifest(repository, digest);
                }
            })
            .await
        }

        async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
            self.step_and_note("delete_blob", self.inner.delete_blob(repository, digest), |ledger, done| {
                if done.is_ok() {
                    ledger.delete_blob(repository, digest);
                }
            })
            .await
        }
    }
    async fn tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize) -> Result<Vec<Tag>>;
    async fn repositories(&self, viewer: &Viewer, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>>;
    async fn has_namespace_of(&self, repository: &RepositoryName) -> Result<bool>;
    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Descriptor>>;
    async fn object(&self, digest: &Digest) -> Result<Option<Blob>>;
    async fn mark_bad(&self, location: &Location) -> Result<()>;
    async fn repositories_with_blob(&self, viewer: &Viewer, digest: &Digest, limit: usize) -> Result<Vec<RepositoryName>>;
    async fn record_pulls(&self, pulls: &[Pull]) -> Result<()>;
}

metadata_store! {
    Uploads {
        fn release_upload(&self, id: &UploadId, epoch: i64) {
            self.inner.release_upload(id, epoch);
        }

        async fn finish_upload(&self, finish: &FinishUpload) -> Result<()> {
            self.step_and_note("finish_upload", self.inner.finish_upload(finish), |ledger, done| {
                if done.is_ok() {
                    ledger.blob(&finish.repository, &finish.digest);
                }
            })
            .await
        }
    }
    async fn start_upload(&self, new: &NewUpload) -> Result<()>;
    async fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<UploadStatus>>;
    async fn claim_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<ClaimedUpload>;
    async fn upload_room(
        &self,
        repository: &RepositoryName,
        saved_bytes: u64,
        digest: Option<&Digest>,
    ) -> Result<Option<UploadRoom>>;
    async fn save_upload(&self, id: &UploadId, epoch: i64, offset: u64, state: &[u8]) -> Result<()>;
    async fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<()>;
    async fn expire_uploads(&self, untouched_for: Duration, limit: usize) -> Result<u64>;
}

metadata_store! {
    Trash {
        async fn restore(
            &self,
            repository: &RepositoryName,
            reference: &Reference,
            cause: &Cause,
        ) -> Result<Restored> {
            let work = async {
                let restored = self.inner.restore(repository, reference, cause).await?;
                let mut tags = Vec::new();
                for tag in &restored.tags {
                    let reference = Reference::Tag(tag.clone());
                    let found = self.inner.manifest(repository, &reference, Purpose::Read).await?;
                    tags.extend(found.map(|found| (tag.clone(), found.digest)));
                }
                Ok((restored, tags))
            };
            let noted = self.step_and_note("restore", work, |ledger, done| {
                if let Ok((restored, tags)) = done {
                    ledger.restored(repository, restored);
                    for (tag, digest) in tags {
                        ledger.tagged(repository, tag, *digest);
                    }
                }
            });
            Ok(noted.await?.0)
        }

        async fn set_tag(
            &self,
            repository: &RepositoryName,
            tag: &Tag,
            digest: &Digest,
            cause: &Cause,
        ) -> Result<Restored> {
            let set = self.inner.set_tag(repository, tag, digest, cause);
            self.step_and_note("set_tag", set, |ledger, done| {
                if let Ok(restored) = done {
                    ledger.restored(repository, restored);
                    ledger.tagged(repository, tag, *digest);
                }
            })
            .await
        }

        async fn delete_repository(&self, repository: &RepositoryName, cause: &Cause) -> Result<()> {
            let deleted = self.inner.delete_repository(repository, cause);
            self.step_and_note("delete_repository", deleted, |ledger, done| {
                if done.is_ok() {
                    ledger.delete_repository(repository);
                }
            })
            .await
        }
    }
    async fn trash(&self, repository: &RepositoryName, after: Option<&Trashed>, limit: usize) -> Result<Vec<Trashed>>;
    async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagChange>>;
    async fn restore_repository(&self, repository: &RepositoryName, cause: &Cause) -> Result<()>;
    async fn end_windows(&self, repository: Option<&RepositoryName>, limit: usize) -> Result<EndedWindows>;
    async fn deleted_repositories(&self) -> Result<Vec<DeletedRepository>>;
}

metadata_store! {
    Quotas {
    }
    async fn begin_quotas(&self) -> Result<()>;
    async fn recount_quotas(&self) -> Result<()>;
    async fn quota_usage(&self) -> Result<Vec<QuotaUsage>>;
}

metadata_store! {
    Collecting {
        async fn collect(&self, rules: &CollectRules, limit: usize) -> Result<Vec<Collected>> {
            self.step_and_note("collect", self.inner.collect(rules, limit), |ledger, done| {
                for collected in done.iter().flatten() {
                    ledger.is_suspicious = true;
                    if let Verdict::Kept(Kept::Failed { reason }) = &collected.verdict {
                        ledger.note_wrong(format!("{:?}: {reason}", collected.candidate));
                    }
                }
            })
            .await
        }
    }
    async fn unread_labels(&self, limit: usize) -> Result<Vec<(RepositoryName, Digest)>>;
    async fn postpone_labels(&self, repository: &RepositoryName, digest: &Digest, by: Duration) -> Result<()>;
    async fn set_expiry(&self, repository: &RepositoryName, digest: &Digest, after: Option<Duration>) -> Result<()>;
    async fn preview_collect(
        &self,
        rules: &CollectRules,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Preview>;
    async fn enqueue_untagged(&self, after: Option<&QueuePosition>, limit: usize) -> Result<Option<QueuePosition>>;
    async fn images(
        &self,
        repository: &RepositoryName,
        after: Option<&ImagePosition>,
        limit: usize,
    ) -> Result<ImagePage>;
    async fn expire_image(&self, repository: &RepositoryName, image: &Image, cause: &Cause) -> Result<bool>;
    async fn reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>>;
    async fn postpone_reclaim(&self, location: &Location, by: Duration) -> Result<()>;
    async fn reclaimable_count(&self, limit: usize) -> Result<u64>;
    async fn reclaimed(&self, location: &Location) -> Result<()>;
}

metadata_store! {
    Audit {
    }
    async fn claim_sweep(&self, interval: Duration) -> Result<bool>;
    async fn note_unknown(&self, locations: &[Location]) -> Result<Vec<UnknownObject>>;
    async fn reclaim_unknown(&self, locations: &[Location]) -> Result<u64>;
    async fn forget_unknown(&self, not_seen_for: Duration) -> Result<()>;
    async fn objects(&self, after: Option<&Location>, limit: usize) -> Result<Vec<StoredObject>>;
    async fn mark_good(&self, location: &Location) -> Result<()>;
    async fn all_manifests(
        &self,
        after: Option<&ManifestPosition>,
        limit: usize,
    ) -> Result<Vec<(ManifestPosition, StoredManifest)>>;
    async fn verify(&self) -> Result<Vec<String>>;
}

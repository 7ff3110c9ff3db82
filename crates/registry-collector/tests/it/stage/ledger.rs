//! What clients were told, and what is in the registry because of what they did.

use std::{collections::BTreeMap, time::Duration};

use registry_digest::Digest;
use registry_metadata::{Clock, MetadataError, Purpose, Restored, clock::ManualClock};
use registry_storage::BlobStore;
use registry_types::{Manifest, Reference, RepositoryName, Tag};

use crate::world::World;

/// Something of a repository.
type Of<T> = (RepositoryName, T);

/// Kept by those who see each answer of the database as it is given, whether or not it reaches the client.
#[derive(Debug)]
pub(crate) struct Ledger {
    clock: ManualClock,
    lease_ms: i64,
    /// Until when each was promised.
    blobs: BTreeMap<Of<Digest>, i64>,
    promised_manifests: BTreeMap<Of<Digest>, i64>,
    pub(crate) manifests: BTreeMap<Of<Digest>, Manifest>,
    pub(crate) tags: BTreeMap<Of<Tag>, Digest>,
    /// Everything that was ever pushed: it may come back.
    documents: BTreeMap<Digest, Manifest>,
    /// What is wrong already.
    wrong: Option<String>,
    /// Whether something happened since the last look that may take something away.
    pub(crate) is_suspicious: bool,
}

impl Ledger {
    pub(crate) fn new(clock: &ManualClock, lease: Duration) -> Ledger {
        Ledger {
            clock: clock.clone(),
            lease_ms: i64::try_from(lease.as_millis()).unwrap(),
            blobs: BTreeMap::new(),
            promised_manifests: BTreeMap::new(),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            documents: BTreeMap::new(),
            wrong: None,
            is_suspicious: false,
        }
    }

    fn until_ms(&self) -> i64 {
        self.clock.now_ms() + self.lease_ms
    }

    fn is_promised(promises: &BTreeMap<Of<Digest>, i64>, of: &Of<Digest>, now_ms: i64) -> bool {
        promises.get(of).is_some_and(|until_ms| now_ms < *until_ms)
    }

    pub(crate) fn note_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// Somebody was told that a blob is there.
    pub(crate) fn blob(&mut self, repository: &RepositoryName, digest: &Digest) {
        self.blobs.insert((repository.clone(), *digest), self.until_ms());
    }

    /// Somebody was told that a manifest is there.
    pub(crate) fn manifest(&mut self, repository: &RepositoryName, digest: &Digest) {
        self.promised_manifests.insert((repository.clone(), *digest), self.until_ms());
    }

    pub(crate) fn put(
        &mut self,
        repository: &RepositoryName,
        digest: Digest,
        manifest: &Manifest,
        tags: &[Tag],
    ) {
        self.manifest(repository, &digest);
        self.documents.insert(digest, manifest.clone());
        self.manifests.insert((repository.clone(), digest), manifest.clone());
        for tag in tags {
            self.tags.insert((repository.clone(), tag.clone()), digest);
        }
    }

    /// A push was refused because something was not there. None of that may have been promised.
    pub(crate) fn refused(&mut self, repository: &RepositoryName, error: &MetadataError) {
        let MetadataError::MissingReferences { digests } = error else { return };
        let now_ms = self.clock.now_ms();
        for digest in digests {
            let of = (repository.clone(), *digest);
            let is_promised = Ledger::is_promised(&self.blobs, &of, now_ms)
                || Ledger::is_promised(&self.promised_manifests, &of, now_ms);
            if is_promised {
                self.note_wrong(format!("a push was refused for {digest}, which was promised"));
            }
        }
    }

    /// What a client deletes is not promised to it any more.
    pub(crate) fn delete_blob(&mut self, repository: &RepositoryName, digest: &Digest) {
        self.blobs.remove(&(repository.clone(), *digest));
        self.is_suspicious = true;
    }

    pub(crate) fn delete_manifest(&mut self, repository: &RepositoryName, digest: &Digest) {
        self.manifests.remove(&(repository.clone(), *digest));
        self.promised_manifests.remove(&(repository.clone(), *digest));
        self.tags.retain(|(at, _), leads_to| at != repository || leads_to != digest);
        self.is_suspicious = true;
    }

    pub(crate) fn delete_tag(&mut self, repository: &RepositoryName, tag: &Tag) {
        self.tags.remove(&(repository.clone(), tag.clone()));
        self.is_suspicious = true;
    }

    pub(crate) fn delete_repository(&mut self, repository: &RepositoryName) {
        self.blobs.retain(|(at, _), _| at != repository);
        self.promised_manifests.retain(|(at, _), _| at != repository);
        self.manifests.retain(|(at, _), _| at != repository);
        self.tags.retain(|(at, _), _| at != repository);
        self.is_suspicious = true;
    }

    /// What is restored is as good as pushed.
    pub(crate) fn restored(&mut self, repository: &RepositoryName, restored: &Restored) {
        for digest in &restored.manifests {
            let manifest = self.documents[digest].clone();
            self.put(repository, *digest, &manifest, &[]);
        }
    }

    pub(crate) fn tagged(&mut self, repository: &RepositoryName, tag: &Tag, digest: Digest) {
        self.tags.insert((repository.clone(), tag.clone()), digest);
    }

    /// The blobs that manifests use.
    pub(crate) fn used_blobs(&self) -> std::collections::BTreeSet<Digest> {
        self.manifests.values().flat_map(|manifest| manifest.blobs().map(|blob| blob.digest)).collect()
    }

    /// Holds the registry against what was promised.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) async fn check(&mut self, world: &World) -> Result<(), String> {
        self.is_suspicious = false;
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        self.check_bytes(world).await?;
        self.check_tags(world).await?;
        let now_ms = self.clock.now_ms();
        for ((repository, digest), until_ms) in &self.blobs {
            if now_ms < *until_ms && !has_blob(world, repository, digest).await {
                return Err(format!("blob {repository}@{digest} was promised and is gone"));
            }
        }
        for ((repository, digest), until_ms) in &self.promised_manifests {
            if now_ms < *until_ms && !has_manifest(world, repository, digest).await {
                return Err(format!("manifest {repository}@{digest} was promised and is gone"));
            }
        }
        self.check_manifests(world).await
    }

    /// What a row leads to is there.
    async fn check_bytes(&self, world: &World) -> Result<(), String> {
        for object in world.metadata.objects(None, 1000).await.unwrap() {
            let location = object.location;
            if world.store.size(&location).await.unwrap() != Some(object.size_bytes) {
                return Err(format!("the bytes at {location} are gone, and a row leads there"));
            }
            if object.is_bad {
                return Err(format!("{location} was hidden, and its bytes are there"));
            }
        }
        Ok(())
    }

    async fn check_tags(&self, world: &World) -> Result<(), String> {
        for ((repository, tag), digest) in &self.tags {
            let reference = Reference::Tag(tag.clone());
            let found = world.metadata.manifest(repository, &reference, Purpose::Read);
            let found = found.await.unwrap().map(|manifest| manifest.digest);
            if found != Some(*digest) {
                return Err(format!("{repository}:{tag} leads to {found:?} in place of {digest}"));
            }
        }
        Ok(())
    }

    /// A manifest that is there has what it refers to. One without a tag may go after its lease.
    async fn check_manifests(&mut self, world: &World) -> Result<(), String> {
        let mut gone = Vec::new();
        for ((repository, digest), manifest) in &self.manifests {
            if !has_manifest(world, repository, digest).await {
                gone.push((repository.clone(), *digest));
                continue;
            }
            for blob in manifest.blobs() {
                if !has_blob(world, repository, &blob.digest).await {
                    return Err(format!("{repository}@{digest} lost its blob {}", blob.digest));
                }
            }
            for child in manifest.child_manifests() {
                if !has_manifest(world, repository, &child.digest).await {
                    return Err(format!("{repository}@{digest} lost its child {}", child.digest));
                }
            }
        }
        for of in gone {
            self.manifests.remove(&of);
        }
        Ok(())
    }
}

async fn has_blob(world: &World, repository: &RepositoryName, digest: &Digest) -> bool {
    world.metadata.blob(repository, digest, Purpose::Read).await.unwrap().is_some()
}

async fn has_manifest(world: &World, repository: &RepositoryName, digest: &Digest) -> bool {
    let reference = Reference::Digest(*digest);
    world.metadata.manifest(repository, &reference, Purpose::Read).await.unwrap().is_some()
}

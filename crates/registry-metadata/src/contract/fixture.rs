//! A database, and what a client would push to it.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_types::{Cause, Location, Manifest, MediaType, RepositoryName, Tag, UploadId};
use serde_json::{Value, json};

use super::{Backend, Subject};
use crate::{
    Blob, ClaimedUpload, FinishUpload, MetadataError, MetadataStore, NewUpload, Options, Purpose, PutManifest,
};

pub(super) struct Fixture {
    pub(super) subject: Subject,
    pub(super) options: Options,
    next_id: AtomicU8,
}

impl Fixture {
    pub(super) async fn new(backend: &dyn Backend, options: Options) -> Fixture {
        let subject = backend.open(options.clone()).await;
        Fixture { subject, options, next_id: AtomicU8::new(0) }
    }

    pub(super) fn store(&self) -> &dyn MetadataStore {
        &*self.subject.store
    }

    pub(super) fn other(&self) -> &dyn MetadataStore {
        &*self.subject.other
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        self.subject.probe.rows(sql).await
    }

    pub(super) async fn run(&self, sql: &str) {
        self.subject.probe.run(sql).await;
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.subject.probe.advance(by).await;
    }

    pub(super) async fn advance_leases(&self, leases: f64) {
        self.advance(self.options.lease.mul_f64(leases)).await;
    }

    pub(super) fn upload_id(&self) -> UploadId {
        UploadId::from_random([self.next_id.fetch_add(1, Ordering::Relaxed); 16])
    }

    /// Begins a session.
    pub(super) async fn start(&self, repository: &str) -> NewUpload {
        let id = self.upload_id();
        let new = NewUpload {
            id,
            repository: repo(repository),
            location: Location::of_upload(&id),
            algorithm: Algorithm::Sha256,
        };
        self.store().start_upload(&new).await.unwrap();
        new
    }

    pub(super) async fn claim(&self, new: &NewUpload) -> ClaimedUpload {
        self.store().claim_upload(&new.repository, &new.id).await.unwrap()
    }

    /// Pushes content as a blob; returns its digest.
    pub(super) async fn push_blob(&self, repository: &str, content: &str) -> Digest {
        self.push_blob_at(repository, content, None).await.0
    }

    /// Pushes content as a blob that takes the place of bytes which are not there; returns where it was written, too.
    pub(super) async fn push_blob_at(
        &self,
        repository: &str,
        content: &str,
        replaces: Option<Location>,
    ) -> (Digest, Location) {
        let new = self.start(repository).await;
        let claim = self.claim(&new).await;
        let digest = digest(content);
        self.store().finish_upload(&finish(&new, &claim, content, replaces)).await.unwrap();
        self.store().release_upload(&new.id, claim.epoch);
        (digest, new.location)
    }

    /// Pushes a manifest all of whose references must be there.
    pub(super) async fn put(
        &self,
        repository: &str,
        manifest: &Manifest,
        tags: &[&str],
    ) -> Result<Digest, MetadataError> {
        put(self.store(), repository, manifest, tags, true).await
    }

    /// Pushes a manifest whose references may be missing.
    pub(super) async fn put_sparse(&self, repository: &str, manifest: &Manifest, tags: &[&str]) -> Digest {
        put(self.store(), repository, manifest, tags, false).await.unwrap()
    }

    /// Pushes an image of one layer with its blobs.
    pub(super) async fn push_image(&self, repository: &str, content: &str, tags: &[&str]) -> Digest {
        let config = self.push_blob(repository, &format!("config of {content}")).await;
        let layer = self.push_blob(repository, content).await;
        self.put(repository, &image(&config, &[layer]), tags).await.unwrap()
    }

    pub(super) async fn blob(&self, repository: &str, digest: &Digest) -> Option<Blob> {
        self.store().blob(&repo(repository), digest, Purpose::Read).await.unwrap()
    }

    pub(super) async fn promised(&self, repository: &str, digest: &Digest) -> Option<Blob> {
        self.store().blob(&repo(repository), digest, Purpose::Promise).await.unwrap()
    }

    /// The digest that a tag or digest leads to.
    pub(super) async fn resolve(&self, repository: &str, reference: &str) -> Option<Digest> {
        let reference = reference.parse().unwrap();
        let found = self.store().manifest(&repo(repository), &reference, Purpose::Read).await.unwrap();
        found.map(|manifest| manifest.digest)
    }

    pub(super) async fn reclaimable(&self) -> Vec<String> {
        let due = self.store().reclaimable(100).await.unwrap();
        due.into_iter().map(|bytes| bytes.location.to_string()).collect()
    }
}

pub(super) async fn put(
    store: &dyn MetadataStore,
    repository: &str,
    manifest: &Manifest,
    tags: &[&str],
    is_complete: bool,
) -> Result<Digest, MetadataError> {
    let digest = manifest.digest(Algorithm::Sha256);
    let tags: Vec<Tag> = tags.iter().map(|tag| self::tag(tag)).collect();
    let blobs: Vec<Digest> = manifest.blobs().map(|blob| blob.digest).collect();
    let children: Vec<Digest> = manifest.child_manifests().map(|child| child.digest).collect();
    let put = PutManifest {
        repository: &repo(repository),
        digest,
        manifest,
        tags: &tags,
        required: if is_complete { &blobs } else { &[] },
        required_children: if is_complete { &children } else { &[] },
        cause: &Cause::by("anna"),
    };
    store.put_manifest(&put).await.map(|()| digest)
}

pub(super) fn finish(
    new: &NewUpload,
    claim: &ClaimedUpload,
    content: &str,
    replaces: Option<Location>,
) -> FinishUpload {
    FinishUpload {
        repository: new.repository.clone(),
        id: new.id,
        epoch: claim.epoch,
        digest: digest(content),
        size_bytes: content.len() as u64,
        replaces,
    }
}

pub(super) fn repo(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

pub(super) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(super) fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn parse(document: &Value) -> Manifest {
    Manifest::parse(None, Bytes::from(document.to_string())).unwrap()
}

pub(super) fn image(config: &Digest, layers: &[Digest]) -> Manifest {
    parse(&image_document(config, layers))
}

fn image_document(config: &Digest, layers: &[Digest]) -> Value {
    let layer = |digest: &Digest| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": 5 });
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 5 },
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    })
}

pub(super) fn index(children: &[Digest]) -> Manifest {
    let child = |digest: &Digest| json!({ "mediaType": MediaType::OCI_MANIFEST.as_str(), "digest": digest, "size": 5 });
    parse(&json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": children.iter().map(child).collect::<Vec<_>>(),
    }))
}

/// An artifact that says something about a manifest.
pub(super) fn referrer(config: &Digest, subject: &Digest, artifact_type: &str, note: &str) -> Manifest {
    let mut document = image_document(config, &[]);
    document["subject"] =
        json!({ "mediaType": MediaType::OCI_MANIFEST.as_str(), "digest": subject, "size": 5 });
    document["artifactType"] = json!(artifact_type);
    document["annotations"] = json!({ "note": note });
    parse(&document)
}

//! What a client would push, in few words.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_types::{Cause, Location, Manifest, MediaType, RepositoryName, Tag, UploadId};
use serde_json::json;

use crate::{FinishUpload, MetadataError, MetadataStore, NewUpload, PutManifest};

pub(super) fn repo(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

pub(super) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(super) fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

pub(super) fn new_upload(repository: &str) -> NewUpload {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    let id = UploadId::from_random(id);
    let location = Location::of_upload(&id);
    NewUpload { id, repository: repo(repository), location, algorithm: Algorithm::Sha256 }
}

pub(super) fn finished(new: &NewUpload, epoch: i64, content: &str) -> FinishUpload {
    FinishUpload {
        repository: new.repository.clone(),
        id: new.id,
        epoch,
        digest: digest(content),
        size_bytes: content.len() as u64,
        replaces: None,
    }
}

pub(super) async fn try_push_blob(
    store: &dyn MetadataStore,
    repository: &str,
    content: &str,
) -> Result<Digest, MetadataError> {
    let new = new_upload(repository);
    store.start_upload(&new).await?;
    let epoch = store.claim_upload(&new.repository, &new.id).await?.epoch;
    let finish = store.finish_upload(&finished(&new, epoch, content)).await;
    store.release_upload(&new.id, epoch);
    finish.map(|()| digest(content))
}

pub(super) async fn push_blob(store: &dyn MetadataStore, repository: &str, content: &str) -> Digest {
    try_push_blob(store, repository, content).await.unwrap()
}

pub(super) fn image(config: &Digest, layers: &[Digest]) -> Manifest {
    let layer = |digest: &Digest| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": 5 });
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 5 },
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    });
    Manifest::parse(None, Bytes::from(document.to_string())).unwrap()
}

pub(super) fn index(children: &[Digest]) -> Manifest {
    let child = |digest: &Digest| json!({ "mediaType": MediaType::OCI_MANIFEST.as_str(), "digest": digest, "size": 5 });
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": children.iter().map(child).collect::<Vec<_>>(),
    });
    Manifest::parse(None, Bytes::from(document.to_string())).unwrap()
}

/// Pushes a manifest all of whose references must be there, or, sparse, none.
pub(super) async fn put(
    store: &dyn MetadataStore,
    repository: &str,
    manifest: &Manifest,
    tags: &[&str],
    is_sparse: bool,
) -> Result<Digest, MetadataError> {
    let tags: Vec<Tag> = tags.iter().map(|name| tag(name)).collect();
    let blobs: Vec<Digest> = manifest.blobs().map(|blob| blob.digest).collect();
    let children: Vec<Digest> = manifest.child_manifests().map(|child| child.digest).collect();
    let digest = manifest.digest(Algorithm::Sha256);
    let put = PutManifest {
        repository: &repo(repository),
        digest,
        manifest,
        tags: &tags,
        required: if is_sparse { &[] } else { &blobs },
        required_children: if is_sparse { &[] } else { &children },
        cause: &Cause::UNKNOWN,
    };
    store.put_manifest(&put).await.map(|()| digest)
}

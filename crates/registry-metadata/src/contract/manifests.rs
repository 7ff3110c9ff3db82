//! Pushing and reading manifests.

use registry_types::{Cause, MediaType, Reference};

use super::{
    Backend,
    fixture::{digest, image, index, put, repo, tag},
    open,
};
use crate::{FoundManifest, MetadataError, Purpose, PutManifest, StoredManifest};

/// A manifest is stored whole, with what it refers to, or not at all.
pub async fn all(backend: &dyn Backend) {
    a_manifest_is_read_as_it_was_pushed(backend).await;
    all_missing_references_are_named(backend).await;
    a_refused_manifest_leaves_nothing(backend).await;
    references_may_be_missing_if_allowed(backend).await;
    references_are_linked_when_they_arrive(backend).await;
    entries_of_an_index_that_are_no_manifests_are_blobs(backend).await;
    what_is_required_beyond_the_manifest_is_required(backend).await;
    pushing_again_only_sets_tags(backend).await;
    a_large_manifest_comes_back(backend).await;
    a_repeated_reference_counts_once(backend).await;
}

async fn a_manifest_is_read_as_it_was_pushed(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let manifest = image(&config, &[]);
    let digest = f.put("a", &manifest, &["v1", "v2"]).await.unwrap();
    let stored =
        StoredManifest { digest, media_type: MediaType::OCI_MANIFEST, bytes: manifest.bytes().clone() };
    for purpose in [Purpose::Read, Purpose::Promise] {
        for reference in [Reference::Tag(tag("v1")), Reference::Tag(tag("v2")), Reference::Digest(digest)] {
            let read = f.other().manifest(&repo("a"), &reference, purpose).await.unwrap();
            assert_eq!(read.as_ref(), Some(&stored));
            assert_eq!(f.store().manifest(&repo("b"), &reference, purpose).await.unwrap(), None);
            let size = manifest.bytes().len();
            for bytes_max in [size, size - 1, 0] {
                let found =
                    f.other().manifest_within(&repo("a"), &reference, purpose, bytes_max).await.unwrap();
                assert_eq!(found, Some(FoundManifest::within(stored.clone(), bytes_max)));
            }
            assert_eq!(f.store().manifest_within(&repo("b"), &reference, purpose, size).await.unwrap(), None);
        }
        for absent in [Reference::Tag(tag("v3")), Reference::Digest(config)] {
            assert_eq!(f.store().manifest(&repo("a"), &absent, purpose).await.unwrap(), None);
        }
    }
}

async fn all_missing_references_are_named(backend: &dyn Backend) {
    let f = open(backend).await;
    let here = f.push_blob("a", "here").await;
    let elsewhere = f.push_blob("b", "elsewhere").await;
    let nowhere = digest("nowhere");
    let mut expected = vec![elsewhere, nowhere];
    expected.sort();
    let refused = f.put("a", &image(&here, &[elsewhere, nowhere, here]), &["v1"]).await.unwrap_err();
    assert!(matches!(refused, MetadataError::MissingReferences { digests } if digests == expected));
    let refused = f.put("a", &index(&[nowhere, elsewhere]), &["v1"]).await.unwrap_err();
    assert!(matches!(refused, MetadataError::MissingReferences { digests } if digests == expected));
}

async fn a_refused_manifest_leaves_nothing(backend: &dyn Backend) {
    let f = open(backend).await;
    let manifest = image(&digest("nowhere"), &[]);
    f.put("a", &manifest, &["v1"]).await.unwrap_err();
    assert_eq!(f.resolve("a", "v1").await, None);
    for table in ["repositories", "manifests", "manifest_blobs", "tags", "tag_history", "gc_queue"] {
        assert_eq!(f.rows(&format!("SELECT COUNT(*) FROM {table}")).await, ["0"], "{table}");
    }
}

async fn references_may_be_missing_if_allowed(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let sparse = f.put_sparse("a", &image(&config, &[digest("nowhere")]), &["v1"]).await;
    assert_eq!(f.resolve("a", "v1").await, Some(sparse));
    let linked = f.rows("SELECT digest, target FROM manifest_blobs WHERE target IS NOT NULL").await;
    assert_eq!(linked, [format!("{config}|{config}")]);
    f.put_sparse("a", &index(&[sparse, digest("no child")]), &["v2"]).await;
    let linked = f.rows("SELECT digest, target FROM manifest_children WHERE target IS NOT NULL").await;
    assert_eq!(linked, [format!("{sparse}|{sparse}")]);
}

async fn references_are_linked_when_they_arrive(backend: &dyn Backend) {
    let f = open(backend).await;
    let (config, layer) = (digest("config"), digest("layer"));
    let child = image(&config, &[layer]);
    let child_digest = child.digest(registry_digest::Algorithm::Sha256);
    f.put_sparse("a", &index(&[child_digest]), &["v1"]).await;
    f.put_sparse("a", &child, &[]).await;
    let waiting = "SELECT digest FROM manifest_blobs WHERE target IS NULL
        UNION ALL SELECT digest FROM manifest_children WHERE target IS NULL";
    assert_eq!(f.rows(waiting).await.len(), 2, "the child has come, its blobs have not");
    f.push_blob("a", "config").await;
    f.push_blob("b", "layer").await;
    assert_eq!(f.rows(waiting).await, [layer.to_string()]);
    f.store().mount_blob(&repo("b"), &repo("a"), &layer).await.unwrap();
    assert!(f.rows(waiting).await.is_empty());
    assert!(f.store().delete_blob(&repo("a"), &layer).await.is_err());
    assert!(f.store().delete_manifest(&repo("a"), &child_digest, &Cause::UNKNOWN).await.is_err());
}

async fn entries_of_an_index_that_are_no_manifests_are_blobs(backend: &dyn Backend) {
    let f = open(backend).await;
    let layer = f.push_blob("a", "layer").await;
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{layer}","size":5}}]}}"#,
        MediaType::OCI_INDEX.as_str(),
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    let cache = registry_types::Manifest::parse(None, document.into()).unwrap();
    let digest = cache.digest(registry_digest::Algorithm::Sha256);
    let required_children: Vec<_> = cache.children().iter().map(|child| child.digest).collect();
    let put = PutManifest {
        repository: &repo("a"),
        digest,
        manifest: &cache,
        tags: &[],
        required: &[],
        required_children: &required_children,
        cause: &Cause::UNKNOWN,
    };
    f.store().put_manifest(&put).await.unwrap();
    assert!(f.store().delete_blob(&repo("a"), &layer).await.is_err());
}

async fn what_is_required_beyond_the_manifest_is_required(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let manifest = image(&config, &[]);
    let required = [digest("more")];
    let put = PutManifest {
        repository: &repo("a"),
        digest: manifest.digest(registry_digest::Algorithm::Sha256),
        manifest: &manifest,
        tags: &[],
        required: &required,
        required_children: &[],
        cause: &Cause::UNKNOWN,
    };
    let refused = f.store().put_manifest(&put).await.unwrap_err();
    assert!(matches!(refused, MetadataError::MissingReferences { digests } if digests == required));
}

async fn pushing_again_only_sets_tags(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let manifest = image(&config, &[]);
    let first = f.put("a", &manifest, &["v1"]).await.unwrap();
    let before = f.rows("SELECT pushed_at, pushed_by FROM manifests").await;
    f.advance_leases(1.0).await;
    let second = put(f.other(), "a", &manifest, &["v2"], true).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(f.rows("SELECT pushed_at, pushed_by FROM manifests").await, before);
    assert_eq!(f.store().tags(&repo("a"), None, 10).await.unwrap(), [tag("v1"), tag("v2")]);
}

async fn a_large_manifest_comes_back(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let filler = "x".repeat(registry_types::MANIFEST_BYTES_MAX - 1024);
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{config}","size":6}},"layers":[],"annotations":{{"a":"{filler}"}}}}"#,
        MediaType::OCI_MANIFEST.as_str(),
    );
    let manifest = registry_types::Manifest::parse(None, document.into()).unwrap();
    let digest = f.put("a", &manifest, &["v1"]).await.unwrap();
    let read = f.store().manifest(&repo("a"), &Reference::Digest(digest), Purpose::Read).await.unwrap();
    assert_eq!(read.unwrap().bytes, manifest.bytes());
}

async fn a_repeated_reference_counts_once(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    f.put("a", &image(&empty, &[empty, empty]), &["v1"]).await.unwrap();
    assert_eq!(f.rows("SELECT COUNT(*) FROM manifest_blobs").await, ["1"]);
}

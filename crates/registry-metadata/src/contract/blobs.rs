//! Blobs: who has them, where their bytes lie, and what takes the place of bytes that are gone.

use std::time::Duration;

use registry_types::{NameRange, Viewer};

use super::{
    Backend,
    fixture::{digest, image, put, repo},
    open,
};
use crate::{Blob, FinishUpload, MetadataError};

/// A blob is where it was pushed or mounted, has one object, and can be healed.
pub async fn all(backend: &dyn Backend) {
    a_blob_is_in_the_repository_it_was_pushed_to(backend).await;
    the_second_push_of_the_same_bytes_gives_its_bytes_back(backend).await;
    bytes_that_are_gone_are_replaced(backend).await;
    bad_bytes_are_hidden_until_they_are_pushed_again(backend).await;
    a_bad_blob_counts_as_missing_for_a_manifest(backend).await;
    two_algorithms_are_two_digests(backend).await;
    a_mount_needs_the_blob_in_its_source(backend).await;
    repositories_with_a_blob_are_found(backend).await;
    a_deleted_blob_is_gone_from_one_repository(backend).await;
    a_blob_that_a_manifest_uses_is_not_deleted(backend).await;
}

async fn a_blob_is_in_the_repository_it_was_pushed_to(backend: &dyn Backend) {
    let f = open(backend).await;
    let (digest, location) = f.push_blob_at("a/b", "content", None).await;
    let blob = Blob { location, size_bytes: 7 };
    assert_eq!(f.blob("a/b", &digest).await, Some(blob.clone()));
    assert_eq!(f.promised("a/b", &digest).await, Some(blob.clone()));
    assert_eq!(f.other().object(&digest).await.unwrap(), Some(blob));
    assert_eq!(f.blob("a", &digest).await, None);
    assert_eq!(f.promised("a", &digest).await, None);
    assert_eq!(f.blob("a/b", &self::digest("other")).await, None);
    assert_eq!(f.store().object(&self::digest("other")).await.unwrap(), None);
}

async fn the_second_push_of_the_same_bytes_gives_its_bytes_back(backend: &dyn Backend) {
    let f = open(backend).await;
    let (digest, first) = f.push_blob_at("a", "content", None).await;
    let (_, second) = f.push_blob_at("b", "content", None).await;
    for repository in ["a", "b"] {
        assert_eq!(f.blob(repository, &digest).await.unwrap().location, first);
    }
    assert_eq!(f.reclaimable().await, [second.to_string()]);
}

async fn bytes_that_are_gone_are_replaced(backend: &dyn Backend) {
    let f = open(backend).await;
    let (digest, first) = f.push_blob_at("a", "content", None).await;
    let (_, unlike) = f.push_blob_at("a", "content", Some("store/blobs/00/unlike".parse().unwrap())).await;
    assert_eq!(f.blob("a", &digest).await.unwrap().location, first, "what was missing is not what is known");
    let (_, third) = f.push_blob_at("b", "content", Some(first.clone())).await;
    for repository in ["a", "b"] {
        assert_eq!(f.blob(repository, &digest).await.unwrap().location, third);
    }
    assert_eq!(f.reclaimable().await, [unlike.to_string()], "a read of the old bytes may be running");
    f.advance(f.options.read_grace + Duration::from_millis(1)).await;
    assert_eq!(f.reclaimable().await, [unlike.to_string(), first.to_string()]);
}

async fn bad_bytes_are_hidden_until_they_are_pushed_again(backend: &dyn Backend) {
    let f = open(backend).await;
    let (digest, first) = f.push_blob_at("a", "content", None).await;
    f.push_blob("b", "content").await;
    f.store().mark_bad(&first).await.unwrap();
    f.store().mark_bad(&"store/blobs/00/unknown".parse().unwrap()).await.unwrap();
    for repository in ["a", "b"] {
        assert_eq!(f.blob(repository, &digest).await, None);
        assert_eq!(f.promised(repository, &digest).await, None);
    }
    assert_eq!(f.store().object(&digest).await.unwrap(), None);
    assert!(!f.store().mount_blob(&repo("a"), &repo("c"), &digest).await.unwrap());
    assert!(f.store().repositories_with_blob(&Viewer::everything(), &digest, 10).await.unwrap().is_empty());

    let (_, healed) = f.push_blob_at("a", "content", None).await;
    for repository in ["a", "b"] {
        assert_eq!(f.blob(repository, &digest).await.unwrap().location, healed);
    }
}

async fn a_bad_blob_counts_as_missing_for_a_manifest(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let (layer, location) = f.push_blob_at("a", "layer", None).await;
    f.store().mark_bad(&location).await.unwrap();
    let manifest = image(&config, &[layer]);
    let error = f.put("a", &manifest, &["v1"]).await.unwrap_err();
    assert!(matches!(error, MetadataError::MissingReferences { digests } if digests == [layer]));
    f.push_blob("a", "layer").await;
    f.put("a", &manifest, &["v1"]).await.unwrap();
}

async fn two_algorithms_are_two_digests(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_blob("a", "content").await;
    let new = f.start("a").await;
    let claim = f.claim(&new).await;
    let sha512 = registry_digest::Digest::of(registry_digest::Algorithm::Sha512, b"content");
    let finish = super::fixture::finish(&new, &claim, "content", None);
    f.store().finish_upload(&FinishUpload { digest: sha512, ..finish }).await.unwrap();
    assert_eq!(f.blob("a", &sha512).await.unwrap().location, new.location);
}

async fn a_mount_needs_the_blob_in_its_source(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    assert!(!f.store().mount_blob(&repo("b"), &repo("c"), &digest).await.unwrap());
    assert!(!f.store().mount_blob(&repo("a"), &repo("c"), &self::digest("other")).await.unwrap());
    let listed = f.store().tags(&repo("c"), None, 10).await;
    assert!(matches!(listed, Err(MetadataError::RepositoryUnknown { .. })), "nothing was made");
    assert!(f.store().mount_blob(&repo("a"), &repo("c"), &digest).await.unwrap());
    assert_eq!(f.blob("c", &digest).await, f.blob("a", &digest).await);
    assert!(f.store().mount_blob(&repo("b"), &repo("c"), &digest).await.unwrap(), "it is there already");
}

async fn repositories_with_a_blob_are_found(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    f.push_blob("b", "other").await;
    f.push_blob("c", "content").await;
    let mut found = f.store().repositories_with_blob(&Viewer::everything(), &digest, 10).await.unwrap();
    found.sort();
    assert_eq!(found, [repo("a"), repo("c")]);
    assert_eq!(f.store().repositories_with_blob(&Viewer::everything(), &digest, 1).await.unwrap().len(), 1);
    // To a viewer of less, repositories without a manifest are as those that are not listed.
    let of_c = Viewer::of([NameRange::beginning_with("b"), NameRange::exactly(&repo("c"))]);
    assert_eq!(f.store().repositories_with_blob(&of_c, &digest, 10).await.unwrap(), []);
    f.push_image("c", "content", &["v1"]).await;
    assert_eq!(f.store().repositories_with_blob(&of_c, &digest, 10).await.unwrap(), [repo("c")]);
    assert_eq!(f.store().repositories_with_blob(&Viewer::nothing(), &digest, 10).await.unwrap(), []);
}

async fn a_deleted_blob_is_gone_from_one_repository(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    f.push_blob("b", "content").await;
    f.store().delete_blob(&repo("a"), &digest).await.unwrap();
    assert_eq!(f.blob("a", &digest).await, None);
    assert!(f.blob("b", &digest).await.is_some());
    for unknown in ["a", "nowhere"] {
        let again = f.other().delete_blob(&repo(unknown), &digest).await;
        assert!(matches!(again, Err(MetadataError::BlobUnknown { .. })));
    }
    let queued = f.rows("SELECT reason FROM gc_queue WHERE kind = 'digest' AND due_at <= now_ms()").await;
    assert_eq!(queued, ["deleted"], "the collector is to see whether any repository is left");
}

async fn a_blob_that_a_manifest_uses_is_not_deleted(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let layer = f.push_blob("a", "layer").await;
    f.push_blob("b", "layer").await;
    let manifest = f.put("a", &image(&config, &[layer]), &["v1"]).await.unwrap();
    let refused = f.store().delete_blob(&repo("a"), &layer).await.unwrap_err();
    assert!(
        matches!(refused, MetadataError::BlobReferenced { digest, by } if digest == layer && by == [manifest])
    );
    f.store().delete_blob(&repo("b"), &layer).await.unwrap();

    for number in 0..20 {
        let config = f.push_blob("a", &format!("config {number}")).await;
        put(f.store(), "a", &image(&config, &[layer]), &[], true).await.unwrap();
    }
    let refused = f.store().delete_blob(&repo("a"), &layer).await.unwrap_err();
    assert!(matches!(refused, MetadataError::BlobReferenced { by, .. } if by.len() == crate::REFERRING_MAX));
}

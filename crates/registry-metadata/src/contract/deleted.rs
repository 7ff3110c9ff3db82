//! Repositories that were deleted as a whole.

use std::time::Duration;

use registry_types::{Cause, Viewer};

use super::{
    Backend,
    fixture::{Fixture, index, referrer, repo},
    open,
    restoring::collect,
};
use crate::{MetadataError, Options};

/// A deleted repository is gone at once, comes back whole while it is kept, and is worked off after that.
pub async fn all(backend: &dyn Backend) {
    a_deleted_repository_is_gone_at_once_and_can_come_back(backend).await;
    a_deleted_repository_leaves_its_name(backend).await;
    a_deleted_repository_is_worked_off(backend).await;
    what_is_mounted_elsewhere_outlives_a_repository(backend).await;
}

async fn a_deleted_repository_is_gone_at_once_and_can_come_back(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    let upload = f.start("a").await;
    f.store().delete_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.resolve("a", "v1").await, None);
    assert!(f.blob("a", &super::fixture::digest("content")).await.is_none());
    assert!(f.store().repositories(&Viewer::everything(), None, 10).await.unwrap().is_empty());
    assert!(f.store().upload(&repo("a"), &upload.id).await.unwrap().is_none());
    let content = super::fixture::digest("content");
    assert!(f.store().repositories_with_blob(&Viewer::everything(), &content, 10).await.unwrap().is_empty());
    assert!(matches!(
        f.store().delete_repository(&repo("a"), &Cause::UNKNOWN).await,
        Err(MetadataError::RepositoryUnknown { .. })
    ));
    let deleted = f.store().deleted_repositories().await.unwrap();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].name, repo("a"));

    f.advance_leases(3.0).await;
    collect(&f).await;
    f.store().restore_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.resolve("a", "v1").await, Some(digest));
    assert!(f.blob("a", &content).await.is_some());
    assert_eq!(f.store().repositories(&Viewer::everything(), None, 10).await.unwrap(), [repo("a")]);
    assert!(f.store().deleted_repositories().await.unwrap().is_empty());
    assert!(matches!(
        f.store().restore_repository(&repo("a"), &Cause::UNKNOWN).await,
        Err(MetadataError::RepositoryExists { .. })
    ));
    assert!(matches!(
        f.store().restore_repository(&repo("b"), &Cause::UNKNOWN).await,
        Err(MetadataError::RepositoryUnknown { .. })
    ));
}

async fn a_deleted_repository_leaves_its_name(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..2 {
        f.push_image("a", &format!("content {round}"), &["v1"]).await;
        f.store().delete_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
        f.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(f.store().deleted_repositories().await.unwrap().len(), 2);
    f.store().restore_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    let last = super::fixture::digest("content 1");
    assert!(f.blob("a", &last).await.is_some(), "the one that was deleted last");
}

async fn a_deleted_repository_is_worked_off(backend: &dyn Backend) {
    let f = Fixture::new(backend, Options { undelete_window: Duration::from_secs(60), ..Options::default() })
        .await;
    let empty = f.push_blob("a", "{}").await;
    let child = f.push_image("a", "child", &[]).await;
    let parent = f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    f.put("a", &referrer(&empty, &parent, "a/b", ""), &["v2"]).await.unwrap();
    let trashed = f.push_image("a", "trashed", &["v3"]).await;
    f.store().delete_manifest(&repo("a"), &trashed, &Cause::UNKNOWN).await.unwrap();
    f.start("a").await;
    f.store().delete_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    collect(&f).await;
    assert_eq!(f.rows("SELECT COUNT(*) FROM manifests").await, ["3"], "it can be restored");
    f.advance(Duration::from_secs(60)).await;
    collect(&f).await;
    for table in [
        "repositories",
        "manifests",
        "manifest_blobs",
        "manifest_children",
        "tags",
        "tag_history",
        "uploads",
        "repository_blobs",
        "digests",
        "objects",
        "trash_manifests",
        "trash_blobs",
        "trash_tags",
        "gc_queue",
    ] {
        // Entries of what is gone wait for their time.
        f.advance_leases(1.0).await;
        collect(&f).await;
        assert_eq!(f.rows(&format!("SELECT COUNT(*) FROM {table}")).await, ["0"], "{table}");
    }
    f.advance(f.options.read_grace).await;
    assert_eq!(f.reclaimable().await.len(), 6, "five blobs and an upload");
    assert!(matches!(
        f.store().restore_repository(&repo("a"), &Cause::UNKNOWN).await,
        Err(MetadataError::RepositoryUnknown { .. })
    ));
}

async fn what_is_mounted_elsewhere_outlives_a_repository(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "content", &["v1"]).await;
    let digest = f.push_image("b", "content", &["v1"]).await;
    f.store().delete_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window).await;
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(f.resolve("b", "v1").await, Some(digest));
    assert!(f.blob("b", &super::fixture::digest("content")).await.is_some());
}

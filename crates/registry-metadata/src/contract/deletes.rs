//! Deleting manifests, and what is kept of them.

use registry_types::Cause;
use std::time::Duration;

use super::{
    Backend,
    fixture::{Fixture, image, index, referrer, repo, tag},
    open,
};
use crate::{MetadataError, Options};

/// A deleted manifest is gone at once with its tags; what it used stays for a lease, and it itself for the window.
pub async fn all(backend: &dyn Backend) {
    a_deleted_manifest_takes_its_tags_along(backend).await;
    a_manifest_that_an_index_lists_is_not_deleted(backend).await;
    referrers_outlive_a_deleted_subject_for_a_lease(backend).await;
    the_trash_keeps_the_bytes(backend).await;
    a_manifest_deleted_twice_is_in_the_trash_once(backend).await;
    without_a_window_nothing_is_kept(backend).await;
    a_deleted_manifest_can_be_pushed_again(backend).await;
}

async fn a_deleted_manifest_takes_its_tags_along(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v2", "v1"]).await;
    let other = f.push_image("a", "other", &["v3"]).await;
    let tags = f.store().delete_manifest(&repo("a"), &digest, &Cause::by("bert")).await.unwrap();
    assert_eq!(tags, [tag("v1"), tag("v2")]);
    assert_eq!(f.resolve("a", "v1").await, None);
    assert_eq!(f.resolve("a", &digest.to_string()).await, None);
    assert_eq!(f.resolve("a", "v3").await, Some(other));
    assert_eq!(f.store().tags(&repo("a"), None, 10).await.unwrap(), [tag("v3")]);
    let history = f.rows("SELECT name, actor FROM tag_history WHERE digest IS NULL ORDER BY name").await;
    assert_eq!(history, ["v1|bert", "v2|bert"]);
    for unknown in ["a", "nowhere"] {
        let again = f.other().delete_manifest(&repo(unknown), &digest, &Cause::UNKNOWN).await;
        assert!(matches!(again, Err(MetadataError::ManifestUnknown { .. })));
    }
}

async fn a_manifest_that_an_index_lists_is_not_deleted(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "content", &["v1"]).await;
    let parent = f.put("a", &index(&[child]), &["v2"]).await.unwrap();
    let refused = f.store().delete_manifest(&repo("a"), &child, &Cause::UNKNOWN).await.unwrap_err();
    assert!(
        matches!(refused, MetadataError::ManifestReferenced { digest, by } if digest == child && by == [parent])
    );
    assert_eq!(f.resolve("a", "v1").await, Some(child), "nothing of it was done");
    f.store().delete_manifest(&repo("a"), &parent, &Cause::UNKNOWN).await.unwrap();
    f.store().delete_manifest(&repo("a"), &child, &Cause::UNKNOWN).await.unwrap();
}

async fn referrers_outlive_a_deleted_subject_for_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let subject = f.push_image("a", "content", &["v1"]).await;
    let signature = f.put("a", &referrer(&empty, &subject, "a/b", ""), &[]).await.unwrap();
    let tagged = f.put("a", &referrer(&empty, &subject, "a/c", ""), &["kept"]).await.unwrap();
    f.advance_leases(2.0).await;
    f.store().delete_manifest(&repo("a"), &subject, &Cause::UNKNOWN).await.unwrap();
    for digest in [signature, tagged] {
        assert_eq!(f.resolve("a", &digest.to_string()).await, Some(digest));
    }
    assert_eq!(queued(&f, "subject deleted").await, [signature.to_string()]);
}

/// What is on the queue for a reason, all with a whole grant left.
async fn queued(f: &Fixture, reason: &str) -> Vec<String> {
    let grant_ms = f.options.lease.as_millis() * 3 / 2;
    let queued =
        f.rows(&format!("SELECT digest, due_at - now_ms() FROM gc_queue WHERE reason = '{reason}'")).await;
    let due = |row: &String| row.strip_suffix(&format!("|{grant_ms}")).unwrap().to_owned();
    queued.iter().map(due).collect()
}

async fn the_trash_keeps_the_bytes(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let manifest = image(&config, &[super::fixture::digest("never here")]);
    let digest = f.put_sparse("a", &manifest, &["v1"]).await;
    f.advance(Duration::from_secs(60)).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::by("bert")).await.unwrap();
    let window_ms = f.options.undelete_window.as_millis();
    let trash = "SELECT digest, size, pushed_by, deleted_by, deleted_at - pushed_at, purge_at - deleted_at
        FROM trash_manifests";
    let size = manifest.bytes().len();
    assert_eq!(f.rows(trash).await, [format!("{digest}|{size}|anna|bert|60000|{window_ms}")]);
    assert_eq!(f.rows("SELECT manifest, digest FROM trash_blobs").await, [format!("{digest}|{config}")]);
    assert_eq!(f.rows("SELECT name, digest FROM trash_tags").await, [format!("v1|{digest}")]);
    f.store().delete_blob(&repo("a"), &config).await.unwrap();
    assert!(f.store().object(&config).await.unwrap().is_some(), "no repository has it, the trash does");
}

async fn a_manifest_deleted_twice_is_in_the_trash_once(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::by("bert")).await.unwrap();
    f.advance(Duration::from_secs(1)).await;
    f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::by("carl")).await.unwrap();
    assert_eq!(f.rows("SELECT deleted_by, now_ms() - deleted_at FROM trash_manifests").await, ["carl|0"]);
    assert_eq!(f.rows("SELECT deleted_by, now_ms() - deleted_at FROM trash_tags").await, ["carl|0"]);
}

async fn without_a_window_nothing_is_kept(backend: &dyn Backend) {
    let options = Options { undelete_window: Duration::ZERO, ..Options::default() };
    let f = Fixture::new(backend, options).await;
    let digest = f.push_image("a", "content", &["v1", "v2"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    for table in ["trash_manifests", "trash_blobs", "trash_tags"] {
        assert_eq!(f.rows(&format!("SELECT COUNT(*) FROM {table}")).await, ["0"], "{table}");
    }
}

async fn a_deleted_manifest_can_be_pushed_again(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.push_image("a", "content", &["v1"]).await, digest);
    assert_eq!(f.resolve("a", "v1").await, Some(digest));
}

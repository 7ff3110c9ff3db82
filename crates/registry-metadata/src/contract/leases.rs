//! Promise 2: what a client was told exists stays for at least a lease.
//!
//! No collector is needed to see that. A collector takes nothing that is referenced, nothing whose `lease_until` has not
//! passed, and looks only at what is queued; so it is enough that after every answer the lease is long enough, and that
//! the queue has an entry for the moment when it ends.

use registry_digest::Digest;
use registry_types::{Cause, Reference};

use super::{
    Backend,
    fixture::{Fixture, image, index, put, referrer, repo, tag},
    open,
};
use crate::Purpose;

/// Leases are granted, renewed only when they must be, and queued.
pub async fn all(backend: &dyn Backend) {
    a_pushed_blob_has_a_lease(backend).await;
    a_promise_writes_only_when_less_than_a_lease_is_left(backend).await;
    a_promise_of_what_is_referenced_never_writes(backend).await;
    a_promise_of_a_manifest_is_kept_in_the_same_way(backend).await;
    a_mount_grants_a_lease(backend).await;
    a_second_push_grants_a_lease(backend).await;
    reading_grants_nothing(backend).await;
    the_last_reference_leaves_a_lease(backend).await;
    a_moved_tag_leaves_a_lease(backend).await;
    an_untagged_push_has_a_lease_and_a_tagged_one_needs_none(backend).await;
    a_deleted_index_leaves_leases(backend).await;
    a_reference_that_is_not_linked_counts(backend).await;
}

/// How much is left of a blob's lease, in leases, and of its entry on the queue.
async fn blob_left(f: &Fixture, repository: &str, digest: &Digest) -> (f64, Option<f64>) {
    left(f, "repository_blobs", "blob", repository, digest).await
}

async fn manifest_left(f: &Fixture, repository: &str, digest: &Digest) -> (f64, Option<f64>) {
    left(f, "manifests", "manifest", repository, digest).await
}

async fn left(f: &Fixture, table: &str, kind: &str, repository: &str, digest: &Digest) -> (f64, Option<f64>) {
    let here = format!(
        "digest = '{digest}' AND repository = (SELECT id FROM repositories WHERE name = '{repository}')"
    );
    let lease = f.rows(&format!("SELECT lease_until - now_ms() FROM {table} WHERE {here}")).await;
    let queue =
        f.rows(&format!("SELECT due_at - now_ms() FROM gc_queue WHERE kind = '{kind}' AND {here}")).await;
    let lease_ms = f.options.lease.as_millis() as f64;
    let in_leases = |row: &String| row.parse::<f64>().unwrap() / lease_ms;
    (in_leases(&lease[0]), queue.first().map(in_leases))
}

async fn a_pushed_blob_has_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    assert_eq!(blob_left(&f, "a", &digest).await, (1.5, Some(1.5)));
}

async fn a_promise_writes_only_when_less_than_a_lease_is_left(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    f.advance_leases(0.5).await;
    f.promised("a", &digest).await.unwrap();
    assert_eq!(blob_left(&f, "a", &digest).await, (1.0, Some(1.0)), "exactly a lease is left: enough");
    f.advance_leases(0.25).await;
    f.promised("a", &digest).await.unwrap();
    assert_eq!(blob_left(&f, "a", &digest).await, (1.5, Some(1.5)));
    f.advance_leases(7.0).await;
    f.promised("a", &digest).await.unwrap();
    assert_eq!(blob_left(&f, "a", &digest).await, (1.5, Some(1.5)), "nobody has collected it");
}

async fn a_promise_of_what_is_referenced_never_writes(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    f.put("a", &image(&config, &[]), &["v1"]).await.unwrap();
    f.advance_leases(5.0).await;
    f.promised("a", &config).await.unwrap();
    assert_eq!(blob_left(&f, "a", &config).await.0, -3.5);
}

async fn a_promise_of_a_manifest_is_kept_in_the_same_way(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let promise = async |digest: Digest| {
        let reference = Reference::Digest(digest);
        f.store().manifest(&repo("a"), &reference, Purpose::Promise).await.unwrap().unwrap();
    };
    let loose = f.push_image("a", "loose", &[]).await;
    let tagged = f.push_image("a", "tagged", &["v1"]).await;
    let child = f.push_image("a", "child", &[]).await;
    f.put("a", &index(&[child]), &["v2"]).await.unwrap();
    let signature = f.put("a", &referrer(&empty, &tagged, "a/b", ""), &[]).await.unwrap();
    let orphan =
        f.put("a", &referrer(&empty, &super::fixture::digest("gone"), "a/b", ""), &[]).await.unwrap();

    f.advance_leases(0.5).await;
    for digest in [loose, orphan] {
        promise(digest).await;
        assert_eq!(manifest_left(&f, "a", &digest).await, (1.0, Some(1.0)));
    }
    f.advance_leases(1.0).await;
    for digest in [loose, orphan] {
        promise(digest).await;
        assert_eq!(manifest_left(&f, "a", &digest).await, (1.5, Some(1.5)));
    }
    for digest in [tagged, child, signature] {
        promise(digest).await;
        assert_eq!(manifest_left(&f, "a", &digest).await.0, 0.0, "referenced");
    }
    let by_tag = Reference::Tag(tag("v1"));
    f.store().manifest(&repo("a"), &by_tag, Purpose::Promise).await.unwrap().unwrap();
    assert_eq!(manifest_left(&f, "a", &tagged).await.0, 0.0);
}

async fn a_mount_grants_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    f.advance_leases(3.0).await;
    for _ in 0..2 {
        assert!(f.store().mount_blob(&repo("a"), &repo("b"), &digest).await.unwrap());
        assert_eq!(blob_left(&f, "b", &digest).await, (1.5, Some(1.5)));
        f.advance_leases(1.0).await;
    }
}

async fn a_second_push_grants_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    f.advance_leases(1.25).await;
    f.push_blob("a", "content").await;
    assert_eq!(blob_left(&f, "a", &digest).await, (1.5, Some(1.5)));
}

async fn reading_grants_nothing(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_blob("a", "content").await;
    f.advance_leases(2.0).await;
    f.blob("a", &digest).await.unwrap();
    assert_eq!(blob_left(&f, "a", &digest).await.0, -0.5);
}

async fn the_last_reference_leaves_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let shared = f.push_blob("a", "shared").await;
    let (one, two) = (f.push_blob("a", "one").await, f.push_blob("a", "two").await);
    let first = f.put("a", &image(&one, &[shared]), &["v1"]).await.unwrap();
    let second = f.put("a", &image(&two, &[shared]), &["v2"]).await.unwrap();
    f.advance_leases(5.0).await;
    f.store().delete_manifest(&repo("a"), &first, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(blob_left(&f, "a", &one).await, (1.5, Some(1.5)));
    assert_eq!(blob_left(&f, "a", &shared).await.0, -3.5, "the second manifest uses it");
    f.store().delete_manifest(&repo("a"), &second, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(blob_left(&f, "a", &shared).await, (1.5, Some(1.5)));
}

async fn a_moved_tag_leaves_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["latest"]).await;
    let kept = f.push_image("a", "kept", &["v1", "next"]).await;
    f.advance_leases(5.0).await;
    f.push_image("a", "two", &["latest", "next"]).await;
    assert_eq!(manifest_left(&f, "a", &first).await, (1.5, Some(1.5)));
    assert_eq!(manifest_left(&f, "a", &kept).await.0, -3.5, "it has another tag");
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(manifest_left(&f, "a", &kept).await, (1.5, Some(1.5)));
}

async fn an_untagged_push_has_a_lease_and_a_tagged_one_needs_none(backend: &dyn Backend) {
    let f = open(backend).await;
    let loose = f.push_image("a", "loose", &[]).await;
    let tagged = f.push_image("a", "tagged", &["v1"]).await;
    assert_eq!(manifest_left(&f, "a", &loose).await, (1.5, Some(1.5)));
    assert_eq!(manifest_left(&f, "a", &tagged).await.1, None, "not on the queue");
    f.advance_leases(2.0).await;
    f.push_image("a", "loose", &[]).await;
    assert_eq!(manifest_left(&f, "a", &loose).await, (1.5, Some(1.5)), "it was pushed again");
}

async fn a_deleted_index_leaves_leases(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "child", &[]).await;
    let tagged = f.push_image("a", "tagged", &["v1"]).await;
    let parent = f.put("a", &index(&[child, tagged]), &["v2"]).await.unwrap();
    f.advance_leases(5.0).await;
    f.store().delete_manifest(&repo("a"), &parent, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(manifest_left(&f, "a", &child).await, (1.5, Some(1.5)));
    assert_eq!(manifest_left(&f, "a", &tagged).await.0, -3.5);
}

async fn a_reference_that_is_not_linked_counts(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = super::fixture::digest("not here");
    let parent = f.put_sparse("a", &index(&[child]), &["v1"]).await;
    let grandparent = put(f.store(), "a", &index(&[parent]), &[], true).await.unwrap();
    f.advance_leases(5.0).await;
    f.store().delete_manifest(&repo("a"), &grandparent, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(manifest_left(&f, "a", &parent).await.0, -3.5, "it has a tag");
    let refused = f.store().delete_manifest(&repo("a"), &child, &Cause::UNKNOWN).await.unwrap_err();
    assert!(matches!(refused, crate::MetadataError::ManifestUnknown { .. }));
}

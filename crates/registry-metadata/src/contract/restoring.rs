//! What was deleted comes back, for as long as it was kept.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::{Cause, Reference, Viewer};

use super::{
    Backend,
    fixture::{Fixture, image, index, referrer, repo, tag},
    open,
};
use crate::{CollectRules, EndedWindows, MetadataError, Restored};

/// Tags, manifests and repositories are restored whole; after the window they are gone whole.
pub async fn all(backend: &dyn Backend) {
    a_deleted_tag_is_restored(backend).await;
    a_deleted_manifest_is_restored_with_its_tags(backend).await;
    a_manifest_is_restored_after_its_blobs_were_unlinked(backend).await;
    an_index_is_restored_with_children_and_referrers(backend).await;
    a_tag_that_was_set_again_is_not_overwritten(backend).await;
    what_was_purged_is_not_restored(backend).await;
    a_restored_manifest_keeps_what_it_uses(backend).await;
    the_trash_is_listed_in_pages(backend).await;
    a_history_tells_who_and_when(backend).await;
    a_tag_goes_back_to_what_it_led_to(backend).await;
    a_tag_expires_if_its_image_says_so(backend).await;
    a_tag_that_is_set_again_expires_later(backend).await;
    a_manifest_that_is_refused_by_now_stays_deleted(backend).await;
    a_child_that_is_refused_by_now_keeps_no_index_deleted(backend).await;
    the_windows_of_one_repository_end_when_told(backend).await;
    all_windows_end_when_told(backend).await;
}

pub(super) async fn collect(f: &Fixture) {
    while !f.store().collect(&CollectRules { untagged: true }, 7).await.unwrap().is_empty() {}
}

async fn restore(f: &Fixture, reference: impl Into<Reference>) -> Result<Restored, MetadataError> {
    f.store().restore(&repo("a"), &reference.into(), &Cause::by("carl")).await
}

async fn a_deleted_tag_is_restored(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["v1"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    f.advance(Duration::from_secs(1)).await;
    let second = f.push_image("a", "two", &["v1"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    let restored = restore(&f, tag("v1")).await.unwrap();
    assert_eq!(restored, Restored { manifests: vec![], tags: vec![tag("v1")] });
    assert_eq!(f.resolve("a", "v1").await, Some(second), "the last one, not {first}");
    let again = restore(&f, tag("v1")).await.unwrap_err();
    assert!(matches!(again, MetadataError::TagTaken { .. }), "{again}");
    for unknown in ["v2", "v3"] {
        let error = restore(&f, tag(unknown)).await.unwrap_err();
        assert!(matches!(error, MetadataError::TagUnknown { .. }));
    }
}

async fn a_deleted_manifest_is_restored_with_its_tags(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1", "v2"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::by("bert")).await.unwrap();
    f.push_image("a", "other", &["v2"]).await;
    let restored = restore(&f, digest).await.unwrap();
    assert_eq!(restored, Restored { manifests: vec![digest], tags: vec![tag("v1")] });
    assert_eq!(f.resolve("a", "v1").await, Some(digest));
    assert_ne!(f.resolve("a", "v2").await, Some(digest), "somebody has set it since");
    assert_eq!(f.rows("SELECT COUNT(*) FROM trash_manifests").await, ["0"]);
    let row = f.rows("SELECT pushed_by FROM manifests ORDER BY pushed_at").await;
    assert_eq!(row, ["anna", "anna"]);
    let history = f.rows("SELECT actor FROM tag_history WHERE name = 'v1' ORDER BY id").await;
    assert_eq!(history, ["anna", "bert", "carl"]);
    assert!(matches!(restore(&f, digest).await, Err(MetadataError::ManifestUnknown { .. })));
}

async fn a_manifest_is_restored_after_its_blobs_were_unlinked(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(f.rows("SELECT COUNT(*) FROM repository_blobs").await, ["0"]);
    restore(&f, digest).await.unwrap();
    assert_eq!(f.resolve("a", "v1").await, Some(digest));
    for content in ["content", "config of content"] {
        assert!(f.blob("a", &super::fixture::digest(content)).await.is_some());
    }
    assert_eq!(
        f.rows("SELECT COUNT(*) FROM manifest_blobs WHERE target IS NULL").await,
        ["0"],
        "they are held"
    );
    assert_eq!(f.store().repositories(&Viewer::everything(), None, 10).await.unwrap(), [repo("a")]);
}

async fn an_index_is_restored_with_children_and_referrers(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let child = f.push_image("a", "child", &[]).await;
    let parent = f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    let signature = f.put("a", &referrer(&empty, &parent, "a/b", ""), &[]).await.unwrap();
    f.advance_leases(2.0).await;
    f.store().delete_manifest(&repo("a"), &parent, &Cause::UNKNOWN).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    for digest in [child, signature] {
        assert_eq!(f.resolve("a", &digest.to_string()).await, None);
    }
    let restored = restore(&f, tag("v1")).await.unwrap();
    assert_eq!(restored.manifests, [child, parent, signature]);
    f.advance_leases(3.0).await;
    collect(&f).await;
    for digest in [child, parent, signature] {
        assert_eq!(f.resolve("a", &digest.to_string()).await, Some(digest), "it is held again");
    }
}

async fn a_tag_that_was_set_again_is_not_overwritten(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "one", &["v1"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    let second = f.push_image("a", "two", &["v1"]).await;
    let error = restore(&f, tag("v1")).await.unwrap_err();
    assert!(matches!(error, MetadataError::TagTaken { digest, .. } if digest == second));
}

async fn what_was_purged_is_not_restored(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert!(matches!(restore(&f, digest).await, Err(MetadataError::ManifestUnknown { .. })));
    assert!(matches!(restore(&f, tag("v1")).await, Err(MetadataError::TagUnknown { .. })));
}

async fn a_restored_manifest_keeps_what_it_uses(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let sparse = image(&config, &[super::fixture::digest("not here")]);
    let digest = f.put_sparse("a", &sparse, &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    restore(&f, digest).await.unwrap();
    f.advance_leases(5.0).await;
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(f.resolve("a", "v1").await, Some(digest));
    assert!(f.blob("a", &config).await.is_some());
    let late = f.push_blob("a", "not here").await;
    f.advance_leases(5.0).await;
    collect(&f).await;
    assert!(f.blob("a", &late).await.is_some(), "it waited for it");
}

async fn the_trash_is_listed_in_pages(backend: &dyn Backend) {
    let f = open(backend).await;
    let mut digests: Vec<Digest> = Vec::new();
    for number in 0..3 {
        let digest = f.push_image("a", &format!("content {number}"), &[&format!("v{number}")]).await;
        f.store().delete_manifest(&repo("a"), &digest, &Cause::by("bert")).await.unwrap();
        digests.push(digest);
    }
    let mut listed = Vec::new();
    loop {
        let page = f.store().trash(&repo("a"), listed.last(), 2).await.unwrap();
        let is_last = page.len() < 2;
        listed.extend(page);
        if is_last {
            break;
        }
    }
    let tags: Vec<_> = listed.iter().filter_map(|it| it.tag.clone()).collect();
    assert_eq!(tags, ["v0", "v1", "v2"].map(tag));
    let manifests: Vec<_> = listed.iter().filter(|it| it.tag.is_none()).map(|it| it.digest).collect();
    digests.sort_unstable_by_key(Digest::to_string);
    assert_eq!(manifests, digests);
    assert!(listed.iter().all(|it| it.deleted_by.as_deref() == Some("bert")));
    let window_ms = i64::try_from(f.options.undelete_window.as_millis()).unwrap();
    assert!(listed.iter().all(|it| it.purge_at_ms - it.deleted_at_ms == window_ms));
    assert!(matches!(
        f.store().trash(&repo("b"), None, 1).await,
        Err(MetadataError::RepositoryUnknown { .. })
    ));
}

async fn a_history_tells_who_and_when(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["v1"]).await;
    f.advance(Duration::from_secs(5)).await;
    let second = f.push_image("a", "two", &["v1"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::by("bert")).await.unwrap();
    let history = f.store().tag_history(&repo("a"), &tag("v1"), None, 10).await.unwrap();
    let digests: Vec<_> = history.iter().map(|change| change.digest).collect();
    assert_eq!(digests, [None, Some(second), Some(first)]);
    assert_eq!(history[1].at_ms - history[2].at_ms, 5000);
    assert_eq!(history[0].actor.as_deref(), Some("bert"));
    let rest = f.store().tag_history(&repo("a"), &tag("v1"), Some(history[0].number), 1).await.unwrap();
    assert_eq!(rest, history[1..2]);
    assert_eq!(f.store().tag_history(&repo("b"), &tag("v1"), None, 10).await.unwrap(), []);
}

async fn a_tag_goes_back_to_what_it_led_to(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["v1"]).await;
    f.push_image("a", "two", &["v1"]).await;
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(f.resolve("a", &first.to_string()).await, None, "untagged manifests go");
    let restored = f.store().set_tag(&repo("a"), &tag("v1"), &first, &Cause::by("carl")).await.unwrap();
    assert_eq!(restored, Restored { manifests: vec![first], tags: vec![tag("v1")] });
    assert_eq!(f.resolve("a", "v1").await, Some(first));
    let unknown =
        f.store().set_tag(&repo("a"), &tag("v1"), &super::fixture::digest("x"), &Cause::UNKNOWN).await;
    assert!(matches!(unknown, Err(MetadataError::ManifestUnknown { .. })));
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Has the labels of every image read; those of `digest` say when its tags expire.
async fn read_labels(f: &Fixture, digest: &Digest) {
    for (repository, image) in f.store().unread_labels(100).await.unwrap() {
        let after = (image == *digest).then_some(HOUR);
        f.store().set_expiry(&repository, &image, after).await.unwrap();
    }
    assert!(f.store().unread_labels(100).await.unwrap().is_empty());
}

async fn a_tag_expires_if_its_image_says_so(backend: &dyn Backend) {
    let f = open(backend).await;
    let short = f.push_image("a", "short", &["v1"]).await;
    let long = f.push_image("a", "long", &["v2"]).await;
    read_labels(&f, &short).await;
    f.advance(HOUR - Duration::from_secs(1)).await;
    f.store().collect(&CollectRules::default(), 100).await.unwrap();
    assert_eq!(f.resolve("a", "v1").await, Some(short));
    f.advance(Duration::from_secs(1)).await;
    let rules = CollectRules::default();
    while !f.store().collect(&rules, 100).await.unwrap().is_empty() {}
    assert_eq!(f.resolve("a", "v1").await, None);
    assert_eq!(f.resolve("a", "v2").await, Some(long));
    let last = f.store().tag_history(&repo("a"), &tag("v1"), None, 1).await.unwrap().remove(0);
    assert_eq!((last.digest, last.actor.as_deref()), (None, Some("expired")));
    f.advance_leases(2.0).await;
    while !f.store().collect(&rules, 100).await.unwrap().is_empty() {}
    assert_eq!(f.resolve("a", &short.to_string()).await, None, "and its manifest goes");
    restore(&f, tag("v1")).await.unwrap();
    assert_eq!(f.resolve("a", "v1").await, Some(short));
}

async fn a_tag_that_is_set_again_expires_later(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    read_labels(&f, &digest).await;
    f.advance(HOUR / 2).await;
    f.push_image("a", "content", &["v2"]).await;
    f.advance(HOUR / 2).await;
    while !f.store().collect(&CollectRules::default(), 100).await.unwrap().is_empty() {}
    assert_eq!((f.resolve("a", "v1").await, f.resolve("a", "v2").await), (None, Some(digest)));
    f.advance(HOUR / 2).await;
    while !f.store().collect(&CollectRules::default(), 100).await.unwrap().is_empty() {}
    assert_eq!(f.resolve("a", "v2").await, None);
}

/// Makes a deleted manifest one that this version does not accept.
async fn spoil(f: &Fixture, digest: &Digest) {
    f.run(&format!("UPDATE trash_manifests SET bytes = substr(bytes, 2) WHERE digest = '{digest}'")).await;
}

async fn a_manifest_that_is_refused_by_now_stays_deleted(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    spoil(&f, &digest).await;
    let refused = |result: Result<Restored, MetadataError>| matches!(result, Err(MetadataError::ManifestRefused { digest: refused, .. }) if refused == digest);
    assert!(refused(restore(&f, digest).await));
    assert!(refused(restore(&f, tag("v1")).await));
    assert!(refused(f.store().set_tag(&repo("a"), &tag("v2"), &digest, &Cause::UNKNOWN).await));
    assert_eq!(f.rows("SELECT COUNT(*) FROM trash_manifests").await, ["1"]);
    assert_eq!(f.rows("SELECT COUNT(*) FROM tags").await, ["0"]);
}

async fn a_child_that_is_refused_by_now_keeps_no_index_deleted(backend: &dyn Backend) {
    let f = open(backend).await;
    let [good, bad] = [f.push_image("a", "good", &[]).await, f.push_image("a", "bad", &[]).await];
    let parent = f.put("a", &index(&[bad, good]), &["v1"]).await.unwrap();
    for digest in [parent, good, bad] {
        f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    }
    spoil(&f, &bad).await;
    let restored = restore(&f, tag("v1")).await.unwrap();
    assert_eq!(restored, Restored { manifests: vec![good, parent], tags: vec![tag("v1")] });
    assert_eq!(f.resolve("a", &bad.to_string()).await, None);
    assert_eq!(f.rows("SELECT digest FROM trash_manifests").await, [bad.to_string()]);
    let here = f.rows("SELECT target FROM manifest_children ORDER BY target").await;
    assert_eq!(
        here.iter().filter(|target| !target.is_empty()).count(),
        1,
        "the index refers to what is here"
    );
}

/// A deleted image in each of two repositories, and a deleted repository of each name.
async fn with_trash(backend: &dyn Backend) -> Fixture {
    let f = open(backend).await;
    for name in ["a", "b"] {
        f.push_image(name, "before", &["v1"]).await;
        f.store().delete_repository(&repo(name), &Cause::UNKNOWN).await.unwrap();
        let digest = f.push_image(name, "content", &["v1", "v2"]).await;
        f.push_image(name, "stays", &["v3"]).await;
        f.store().delete_manifest(&repo(name), &digest, &Cause::UNKNOWN).await.unwrap();
    }
    f
}

async fn trashed(f: &Fixture, name: &str) -> usize {
    f.store().trash(&repo(name), None, 100).await.unwrap().len()
}

async fn the_windows_of_one_repository_end_when_told(backend: &dyn Backend) {
    let f = with_trash(backend).await;
    let ended = f.store().end_windows(Some(&repo("a")), 100).await.unwrap();
    assert_eq!(ended, EndedWindows { tags: 2, manifests: 1, repositories: 1 });
    assert!(f.store().end_windows(Some(&repo("a")), 100).await.unwrap().is_none());
    assert!(f.store().end_windows(Some(&repo("unknown")), 100).await.unwrap().is_none());
    collect(&f).await;
    assert_eq!((trashed(&f, "a").await, trashed(&f, "b").await), (0, 3));
    assert!(f.resolve("a", "v3").await.is_some(), "what was not deleted stays");
    let left = f.store().deleted_repositories().await.unwrap();
    assert_eq!(left.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(), ["b"]);
}

async fn all_windows_end_when_told(backend: &dyn Backend) {
    let f = with_trash(backend).await;
    let mut ended = EndedWindows::default();
    for _ in 0..100 {
        let some = f.store().end_windows(None, 1).await.unwrap();
        assert!(some.tags <= 1 && some.manifests <= 1 && some.repositories <= 1);
        if some.is_none() {
            break;
        }
        ended += some;
    }
    assert_eq!(ended, EndedWindows { tags: 4, manifests: 2, repositories: 2 });
    collect(&f).await;
    assert_eq!((trashed(&f, "a").await, trashed(&f, "b").await), (0, 0));
    assert_eq!(f.store().deleted_repositories().await.unwrap(), []);
    assert!(f.resolve("b", "v3").await.is_some());
}

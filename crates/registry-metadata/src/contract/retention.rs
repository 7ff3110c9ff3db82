//! Images as units, who holds them, when they were pulled, and their deletion if they are still as they were told.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::{Cause, Tag};

use super::{
    Backend,
    fixture::{Fixture, index, referrer, repo, tag},
    open,
};
use crate::{CollectRules, Hold, Image, ImagePage, ImagePosition, ImmutableTags, Options, PULLS_APART, Pull};

/// What is told of an image is true, and what is not as it was told is not deleted.
pub async fn all(backend: &dyn Backend) {
    images_are_listed_once_in_pages(backend).await;
    what_hangs_on_an_image_is_not_listed(backend).await;
    times_are_those_of_pushes(backend).await;
    a_pull_is_written_down_once_an_hour(backend).await;
    a_pull_of_an_image_is_one_of_its_index(backend).await;
    an_expired_tag_takes_its_image_along_after_a_lease(backend).await;
    a_tag_of_an_image_that_has_another_leaves_it(backend).await;
    what_an_index_needs_stays(backend).await;
    an_untagged_image_goes_with_what_hangs_on_it(backend).await;
    what_changed_since_it_was_told_stays(backend).await;
    what_is_held_stays(backend).await;
}

async fn pages(f: &Fixture, repository: &str, limit: usize) -> Vec<Image> {
    let (mut images, mut after): (Vec<Image>, Option<ImagePosition>) = (Vec::new(), None);
    for _ in 0..1000 {
        let page = f.store().images(&repo(repository), after.as_ref(), limit).await.unwrap();
        assert!(page.images.len() <= limit);
        images.extend(page.images);
        match page.next {
            Some(next) => after = Some(next),
            None => return images,
        }
    }
    panic!("the pages have no end");
}

async fn images(f: &Fixture) -> Vec<Image> {
    pages(f, "a", 100).await
}

async fn first_page(f: &Fixture) -> ImagePage {
    f.store().images(&repo("a"), None, 100).await.unwrap()
}

pub(super) async fn tagged(f: &Fixture, name: &str) -> Image {
    let tag: Option<Tag> = Some(tag(name));
    images(f).await.into_iter().find(|image| image.tag == tag).unwrap()
}

async fn untagged(f: &Fixture, digest: &Digest) -> Option<Image> {
    images(f).await.into_iter().find(|image| image.tag.is_none() && image.digest == *digest)
}

async fn expire(f: &Fixture, image: &Image) -> bool {
    f.other().expire_image(&repo("a"), image, &Cause::by("retention")).await.unwrap()
}

async fn pull(f: &Fixture, digest: &Digest) {
    f.store().record_pulls(&[Pull { repository: repo("a"), digest: *digest }]).await.unwrap();
}

async fn collect(f: &Fixture) {
    while !f.store().collect(&CollectRules::default(), 7).await.unwrap().is_empty() {}
}

async fn images_are_listed_once_in_pages(backend: &dyn Backend) {
    let f = open(backend).await;
    let one = f.push_image("a", "one", &["v1", "v2", "v3"]).await;
    f.push_image("a", "two", &["latest"]).await;
    let mut alone = vec![f.push_image("a", "three", &[]).await, f.push_image("a", "four", &[]).await];
    alone.sort_unstable();
    f.push_image("b", "one", &["other"]).await;
    let all = images(&f).await;
    let tags: Vec<_> = all.iter().filter_map(|image| image.tag.as_ref()).map(Tag::as_str).collect();
    assert_eq!(tags, ["latest", "v1", "v2", "v3"]);
    assert_eq!(all.iter().filter(|image| image.digest == one).count(), 3);
    let manifests: Vec<_> =
        all.iter().filter(|image| image.tag.is_none()).map(|image| image.digest).collect();
    assert_eq!(manifests, alone);
    for limit in 1..8 {
        assert_eq!(pages(&f, "a", limit).await, all, "{limit} a page");
    }
    assert!(pages(&f, "unknown", 10).await.is_empty());
}

async fn what_hangs_on_an_image_is_not_listed(backend: &dyn Backend) {
    let f = open(backend).await;
    let (one, two) = (f.push_image("a", "one", &[]).await, f.push_image("a", "two", &[]).await);
    let config = f.push_blob("a", "note").await;
    let whole = f.put("a", &index(&[one, two]), &["v1"]).await.unwrap();
    f.put("a", &referrer(&config, &whole, "application/vnd.example", "of the index"), &[]).await.unwrap();
    f.put("a", &referrer(&config, &one, "application/vnd.example", "of a child"), &[]).await.unwrap();
    f.put_sparse("a", &index(&[super::fixture::digest("not here")]), &["sparse"]).await;
    let tags: Vec<_> =
        images(&f).await.into_iter().map(|image| image.tag.map(|tag| tag.to_string())).collect();
    assert_eq!(tags, [Some("sparse".to_owned()), Some("v1".to_owned())]);
}

async fn times_are_those_of_pushes(backend: &dyn Backend) {
    let f = open(backend).await;
    let start_ms = first_page(&f).await.now_ms;
    let digest = f.push_image("a", "one", &["v1"]).await;
    f.advance(Duration::from_secs(10)).await;
    f.push_image("a", "one", &["v1", "v2"]).await;
    let image = tagged(&f, "v1").await;
    assert_eq!(
        (image.created_at_ms, image.pushed_at_ms),
        (start_ms, start_ms + 10_000),
        "a push counts again"
    );
    assert_eq!((image.pulled_at_ms, image.hold), (None, None));

    f.advance_leases(2.0).await;
    let left_at_ms = first_page(&f).await.now_ms;
    for name in ["v1", "v2"] {
        f.store().delete_tag(&repo("a"), &tag(name), &Cause::UNKNOWN).await.unwrap();
    }
    let left = untagged(&f, &digest).await.unwrap();
    assert_eq!((left.created_at_ms, left.pushed_at_ms), (start_ms, left_at_ms));
    let lease_ms = i64::try_from(f.options.lease.as_millis()).unwrap();
    assert_eq!(left.hold, Some(Hold::Leased { until_ms: left_at_ms + lease_ms + lease_ms / 2 }));
    f.advance_leases(1.5).await;
    let later = untagged(&f, &digest).await.unwrap();
    assert_eq!((later.pushed_at_ms, later.hold), (left_at_ms, None));
}

async fn a_pull_is_written_down_once_an_hour(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "one", &["v1"]).await;
    let page = first_page(&f).await;
    assert_eq!(page.pulls_since_ms, page.now_ms, "nothing is known of pulls before now");
    f.advance(Duration::from_secs(5)).await;
    f.store().record_pulls(&[]).await.unwrap();
    let since_ms = first_page(&f).await.now_ms;
    f.advance(Duration::from_secs(5)).await;
    pull(&f, &digest).await;
    let pulled_ms = first_page(&f).await.now_ms;
    for (after, expected) in [(PULLS_APART / 2, 0), (PULLS_APART / 2, 3_600_000)] {
        f.advance(after).await;
        pull(&f, &digest).await;
        assert_eq!(tagged(&f, "v1").await.pulled_at_ms, Some(pulled_ms + expected));
    }
    assert_eq!(first_page(&f).await.pulls_since_ms, since_ms);
    pull(&f, &super::fixture::digest("unknown")).await;
    let twice = [digest, digest].map(|digest| Pull { repository: repo("a"), digest });
    f.advance(PULLS_APART).await;
    f.store().record_pulls(&twice).await.unwrap();
    assert_eq!(f.rows("SELECT COUNT(*) FROM pulls WHERE repository > 0").await, ["1"]);
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.rows("SELECT COUNT(*) FROM pulls WHERE repository > 0").await, ["0"]);
}

async fn a_pull_of_an_image_is_one_of_its_index(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "one", &[]).await;
    f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    pull(&f, &child).await;
    assert_eq!(tagged(&f, "v1").await.pulled_at_ms, Some(first_page(&f).await.now_ms));
}

async fn an_expired_tag_takes_its_image_along_after_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "one", &[]).await;
    let whole = f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    assert!(expire(&f, &tagged(&f, "v1").await).await);
    assert_eq!(f.resolve("a", "v1").await, None);
    let history = f.store().tag_history(&repo("a"), &tag("v1"), None, 1).await.unwrap();
    assert_eq!((history[0].digest, history[0].actor.as_deref()), (None, Some("retention")));
    collect(&f).await;
    assert_eq!(f.resolve("a", &whole.to_string()).await, Some(whole), "a client may have been told of it");
    f.advance_leases(1.6).await;
    collect(&f).await;
    assert_eq!(f.resolve("a", &whole.to_string()).await, None);
    let restored = f.store().restore(&repo("a"), &tag("v1").into(), &Cause::UNKNOWN).await.unwrap();
    assert!(restored.manifests.contains(&whole));
    assert_eq!(f.resolve("a", "v1").await, Some(whole));
    let image = tagged(&f, "v1").await;
    assert_eq!(image.pushed_at_ms, first_page(&f).await.now_ms, "what is brought back is as new");
}

async fn a_tag_of_an_image_that_has_another_leaves_it(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "one", &["dev", "v1"]).await;
    assert!(expire(&f, &tagged(&f, "dev").await).await);
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(f.resolve("a", "v1").await, Some(digest));
    assert_eq!(f.resolve("a", "dev").await, None);
}

async fn what_an_index_needs_stays(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "one", &["linux"]).await;
    f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    assert!(expire(&f, &tagged(&f, "linux").await).await, "the name only");
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(f.resolve("a", &child.to_string()).await, Some(child));
    let as_if_alone = Image { tag: None, hold: None, ..tagged(&f, "v1").await };
    assert!(!expire(&f, &Image { digest: child, ..as_if_alone }).await);
    assert_eq!(f.resolve("a", &child.to_string()).await, Some(child));
}

async fn an_untagged_image_goes_with_what_hangs_on_it(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "one", &[]).await;
    let whole = f.put("a", &index(&[child]), &[]).await.unwrap();
    let config = f.push_blob("a", "note").await;
    let note = referrer(&config, &whole, "application/vnd.example", "a note");
    let note = f.put("a", &note, &[]).await.unwrap();
    f.advance_leases(1.6).await;
    let alone = untagged(&f, &whole).await.unwrap();
    assert_eq!(alone.hold, None);
    assert!(expire(&f, &alone).await);
    assert!(!expire(&f, &alone).await, "it is gone");
    f.advance_leases(1.6).await;
    collect(&f).await;
    for digest in [whole, child, note] {
        assert_eq!(f.resolve("a", &digest.to_string()).await, None);
    }
    let trash = f.store().trash(&repo("a"), None, 10).await.unwrap();
    let by = trash.iter().find(|it| it.digest == whole).map(|it| it.deleted_by.as_deref());
    assert_eq!(by, Some(Some("retention")));
}

/// Somebody moves, pushes again, pulls, or deletes it between the look and the deletion.
async fn what_changed_since_it_was_told_stays(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["moved", "pushed", "pulled", "gone"]).await;
    let mut told = Vec::new();
    for name in ["moved", "pushed", "pulled", "gone"] {
        told.push(tagged(&f, name).await);
    }
    f.advance(Duration::from_secs(1)).await;
    let second = f.push_image("a", "two", &["moved"]).await;
    f.push_image("a", "one", &["pushed"]).await;
    f.store().delete_tag(&repo("a"), &tag("gone"), &Cause::UNKNOWN).await.unwrap();
    pull(&f, &first).await;
    for image in &told {
        assert!(!expire(&f, image).await, "{image:?}");
    }
    assert_eq!(f.resolve("a", "moved").await, Some(second));
    assert_eq!(f.resolve("a", "pushed").await, Some(first));
    assert_eq!(f.resolve("a", "pulled").await, Some(first));

    let alone = f.push_image("a", "three", &[]).await;
    f.advance_leases(2.0).await;
    let told = untagged(&f, &alone).await.unwrap();
    f.push_image("a", "three", &["v3"]).await;
    assert!(!expire(&f, &told).await, "it has a tag now");
    f.store().delete_tag(&repo("a"), &tag("v3"), &Cause::UNKNOWN).await.unwrap();
    assert!(!expire(&f, &told).await, "it has a lease now");
    assert!(!f.store().expire_image(&repo("unknown"), &told, &Cause::by("retention")).await.unwrap());
}

async fn what_is_held_stays(backend: &dyn Backend) {
    let rule = ImmutableTags { repositories: vec!["**".parse().unwrap()], tags: vec!["v*".parse().unwrap()] };
    let f = Fixture::new(backend, Options { immutable_tags: vec![rule], ..Options::default() }).await;
    let signed = f.push_image("a", "one", &["v1"]).await;
    let signature = format!("sha256-{}.sig", signed.hex());
    let other = format!("sha256-{}.sig", "0".repeat(64));
    f.push_image("a", "a signature", &[&signature, &other]).await;
    let loose = f.push_image("a", "three", &[]).await;
    assert_eq!(tagged(&f, "v1").await.hold, Some(Hold::Immutable));
    assert_eq!(tagged(&f, &signature).await.hold, Some(Hold::Companion));
    assert_eq!(tagged(&f, &other).await.hold, None, "what it is about is not here");
    assert!(matches!(untagged(&f, &loose).await.unwrap().hold, Some(Hold::Leased { .. })));
    for image in images(&f).await {
        let goes = image.tag.as_ref().is_some_and(|tag| tag.as_str() == other);
        assert_eq!(expire(&f, &Image { hold: None, ..image.clone() }).await, goes, "{image:?}");
    }
}

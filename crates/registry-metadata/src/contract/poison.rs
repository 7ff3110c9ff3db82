//! Rows that no version of ours would write: they fail or are passed over, and everything beside them goes its way.

use std::time::Duration;

use registry_digest::Digest;
use registry_types::{Cause, Location, NameRange, UploadId, Viewer};

use super::{
    Backend,
    fixture::{Fixture, digest, repo, tag},
    open,
};
use crate::{CollectRules, Collected, EXPIRES_AFTER_MAX, Image, Kept, Verdict};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// One row never keeps the others from their turn.
pub async fn all(backend: &dyn Backend) {
    labels_are_read_beside_one_that_can_not_be(backend).await;
    what_is_put_off_is_not_told_of_for_so_long(backend).await;
    times_without_end_keep_nothing_from_expiring(backend).await;
    a_tag_that_is_none_keeps_no_other_from_expiring(backend).await;
    trash_is_purged_beside_what_can_not_be(backend).await;
    repositories_go_beside_one_that_can_not(backend).await;
    images_are_listed_beside_one_that_can_not_be(backend).await;
    bytes_are_reclaimed_beside_a_place_that_is_none(backend).await;
    uploads_are_given_up_with_an_id_that_is_none(backend).await;
    what_was_seen_in_the_future_is_unknown_since_now(backend).await;
    names_that_are_none_end_no_page(backend).await;
    rows_that_can_not_be_read_are_found_and_end_no_list(backend).await;
}

async fn collect(f: &Fixture) -> Vec<Collected> {
    let mut collected = Vec::new();
    for _ in 0..1000 {
        let batch = f.store().collect(&CollectRules::default(), 10).await.unwrap();
        if batch.is_empty() {
            return collected;
        }
        collected.extend(batch);
    }
    panic!("the collection has no end");
}

fn failed(collected: &[Collected]) -> usize {
    let is_failed = |it: &&Collected| matches!(it.verdict, Verdict::Kept(Kept::Failed { .. }));
    collected.iter().filter(is_failed).count()
}

async fn unread(f: &Fixture, limit: usize) -> Vec<Digest> {
    let unread = f.store().unread_labels(limit).await.unwrap();
    unread.into_iter().map(|(_, digest)| digest).collect()
}

async fn labels_are_read_beside_one_that_can_not_be(backend: &dyn Backend) {
    let f = open(backend).await;
    let good = f.push_image("a", "good", &["v1"]).await;
    f.run(
        "INSERT INTO manifests (repository, digest, media_type, size, lease_until, pushed_at, bytes)
            SELECT repository, '0 nonsense', media_type, size, lease_until, pushed_at, bytes FROM manifests;
        INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
            SELECT 'label', repository, digest, 0, 'pushed' FROM manifests WHERE digest = '0 nonsense'",
    )
    .await;
    assert_eq!(unread(&f, 1).await, [good]);
    f.store().set_expiry(&repo("a"), &good, None).await.unwrap();
    assert_eq!(unread(&f, 1).await, []);
}

async fn what_is_put_off_is_not_told_of_for_so_long(backend: &dyn Backend) {
    let f = open(backend).await;
    let one = f.push_image("a", "one", &["v1"]).await;
    let two = f.push_image("a", "two", &["v1"]).await;
    f.store().postpone_labels(&repo("a"), &one, HOUR).await.unwrap();
    assert_eq!(unread(&f, 10).await, [two]);
    f.advance(HOUR).await;
    assert_eq!(unread(&f, 10).await.len(), 2);

    for name in ["x", "y"] {
        f.run(&format!("INSERT INTO reclaim (location, not_before, reason) VALUES ('store/{name}', 0, 'x')"))
            .await;
    }
    f.store().postpone_reclaim(&"store/x".parse().unwrap(), HOUR).await.unwrap();
    assert_eq!(f.reclaimable().await, ["store/y"]);
    f.advance(HOUR).await;
    assert_eq!(f.reclaimable().await.len(), 2);
}

/// An image may say so in its label, and may have said so when there was no limit.
async fn times_without_end_keep_nothing_from_expiring(backend: &dyn Backend) {
    let f = open(backend).await;
    let endless = f.push_image("a", "endless", &["endless"]).await;
    let stored = f.push_image("a", "stored", &["stored"]).await;
    let short = f.push_image("a", "short", &["short"]).await;
    f.store().set_expiry(&repo("a"), &endless, Some(Duration::MAX)).await.unwrap();
    f.run(&format!("UPDATE manifests SET expires_after = {} WHERE digest = '{stored}'", i64::MAX)).await;
    f.run(&format!("UPDATE gc_queue SET kind = 'expiry' WHERE kind = 'label' AND digest = '{stored}'")).await;
    f.store().set_expiry(&repo("a"), &short, Some(HOUR)).await.unwrap();
    f.advance(HOUR).await;
    assert_eq!(failed(&collect(&f).await), 0);
    assert_eq!(f.resolve("a", "short").await, None);
    // A tag that is set to it now expires in its time as well.
    assert_eq!(f.push_image("a", "stored", &["again"]).await, stored);
    let to_come = f.rows("SELECT COUNT(*) FROM gc_queue WHERE kind = 'expiry' AND due_at > 0").await;
    assert_eq!(to_come, ["2"]);
    f.advance(EXPIRES_AFTER_MAX).await;
    assert_eq!(failed(&collect(&f).await), 0);
    for name in ["endless", "stored", "again"] {
        assert_eq!(f.resolve("a", name).await, None, "{name}");
    }
}

async fn a_tag_that_is_none_keeps_no_other_from_expiring(backend: &dyn Backend) {
    let f = open(backend).await;
    let bad = f.push_image("a", "bad", &["bad"]).await;
    let good = f.push_image("b", "good", &["v1"]).await;
    f.store().set_expiry(&repo("a"), &bad, Some(HOUR)).await.unwrap();
    f.store().set_expiry(&repo("b"), &good, Some(HOUR)).await.unwrap();
    f.run("UPDATE tags SET name = '!!' WHERE name = 'bad'").await;
    f.advance(HOUR).await;
    let preview = f.store().preview_collect(&CollectRules::default(), None, 100).await.unwrap();
    assert_eq!(failed(&preview.collected), 1);
    assert_eq!(failed(&collect(&f).await), 1);
    assert_eq!(f.resolve("b", "v1").await, None);
}

/// An object with a digest that is none, and a row that refers to it.
async fn poison_with_digest(f: &Fixture, refer: &str) {
    f.run(
        "INSERT INTO objects (location, size, created_at) VALUES ('store/poison', 1, 0);
        INSERT INTO digests (digest, object) SELECT '0 nonsense', id FROM objects WHERE location = 'store/poison'",
    )
    .await;
    f.run(refer).await;
}

async fn trash_is_purged_beside_what_can_not_be(backend: &dyn Backend) {
    let f = open(backend).await;
    let bad = f.push_image("a", "bad", &["bad"]).await;
    f.store().delete_manifest(&repo("a"), &bad, &Cause::UNKNOWN).await.unwrap();
    poison_with_digest(
        &f,
        "INSERT INTO trash_blobs (repository, manifest, digest)
            SELECT repository, digest, '0 nonsense' FROM trash_manifests",
    )
    .await;
    f.advance(HOUR).await;
    let good = f.push_image("a", "good", &["good"]).await;
    f.store().delete_manifest(&repo("a"), &good, &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window).await;
    let collected = collect(&f).await;
    assert_eq!(failed(&collected), 1, "{collected:?}");
    assert_eq!(f.rows("SELECT digest FROM trash_manifests").await, [bad.to_string()]);
    assert_eq!(f.rows("SELECT name FROM trash_tags").await, Vec::<String>::new());
}

async fn repositories_go_beside_one_that_can_not(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("bad", "bad", &["v1"]).await;
    poison_with_digest(
        &f,
        "INSERT INTO repository_blobs (repository, digest, lease_until, created_at)
            SELECT id, '0 nonsense', 0, 0 FROM repositories WHERE name = 'bad'",
    )
    .await;
    f.store().delete_repository(&repo("bad"), &Cause::UNKNOWN).await.unwrap();
    f.advance(HOUR).await;
    f.push_image("good", "good", &["v1"]).await;
    f.store().delete_repository(&repo("good"), &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window).await;
    let collected = collect(&f).await;
    assert!(failed(&collected) > 0, "{collected:?}");
    let left = f.store().deleted_repositories().await.unwrap();
    assert_eq!(left.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(), ["bad"]);
}

async fn images_are_listed_beside_one_that_can_not_be(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "bad", &["bad"]).await;
    f.push_image("a", "good", &["one", "two"]).await;
    f.run("UPDATE tags SET name = '!!' WHERE name = 'bad'").await;
    for limit in 1..4 {
        let (mut images, mut after): (Vec<Image>, _) = (Vec::new(), None);
        loop {
            let page = f.store().images(&repo("a"), after.as_ref(), limit).await.unwrap();
            images.extend(page.images);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let tags: Vec<_> = images.iter().map(|image| image.tag.clone().unwrap()).collect();
        assert_eq!(tags, [tag("one"), tag("two")]);
    }
    let tags = f.store().images(&repo("a"), None, 10).await.unwrap().next;
    let images = f.store().images(&repo("a"), tags.as_ref(), 10).await.unwrap().images;
    assert!(f.store().expire_image(&repo("a"), &images[0], &Cause::by("retention")).await.unwrap());
}

async fn bytes_are_reclaimed_beside_a_place_that_is_none(backend: &dyn Backend) {
    let f = open(backend).await;
    f.run(
        "INSERT INTO reclaim (location, not_before, reason) VALUES ('../nonsense', 0, 'x');
        INSERT INTO reclaim (location, not_before, reason) VALUES ('store/good', 1, 'x')",
    )
    .await;
    let due = f.store().reclaimable(1).await.unwrap();
    assert_eq!(due.iter().map(|due| due.location.as_str()).collect::<Vec<_>>(), ["store/good"]);
}

async fn uploads_are_given_up_with_an_id_that_is_none(backend: &dyn Backend) {
    let f = open(backend).await;
    let new = f.start("a").await;
    f.run(
        "INSERT INTO uploads (id, repository, location, algorithm, started_at, touched_at)
            SELECT 'nonsense', id, 'store/nonsense', 'sha256', 0, 0 FROM repositories",
    )
    .await;
    f.advance(HOUR).await;
    f.store().expire_uploads(HOUR, 10).await.unwrap();
    assert_eq!(f.rows("SELECT id FROM uploads").await, Vec::<String>::new());
    let location = Location::of_upload(&new.id).to_string();
    assert_eq!(f.reclaimable().await.len(), 2, "{location}");
}

async fn what_was_seen_in_the_future_is_unknown_since_now(backend: &dyn Backend) {
    let f = open(backend).await;
    let location = Location::of_upload(&UploadId::from_random([9; 16]));
    f.store().note_unknown(std::slice::from_ref(&location)).await.unwrap();
    f.run("UPDATE unknown_objects SET first_seen = first_seen + 1000000").await;
    let unknown = f.store().note_unknown(&[location]).await.unwrap();
    assert_eq!(unknown[0].unknown_for, Duration::ZERO);
}

async fn names_that_are_none_end_no_page(backend: &dyn Backend) {
    let f = open(backend).await;
    for name in ["team/a", "team/b", "team/c", "team/d"] {
        f.push_image(name, "content", &["v1", "v2", "v3"]).await;
    }
    f.run("UPDATE repositories SET name = 'team/a!!' WHERE name = 'team/b'").await;
    f.run("UPDATE tags SET name = 'v1!!' WHERE name = 'v2'").await;
    let names = Viewer::of(["team/a", "team/c", "team/d"].map(|name| NameRange::exactly(&repo(name))));
    for visible in [Viewer::everything(), Viewer::of([NameRange::beginning_with("team/")]), names] {
        let page = async |after| f.store().repositories(&visible, after, 2).await.unwrap();
        assert_eq!(page(None).await, ["team/a", "team/c"].map(repo));
        assert_eq!(page(Some("team/a")).await, ["team/c", "team/d"].map(repo));
    }
    assert_eq!(f.store().tags(&repo("team/a"), None, 2).await.unwrap(), [tag("v1"), tag("v3")]);
    let content = digest("content");
    let with = f.store().repositories_with_blob(&Viewer::everything(), &content, 10).await.unwrap();
    assert_eq!(with, ["team/a", "team/c", "team/d"].map(repo));
}

async fn rows_that_can_not_be_read_are_found_and_end_no_list(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "content", &["v1"]).await;
    f.run(
        "INSERT INTO objects (location, size, created_at) VALUES ('../nonsense', 1, 0);
        INSERT INTO digests (digest, object) SELECT '0 nonsense', id FROM objects WHERE location = '../nonsense';
        INSERT INTO digests (digest, object) SELECT '1 nonsense', MAX(id) FROM objects WHERE location LIKE 'store%';
        INSERT INTO manifests (repository, digest, media_type, size, lease_until, pushed_at, bytes)
            SELECT repository, '2 nonsense', media_type, size, lease_until, pushed_at, bytes FROM manifests;
        INSERT INTO tags (repository, name, digest, updated_at)
            SELECT repository, '3 nonsense', digest, 0 FROM tags WHERE name = 'v1'",
    )
    .await;
    let objects = f.store().objects(None, 1).await.unwrap();
    assert_eq!(objects.len(), 1);
    let rest = f.store().objects(Some(&objects[0].location), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert!(objects.iter().chain(&rest).all(|object| object.digests.len() == 1));
    assert_eq!(f.store().all_manifests(None, 1).await.unwrap().len(), 1);
    let said = f.store().verify().await.unwrap();
    for key in ["../nonsense", "0 nonsense", "1 nonsense", "2 nonsense", "3 nonsense"] {
        assert_eq!(
            said.iter().filter(|line| line.contains(&format!("`{key}`"))).count(),
            1,
            "{key}: {said:?}"
        );
    }
}

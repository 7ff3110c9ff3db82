//! What counts for a quota, from when to when, and what is refused.

use registry_digest::Digest;
use registry_types::{Cause, Manifest};

use super::{
    Backend,
    fixture::{Fixture, digest, finish, image, put, repo, tag},
};
use crate::{CollectRules, MetadataError, Options, Quota, QuotaExceeded, QuotaKind, Usage};

/// Large enough for whatever a case pushes.
const ROOM: u64 = 1 << 30;

/// How often each pair is let loose.
const ROUNDS: usize = 10;

/// Each digest counts once, from the manifest that brings it to the last one that goes; what exceeds a limit is refused.
pub async fn all(backend: &dyn Backend) {
    a_digest_counts_once_however_many_use_it(backend).await;
    what_no_manifest_refers_to_is_not_used(backend).await;
    a_blob_that_comes_after_its_manifest_counts(backend).await;
    what_is_deleted_is_free_at_once_and_comes_back_in_any_case(backend).await;
    what_is_collected_is_free(backend).await;
    a_push_that_exceeds_a_quota_is_refused(backend).await;
    an_upload_that_can_lead_to_nothing_is_refused_early(backend).await;
    a_new_tag_needs_room_and_a_moved_one_does_not(backend).await;
    a_repository_deleted_and_comes_with_all_it_has(backend).await;
    quotas_that_overlap_all_hold(backend).await;
    what_is_configured_is_counted_and_nothing_else(backend).await;
    race_20_quota_counted_when_a_commit_aborts(backend).await;
    race_20_a_refused_push_leaves_nothing_to_those_beside_it(backend).await;
    two_pushes_at_once_under_a_limit_for_one(backend).await;
    a_first_count_against_pushes(backend).await;
}

fn quota(prefix: &str, bytes_max: u64, tags_max: u64) -> Quota {
    let (bytes_max, tags_max) = (Some(bytes_max), Some(tags_max));
    Quota { prefix: prefix.to_owned(), bytes_max, tags_max, ..Quota::default() }
}

async fn open(backend: &dyn Backend, quotas: &[Quota]) -> Fixture {
    let options = Options { quotas: quotas.to_vec(), ..Options::default() };
    let f = Fixture::new(backend, options).await;
    f.store().begin_quotas().await.unwrap();
    f
}

/// The first quota's usage, but for what is held; what is counted must be what is there.
async fn usage(f: &Fixture) -> Usage {
    assert_eq!(f.store().verify().await.unwrap(), [""; 0]);
    Usage { held: 0, ..f.store().quota_usage().await.unwrap()[0].usage.unwrap() }
}

fn used(bytes: usize, tags: u64) -> Usage {
    Usage { bytes: bytes as u64, tags, ..Usage::default() }
}

/// An image of some blobs, which are pushed before.
async fn prepared(f: &Fixture, repository: &str, contents: &[&str]) -> Manifest {
    let mut blobs = Vec::new();
    for content in contents {
        blobs.push(f.push_blob(repository, content).await);
    }
    image(&blobs[0], &blobs[1..])
}

fn size(manifest: &Manifest) -> usize {
    manifest.bytes().len()
}

fn exceeded<T: std::fmt::Debug>(result: Result<T, MetadataError>) -> QuotaExceeded {
    match result.unwrap_err() {
        MetadataError::QuotaExceeded(exceeded) => exceeded,
        other => panic!("{other:?}"),
    }
}

async fn a_digest_counts_once_however_many_use_it(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", ROOM, 100)]).await;
    assert_eq!(usage(&f).await, used(0, 0));
    let first = prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &first, &["v1", "v2"]).await.unwrap();
    assert_eq!(usage(&f).await, used(11 + size(&first), 2));
    f.put("team/a", &first, &["v1"]).await.unwrap();
    let again = prepared(&f, "team/b", &["config", "layer"]).await;
    f.put("team/b", &again, &["v1"]).await.unwrap();
    assert_eq!(usage(&f).await, used(11 + size(&first), 3), "the same image elsewhere");
    let second = prepared(&f, "team/b", &["config", "other"]).await;
    f.put("team/b", &second, &[]).await.unwrap();
    let all = 16 + size(&first) + size(&second);
    assert_eq!(usage(&f).await, used(all, 3));
    f.push_image("teams", "not of the team", &["v1"]).await;
    assert_eq!(usage(&f).await, used(all, 3));
}

async fn what_no_manifest_refers_to_is_not_used(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", ROOM, 100)]).await;
    let layer = f.push_blob("team/a", "layer").await;
    f.store().mount_blob(&repo("team/a"), &repo("team/b"), &layer).await.unwrap();
    assert_eq!(usage(&f).await, used(0, 0));
    f.store().delete_blob(&repo("team/a"), &layer).await.unwrap();
    assert_eq!(usage(&f).await, used(0, 0));
}

async fn a_blob_that_comes_after_its_manifest_counts(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", ROOM, 100)]).await;
    let manifest = image(&digest("config"), &[digest("layer")]);
    let pushed = f.put_sparse("team/a", &manifest, &["v1"]).await;
    assert_eq!(usage(&f).await, used(size(&manifest), 1));
    f.push_blob("team/a", "layer").await;
    assert_eq!(usage(&f).await, used(5 + size(&manifest), 1));
    f.push_blob("elsewhere", "config").await;
    f.store().mount_blob(&repo("elsewhere"), &repo("team/a"), &digest("config")).await.unwrap();
    assert_eq!(usage(&f).await, used(11 + size(&manifest), 1));
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(usage(&f).await, used(0, 0));
}

async fn what_is_deleted_is_free_at_once_and_comes_back_in_any_case(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", 1000, 2)]).await;
    let manifest = prepared(&f, "team/a", &["config", "layer"]).await;
    let pushed = f.put("team/a", &manifest, &["v1", "v2"]).await.unwrap();
    f.store().delete_tag(&repo("team/a"), &tag("v2"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(usage(&f).await.tags, 1);
    f.store().delete_manifest(&repo("team/a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(usage(&f).await, used(0, 0));

    let full = prepared(&f, "team/b", &["config", &"x".repeat(500)]).await;
    f.put("team/b", &full, &["a", "b"]).await.unwrap();
    f.store().restore(&repo("team/a"), &pushed.into(), &Cause::UNKNOWN).await.unwrap();
    let both = 506 + 5 + size(&manifest) + size(&full);
    assert_eq!(usage(&f).await, used(both, 4), "beyond the limit");
    f.store().set_tag(&repo("team/a"), &tag("v9"), &pushed, &Cause::UNKNOWN).await.unwrap();
    assert_eq!(usage(&f).await, used(both, 5));
    let more = exceeded(f.put("team/a", &image(&digest("config"), &[]), &[]).await);
    assert_eq!(more.usage, both as u64);
}

async fn what_is_collected_is_free(backend: &dyn Backend) {
    let f = open(backend, &[quota("", ROOM, 100)]).await;
    f.push_image("a", "untagged", &[]).await;
    let kept = prepared(&f, "a", &["config", "layer"]).await;
    f.put("a", &kept, &["v1"]).await.unwrap();
    f.advance_leases(2.0).await;
    f.store().enqueue_untagged(None, 100).await.unwrap();
    while !f.store().collect(&CollectRules { untagged: true }, 100).await.unwrap().is_empty() {}
    assert_eq!(usage(&f).await, used(11 + size(&kept), 1));
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    f.store()
        .set_expiry(&repo("a"), &kept.digest(registry_digest::Algorithm::Sha256), Some(day))
        .await
        .unwrap();
    f.advance(day * 2).await;
    f.store().collect(&CollectRules::default(), 100).await.unwrap();
    assert_eq!(usage(&f).await.tags, 0);
}

async fn a_push_that_exceeds_a_quota_is_refused(backend: &dyn Backend) {
    let first = image(&digest("config"), &[digest("layer")]);
    let limit = (11 + size(&first)) as u64;
    let f = open(backend, &[quota("team/", limit, 100)]).await;
    prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &first, &["v1"]).await.unwrap();
    let second = image(&digest("config"), &[]);
    let error = exceeded(f.put("team/a", &second, &["v2"]).await);
    let prefix = "team/".to_owned();
    let requested = size(&second) as u64;
    let expected = QuotaExceeded { prefix, kind: QuotaKind::Bytes, limit, usage: limit, requested };
    assert_eq!(error, expected);
    assert_eq!(f.resolve("team/a", "v2").await, None);
    assert_eq!(usage(&f).await, used(limit as usize, 1));
    f.put("team/a", &first, &["v2"]).await.unwrap();
    f.store()
        .delete_manifest(&repo("team/a"), &f.resolve("team/a", "v1").await.unwrap(), &Cause::UNKNOWN)
        .await
        .unwrap();
    f.put("team/a", &second, &["v2"]).await.unwrap();
    assert_eq!(usage(&f).await, used(6 + size(&second), 1));
}

async fn an_upload_that_can_lead_to_nothing_is_refused_early(backend: &dyn Backend) {
    let first = image(&digest("config"), &[digest("layer")]);
    let limit = (13 + size(&first)) as u64;
    let f = open(backend, &[quota("team/", limit, 100)]).await;
    prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &first, &["v1"]).await.unwrap();
    f.push_blob("team/b", "config").await;
    f.push_blob("team/b", "xy").await;
    let new = f.start("team/b").await;
    let claim = f.claim(&new).await;
    let error = exceeded(f.store().finish_upload(&finish(&new, &claim, "xyz", None)).await);
    assert_eq!((error.usage, error.requested), (limit - 2, 3));
    f.store().release_upload(&new.id, claim.epoch);
    f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
    f.push_blob("elsewhere", "xyz").await;

    // Now there is not a byte left.
    let f = open(backend, &[quota("team/", limit - 2, 100)]).await;
    prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &first, &["v1"]).await.unwrap();
    let new = crate::NewUpload { id: f.upload_id(), ..new };
    let error = exceeded(f.store().start_upload(&new).await);
    assert_eq!((error.kind, error.requested), (QuotaKind::Bytes, 0));
    f.start("elsewhere").await;
}

async fn a_new_tag_needs_room_and_a_moved_one_does_not(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", ROOM, 2)]).await;
    let first = prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &first, &["v1"]).await.unwrap();
    let second = prepared(&f, "team/b", &["config", "other"]).await;
    f.put("team/b", &second, &["v1"]).await.unwrap();
    let third = prepared(&f, "team/b", &["config", "third"]).await;
    let error = exceeded(f.put("team/b", &third, &["v1", "v2"]).await);
    let prefix = "team/".to_owned();
    let expected = QuotaExceeded { prefix, kind: QuotaKind::Tags, limit: 2, usage: 2, requested: 1 };
    assert_eq!(error, expected);
    f.put("team/b", &third, &["v1"]).await.unwrap();
    f.store().delete_tag(&repo("team/a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    f.put("team/b", &third, &["v2"]).await.unwrap();
    assert_eq!(usage(&f).await.tags, 2);
}

async fn a_repository_deleted_and_comes_with_all_it_has(backend: &dyn Backend) {
    let f = open(backend, &[quota("team/", ROOM, 100), quota("", ROOM, 100)]).await;
    let shared = prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &shared, &["v1"]).await.unwrap();
    let second = prepared(&f, "team/a", &["config", "other"]).await;
    f.put("team/a", &second, &["v2", "v3"]).await.unwrap();
    prepared(&f, "team/b", &["config", "layer"]).await;
    f.put("team/b", &shared, &["v1"]).await.unwrap();
    let all = used(16 + size(&shared) + size(&second), 4);
    assert_eq!(usage(&f).await, all);

    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    let rest = used(11 + size(&shared), 1);
    assert_eq!(usage(&f).await, rest);
    f.store().restore_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(usage(&f).await, all);

    f.store().delete_repository(&repo("team/a"), &Cause::UNKNOWN).await.unwrap();
    f.advance(f.options.undelete_window * 2).await;
    while !f.store().collect(&CollectRules { untagged: true }, 100).await.unwrap().is_empty() {}
    assert_eq!(f.rows("SELECT COUNT(*) FROM repositories").await, ["1"], "it was worked off");
    assert_eq!(usage(&f).await, rest);
}

async fn quotas_that_overlap_all_hold(backend: &dyn Backend) {
    let f = open(backend, &[quota("", ROOM, 3), quota("team/", ROOM, 2)]).await;
    f.push_image("team/a", "one", &["v1", "v2"]).await;
    let image = prepared(&f, "team/a", &["config", "two"]).await;
    assert_eq!(exceeded(f.put("team/a", &image, &["v3"]).await).prefix, "team/");
    f.push_image("other", "three", &["v1"]).await;
    let image = prepared(&f, "other", &["config", "two"]).await;
    assert_eq!(exceeded(f.put("other", &image, &["v3"]).await).prefix, "");
    assert_eq!(usage(&f).await.tags, 3);
}

async fn what_is_configured_is_counted_and_nothing_else(backend: &dyn Backend) {
    let options = Options { quotas: vec![quota("team/", ROOM, 9)], ..Options::default() };
    let f = Fixture::new(backend, options).await;
    f.push_image("team/a", "one", &["v1"]).await;
    f.push_image("other", "one", &["v1", "v2"]).await;
    assert_eq!(f.store().quota_usage().await.unwrap()[0].usage, None);
    f.store().begin_quotas().await.unwrap();
    let counted = usage(&f).await;
    assert_eq!(counted.tags, 1);
    f.other().begin_quotas().await.unwrap();
    f.store().recount_quotas().await.unwrap();
    assert_eq!(usage(&f).await, counted);
    assert_eq!(f.rows("SELECT prefix FROM quotas").await, ["team/"]);
}

/// Whatever ends a push before its commit leaves the counters as they were.
async fn race_20_quota_counted_when_a_commit_aborts(backend: &dyn Backend) {
    let mut options = Options { quotas: vec![quota("team/", ROOM, 2)], ..Options::default() };
    options.immutable_tags.push(crate::ImmutableTags {
        repositories: vec!["**".parse().unwrap()],
        tags: vec!["fixed".parse().unwrap()],
    });
    let f = Fixture::new(backend, options).await;
    f.store().begin_quotas().await.unwrap();
    let first = prepared(&f, "team/a", &["config", "layer"]).await;
    f.put("team/a", &first, &["fixed"]).await.unwrap();
    let before = usage(&f).await;

    let missing = image(&digest("config"), &[digest("nowhere")]);
    let refused = f.put("team/a", &missing, &["v1"]).await;
    assert!(matches!(refused, Err(MetadataError::MissingReferences { .. })));
    let second = prepared(&f, "team/a", &["config", "other"]).await;
    let refused = f.put("team/a", &second, &["new", "fixed"]).await;
    assert!(matches!(refused, Err(MetadataError::TagImmutable { .. })));
    exceeded(f.put("team/a", &second, &["v1", "v2"]).await);
    let refused = f.store().delete_manifest(&repo("team/a"), &first_digest(&f).await, &Cause::UNKNOWN).await;
    assert!(matches!(refused, Err(MetadataError::TagImmutable { .. })));
    assert_eq!(usage(&f).await, before);
    f.put("team/a", &second, &["v1"]).await.unwrap();
    assert_eq!(usage(&f).await, used(before.bytes as usize + 5 + size(&second), 2));
}

/// What commits together is refused by itself.
async fn race_20_a_refused_push_leaves_nothing_to_those_beside_it(backend: &dyn Backend) {
    let mut options = Options { quotas: vec![quota("team/", ROOM, 100)], ..Options::default() };
    options.immutable_tags.push(crate::ImmutableTags {
        repositories: vec!["**".parse().unwrap()],
        tags: vec!["fixed".parse().unwrap()],
    });
    let f = Fixture::new(backend, options).await;
    f.store().begin_quotas().await.unwrap();
    f.push_image("team/a", "first", &["fixed"]).await;
    for round in 0..ROUNDS {
        let layers: Vec<String> = (0..4).map(|number| format!("layer {round} {number}")).collect();
        let mut images = Vec::new();
        for layer in &layers {
            images.push(prepared(&f, "team/a", &["config", layer]).await);
        }
        let tags = [0, 1].map(|number| format!("v{round}-{number}"));
        let tags = [[tags[0].as_str()], [tags[1].as_str()]];
        let (first, second, third, fourth) = tokio::join!(
            f.put("team/a", &images[0], &["fixed"]),
            f.put("team/a", &images[1], &tags[0]),
            f.put("team/a", &images[2], &["new", "fixed"]),
            f.put("team/a", &images[3], &tags[1]),
        );
        assert!(first.is_err() && second.is_ok() && third.is_err() && fourth.is_ok());
        assert_eq!(usage(&f).await.tags, 3 + 2 * round as u64);
    }
}

async fn first_digest(f: &Fixture) -> Digest {
    f.resolve("team/a", "fixed").await.unwrap()
}

async fn two_pushes_at_once_under_a_limit_for_one(backend: &dyn Backend) {
    for _ in 0..ROUNDS {
        let manifests = ["left", "rigt"].map(|layer| image(&digest("config"), &[digest(layer)]));
        let limit = (10 + size(&manifests[0])) as u64;
        let f = open(backend, &[quota("team/", limit, 100)]).await;
        for (repository, layer) in [("team/a", "left"), ("team/b", "rigt")] {
            prepared(&f, repository, &["config", layer]).await;
        }
        let (left, right) = tokio::join!(
            put(f.store(), "team/a", &manifests[0], &["v1"], true),
            put(f.other(), "team/b", &manifests[1], &["v1"], true),
        );
        let refused = if left.is_ok() { right } else { left.and(right) };
        assert_eq!(exceeded(refused).usage, limit);
        assert_eq!(usage(&f).await, used(limit as usize, 1), "exactly one is there");
    }
}

/// What is pushed while a new quota is counted for the first time is counted as well, and once.
async fn a_first_count_against_pushes(backend: &dyn Backend) {
    for round in 0..ROUNDS {
        let options = Options { quotas: vec![quota("team/", ROOM, 1000)], ..Options::default() };
        let f = Fixture::new(backend, options).await;
        let manifests =
            ["one", "two", "three", "four"].map(|layer| image(&digest("config"), &[digest(layer)]));
        prepared(&f, "team/a", &["config", "one", "two", "three", "four"]).await;
        let push = |number: usize| put(f.store(), "team/a", &manifests[number], &["v1"], true);
        let pushes = async {
            for number in 0..4 {
                push(number).await.unwrap();
            }
        };
        let counting = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            f.other().begin_quotas().await.unwrap();
        };
        tokio::join!(pushes, counting);
        assert_eq!(usage(&f).await.tags, 1);
    }
}

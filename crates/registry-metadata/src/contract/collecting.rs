//! What a collector takes and what it leaves.

use std::{collections::BTreeSet, time::Duration};

use registry_digest::Digest;
use registry_types::Cause;

use super::{
    Backend,
    fixture::{Fixture, image, index, put, referrer, repo, tag},
    open,
};
use crate::{CandidateKind, CollectRules, Collected, Kept, MetadataStore, Options, Purpose, Verdict};

/// More than any case has on its queue.
pub(super) const LIMIT: usize = 100;

/// How often two are let loose at once.
pub(super) const ROUNDS: usize = 20;

/// Garbage goes, all of it and nothing else, and no sooner than was promised.
pub async fn all(backend: &dyn Backend) {
    a_blob_that_nobody_used_goes_after_its_lease(backend).await;
    what_is_used_stays_for_ever(backend).await;
    a_digest_stays_while_a_repository_has_it(backend).await;
    a_promise_before_the_collection_counts(backend).await;
    a_deleted_image_goes_after_lease_and_window(backend).await;
    untagged_manifests_stay_unless_they_are_asked_for(backend).await;
    old_untagged_manifests_are_found_when_asked_for(backend).await;
    children_go_with_their_index(backend).await;
    referrers_go_with_their_subject(backend).await;
    a_child_that_is_pushed_again_stays(backend).await;
    a_look_at_a_doomed_child_only_delays_it(backend).await;
    a_limit_is_kept_and_the_next_call_goes_on(backend).await;
    two_collectors_at_once_take_each_thing_once(backend).await;
    a_collection_against_a_promise(backend).await;
    a_collection_against_a_push_of_a_manifest(backend).await;
    a_collection_against_a_mount(backend).await;
}

/// Everything that is due, until nothing is.
pub(super) async fn collect(f: &Fixture) -> Vec<Collected> {
    collect_with(f.store(), CollectRules::default()).await
}

pub(super) async fn collect_with(store: &dyn MetadataStore, rules: CollectRules) -> Vec<Collected> {
    let mut collected = Vec::new();
    loop {
        let batch = store.collect(&rules, LIMIT).await.unwrap();
        if batch.is_empty() {
            return collected;
        }
        collected.extend(batch);
    }
}

pub(super) fn removed(collected: &[Collected], kind: CandidateKind) -> BTreeSet<String> {
    let is_removed =
        |it: &&Collected| it.candidate.kind == kind && matches!(it.verdict, Verdict::Removed { .. });
    collected.iter().filter(is_removed).map(|it| it.candidate.digest.clone()).collect()
}

pub(super) fn texts(digests: &[Digest]) -> BTreeSet<String> {
    digests.iter().map(Digest::to_string).collect()
}

pub(super) async fn count(f: &Fixture, table: &str) -> String {
    f.rows(&format!("SELECT COUNT(*) FROM {table}")).await.remove(0)
}

async fn a_blob_that_nobody_used_goes_after_its_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    let (blob, location) = f.push_blob_at("a", "content", None).await;
    f.advance_leases(1.49).await;
    assert_eq!(collect(&f).await, [], "the lease is not over");
    f.advance_leases(0.02).await;
    let collected = collect(&f).await;
    assert_eq!(removed(&collected, CandidateKind::Blob), texts(&[blob]));
    assert_eq!(removed(&collected, CandidateKind::Digest), texts(&[blob]));
    assert_eq!(collected[0].candidate.repository, Some(repo("a")));
    let bytes: u64 =
        collected.iter().map(|it| if let Verdict::Removed { bytes } = it.verdict { bytes } else { 0 }).sum();
    assert_eq!(bytes, "content".len() as u64);
    assert_eq!(f.blob("a", &blob).await, None);
    assert!(f.reclaimable().await.is_empty(), "somebody may be reading");
    f.advance(f.options.read_grace).await;
    assert_eq!(f.reclaimable().await, [location.to_string()]);
    assert_eq!(count(&f, "gc_queue").await, "0");
}

async fn what_is_used_stays_for_ever(backend: &dyn Backend) {
    let f = open(backend).await;
    let image = f.push_image("a", "content", &["v1"]).await;
    let waits =
        f.put_sparse("b", &super::fixture::image(&super::fixture::digest("not here"), &[]), &["v1"]).await;
    f.advance_leases(100.0).await;
    let collected = collect(&f).await;
    assert!(collected.iter().all(|it| it.verdict == Verdict::Kept(Kept::Referenced)), "{collected:?}");
    assert_eq!(collected.len(), 2, "config and layer");
    assert_eq!(collect(&f).await, [], "the queue is empty");
    assert_eq!(f.resolve("a", "v1").await, Some(image));
    // What a manifest waits for is its own as soon as it comes.
    assert_eq!(f.resolve("b", "v1").await, Some(waits));
    let late = f.push_blob("b", "not here").await;
    f.advance_leases(100.0).await;
    collect(&f).await;
    assert!(f.blob("b", &late).await.is_some());
}

async fn a_digest_stays_while_a_repository_has_it(backend: &dyn Backend) {
    let f = open(backend).await;
    let blob = f.push_blob("a", "content").await;
    f.advance_leases(1.0).await;
    assert!(f.store().mount_blob(&repo("a"), &repo("b"), &blob).await.unwrap());
    f.advance_leases(0.6).await;
    let collected = collect(&f).await;
    assert_eq!(removed(&collected, CandidateKind::Blob), texts(&[blob]));
    assert!(removed(&collected, CandidateKind::Digest).is_empty());
    assert!(f.blob("a", &blob).await.is_none() && f.blob("b", &blob).await.is_some());
    f.advance_leases(1.0).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Digest), texts(&[blob]));
}

async fn a_promise_before_the_collection_counts(backend: &dyn Backend) {
    let f = open(backend).await;
    let blob = f.push_blob("a", "content").await;
    f.advance_leases(50.0).await;
    f.promised("a", &blob).await.unwrap();
    collect(&f).await;
    f.advance_leases(1.49).await;
    collect(&f).await;
    assert!(f.blob("a", &blob).await.is_some());
    f.advance_leases(0.02).await;
    collect(&f).await;
    assert!(f.blob("a", &blob).await.is_none());
}

async fn a_deleted_image_goes_after_lease_and_window(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.advance_leases(2.0).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    f.advance_leases(2.0).await;
    let collected = collect(&f).await;
    assert_eq!(removed(&collected, CandidateKind::Blob).len(), 2);
    let kept = collected.iter().filter(|it| it.verdict == Verdict::Kept(Kept::Trash)).count();
    assert_eq!(kept, 2, "it can be restored: {collected:?}");
    f.advance(f.options.undelete_window).await;
    let collected = collect(&f).await;
    assert_eq!(removed(&collected, CandidateKind::TrashedManifest), texts(&[digest]));
    assert_eq!(removed(&collected, CandidateKind::TrashedTag), texts(&[digest]));
    assert_eq!(removed(&collected, CandidateKind::Digest).len(), 2);
    for table in ["manifests", "repository_blobs", "digests", "objects", "gc_queue", "trash_manifests"] {
        assert_eq!(count(&f, table).await, "0", "{table}");
    }
}

async fn untagged_manifests_stay_unless_they_are_asked_for(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["latest"]).await;
    f.push_image("a", "two", &["latest"]).await;
    f.advance_leases(2.0).await;
    let collected = collect(&f).await;
    let untagged = collected.iter().filter(|it| it.verdict == Verdict::Kept(Kept::Untagged));
    assert_eq!(untagged.map(|it| it.candidate.digest.clone()).collect::<Vec<_>>(), [first.to_string()]);

    let third = f.push_image("a", "three", &["other"]).await;
    f.push_image("a", "four", &["other"]).await;
    f.advance_leases(2.0).await;
    let collected = collect_with(f.store(), CollectRules { untagged: true }).await;
    assert_eq!(removed(&collected, CandidateKind::Manifest), texts(&[third]));
    assert_eq!(f.resolve("a", &first.to_string()).await, Some(first), "it is on the queue no more");
}

async fn old_untagged_manifests_are_found_when_asked_for(backend: &dyn Backend) {
    let f = open(backend).await;
    let loose = f.push_image("a", "one", &[]).await;
    let child = f.push_image("a", "child", &[]).await;
    f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    let fresh = f.push_image("b", "fresh", &[]).await;
    let mut next = None;
    loop {
        next = f.store().enqueue_untagged(next.as_ref(), 2).await.unwrap();
        if next.is_none() {
            break;
        }
    }
    let collected = collect(&f).await;
    assert_eq!(removed(&collected, CandidateKind::Manifest), texts(&[loose]), "{collected:?}");
    assert_eq!(f.resolve("b", &fresh.to_string()).await, Some(fresh), "it has a lease");
    f.advance_leases(2.0).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Manifest), texts(&[fresh]));
    assert_eq!(f.resolve("a", &child.to_string()).await, Some(child), "its index is tagged");
}

async fn children_go_with_their_index(backend: &dyn Backend) {
    let f = open(backend).await;
    let [one, shared, tagged] = [
        f.push_image("a", "one", &[]).await,
        f.push_image("a", "shared", &[]).await,
        f.push_image("a", "tagged", &["kept"]).await,
    ];
    let parent = f.put("a", &index(&[one, shared, tagged]), &["v1"]).await.unwrap();
    f.put("a", &index(&[shared]), &["v2"]).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    f.store().delete_manifest(&repo("a"), &parent, &Cause::UNKNOWN).await.unwrap();
    f.advance_leases(1.49).await;
    assert!(removed(&collect(&f).await, CandidateKind::Manifest).is_empty());
    f.advance_leases(0.02).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Manifest), texts(&[one]));
    for digest in [shared, tagged] {
        assert_eq!(f.resolve("a", &digest.to_string()).await, Some(digest));
    }
}

async fn referrers_go_with_their_subject(backend: &dyn Backend) {
    let f = open(backend).await;
    let empty = f.push_blob("a", "{}").await;
    let subject = f.push_image("a", "content", &["v1"]).await;
    let signature = f.put("a", &referrer(&empty, &subject, "a/b", ""), &[]).await.unwrap();
    let of_signature = f.put("a", &referrer(&empty, &signature, "a/b", ""), &[]).await.unwrap();
    let early =
        f.put("a", &referrer(&empty, &super::fixture::digest("to come"), "a/b", ""), &[]).await.unwrap();
    f.advance_leases(2.0).await;
    collect(&f).await;
    f.store().delete_manifest(&repo("a"), &subject, &Cause::UNKNOWN).await.unwrap();
    f.advance_leases(2.0).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Manifest), texts(&[signature]));
    f.advance_leases(2.0).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Manifest), texts(&[of_signature]));
    assert_eq!(f.resolve("a", &early.to_string()).await, Some(early), "its subject was never deleted");
}

async fn a_child_that_is_pushed_again_stays(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let child = f.put("a", &image(&config, &[]), &[]).await.unwrap();
    let parent = f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    f.advance_leases(2.0).await;
    f.store().delete_manifest(&repo("a"), &parent, &Cause::UNKNOWN).await.unwrap();
    f.put("a", &image(&config, &[]), &[]).await.unwrap();
    f.advance_leases(2.0).await;
    assert!(removed(&collect(&f).await, CandidateKind::Manifest).is_empty());
    assert_eq!(f.resolve("a", &child.to_string()).await, Some(child));
}

async fn a_look_at_a_doomed_child_only_delays_it(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "child", &[]).await;
    let parent = f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    f.advance_leases(2.0).await;
    f.store().delete_manifest(&repo("a"), &parent, &Cause::UNKNOWN).await.unwrap();
    f.advance_leases(1.0).await;
    f.store().manifest(&repo("a"), &child.into(), Purpose::Promise).await.unwrap().unwrap();
    f.advance_leases(1.0).await;
    assert!(removed(&collect(&f).await, CandidateKind::Manifest).is_empty());
    f.advance_leases(1.0).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Manifest), texts(&[child]));
}

async fn a_limit_is_kept_and_the_next_call_goes_on(backend: &dyn Backend) {
    let f = open(backend).await;
    for number in 0..5 {
        f.push_blob("a", &format!("content {number}")).await;
    }
    f.advance_leases(2.0).await;
    let rules = CollectRules::default();
    let mut blobs = BTreeSet::new();
    while let done = f.store().collect(&rules, 2).await.unwrap()
        && !done.is_empty()
    {
        assert!(done.len() <= 2);
        blobs.extend(removed(&done, CandidateKind::Digest));
    }
    assert_eq!(blobs.len(), 5);
}

async fn two_collectors_at_once_take_each_thing_once(backend: &dyn Backend) {
    let f = open(backend).await;
    for number in 0..40 {
        f.push_blob("a", &format!("content {number}")).await;
    }
    f.advance_leases(2.0).await;
    let rules = CollectRules::default();
    // One may find nothing while the other holds all: that is not the end.
    let mut bytes = 0;
    while count(&f, "gc_queue").await != "0" {
        let (one, two) = tokio::join!(f.store().collect(&rules, 7), f.other().collect(&rules, 7));
        for it in one.unwrap().into_iter().chain(two.unwrap()) {
            if let Verdict::Removed { bytes: given_up } = it.verdict {
                bytes += given_up;
            }
        }
    }
    f.advance(f.options.read_grace).await;
    assert_eq!(f.reclaimable().await.len(), 40);
    assert_eq!(bytes, (0..40).map(|number| format!("content {number}").len() as u64).sum::<u64>());
}

/// A blob whose lease is just over, a new one each time.
async fn doomed(f: &Fixture, repository: &str, round: usize) -> Digest {
    let blob = f.push_blob(repository, &format!("doomed {round}")).await;
    f.advance_leases(2.0).await;
    blob
}

async fn a_collection_against_a_promise(backend: &dyn Backend) {
    let f = open(backend).await;
    let rules = CollectRules::default();
    for round in 0..ROUNDS {
        let blob = doomed(&f, "a", round).await;
        let a = repo("a");
        let (promised, collected) =
            tokio::join!(f.other().blob(&a, &blob, Purpose::Promise), f.store().collect(&rules, LIMIT));
        collected.unwrap();
        let promised = promised.unwrap().is_some();
        collect(&f).await;
        assert_eq!(f.blob("a", &blob).await.is_some(), promised, "round {round}");
    }
}

async fn a_collection_against_a_push_of_a_manifest(backend: &dyn Backend) {
    let f = open(backend).await;
    let rules = CollectRules::default();
    for round in 0..ROUNDS {
        let blob = doomed(&f, "a", round).await;
        let manifest = image(&blob, &[]);
        let (pushed, collected) =
            tokio::join!(put(f.other(), "a", &manifest, &["v1"], true), f.store().collect(&rules, LIMIT));
        collected.unwrap();
        collect(&f).await;
        assert_eq!(f.blob("a", &blob).await.is_some(), pushed.is_ok(), "round {round}: {pushed:?}");
        if pushed.is_ok() {
            f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
        }
    }
}

async fn a_collection_against_a_mount(backend: &dyn Backend) {
    let options = Options { lease: Duration::from_secs(10), ..Options::default() };
    let f = Fixture::new(backend, options).await;
    let rules = CollectRules::default();
    for round in 0..ROUNDS {
        let blob = doomed(&f, "a", round).await;
        let (from, to) = (repo("a"), repo("b"));
        let (mounted, collected) =
            tokio::join!(f.other().mount_blob(&from, &to, &blob), f.store().collect(&rules, LIMIT));
        collected.unwrap();
        collect(&f).await;
        let mounted = mounted.unwrap();
        assert_eq!(f.blob("b", &blob).await.is_some(), mounted, "round {round}");
        assert_eq!(f.store().object(&blob).await.unwrap().is_some(), mounted, "round {round}");
    }
}

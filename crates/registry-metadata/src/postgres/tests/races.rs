//! Two transactions, and which of them waits for the other. One is stopped in its middle: a connection of the test's does
//! what this crate, or a collector, would do up to there.

use std::{sync::Arc, time::Duration};

use registry_digest::Digest;
use registry_types::Cause;

use super::{
    backend::{OnServer, PostgresProbe},
    images::{digest, finished, image, index, new_upload, push_blob, put, repo, tag},
};
use crate::{
    CollectRules, FinishUpload, MetadataError, MetadataStore, Options, Purpose, Quota,
    contract::{Backend, Subject},
};

/// How often two are let loose where nobody can be stopped in the middle.
const ROUNDS: usize = 30;

pub(super) async fn subject() -> (Subject, PostgresProbe) {
    subject_with(Options::default()).await
}

async fn subject_with(options: Options) -> (Subject, PostgresProbe) {
    let subject = OnServer.open(options).await;
    let name = subject.probe.rows("SELECT current_database()").await.remove(0);
    let url = registry_testing_postgres::PostgresServer::shared().url(&name);
    (subject, PostgresProbe::connect(&url).await)
}

/// Runs `work` while the probe is in the middle of its transaction, waits until `work` waits for that, and commits it.
pub(super) async fn against<T: Send + 'static>(
    subject: &Subject,
    probe: &PostgresProbe,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let running = tokio::spawn(work);
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    tokio::time::timeout(Duration::from_secs(10), async {
        while subject.probe.rows(waiting).await == ["0"] {
            assert!(!running.is_finished(), "it did not wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it waits");
    probe.run("COMMIT").await;
    running.await.unwrap()
}

pub(super) fn store(subject: &Subject) -> Arc<dyn MetadataStore> {
    subject.store.clone()
}

#[tokio::test]
async fn a_push_waits_for_a_deletion_of_its_blob_and_fails() {
    let (subject, probe) = subject().await;
    let config = push_blob(&*subject.store, "a", "config").await;
    probe.run(&format!("BEGIN; DELETE FROM repository_blobs WHERE digest = '{config}'")).await;
    let store = store(&subject);
    let push = async move { put(&*store, "a", &image(&config, &[]), &["v1"], false).await };
    let refused = against(&subject, &probe, push).await.unwrap_err();
    assert!(matches!(refused, MetadataError::MissingReferences { digests } if digests == [config]));
}

#[tokio::test]
async fn a_deletion_waits_for_a_push_that_needs_the_blob_and_is_refused() {
    let (subject, probe) = subject().await;
    let config = push_blob(&*subject.store, "a", "config").await;
    let other = image(&config, &[]).digest(registry_digest::Algorithm::Sha256);
    let reference = format!(
        "BEGIN; INSERT INTO manifests (repository, digest, media_type, size, lease_until, pushed_at, bytes)
            SELECT id, '{other}', 'x', 0, 0, 0, '' FROM repositories;
        INSERT INTO manifest_blobs SELECT id, '{other}', '{config}', '{config}' FROM repositories"
    );
    probe.run(&reference).await;
    let store = store(&subject);
    let delete = async move { store.delete_blob(&repo("a"), &config).await };
    let refused = against(&subject, &probe, delete).await.unwrap_err();
    assert!(matches!(refused, MetadataError::BlobReferenced { by, .. } if by == [other]));
}

#[tokio::test]
async fn an_index_waits_for_a_deletion_of_its_child_and_fails() {
    let (subject, probe) = subject().await;
    let config = push_blob(&*subject.store, "a", "config").await;
    let child = put(&*subject.store, "a", &image(&config, &[]), &[], false).await.unwrap();
    probe
        .run(&format!("BEGIN; DELETE FROM manifest_blobs; DELETE FROM manifests WHERE digest = '{child}'"))
        .await;
    let store = store(&subject);
    let push = async move { put(&*store, "a", &index(&[child]), &["v1"], false).await };
    let refused = against(&subject, &probe, push).await.unwrap_err();
    assert!(matches!(refused, MetadataError::MissingReferences { digests } if digests == [child]));
}

/// The collector has locked the row and found no reference and no lease; it removes it. Nothing was promised.
#[tokio::test]
async fn a_promise_waits_for_a_collector_and_promises_nothing() {
    let (subject, probe) = subject().await;
    let blob = push_blob(&*subject.store, "a", "content").await;
    subject.probe.advance(Options::default().lease * 2).await;
    probe
        .run(&format!(
            "BEGIN; SELECT 1 FROM gc_queue WHERE digest = '{blob}' FOR UPDATE;
            SELECT 1 FROM repository_blobs WHERE digest = '{blob}' FOR UPDATE;
            DELETE FROM repository_blobs WHERE digest = '{blob}'; DELETE FROM gc_queue WHERE digest = '{blob}'"
        ))
        .await;
    let store = store(&subject);
    let promise = async move { store.blob(&repo("a"), &blob, Purpose::Promise).await };
    assert_eq!(against(&subject, &probe, promise).await.unwrap(), None);
    let left = subject.probe.rows("SELECT COUNT(*) FROM gc_queue WHERE kind = 'blob'").await;
    assert_eq!(left, ["0"], "nothing is queued for what is gone");
}

/// The other order: the collector waits, and looks again at a row that has a lease now.
#[tokio::test]
async fn a_collector_that_waited_for_a_promise_sees_its_lease() {
    let (subject, probe) = subject().await;
    let blob = push_blob(&*subject.store, "a", "content").await;
    subject.probe.advance(Options::default().lease * 2).await;
    // The row of the queue is what both lock first.
    probe.run(&format!("BEGIN; SELECT 1 FROM gc_queue WHERE digest = '{blob}' FOR UPDATE")).await;
    let store = store(&subject);
    let promise = async move { store.blob(&repo("a"), &blob, Purpose::Promise).await };
    assert!(against(&subject, &probe, promise).await.unwrap().is_some());
    let collected = subject.other.collect(&CollectRules::default(), 10).await.unwrap();
    assert!(collected.is_empty(), "nothing is due any more");
}

/// An upload that brings known bytes holds on to their digest, so that a collector looks again.
#[tokio::test]
async fn an_upload_waits_for_a_collector_of_its_digest_and_keeps_its_own_bytes() {
    let (subject, probe) = subject().await;
    let blob = push_blob(&*subject.store, "a", "content").await;
    subject.store.delete_blob(&repo("a"), &blob).await.unwrap();
    probe
        .run(&format!(
            "BEGIN; SELECT 1 FROM digests WHERE digest = '{blob}' FOR UPDATE;
            DELETE FROM digests WHERE digest = '{blob}'; DELETE FROM objects"
        ))
        .await;
    let new = new_upload("a");
    subject.store.start_upload(&new).await.unwrap();
    let epoch = subject.store.claim_upload(&new.repository, &new.id).await.unwrap().epoch;
    let (store, finish) = (store(&subject), finished(&new, epoch, "content"));
    against(&subject, &probe, async move { store.finish_upload(&finish).await }).await.unwrap();
    let kept = subject.store.blob(&repo("a"), &blob, Purpose::Read).await.unwrap().unwrap();
    assert_eq!(kept.location, new.location);
}

/// Each of two removes one of the last two references. Without a lock, each would see the other's.
#[tokio::test]
async fn of_two_last_references_the_later_one_leaves_a_lease() {
    let (subject, _) = subject().await;
    let config = push_blob(&*subject.store, "a", "config").await;
    for round in 0..ROUNDS {
        let layer = push_blob(&*subject.store, "a", &format!("layer {round}")).await;
        let manifest = image(&config, &[layer]);
        let pushed = put(&*subject.store, "a", &manifest, &["v1", "v2"], false).await.unwrap();
        subject.probe.advance(Options::default().lease * 2).await;
        let (name, tags) = (repo("a"), [tag("v1"), tag("v2")]);
        let (one, two) = tokio::join!(
            subject.store.delete_tag(&name, &tags[0], &Cause::UNKNOWN),
            subject.other.delete_tag(&name, &tags[1], &Cause::UNKNOWN)
        );
        one.and(two).unwrap();
        leased(&subject, "manifests", "manifest", &pushed).await;
    }
}

#[tokio::test]
async fn of_two_manifests_that_go_the_later_one_leaves_a_lease_on_their_blobs() {
    let (subject, _) = subject().await;
    for round in 0..ROUNDS {
        let shared = push_blob(&*subject.store, "a", &format!("shared {round}")).await;
        let mut manifests = Vec::new();
        for number in 0..2 {
            let config = push_blob(&*subject.store, "a", &format!("config {round} {number}")).await;
            let manifest = image(&config, &[shared]);
            manifests.push(put(&*subject.store, "a", &manifest, &[], false).await.unwrap());
        }
        subject.probe.advance(Options::default().lease * 2).await;
        let name = repo("a");
        let (one, two) = tokio::join!(
            subject.store.delete_manifest(&name, &manifests[0], &Cause::UNKNOWN),
            subject.other.delete_manifest(&name, &manifests[1], &Cause::UNKNOWN)
        );
        one.and(two).unwrap();
        leased(&subject, "repository_blobs", "blob", &shared).await;
    }
}

/// The same with one that locks the blob alone and not the repository, as a collector may.
#[tokio::test]
async fn a_manifest_that_goes_waits_for_another_one_that_lets_go_of_its_blob() {
    let (subject, probe) = subject().await;
    let shared = push_blob(&*subject.store, "a", "shared").await;
    let mut manifests = Vec::new();
    for number in 0..2 {
        let config = push_blob(&*subject.store, "a", &format!("config {number}")).await;
        manifests.push(put(&*subject.store, "a", &image(&config, &[shared]), &[], false).await.unwrap());
    }
    subject.probe.advance(Options::default().lease * 2).await;
    let goes = manifests[0];
    let let_go = format!(
        "BEGIN; DELETE FROM manifest_blobs WHERE manifest = '{goes}';
        SELECT 1 FROM repository_blobs WHERE digest = '{shared}' FOR NO KEY UPDATE"
    );
    probe.run(&let_go).await;
    let (store, other) = (store(&subject), manifests[1]);
    let delete = async move { store.delete_manifest(&repo("a"), &other, &Cause::UNKNOWN).await };
    against(&subject, &probe, delete).await.unwrap();
    leased(&subject, "repository_blobs", "blob", &shared).await;
}

async fn leased(subject: &Subject, table: &str, kind: &str, digest: &Digest) {
    let left = format!("SELECT 1 FROM {table} WHERE digest = '{digest}' AND lease_until > now_ms()");
    assert_eq!(subject.probe.rows(&left).await, ["1"], "it has a lease");
    let queued =
        format!("SELECT 1 FROM gc_queue WHERE kind = '{kind}' AND digest = '{digest}' AND due_at > now_ms()");
    assert_eq!(subject.probe.rows(&queued).await, ["1"], "and is queued");
}

/// Promise 1 also for what comes in any order: at the end the foreign key is there.
#[tokio::test]
async fn a_reference_and_its_target_find_each_other() {
    let (subject, _) = subject().await;
    for round in 0..ROUNDS {
        let content = format!("content {round}");
        let manifest = image(&digest(&content), &[]);
        let (pushed, blob) = tokio::join!(
            put(&*subject.other, "a", &manifest, &[], true),
            push_blob(&*subject.store, "a", &content)
        );
        pushed.unwrap();
        let linked = format!("SELECT target FROM manifest_blobs WHERE digest = '{blob}'");
        assert_eq!(subject.probe.rows(&linked).await, [blob.to_string()]);

        let child = image(&blob, &[blob]);
        let parent = index(&[child.digest(registry_digest::Algorithm::Sha256)]);
        let tags: &[&str] = if round % 2 == 0 { &["child"] } else { &[] };
        let (parent, child) = tokio::join!(
            put(&*subject.other, "a", &parent, &[], true),
            put(&*subject.store, "a", &child, tags, false)
        );
        parent.unwrap();
        let child = child.unwrap();
        let linked = format!("SELECT target FROM manifest_children WHERE digest = '{child}'");
        assert_eq!(subject.probe.rows(&linked).await, [child.to_string()]);
    }
}

/// The same stopped in the middle: the one that waits for a blob waits for the one that brings it.
#[tokio::test]
async fn who_waits_for_a_blob_meets_who_brings_it() {
    let (subject, probe) = subject().await;
    let blob = push_blob(&*subject.store, "b", "content").await;
    push_blob(&*subject.store, "a", "other").await;
    let bring = format!(
        "BEGIN; INSERT INTO gc_queue SELECT 'blob', id, '{blob}', 0, 'lease' FROM repositories WHERE name = 'a';
        INSERT INTO repository_blobs SELECT id, '{blob}', 0, 0 FROM repositories WHERE name = 'a';
        UPDATE manifest_blobs SET target = digest WHERE digest = '{blob}' AND target IS NULL"
    );
    probe.run(&bring).await;
    let store = store(&subject);
    let push = async move { put(&*store, "a", &image(&blob, &[]), &[], true).await };
    against(&subject, &probe, push).await.unwrap();
    assert_eq!(subject.probe.rows("SELECT target FROM manifest_blobs").await, [blob.to_string()]);
}

#[tokio::test]
async fn a_repository_is_listed_if_and_only_if_it_has_a_manifest() {
    let (subject, _) = subject().await;
    let config = push_blob(&*subject.store, "a", "config").await;
    for round in 0..ROUNDS {
        let manifests = [0, 1].map(|number| image(&config, &[digest(&format!("{round} {number}"))]));
        let first = put(&*subject.store, "a", &manifests[0], &[], true).await.unwrap();
        let name = repo("a");
        let (deleted, pushed) = tokio::join!(
            subject.other.delete_manifest(&name, &first, &Cause::UNKNOWN),
            put(&*subject.store, "a", &manifests[1], &[], true)
        );
        deleted.unwrap();
        let second = pushed.unwrap();
        assert_eq!(subject.probe.rows("SELECT listed FROM repositories").await, ["1"], "round {round}");

        let third = put(&*subject.store, "a", &manifests[0], &[], true).await.unwrap();
        let (one, two) = tokio::join!(
            subject.other.delete_manifest(&name, &second, &Cause::UNKNOWN),
            subject.store.delete_manifest(&name, &third, &Cause::UNKNOWN)
        );
        one.and(two).unwrap();
        assert_eq!(subject.probe.rows("SELECT listed FROM repositories").await, ["0"], "round {round}");
    }
}

/// Three find that the bytes of a digest are gone, and each brings its own. One is kept, and all others are given back.
#[tokio::test]
async fn of_several_that_replace_lost_bytes_one_is_kept() {
    let (subject, _) = subject().await;
    for round in 0..ROUNDS {
        let content = format!("content {round}");
        let blob = push_blob(&*subject.store, "a", &content).await;
        let lost = subject.store.object(&blob).await.unwrap().unwrap().location;
        let mut finishes = Vec::new();
        for _ in 0..2 {
            let new = new_upload("a");
            subject.store.start_upload(&new).await.unwrap();
            let epoch = subject.store.claim_upload(&new.repository, &new.id).await.unwrap().epoch;
            finishes.push(FinishUpload { replaces: Some(lost.clone()), ..finished(&new, epoch, &content) });
        }
        let (one, two) = tokio::join!(
            subject.store.finish_upload(&finishes[0]),
            subject.store.finish_upload(&finishes[1])
        );
        one.and(two).unwrap();
        let known = subject.probe.rows("SELECT COUNT(*) FROM objects").await;
        assert_eq!(known, [(round + 1).to_string()]);
        let given_back = subject.probe.rows("SELECT COUNT(*) FROM reclaim").await;
        assert_eq!(
            given_back,
            [(2 * (round + 1)).to_string()],
            "what was lost, and the one that was not needed"
        );
        let kept = subject.store.object(&blob).await.unwrap().unwrap().location;
        let is_given_back = format!("SELECT COUNT(*) FROM reclaim WHERE location = '{kept}'");
        assert_eq!(subject.probe.rows(&is_given_back).await, ["0"]);
    }
}

/// Two that want the same two rows in opposite orders: PostgreSQL ends one, and it is run again.
#[tokio::test]
async fn a_deadlock_is_run_again() {
    let (subject, probe) = subject().await;
    let config = push_blob(&*subject.store, "a", "config").await;
    let manifest = image(&config, &[]);
    put(&*subject.store, "a", &manifest, &["v1", "v2"], false).await.unwrap();
    let other = image(&config, &[config]);
    // The store locks v1 and then v2.
    probe.run("BEGIN; SELECT 1 FROM tags WHERE name = 'v2' FOR UPDATE").await;
    let store = store(&subject);
    let running = tokio::spawn(async move { put(&*store, "a", &other, &["v1", "v2"], false).await });
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while subject.probe.rows(waiting).await == ["0"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Whichever of the two is ended: if it is the test's, the store goes on; if the store's, it starts again.
    let _ = probe.try_run("SELECT 1 FROM tags WHERE name = 'v1' FOR UPDATE").await;
    probe.run("ROLLBACK").await;
    running.await.unwrap().unwrap();
}

/// A repository in which nothing is, as the collector finds it.
async fn with_empty_repository() -> (Subject, PostgresProbe) {
    let (subject, probe) = subject().await;
    let new = new_upload("a");
    subject.store.start_upload(&new).await.unwrap();
    subject.store.cancel_upload(&new.repository, &new.id).await.unwrap();
    subject.probe.advance(Options::default().lease).await;
    (subject, probe)
}

#[tokio::test]
async fn a_repository_into_which_something_is_on_its_way_is_left_alone() {
    let (subject, probe) = with_empty_repository().await;
    probe
        .run(
            "BEGIN; INSERT INTO uploads (id, repository, location, algorithm, started_at, touched_at)
            SELECT 'x', id, 'store/x', 'sha256', 0, 0 FROM repositories",
        )
        .await;
    assert_eq!(subject.store.collect(&CollectRules::default(), 10).await.unwrap(), []);
    probe.run("COMMIT").await;
    assert_eq!(subject.store.collect(&CollectRules::default(), 10).await.unwrap(), []);
    assert_eq!(subject.probe.rows("SELECT name FROM repositories").await, ["a"]);
}

#[tokio::test]
async fn an_upload_that_begins_while_its_repository_deleted_makes_it_again() {
    let (subject, probe) = with_empty_repository().await;
    probe.run("BEGIN; DELETE FROM repositories WHERE name = 'a'").await;
    let store = store(&subject);
    let start = async move { store.start_upload(&new_upload("a")).await };
    against(&subject, &probe, start).await.unwrap();
    assert_eq!(subject.probe.rows("SELECT name FROM repositories").await, ["a"]);
}

/// What a node saves at this moment is what a store needs to give the bytes back.
#[tokio::test]
async fn a_session_of_a_deleted_repository_goes_with_the_state_that_it_saved_last() {
    let (subject, probe) = subject().await;
    subject.store.start_upload(&new_upload("a")).await.unwrap();
    subject.store.delete_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    subject.probe.advance(Options::default().undelete_window).await;
    probe.run("BEGIN; UPDATE uploads SET state = 'new'").await;
    let store = store(&subject);
    let collect = async move { store.collect(&CollectRules::default(), 10).await };
    against(&subject, &probe, collect).await.unwrap();
    let states = "SELECT encode(upload_state, 'escape') FROM reclaim";
    assert_eq!(subject.probe.rows(states).await, ["new"]);
}

/// What a collector purges while a client deletes it once more is kept again, and counted as that.
#[tokio::test]
async fn a_manifest_that_is_purged_while_it_goes_to_the_trash_again_is_counted() {
    let quota = Quota { prefix: String::new(), bytes_max: Some(100_000), held_max: None, tags_max: None };
    let (subject, probe) = subject_with(Options { quotas: vec![quota], ..Options::default() }).await;
    subject.store.begin_quotas().await.unwrap();
    let config = push_blob(&*subject.store, "a", "config").await;
    let manifest = image(&config, &[]);
    let pushed = put(&*subject.store, "a", &manifest, &[], false).await.unwrap();
    subject.store.delete_manifest(&repo("a"), &pushed, &Cause::UNKNOWN).await.unwrap();
    put(&*subject.store, "a", &manifest, &[], false).await.unwrap();
    probe.run("BEGIN; DELETE FROM trash_blobs; DELETE FROM trash_manifests").await;
    probe.run(&format!("UPDATE quota_digests SET holds = 0 WHERE digest = '{pushed}'")).await;
    let store = store(&subject);
    let delete = async move { store.delete_manifest(&repo("a"), &pushed, &Cause::UNKNOWN).await };
    against(&subject, &probe, delete).await.unwrap();
    let holds = format!("SELECT holds FROM quota_digests WHERE digest = '{pushed}'");
    assert_eq!(subject.probe.rows(&holds).await, ["1"]);
}

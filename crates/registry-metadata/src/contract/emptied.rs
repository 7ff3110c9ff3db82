//! Repositories in which nothing is left.

use std::time::Duration;

use registry_types::Cause;

use super::{
    Backend,
    collecting::{ROUNDS, collect, collect_with, removed},
    fixture::{Fixture, repo},
    open,
};
use crate::{CandidateKind, CollectRules, Options};

/// A repository in which nothing is goes, and no sooner than was promised.
pub async fn all(backend: &dyn Backend) {
    a_repository_in_which_nothing_is_goes_after_a_lease(backend).await;
    a_repository_stays_while_anything_is_in_it(backend).await;
    a_repository_whose_content_is_gone_goes_with_its_history(backend).await;
    a_collection_against_the_first_push(backend).await;
}

async fn repositories(f: &Fixture) -> Vec<String> {
    f.rows("SELECT name FROM repositories WHERE purge_at IS NULL ORDER BY name").await
}

async fn a_repository_in_which_nothing_is_goes_after_a_lease(backend: &dyn Backend) {
    let f = open(backend).await;
    for name in ["a", "b", "c"] {
        let new = f.start(name).await;
        f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
    }
    f.advance_leases(0.9).await;
    assert_eq!(collect(&f).await, []);
    f.start("b").await;
    f.advance_leases(0.1).await;
    assert_eq!(removed(&collect(&f).await, CandidateKind::Repository), ["a", "c"].map(str::to_owned).into());
    assert_eq!(repositories(&f).await, ["b"]);
    f.push_image("a", "content", &["v1"]).await;
    assert!(f.resolve("a", "v1").await.is_some(), "its name is free");
}

/// A blob, a manifest, a session, and what can be restored keep it, each for itself.
async fn a_repository_stays_while_anything_is_in_it(backend: &dyn Backend) {
    let window = Options::default().lease * 100;
    let f = Fixture::new(backend, Options { undelete_window: window, ..Options::default() }).await;
    f.push_image("image", "content", &["v1"]).await;
    f.push_blob("blob", "content of a blob").await;
    f.start("session").await;
    let trashed = f.push_image("trash", "trashed", &["v1"]).await;
    f.store().delete_manifest(&repo("trash"), &trashed, &Cause::UNKNOWN).await.unwrap();
    let deleted = f.push_image("tag", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("tag"), &deleted, &Cause::UNKNOWN).await.unwrap();
    let of_tag = "repository = (SELECT id FROM repositories WHERE name = 'tag')";
    f.run(&format!("DELETE FROM trash_blobs WHERE {of_tag}; DELETE FROM trash_manifests WHERE {of_tag}"))
        .await;
    f.advance_leases(1.2).await;
    let collected = collect(&f).await;
    assert!(collected.iter().all(|it| it.candidate.kind != CandidateKind::Repository), "{collected:?}");
    assert_eq!(repositories(&f).await, ["blob", "image", "session", "tag", "trash"]);
    // Those that may be empty one day are looked at again, and the others not before they lose their last manifest.
    let looks = "SELECT name FROM repositories WHERE look_at IS NOT NULL ORDER BY name";
    assert_eq!(f.rows(looks).await, ["blob", "session", "tag", "trash"]);
    f.advance_leases(2.0).await;
    collect(&f).await;
    f.advance_leases(2.0).await;
    collect(&f).await;
    assert_eq!(repositories(&f).await, ["image", "session", "tag", "trash"], "a blob's lease is over");
    f.store().restore(&repo("trash"), &trashed.into(), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.resolve("trash", "v1").await, Some(trashed));
}

async fn a_repository_whose_content_is_gone_goes_with_its_history(backend: &dyn Backend) {
    let f = Fixture::new(backend, Options { undelete_window: Duration::ZERO, ..Options::default() }).await;
    let digest = f.push_image("a", "content", &["v1", "v2"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    for _ in 0..4 {
        f.advance_leases(1.0).await;
        collect(&f).await;
    }
    assert_eq!(repositories(&f).await, [""; 0]);
    assert_eq!(f.rows("SELECT COUNT(*) FROM tag_history").await, ["0"]);
}

async fn a_collection_against_the_first_push(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let name = format!("r{round}");
        let new = f.start(&name).await;
        f.store().cancel_upload(&new.repository, &new.id).await.unwrap();
        f.advance_leases(1.0).await;
        let other = f.subject.other.clone();
        let collecting = tokio::spawn(async move { collect_with(&*other, CollectRules::default()).await });
        let pushed = f.push_image(&name, &name, &["v1"]).await;
        collecting.await.unwrap();
        assert_eq!(f.resolve(&name, "v1").await, Some(pushed));
    }
}

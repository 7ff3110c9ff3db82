//! Two at once, through two connections to one database.
//!
//! Each case starts both sides together, many times, and holds whatever comes out against what may come out: the answers
//! are those of some order of the two.

use std::{future::Future, sync::Arc};

use registry_digest::Digest;
use registry_types::Cause;
use tokio::sync::Barrier;

use super::{
    Backend,
    fixture::{Fixture, finish, image, index, put, repo, tag},
    open,
};
use crate::{MetadataError, Purpose};

/// How often each pair is let loose.
const ROUNDS: usize = 20;

/// Nothing that two do at once breaks a promise to either.
pub async fn all(backend: &dyn Backend) {
    two_claims_of_one_session(backend).await;
    a_claim_against_a_finish(backend).await;
    a_finish_against_an_expiry(backend).await;
    two_pushes_of_one_blob(backend).await;
    a_push_of_a_manifest_against_a_delete_of_its_blob(backend).await;
    a_push_of_an_index_against_a_delete_of_its_child(backend).await;
    a_promise_against_a_delete(backend).await;
    a_promise_against_the_last_reference(backend).await;
    two_tags_at_once(backend).await;
    a_repeated_push_against_a_delete_of_the_manifest(backend).await;
    a_blob_against_a_manifest_that_waits_for_it(backend).await;
    two_repositories_of_one_name(backend).await;
}

/// Runs both, as much at once as the runtime and the database let them.
pub(super) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let start = Arc::new(Barrier::new(2));
    let other = start.clone();
    let a = async {
        start.wait().await;
        a.await
    };
    let b = async {
        other.wait().await;
        b.await
    };
    tokio::join!(a, b)
}

async fn two_claims_of_one_session(backend: &dyn Backend) {
    let f = open(backend).await;
    for _ in 0..ROUNDS {
        let new = f.start("a").await;
        let claim = || f.store().claim_upload(&new.repository, &new.id);
        let claims = both(claim(), claim()).await;
        assert!(matches!(
            claims,
            (Ok(_), Err(MetadataError::UploadBusy { .. })) | (Err(MetadataError::UploadBusy { .. }), Ok(_))
        ));
    }
}

/// A claim is given back as soon as the bytes are complete; nobody may get hold of them before they are a blob.
async fn a_claim_against_a_finish(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let new = f.start("a").await;
        let claim = f.claim(&new).await;
        let done = finish(&new, &claim, &format!("content {round}"), None);
        let finished = async {
            let finished = f.store().finish_upload(&done);
            let released = async { f.store().release_upload(&new.id, claim.epoch) };
            tokio::join!(finished, released).0
        };
        let (finished, claimed) = both(finished, f.store().claim_upload(&new.repository, &new.id)).await;
        finished.unwrap();
        let error = claimed.expect_err("the bytes are a blob's");
        assert!(matches!(error, MetadataError::UploadBusy { .. } | MetadataError::UploadUnknown { .. }));
    }
}

async fn a_finish_against_an_expiry(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let new = f.start("a").await;
        let claim = f.claim(&new).await;
        f.advance(std::time::Duration::from_secs(60)).await;
        let done = finish(&new, &claim, &format!("content {round}"), None);
        let expiry = f.other().expire_uploads(std::time::Duration::from_secs(60), 10);
        let (finished, expired) = both(f.store().finish_upload(&done), expiry).await;
        let is_reclaimed = f.reclaimable().await.contains(&new.location.to_string());
        match finished {
            Ok(()) => {
                assert_eq!(expired.unwrap(), 0);
                assert!(f.blob("a", &done.digest).await.is_some());
                assert!(!is_reclaimed, "a blob's bytes are to be deleted");
            }
            Err(MetadataError::UploadUnknown { .. }) => {
                assert_eq!(expired.unwrap(), 1);
                assert_eq!(f.blob("a", &done.digest).await, None);
                assert!(is_reclaimed);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn two_pushes_of_one_blob(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let content = format!("content {round}");
        let mut uploads = Vec::new();
        for repository in ["a", "b"] {
            let new = f.start(repository).await;
            let claim = f.claim(&new).await;
            uploads.push((finish(&new, &claim, &content, None), new.location));
        }
        let (one, two) =
            both(f.store().finish_upload(&uploads[0].0), f.store().finish_upload(&uploads[1].0)).await;
        one.and(two).unwrap();
        let digest = uploads[0].0.digest;
        let kept = f.blob("a", &digest).await.unwrap();
        assert_eq!(f.blob("b", &digest).await.as_ref(), Some(&kept));
        let reclaimed = f.reclaimable().await;
        for (_, location) in &uploads {
            assert_eq!(reclaimed.contains(&location.to_string()), *location != kept.location);
        }
    }
}

/// Promise 1, from both sides: whichever comes second fails.
async fn a_push_of_a_manifest_against_a_delete_of_its_blob(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let config = f.push_blob("a", &format!("config {round}")).await;
        let manifest = image(&config, &[]);
        let (name, push) = (repo("a"), put(f.store(), "a", &manifest, &["v1"], true));
        let (pushed, deleted) = both(push, f.other().delete_blob(&name, &config)).await;
        match (pushed, deleted) {
            (Ok(_), Err(MetadataError::BlobReferenced { .. })) => {
                assert!(f.blob("a", &config).await.is_some());
            }
            (Err(MetadataError::MissingReferences { .. }), Ok(())) => {
                assert_eq!(f.blob("a", &config).await, None);
            }
            both => panic!("{both:?}"),
        }
    }
}

async fn a_push_of_an_index_against_a_delete_of_its_child(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let child = f.push_image("a", &format!("child {round}"), &[]).await;
        let manifest = index(&[child]);
        let (name, push) = (repo("a"), put(f.store(), "a", &manifest, &["v1"], true));
        match both(push, f.other().delete_manifest(&name, &child, &Cause::UNKNOWN)).await {
            (Ok(_), Err(MetadataError::ManifestReferenced { .. }))
            | (Err(MetadataError::MissingReferences { .. }), Ok(_)) => {}
            both => panic!("{both:?}"),
        }
    }
}

async fn a_promise_against_a_delete(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let digest = f.push_blob("a", &format!("content {round}")).await;
        f.advance_leases(2.0).await;
        let name = repo("a");
        let promise = f.store().blob(&name, &digest, Purpose::Promise);
        let (promised, deleted) = both(promise, f.other().delete_blob(&name, &digest)).await;
        promised.unwrap();
        deleted.unwrap();
        assert_eq!(f.promised("a", &digest).await, None, "a promise brings nothing back");
    }
}

/// The blob is referenced when it is looked at, and its last reference goes at the same time. It has a lease afterwards.
async fn a_promise_against_the_last_reference(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let config = f.push_blob("a", &format!("config {round}")).await;
        let manifest = f.put("a", &image(&config, &[]), &[]).await.unwrap();
        f.advance_leases(5.0).await;
        let name = repo("a");
        let promise = f.store().blob(&name, &config, Purpose::Promise);
        let (promised, deleted) =
            both(promise, f.other().delete_manifest(&name, &manifest, &Cause::UNKNOWN)).await;
        deleted.unwrap();
        assert!(promised.unwrap().is_some());
        assert!(lease_left_ms(&f, &config).await >= f.options.lease.as_millis() as i64);
    }
}

async fn lease_left_ms(f: &Fixture, digest: &Digest) -> i64 {
    let left = format!("SELECT lease_until - now_ms() FROM repository_blobs WHERE digest = '{digest}'");
    f.rows(&left).await[0].parse().unwrap()
}

async fn two_tags_at_once(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let layers = [f.push_blob("a", "one").await, f.push_blob("a", "two").await];
    let manifests = layers.map(|layer| image(&config, &[layer]));
    for round in 0..ROUNDS {
        let name = format!("v{round}");
        let tags = [name.as_str()];
        let (one, two) = both(
            put(f.store(), "a", &manifests[0], &tags, true),
            put(f.other(), "a", &manifests[1], &tags, true),
        )
        .await;
        let pushed = [one.unwrap(), two.unwrap()];
        let history =
            f.rows(&format!("SELECT digest FROM tag_history WHERE name = '{name}' ORDER BY id")).await;
        assert_eq!(history.len(), 2);
        assert!(pushed.iter().all(|digest| history.contains(&digest.to_string())));
        let winner = f.resolve("a", &name).await.unwrap();
        assert_eq!(history[1], winner.to_string(), "the later one");
        assert!(f.store().tags(&repo("a"), None, 100).await.unwrap().contains(&tag(&name)));
    }
}

async fn a_repeated_push_against_a_delete_of_the_manifest(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let manifest = image(&config, &[]);
    let digest = f.put("a", &manifest, &["v1"]).await.unwrap();
    for _ in 0..ROUNDS {
        let (name, push) = (repo("a"), put(f.store(), "a", &manifest, &["v1"], true));
        let (pushed, deleted) = both(push, f.other().delete_manifest(&name, &digest, &Cause::UNKNOWN)).await;
        pushed.unwrap();
        deleted.unwrap();
        let (by_tag, by_digest) = (f.resolve("a", "v1").await, f.resolve("a", &digest.to_string()).await);
        assert_eq!(by_tag, by_digest, "both or neither");
        f.put("a", &manifest, &["v1"]).await.unwrap();
    }
}

async fn a_blob_against_a_manifest_that_waits_for_it(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let content = format!("content {round}");
        let manifest = image(&super::fixture::digest(&content), &[]);
        let push = put(f.other(), "a", &manifest, &[], false);
        let (digest, pushed) = both(f.push_blob("a", &content), push).await;
        pushed.unwrap();
        let refused = f.store().delete_blob(&repo("a"), &digest).await;
        assert!(matches!(refused, Err(MetadataError::BlobReferenced { .. })));
    }
}

async fn two_repositories_of_one_name(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..ROUNDS {
        let name = format!("new/{round}");
        let pushes =
            both(f.push_blob(&name, &format!("one {round}")), f.push_blob(&name, &format!("two {round}")))
                .await;
        for digest in [pushes.0, pushes.1] {
            assert!(f.blob(&name, &digest).await.is_some());
        }
    }
}

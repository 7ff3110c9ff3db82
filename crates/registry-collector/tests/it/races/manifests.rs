//! Manifests that are pushed, tagged, deleted and collected.

use registry_digest::{Algorithm, Digest};
use registry_metadata::{MetadataError, traits::*};
use registry_types::Cause;

use super::{a, before_each_step, digest, garbage, leases_end, nothing_but};
use crate::stage::{Stage, image, index};

/// An image of `a` with the tag `v1` that is deleted.
async fn deleted_image(stage: &Stage) {
    garbage(stage).await;
    let client = stage.client();
    let blob = client.push_blob(&a(), b"used").await.unwrap();
    let manifest = client.put(&a(), &image(&blob, &blob, None), &["v1"]).await.unwrap();
    leases_end(stage);
    client.metadata.delete_manifest(&a(), &manifest, &Cause::UNKNOWN).await.unwrap();
}

#[tokio::test]
async fn race_10_a_manifest_is_pushed_again_while_its_delete_runs() {
    let blob = digest(b"used");
    let put = async |stage: &mut Stage| stage.client().put(&a(), &image(&blob, &blob, None), &["v1"]).await;
    // Within the lease that its blobs got, it can be.
    before_each_step(deleted_image, put, async |stage, put| {
        put.unwrap();
        nothing_but(stage, 1).await;
    })
    .await;
    // After it, either that, or it is told what is missing.
    let long_ago = async |stage: &Stage| {
        deleted_image(stage).await;
        leases_end(stage);
    };
    before_each_step(long_ago, put, async |stage, put| match put {
        Ok(_) => nothing_but(stage, 1).await,
        Err(error) => {
            let error = error.downcast_ref();
            assert!(matches!(error, Some(MetadataError::MissingReferences { .. })), "{error:?}");
            nothing_but(stage, 0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn race_11_a_tag_is_moved_and_moved_back_while_untagged_manifests_go() {
    let images = || [b"one", b"two"].map(|content| image(&digest(content), &digest(content), None));
    let moved = async |stage: &Stage| {
        garbage(stage).await;
        let client = stage.client();
        for (content, image) in [b"one", b"two"].into_iter().zip(images()) {
            client.push_blob(&a(), content).await.unwrap();
            client.put(&a(), &image, &["v1"]).await.unwrap();
        }
        leases_end(stage);
    };
    let moves_back = async |stage: &mut Stage| stage.client().put(&a(), &images()[0], &["v1"]).await.is_ok();
    before_each_step(moved, moves_back, async |stage, _| nothing_but(stage, 1).await).await;
}

/// An untagged image whose lease is over.
async fn untagged_image(stage: &Stage) -> Digest {
    let client = stage.client();
    let blob = client.push_blob(&a(), b"used").await.unwrap();
    client.put(&a(), &image(&blob, &blob, None), &[]).await.unwrap()
}

#[tokio::test]
async fn race_12_an_index_is_pushed_while_a_child_goes() {
    let prepare = async |stage: &Stage| {
        untagged_image(stage).await;
        garbage(stage).await;
    };
    let used = digest(b"used");
    let child = image(&used, &used, None).digest(Algorithm::Sha256);
    let push = async |stage: &mut Stage| stage.client().put(&a(), &index(&[child]), &["v1"]).await.is_ok();
    before_each_step(prepare, push, async |stage, is_there| {
        let refused = stage.client().metadata.delete_manifest(&a(), &child, &Cause::UNKNOWN).await;
        assert_eq!(matches!(refused, Err(MetadataError::ManifestReferenced { .. })), is_there);
        nothing_but(stage, usize::from(is_there)).await;
    })
    .await;
}

#[tokio::test]
async fn race_13_a_referrer_is_attached_while_its_subject_goes() {
    let prepare = async |stage: &Stage| {
        untagged_image(stage).await;
        garbage(stage).await;
    };
    let used = digest(b"used");
    let subject = image(&used, &used, None).digest(Algorithm::Sha256);
    let attach = async |stage: &mut Stage| {
        let client = stage.client();
        let signature = client.push_blob(&a(), b"signature").await.unwrap();
        client.put(&a(), &image(&signature, &signature, Some(&subject)), &[]).await.unwrap();
    };
    // The subject may go; the referrer has its lease, and does not outlive the subject for longer.
    before_each_step(prepare, attach, async |stage, ()| nothing_but(stage, 0).await).await;
}

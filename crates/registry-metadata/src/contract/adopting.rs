//! Content of another registry, whose bytes stay where they are.

use registry_digest::Digest;
use registry_types::{Cause, Location, Manifest};

use super::{
    Backend,
    collecting::collect,
    fixture::{Fixture, digest, image, index, repo, tag},
    open,
};
use crate::{
    AdoptedBlob, AdoptedManifest, AdoptedTag, Adoption, CollectRules, MetadataError, Options, Quota,
};

/// What another registry changes, until it does not any more.
pub async fn all(backend: &dyn Backend) {
    what_is_adopted_can_be_read_and_not_changed(backend).await;
    a_further_run_moves_and_removes(backend).await;
    bytes_are_given_back_after_the_end_alone(backend).await;
    bytes_that_were_given_up_are_taken_back(backend).await;
    after_the_end_nothing_is_adopted(backend).await;
    what_clients_pushed_is_not_taken_over(backend).await;
    a_quota_counts_and_refuses_nothing(backend).await;
}

fn location(content: &str) -> Location {
    format!("docker/registry/v2/blobs/{}/data", digest(content).hex()).parse().unwrap()
}

fn blob(content: &str) -> AdoptedBlob {
    AdoptedBlob { digest: digest(content), location: location(content), size_bytes: content.len() as u64 }
}

fn manifest(manifest: &Manifest) -> AdoptedManifest {
    AdoptedManifest {
        digest: manifest.digest(registry_digest::Algorithm::Sha256),
        manifest: manifest.clone(),
        required: manifest.blobs().map(|blob| blob.digest).collect(),
        required_children: manifest.child_manifests().map(|child| child.digest).collect(),
        pushed_at_ms: 1_000,
    }
}

fn adopted_tag(name: &str, digest: Digest) -> AdoptedTag {
    AdoptedTag { tag: tag(name), digest, updated_at_ms: 2_000 }
}

/// Adopts an image of one layer.
async fn adopt_image(f: &Fixture, name: &str, content: &str, tags: &[&str]) -> Digest {
    f.store().begin_adoption().await.unwrap();
    let image = image(&digest("config"), &[digest(content)]);
    let manifest = manifest(&image);
    let led_to = manifest.digest;
    let adoption = Adoption {
        blobs: vec![blob("config"), blob(content)],
        manifests: vec![manifest],
        tags: tags.iter().map(|tag| adopted_tag(tag, led_to)).collect(),
        ..Adoption::of(repo(name))
    };
    assert_eq!(f.store().adopt(&adoption).await.unwrap(), []);
    led_to
}

async fn finish(f: &Fixture) {
    f.store().finish_adoption().await.unwrap();
    while f.store().release_adopted(1).await.unwrap() {}
}

async fn what_is_adopted_can_be_read_and_not_changed(backend: &dyn Backend) {
    let f = open(backend).await;
    let led_to = adopt_image(&f, "theirs/app", "layer", &["v1"]).await;
    assert_eq!(f.resolve("theirs/app", "v1").await, Some(led_to));
    assert_eq!(f.blob("theirs/app", &digest("layer")).await.unwrap().location, location("layer"));
    assert_eq!(f.rows("SELECT pushed_at FROM manifests").await, ["1000"]);
    let stored = f.store().stored_tags(&repo("theirs/app"), None, 10).await.unwrap();
    assert_eq!(stored, [adopted_tag("v1", led_to)]);
    let (name, cause) = (repo("theirs/app"), Cause::by("anna"));
    let ours = f.push_blob("ours/app", "other").await;
    let image = image(&digest("config"), &[]);
    let upload = f.upload_id();
    let new = crate::NewUpload {
        id: upload,
        repository: name.clone(),
        location: Location::of_upload(&upload),
        algorithm: registry_digest::Algorithm::Sha256,
    };
    for refused in [
        f.put("theirs/app", &image, &["v2"]).await.map(drop),
        f.store().start_upload(&new).await,
        f.store().mount_blob(&repo("ours/app"), &name, &ours).await.map(drop),
        f.store().delete_tag(&name, &tag("v1"), &cause).await,
        f.store().delete_manifest(&name, &led_to, &cause).await.map(drop),
        f.store().delete_blob(&name, &digest("layer")).await,
        f.store().set_tag(&name, &tag("v2"), &led_to, &cause).await.map(drop),
        f.store().delete_repository(&name, &cause).await,
    ] {
        assert!(matches!(refused, Err(MetadataError::RepositoryAdopted { .. })), "{refused:?}");
    }
    assert!(f.store().mount_blob(&name, &repo("ours/app"), &digest("layer")).await.unwrap());
    finish(&f).await;
    f.put("theirs/app", &image, &["v2"]).await.unwrap();
    f.store().delete_tag(&name, &tag("v1"), &cause).await.unwrap();
}

async fn a_further_run_moves_and_removes(backend: &dyn Backend) {
    let f = open(backend).await;
    let old = adopt_image(&f, "app", "old", &["latest", "v1"]).await;
    let new = adopt_image(&f, "app", "new", &["latest"]).await;
    assert_eq!(f.resolve("app", "latest").await, Some(new));
    let listing = index(&[old]);
    let with_index = Adoption { manifests: vec![manifest(&listing)], ..Adoption::of(repo("app")) };
    f.store().adopt(&with_index).await.unwrap();
    let gone = Adoption {
        gone_tags: vec![tag("v1"), tag("never")],
        gone_manifests: vec![old],
        ..Adoption::of(repo("app"))
    };
    assert_eq!(f.store().adopt(&gone).await.unwrap(), [old], "the index lists it");
    let both = manifest(&listing).digest;
    let gone = Adoption { gone_manifests: vec![old, both], ..Adoption::of(repo("app")) };
    assert_eq!(f.store().adopt(&gone).await.unwrap(), []);
    assert_eq!(f.resolve("app", "v1").await, None);
    assert_eq!(f.resolve("app", &old.to_string()).await, None);
    assert_eq!(f.store().trash(&repo("app"), None, 10).await.unwrap(), [], "it is not kept");
}

/// Removes an image and collects what only it needed.
async fn remove_and_collect(f: &Fixture, gone: Digest) {
    let adoption = Adoption { gone_manifests: vec![gone], ..Adoption::of(repo("app")) };
    f.store().adopt(&adoption).await.unwrap();
    f.advance_leases(2.0).await;
    collect(f).await;
    f.advance(f.options.read_grace * 2).await;
}

async fn bytes_are_given_back_after_the_end_alone(backend: &dyn Backend) {
    let f = open(backend).await;
    let gone = adopt_image(&f, "app", "gone", &["v1"]).await;
    let ours = f.push_blob("ours", "unused").await;
    f.store().delete_blob(&repo("ours"), &ours).await.unwrap();
    remove_and_collect(&f, gone).await;
    let due = f.reclaimable().await;
    assert!(due.len() == 1 && due[0].starts_with(Location::PREFIX), "{due:?}");
    finish(&f).await;
    f.advance(f.options.read_grace * 2).await;
    let due = f.reclaimable().await;
    assert!(due.contains(&location("gone").to_string()), "{due:?}");
}

async fn bytes_that_were_given_up_are_taken_back(backend: &dyn Backend) {
    let f = open(backend).await;
    let gone = adopt_image(&f, "app", "back", &["v1"]).await;
    remove_and_collect(&f, gone).await;
    assert_eq!(f.blob("app", &digest("back")).await, None);
    adopt_image(&f, "app", "back", &["v1"]).await;
    finish(&f).await;
    f.advance(f.options.read_grace * 2).await;
    assert_eq!(f.reclaimable().await, Vec::<String>::new());
    assert_eq!(f.blob("app", &digest("back")).await.unwrap().location, location("back"));
}

async fn after_the_end_nothing_is_adopted(backend: &dyn Backend) {
    let f = open(backend).await;
    let never = f.store().finish_adoption().await;
    assert!(matches!(never, Err(MetadataError::AdoptionFinished)), "{never:?}");
    let gone = adopt_image(&f, "app", "layer", &["v1"]).await;
    f.store().end_adoption_run(7).await.unwrap();
    assert_eq!(f.store().adoption().await.unwrap().unwrap().ran_at_ms, Some(7));
    remove_and_collect(&f, gone).await;
    finish(&f).await;
    let late = f.store().adopt(&Adoption { blobs: vec![blob("late")], ..Adoption::of(repo("app")) }).await;
    assert!(matches!(late, Err(MetadataError::AdoptionFinished)), "{late:?}");
    let begun = f.store().begin_adoption().await;
    assert!(matches!(begun, Err(MetadataError::AdoptionFinished)), "{begun:?}");
    f.store().keep_adopted_bytes("docker/registry/v2/").await.unwrap();
    f.advance(f.options.read_grace * 2).await;
    assert_eq!(f.reclaimable().await, Vec::<String>::new());
}

async fn what_clients_pushed_is_not_taken_over(backend: &dyn Backend) {
    let f = open(backend).await;
    let ours = f.push_image("app", "ours", &["v1"]).await;
    f.store().begin_adoption().await.unwrap();
    let refused = f.store().adopt(&Adoption { blobs: vec![blob("x")], ..Adoption::of(repo("app")) }).await;
    assert!(matches!(refused, Err(MetadataError::RepositoryExists { .. })), "{refused:?}");
    assert_eq!(f.resolve("app", "v1").await, Some(ours));
    // What has bytes keeps those.
    let kept = f.blob("app", &digest("ours")).await.unwrap();
    f.store().adopt(&Adoption { blobs: vec![blob("ours")], ..Adoption::of(repo("other")) }).await.unwrap();
    assert_eq!(f.blob("other", &digest("ours")).await, Some(kept));
}

async fn a_quota_counts_and_refuses_nothing(backend: &dyn Backend) {
    let quota = Quota { prefix: "app".to_owned(), bytes_max: Some(1), tags_max: Some(1), ..Quota::default() };
    let f = Fixture::new(backend, Options { quotas: vec![quota], ..Options::default() }).await;
    f.store().begin_quotas().await.unwrap();
    adopt_image(&f, "app", "layer", &["v1", "v2", "v3"]).await;
    let usage = f.store().quota_usage().await.unwrap();
    assert_eq!(usage[0].usage.map(|usage| usage.tags), Some(3));
    f.store().collect(&CollectRules::default(), 10).await.unwrap();
}

//! Every way by which a tag moves or goes, against the rule that an immutable one does neither.

use registry_types::Cause;
use std::time::Duration;

use super::{
    Backend,
    fixture::{Fixture, image, repo, tag},
};
use crate::{
    CollectRules, Collected, Hold, ImmutableTags, Kept, MetadataError, Options, QueuePosition, Verdict,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What is immutable stays as it is.
pub async fn all(backend: &dyn Backend) {
    every_route_moves_a_tag_unless_it_is_immutable(backend).await;
    what_is_restored_takes_no_tag_from_anything(backend).await;
    an_expired_immutable_tag_stays_and_says_why(backend).await;
    a_tag_beside_an_immutable_one_expires(backend).await;
    many_tags_of_one_image_expire(backend).await;
}

/// The ways. What is new is to be added here.
#[derive(Clone, Copy, Debug)]
enum Route {
    Push,
    PushWithOthers,
    DeleteTag,
    DeleteManifest,
    Expire,
    Retention,
    RetentionToldOtherwise,
    Revert,
    DeleteRepository,
}

const ROUTES: [Route; 9] = [
    Route::Push,
    Route::PushWithOthers,
    Route::DeleteTag,
    Route::DeleteManifest,
    Route::Expire,
    Route::Retention,
    Route::RetentionToldOtherwise,
    Route::Revert,
    Route::DeleteRepository,
];

impl Route {
    /// Whether who takes it is told that the tag is immutable. The others leave the tag without a word.
    fn is_refused(self) -> bool {
        !matches!(self, Route::Expire | Route::Retention | Route::RetentionToldOtherwise)
    }
}

/// Tags that begin with `v` are immutable.
async fn open(backend: &dyn Backend) -> Fixture {
    let rule = ImmutableTags { repositories: vec!["a".parse().unwrap()], tags: vec!["v*".parse().unwrap()] };
    Fixture::new(backend, Options { immutable_tags: vec![rule], ..Options::default() }).await
}

async fn collect(f: &Fixture) -> Vec<Collected> {
    let mut collected = Vec::new();
    loop {
        let batch = f.store().collect(&CollectRules::default(), 100).await.unwrap();
        if batch.is_empty() {
            return collected;
        }
        collected.extend(batch);
    }
}

/// Has the label of every image read, which says that its tags expire in an hour.
async fn read_labels(f: &Fixture) {
    for (repository, image) in f.store().unread_labels(100).await.unwrap() {
        f.store().set_expiry(&repository, &image, Some(HOUR)).await.unwrap();
    }
}

async fn take(f: &Fixture, route: Route, name: &str) -> Result<(), MetadataError> {
    let (repository, tag) = (repo("a"), tag(name));
    let other = f.push_image("a", "other", &[]).await;
    let first = f.resolve("a", name).await.unwrap();
    match route {
        Route::Push => {
            let config = f.push_blob("a", "config of other").await;
            let layer = f.push_blob("a", "other").await;
            f.put("a", &image(&config, &[layer]), &[name]).await?;
        }
        Route::PushWithOthers => {
            let config = f.push_blob("a", "config of other").await;
            let layer = f.push_blob("a", "other").await;
            f.put("a", &image(&config, &[layer]), &["first", name]).await?;
        }
        Route::DeleteTag => f.store().delete_tag(&repository, &tag, &Cause::UNKNOWN).await?,
        Route::DeleteManifest => drop(f.store().delete_manifest(&repository, &first, &Cause::UNKNOWN).await?),
        Route::Expire => {
            read_labels(f).await;
            f.advance(HOUR).await;
            collect(f).await;
        }
        Route::Retention | Route::RetentionToldOtherwise => {
            let images = f.store().images(&repository, None, 100).await.unwrap();
            let tagged = f.store().images(&repository, images.next.as_ref(), 100).await.unwrap().images;
            let mut told = tagged.into_iter().find(|image| image.tag.as_ref() == Some(&tag)).unwrap();
            if matches!(route, Route::RetentionToldOtherwise) {
                told.hold = None;
            }
            f.store().expire_image(&repository, &told, &Cause::by("retention")).await?;
        }
        Route::Revert => drop(f.store().set_tag(&repository, &tag, &other, &Cause::UNKNOWN).await?),
        Route::DeleteRepository => f.store().delete_repository(&repository, &Cause::UNKNOWN).await?,
    }
    Ok(())
}

async fn every_route_moves_a_tag_unless_it_is_immutable(backend: &dyn Backend) {
    for route in ROUTES {
        let f = open(backend).await;
        let first = f.push_image("a", "first", &["latest"]).await;
        take(&f, route, "latest").await.unwrap();
        assert_ne!(f.resolve("a", "latest").await, Some(first), "{route:?} does something");

        let f = open(backend).await;
        let first = f.push_image("a", "first", &["v1"]).await;
        match take(&f, route, "v1").await {
            Ok(()) => assert!(!route.is_refused(), "{route:?}"),
            Err(MetadataError::TagImmutable { tag: refused, digest }) => {
                assert!(route.is_refused(), "{route:?}");
                assert_eq!((refused, digest), (tag("v1"), first), "{route:?}");
            }
            Err(error) => panic!("{route:?}: {error}"),
        }
        f.advance_leases(100.0).await;
        collect(&f).await;
        assert_eq!(f.resolve("a", "v1").await, Some(first), "{route:?}");
        assert_eq!(f.resolve("a", "first").await, None, "{route:?}: nothing of it is kept");
        let history = f.store().tag_history(&repo("a"), &tag("v1"), None, 10).await.unwrap();
        assert_eq!(history.len(), 1, "{route:?}");
        assert!(f.store().trash(&repo("a"), None, 10).await.unwrap().iter().all(|it| it.tag.is_none()));
        assert_eq!(
            f.put("a", &first_image(&f).await, &["v1"]).await.unwrap(),
            first,
            "the same may be pushed"
        );
    }
}

async fn first_image(f: &Fixture) -> registry_types::Manifest {
    let config = f.push_blob("a", "config of first").await;
    let layer = f.push_blob("a", "first").await;
    image(&config, &[layer])
}

/// Neither by its own name nor with a manifest that it led to once.
async fn what_is_restored_takes_no_tag_from_anything(backend: &dyn Backend) {
    for name in ["latest", "v1"] {
        let f = open(backend).await;
        let first = f.push_image("a", "first", &[name]).await;
        let other = f.push_image("a", "other", &[]).await;
        f.run(&format!(
            "INSERT INTO trash_tags (repository, name, digest, deleted_at, purge_at)
                SELECT repository, '{name}', '{other}', pushed_at, pushed_at + 1000000 FROM manifests
                WHERE digest = '{other}'"
        ))
        .await;
        f.store().delete_manifest(&repo("a"), &other, &Cause::UNKNOWN).await.unwrap();
        let by_tag = f.store().restore(&repo("a"), &name.parse().unwrap(), &Cause::UNKNOWN).await;
        assert!(matches!(by_tag, Err(MetadataError::TagTaken { .. })), "{by_tag:?}");
        let by_digest =
            f.store().restore(&repo("a"), &other.to_string().parse().unwrap(), &Cause::UNKNOWN).await;
        assert_eq!(by_digest.unwrap().tags, []);
        assert_eq!(f.resolve("a", name).await, Some(first));
    }
}

async fn an_expired_immutable_tag_stays_and_says_why(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "first", &["v1"]).await;
    read_labels(&f).await;
    f.advance(HOUR).await;
    let rules = CollectRules::default();
    let is_held = |collected: &[Collected]| {
        let of_image = |it: &&Collected| it.candidate.digest == first.to_string();
        collected.iter().find(of_image).map(|it| it.verdict.clone()) == Some(Verdict::Kept(Kept::Immutable))
    };
    let preview = f.store().preview_collect(&rules, None::<&QueuePosition>, 100).await.unwrap();
    assert!(is_held(&preview.collected), "{preview:?}");
    assert!(is_held(&collect(&f).await));
    assert_eq!(collect(&f).await, [], "it is not looked at again at once");
    f.advance(HOUR * 24).await;
    assert!(is_held(&collect(&f).await), "but later");
    let tags = f.store().images(&repo("a"), None, 100).await.unwrap().next;
    let images = f.store().images(&repo("a"), tags.as_ref(), 100).await.unwrap().images;
    assert_eq!(images[0].hold, Some(Hold::Immutable), "retention says why");
}

async fn a_tag_beside_an_immutable_one_expires(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "first", &["v1", "v2"]).await;
    f.advance(HOUR / 2).await;
    f.push_image("a", "first", &["latest"]).await;
    read_labels(&f).await;
    f.advance(HOUR / 2).await;
    collect(&f).await;
    assert_eq!(f.resolve("a", "latest").await, Some(first), "its time is not over");
    f.advance(HOUR / 2).await;
    collect(&f).await;
    assert_eq!((f.resolve("a", "v1").await, f.resolve("a", "latest").await), (Some(first), None));
}

/// More than one transaction takes, and more than one page has.
async fn many_tags_of_one_image_expire(backend: &dyn Backend) {
    let f = open(backend).await;
    let names: Vec<String> =
        (0..120).flat_map(|number| [format!("v{number}"), format!("free{number}")]).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = f.push_image("a", "first", &tags).await;
    read_labels(&f).await;
    f.advance(HOUR).await;
    collect(&f).await;
    let left = f.store().tags(&repo("a"), None, 1000).await.unwrap();
    assert_eq!(left.len(), 120);
    assert!(left.iter().all(|tag| tag.as_str().starts_with('v')));
    assert_eq!(f.resolve("a", "v0").await, Some(first));
}

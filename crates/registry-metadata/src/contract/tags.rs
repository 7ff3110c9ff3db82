//! Tags, their pages and their history.

use registry_types::Cause;

use super::{
    Backend,
    fixture::{Fixture, image, put, repo, tag},
    open,
};
use crate::{ImmutableTags, MetadataError, Options, TAG_HISTORY_MAX};

/// A tag that is listed can be pulled, and its history tells what it led to.
pub async fn all(backend: &dyn Backend) {
    pages_are_in_the_order_of_bytes(backend).await;
    tags_between_pages_do_no_harm(backend).await;
    an_unknown_repository_is_told_from_an_empty_one(backend).await;
    the_later_of_two_pushes_has_the_tag_and_the_history_has_both(backend).await;
    a_deleted_tag_leaves_its_manifest(backend).await;
    a_deleted_tag_is_kept_in_the_trash_for_the_window(backend).await;
    a_history_keeps_the_newest_changes(backend).await;
    an_immutable_tag_is_set_once(backend).await;
    of_two_that_set_an_immutable_tag_one_does(backend).await;
}

async fn with_immutable_versions(backend: &dyn Backend) -> Fixture {
    let rule = ImmutableTags {
        repositories: vec!["team/**".parse().unwrap()],
        tags: vec!["v*".parse().unwrap(), "re:[0-9]+".parse().unwrap()],
    };
    Fixture::new(backend, Options { immutable_tags: vec![rule], ..Options::default() }).await
}

async fn an_immutable_tag_is_set_once(backend: &dyn Backend) {
    let f = with_immutable_versions(backend).await;
    let a = repo("team/a");
    let first = f.push_image("team/a", "one", &["v1", "latest", "7"]).await;
    f.push_image("team/a", "one", &["v1"]).await;
    for tags in [&["v1"][..], &["latest", "v1"], &["7"]] {
        let config = f.push_blob("team/a", "another").await;
        let refused = f.put("team/a", &image(&config, &[]), tags).await.unwrap_err();
        assert!(
            matches!(refused, MetadataError::TagImmutable { digest, .. } if digest == first),
            "{refused}"
        );
    }
    assert_eq!(
        f.resolve("team/a", "latest").await,
        Some(first),
        "nothing of a push that was refused is kept"
    );
    let refused = f.store().delete_tag(&a, &tag("v1"), &Cause::UNKNOWN).await.unwrap_err();
    assert!(matches!(refused, MetadataError::TagImmutable { .. }));
    let refused = f.store().delete_manifest(&a, &first, &Cause::UNKNOWN).await.unwrap_err();
    assert!(matches!(refused, MetadataError::TagImmutable { .. }));
    assert_eq!(f.resolve("team/a", "v1").await, Some(first));

    let second = f.push_image("team/a", "two", &["latest", "v2"]).await;
    assert_eq!(f.resolve("team/a", "latest").await, Some(second), "others can be moved");
    f.push_image("other", "one", &["v1"]).await;
    assert_eq!(f.push_image("other", "two", &["v1"]).await, second, "elsewhere too");
}

async fn of_two_that_set_an_immutable_tag_one_does(backend: &dyn Backend) {
    let f = with_immutable_versions(backend).await;
    let config = f.push_blob("team/a", "config").await;
    let (one, two) = (image(&config, &[]), image(&config, &[config]));
    for round in 0..10 {
        let name = format!("v{round}");
        let tags = [name.as_str()];
        let (first, second) = tokio::join!(
            put(f.store(), "team/a", &one, &tags, true),
            put(f.other(), "team/a", &two, &tags, true)
        );
        let won = match (first, second) {
            (Ok(won), Err(MetadataError::TagImmutable { .. }))
            | (Err(MetadataError::TagImmutable { .. }), Ok(won)) => won,
            both => panic!("{both:?}"),
        };
        assert_eq!(f.resolve("team/a", &name).await, Some(won));
    }
}

async fn pages_are_in_the_order_of_bytes(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "content", &["b", "A", "v10", "v2", "_x", "a.1", "a-1", "a"]).await;
    let expected = ["A", "_x", "a", "a-1", "a.1", "b", "v10", "v2"].map(tag);
    assert_eq!(f.store().tags(&repo("a"), None, 100).await.unwrap(), expected);
    let mut paged = Vec::new();
    while let Ok(page) = f.store().tags(&repo("a"), paged.last().map(AsRef::as_ref), 3).await {
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, expected);
    assert_eq!(f.store().tags(&repo("a"), Some("a"), 1).await.unwrap(), [tag("a-1")]);
    assert_eq!(f.store().tags(&repo("a"), Some("a,"), 1).await.unwrap(), [tag("a-1")], "need not be a tag");
    assert!(f.store().tags(&repo("a"), Some("zzz"), 1).await.unwrap().is_empty());
    assert!(f.store().tags(&repo("a"), None, 0).await.unwrap().is_empty());
}

async fn tags_between_pages_do_no_harm(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "content", &["b", "d", "f"]).await;
    let first = f.store().tags(&repo("a"), None, 2).await.unwrap();
    f.push_image("a", "content", &["a", "c", "e"]).await;
    f.store().delete_tag(&repo("a"), &tag("d"), &Cause::UNKNOWN).await.unwrap();
    let rest = f.store().tags(&repo("a"), Some(first[1].as_ref()), 10).await.unwrap();
    assert_eq!((first, rest), (["b", "d"].map(tag).to_vec(), ["e", "f"].map(tag).to_vec()));
}

async fn an_unknown_repository_is_told_from_an_empty_one(backend: &dyn Backend) {
    let f = open(backend).await;
    let unknown = f.store().tags(&repo("a"), None, 10).await.unwrap_err();
    assert!(matches!(unknown, MetadataError::RepositoryUnknown { name } if name == repo("a")));
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_manifest(&repo("a"), &digest, &Cause::UNKNOWN).await.unwrap();
    assert!(f.store().tags(&repo("a"), None, 10).await.unwrap().is_empty());
}

async fn the_later_of_two_pushes_has_the_tag_and_the_history_has_both(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "one", &["latest"]).await;
    let second = f.push_image("a", "two", &["latest"]).await;
    f.push_image("a", "two", &["latest"]).await;
    assert_eq!(f.resolve("a", "latest").await, Some(second));
    f.store().delete_tag(&repo("a"), &tag("latest"), &Cause::by("bert")).await.unwrap();
    let history = f.rows("SELECT digest, actor FROM tag_history ORDER BY id").await;
    assert_eq!(history, [format!("{first}|anna"), format!("{second}|anna"), "|bert".to_owned()]);
}

async fn a_deleted_tag_leaves_its_manifest(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1", "v2"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(f.resolve("a", "v1").await, None);
    assert_eq!(f.resolve("a", "v2").await, Some(digest));
    assert_eq!(f.resolve("a", &digest.to_string()).await, Some(digest));
    for unknown in ["a", "nowhere"] {
        let again = f.other().delete_tag(&repo(unknown), &tag("v1"), &Cause::UNKNOWN).await.unwrap_err();
        assert!(matches!(again, MetadataError::TagUnknown { tag } if tag == self::tag("v1")));
    }
}

async fn a_deleted_tag_is_kept_in_the_trash_for_the_window(backend: &dyn Backend) {
    let f = open(backend).await;
    let digest = f.push_image("a", "content", &["v1"]).await;
    f.store().delete_tag(&repo("a"), &tag("v1"), &Cause::by("bert")).await.unwrap();
    let window_ms = f.options.undelete_window.as_millis();
    let trash = f.rows("SELECT name, digest, deleted_by, purge_at - deleted_at FROM trash_tags").await;
    assert_eq!(trash, [format!("v1|{digest}|bert|{window_ms}")]);
}

/// Changes as old versions left them, which kept all.
async fn add_history(f: &Fixture, name: &str, changes: usize) {
    f.run(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {changes})
        INSERT INTO tag_history (repository, name, digest, at, actor)
            SELECT r.id, '{name}', NULL, 0, 'old' FROM repositories r, n"
    ))
    .await;
}

async fn a_history_keeps_the_newest_changes(backend: &dyn Backend) {
    let f = open(backend).await;
    let first = f.push_image("a", "first", &["v1", "other"]).await;
    add_history(&f, "v1", TAG_HISTORY_MAX + 10).await;
    add_history(&f, "other", 5).await;
    let length = async |name: &str| {
        f.rows(&format!("SELECT COUNT(*) FROM tag_history WHERE name = '{name}'")).await[0].parse::<usize>()
    };
    assert_eq!(f.push_image("a", "second", &["v1"]).await, f.resolve("a", "v1").await.unwrap());
    assert_eq!((length("v1").await, length("other").await), (Ok(TAG_HISTORY_MAX), Ok(6)));
    let newest = f.store().tag_history(&repo("a"), &tag("v1"), None, 2).await.unwrap();
    assert_eq!(
        newest.iter().map(|change| change.actor.as_deref()).collect::<Vec<_>>(),
        [Some("anna"), Some("old")]
    );
    f.store().set_tag(&repo("a"), &tag("v1"), &first, &Cause::by("bert")).await.unwrap();
    f.store().delete_manifest(&repo("a"), &first, &Cause::by("carl")).await.unwrap();
    assert_eq!((length("v1").await, length("other").await), (Ok(TAG_HISTORY_MAX), Ok(7)));
    let newest = f.store().tag_history(&repo("a"), &tag("v1"), None, 2).await.unwrap();
    assert_eq!(
        newest.iter().map(|change| change.actor.as_deref()).collect::<Vec<_>>(),
        [Some("carl"), Some("bert")]
    );
}

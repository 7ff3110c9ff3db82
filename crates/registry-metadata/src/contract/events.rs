//! Events: each change tells what happened, in its transaction and in order, and nothing else tells anything.

use std::time::Duration;

use registry_digest::Digest;
use registry_events::Recorder;
use registry_types::{Cause, Reference, RequestSource, Tag};

use super::{
    Backend, OWNERS_WITH_EVENTS,
    fixture::{Fixture, image, index, put, repo, tag},
    races::both,
    retention::tagged,
};
use crate::{CollectRules, ImmutableTags, MetadataError, Options, PutManifest, Quota};

/// How often two pushes of one tag are let loose.
const ROUNDS: usize = 200;

/// What happened is told once, where something listens.
pub async fn all(backend: &dyn Backend) {
    a_push_tells_what_it_changed(backend).await;
    a_push_tells_its_request(backend).await;
    what_is_deleted_is_told_with_its_tags(backend).await;
    what_is_refused_tells_nothing(backend).await;
    what_comes_back_is_told(backend).await;
    a_repository_tells_of_itself_alone(backend).await;
    what_goes_by_itself_is_told_with_its_actor(backend).await;
    many_tags_are_told_in_order(backend).await;
    where_nothing_listens_nothing_is_written(backend).await;
    the_last_event_names_what_the_tag_leads_to(backend).await;
    the_first_manifest_is_told_once(backend).await;
    what_fails_in_a_collection_tells_nothing(backend).await;
}

fn heard() -> Options {
    Options { owners: OWNERS_WITH_EVENTS, recorder: Recorder::new(), ..Options::default() }
}

async fn open(backend: &dyn Backend) -> Fixture {
    Fixture::new(backend, heard()).await
}

/// The events since the last time: kind, repository, tag, digest, digest before, actor. Digests go by names.
async fn told(f: &Fixture, names: &[(&Digest, &str)]) -> Vec<String> {
    let columns = "kind, name, tag, digest, digest_before, actor";
    let rows = f.rows(&format!("SELECT {columns} FROM events ORDER BY id")).await;
    f.run("DELETE FROM events").await;
    let named = |row: String| {
        names.iter().fold(row, |row, (digest, name)| row.replace(digest.to_string().as_str(), name))
    };
    rows.into_iter().map(named).collect()
}

async fn collect(f: &Fixture) {
    while !f.store().collect(&CollectRules { untagged: true }, 7).await.unwrap().is_empty() {}
}

async fn a_push_tells_what_it_changed(backend: &dyn Backend) {
    let f = open(backend).await;
    let one = f.push_image("a", "one", &["v2", "v1", "v2"]).await;
    let names = [(&one, "one")];
    let expected = [
        "repository.created|a||||anna",
        "manifest.pushed|a|v2|one||anna",
        "tag.moved|a|v1|one||anna",
        "tag.moved|a|v2|one||anna",
    ];
    assert_eq!(told(&f, &names).await, expected);
    f.push_image("a", "one", &["v1"]).await;
    assert_eq!(told(&f, &names).await, ["manifest.pushed|a|v1|one||anna"], "nothing moved");
    let two = f.push_image("a", "two", &["v1", "v3"]).await;
    let names = [(&one, "one"), (&two, "two")];
    let expected =
        ["manifest.pushed|a|v1|two||anna", "tag.moved|a|v1|two|one|anna", "tag.moved|a|v3|two||anna"];
    assert_eq!(told(&f, &names).await, expected);
    f.push_image("a", "two", &[]).await;
    assert_eq!(told(&f, &names).await, ["manifest.pushed|a||two||anna"]);
}

async fn a_push_tells_its_request(backend: &dyn Backend) {
    let f = open(backend).await;
    let config = f.push_blob("a", "config").await;
    let manifest = image(&config, &[]);
    let request =
        RequestSource::new("id-1", Some("192.0.2.7"), Some("registry.example"), "PUT", Some("docker/27"));
    let put = PutManifest {
        repository: &repo("a"),
        digest: manifest.digest(registry_digest::Algorithm::Sha256),
        manifest: &manifest,
        tags: &[],
        required: &[],
        required_children: &[],
        cause: &Cause { actor: None, request: Some(request) },
    };
    f.store().put_manifest(&put).await.unwrap();
    let columns = "media_type, size_bytes, actor, request_id, request_address, request_host, request_method, \
                   request_user_agent, position";
    let rows = f.rows(&format!("SELECT {columns} FROM events WHERE kind = 'manifest.pushed'")).await;
    let (media_type, size) = (manifest.media_type(), manifest.bytes().len());
    let expected = format!("{media_type}|{size}||id-1|192.0.2.7|registry.example|PUT|docker/27|");
    assert_eq!(rows, [expected]);
}

async fn what_is_deleted_is_told_with_its_tags(backend: &dyn Backend) {
    let f = open(backend).await;
    let one = f.push_image("a", "one", &["v1", "v2", "v3"]).await;
    let names = [(&one, "one")];
    told(&f, &names).await;
    f.store().delete_tag(&repo("a"), &tag("v2"), &Cause::by("bert")).await.unwrap();
    assert_eq!(told(&f, &names).await, ["tag.deleted|a|v2||one|bert"]);
    f.store().delete_manifest(&repo("a"), &one, &Cause::by("bert")).await.unwrap();
    let expected =
        ["manifest.deleted|a||one||bert", "tag.deleted|a|v1||one|bert", "tag.deleted|a|v3||one|bert"];
    assert_eq!(told(&f, &names).await, expected);
    f.push_image("a", "one", &[]).await;
    let expected = ["repository.created|a||||anna", "manifest.pushed|a||one||anna"];
    assert_eq!(told(&f, &names).await, expected, "it had no manifest any more");
}

async fn what_is_refused_tells_nothing(backend: &dyn Backend) {
    let pattern = |text: &str| vec![text.parse().unwrap()];
    let rule = ImmutableTags { repositories: pattern("fixed"), tags: pattern("*") };
    let quota = Quota { prefix: "full/".into(), bytes_max: Some(1), ..Quota::default() };
    let options = Options { immutable_tags: vec![rule], quotas: vec![quota], ..heard() };
    let f = Fixture::new(backend, options).await;
    f.store().begin_quotas().await.unwrap();
    let child = f.push_image("a", "child", &[]).await;
    f.put("a", &index(&[child]), &["v1"]).await.unwrap();
    let fixed = f.push_image("fixed", "fixed", &["v1"]).await;
    told(&f, &[]).await;
    let missing = image(&super::fixture::digest("missing"), &[]);
    assert!(f.put("a", &missing, &["v1"]).await.is_err());
    assert!(put(f.store(), "full/a", &missing, &["v1"], false).await.is_err());
    let by = Cause::by("bert");
    assert!(f.store().delete_manifest(&repo("a"), &child, &by).await.is_err());
    assert!(f.store().delete_tag(&repo("a"), &tag("none"), &by).await.is_err());
    assert!(f.store().delete_manifest(&repo("fixed"), &fixed, &by).await.is_err());
    assert!(f.store().delete_repository(&repo("fixed"), &by).await.is_err());
    assert!(f.store().restore(&repo("a"), &tag("v1").into(), &by).await.is_err());
    assert!(f.store().restore_repository(&repo("a"), &by).await.is_err());
    assert_eq!(told(&f, &[]).await, Vec::<String>::new());
}

async fn what_comes_back_is_told(backend: &dyn Backend) {
    let f = open(backend).await;
    let child = f.push_image("a", "child", &[]).await;
    let parent = f.put("a", &index(&[child]), &["v1", "v2"]).await.unwrap();
    let names = [(&child, "child"), (&parent, "parent")];
    let by = Cause::by("carl");
    f.store().delete_manifest(&repo("a"), &parent, &by).await.unwrap();
    f.store().delete_manifest(&repo("a"), &child, &by).await.unwrap();
    told(&f, &names).await;
    f.store().restore(&repo("a"), &parent.into(), &by).await.unwrap();
    let expected = [
        "manifest.restored|a||child||carl",
        "manifest.restored|a||parent||carl",
        "tag.restored|a|v1|parent||carl",
        "tag.restored|a|v2|parent||carl",
    ];
    assert_eq!(told(&f, &names).await, expected);
    f.store().delete_tag(&repo("a"), &tag("v1"), &by).await.unwrap();
    told(&f, &names).await;
    f.store().restore(&repo("a"), &tag("v1").into(), &by).await.unwrap();
    assert_eq!(told(&f, &names).await, ["tag.restored|a|v1|parent||carl"]);
    f.store().set_tag(&repo("a"), &tag("v1"), &child, &by).await.unwrap();
    assert_eq!(told(&f, &names).await, ["tag.reverted|a|v1|child|parent|carl"]);
    f.store().set_tag(&repo("a"), &tag("v1"), &child, &by).await.unwrap();
    assert_eq!(told(&f, &names).await, Vec::<String>::new(), "it stays where it was");
    f.store().delete_manifest(&repo("a"), &parent, &by).await.unwrap();
    told(&f, &names).await;
    f.store().set_tag(&repo("a"), &tag("v1"), &parent, &by).await.unwrap();
    let expected = ["manifest.restored|a||parent||carl", "tag.reverted|a|v1|parent|child|carl"];
    assert_eq!(told(&f, &names).await, expected);
}

async fn a_repository_tells_of_itself_alone(backend: &dyn Backend) {
    let f = open(backend).await;
    f.push_image("a", "one", &["v1"]).await;
    told(&f, &[]).await;
    let by = Cause::by("carl");
    f.store().delete_repository(&repo("a"), &by).await.unwrap();
    assert_eq!(told(&f, &[]).await, ["repository.deleted|a||||carl"]);
    f.store().restore_repository(&repo("a"), &by).await.unwrap();
    assert_eq!(told(&f, &[]).await, ["repository.restored|a||||carl"]);
    f.store().delete_repository(&repo("a"), &by).await.unwrap();
    told(&f, &[]).await;
    f.advance(f.options.undelete_window).await;
    collect(&f).await;
    assert_eq!(f.rows("SELECT name FROM repositories").await, Vec::<String>::new());
    assert_eq!(told(&f, &[]).await, Vec::<String>::new(), "that all of it goes was told");
}

async fn what_goes_by_itself_is_told_with_its_actor(backend: &dyn Backend) {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let f = open(backend).await;
    let short = f.push_image("a", "short", &["v1"]).await;
    let old = f.push_image("a", "old", &["v2"]).await;
    let untagged = f.push_image("a", "untagged", &[]).await;
    let names = [(&short, "short"), (&old, "old"), (&untagged, "untagged")];
    for (repository, digest) in f.store().unread_labels(100).await.unwrap() {
        let after = (digest == short).then_some(HOUR);
        f.store().set_expiry(&repository, &digest, after).await.unwrap();
    }
    let image = tagged(&f, "v2").await;
    told(&f, &names).await;
    assert!(f.store().expire_image(&repo("a"), &image, &Cause::by("retention")).await.unwrap());
    assert_eq!(told(&f, &names).await, ["tag.deleted|a|v2||old|retention"]);
    f.advance(HOUR).await;
    collect(&f).await;
    assert_eq!(told(&f, &names).await, ["tag.deleted|a|v1||short|expired"]);
    f.advance_leases(2.0).await;
    collect(&f).await;
    let mut gone = told(&f, &names).await;
    gone.sort_unstable();
    let expected = ["old", "short", "untagged"].map(|name| format!("manifest.deleted|a||{name}||gc"));
    assert_eq!(gone, expected);
}

/// More of them than are sent with a commit.
async fn many_tags_are_told_in_order(backend: &dyn Backend) {
    let f = open(backend).await;
    let tags: Vec<String> = (0..300).map(|number| format!("v{number:03}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let one = f.push_image("a", "one", &tags).await;
    let moved = |tag: &&str| format!("tag.moved|a|{tag}|one||anna");
    assert_eq!(told(&f, &[(&one, "one")]).await[2..], tags.iter().map(moved).collect::<Vec<_>>());
    f.store().delete_manifest(&repo("a"), &one, &Cause::UNKNOWN).await.unwrap();
    let deleted = |tag: &&str| format!("tag.deleted|a|{tag}||one|");
    assert_eq!(told(&f, &[(&one, "one")]).await[1..], tags.iter().map(deleted).collect::<Vec<_>>());
}

async fn where_nothing_listens_nothing_is_written(backend: &dyn Backend) {
    let f = Fixture::new(backend, Options { recorder: Recorder::default(), ..heard() }).await;
    let one = f.push_image("a", "one", &["v1"]).await;
    f.push_image("a", "two", &["v1"]).await;
    f.store().set_tag(&repo("a"), &tag("v1"), &one, &Cause::UNKNOWN).await.unwrap();
    f.store().delete_manifest(&repo("a"), &one, &Cause::UNKNOWN).await.unwrap();
    f.store().restore(&repo("a"), &Reference::Digest(one), &Cause::UNKNOWN).await.unwrap();
    f.store().delete_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    f.store().restore_repository(&repo("a"), &Cause::UNKNOWN).await.unwrap();
    assert_eq!(told(&f, &[]).await, Vec::<String>::new());
}

async fn the_last_event_names_what_the_tag_leads_to(backend: &dyn Backend) {
    let f = open(backend).await;
    let manifests = [image(&f.push_blob("a", "one").await, &[]), image(&f.push_blob("a", "two").await, &[])];
    for round in 0..ROUNDS {
        let name = format!("v{}", round % 3);
        let tags = [name.as_str()];
        let pushes = both(
            put(f.store(), "a", &manifests[0], &tags, true),
            put(f.other(), "a", &manifests[1], &tags, true),
        );
        let (one, two) = pushes.await;
        one.unwrap();
        two.unwrap();
        let last = "SELECT digest FROM events WHERE kind = 'tag.moved' AND tag = ";
        let last = f.rows(&format!("{last}'{name}' ORDER BY id DESC LIMIT 1")).await;
        assert_eq!(last, [f.resolve("a", &name).await.unwrap().to_string()], "round {round}");
        if round % 7 == 0 {
            let tag: Tag = tag(&name);
            f.store().delete_tag(&repo("a"), &tag, &Cause::UNKNOWN).await.unwrap();
        }
    }
    assert_eq!(broken_links(&f).await, 0, "each event begins where the one before it ended");
}

/// How many moves of a tag do not begin where the move before ended.
async fn broken_links(f: &Fixture) -> usize {
    let rows = f
        .rows(
            "SELECT tag, digest, digest_before FROM events WHERE tag IS NOT NULL \
                       AND kind IN ('tag.moved', 'tag.deleted') ORDER BY tag, id",
        )
        .await;
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split('|').collect()).collect();
    rows.windows(2).filter(|pair| pair[0][0] == pair[1][0] && pair[0][1] != pair[1][2]).count()
}

async fn the_first_manifest_is_told_once(backend: &dyn Backend) {
    let f = open(backend).await;
    for round in 0..20 {
        let name = format!("new/{round}");
        let (one, two) = both(
            put(f.store(), &name, &image(&super::fixture::digest("one"), &[]), &["v1"], false),
            put(f.other(), &name, &image(&super::fixture::digest("two"), &[]), &["v2"], false),
        )
        .await;
        one.unwrap();
        two.unwrap();
        let created = "SELECT COUNT(*) FROM events WHERE kind = 'repository.created' AND name = ";
        assert_eq!(f.rows(&format!("{created}'{name}'")).await, ["1"], "{name}");
    }
}

async fn what_fails_in_a_collection_tells_nothing(backend: &dyn Backend) {
    let f = open(backend).await;
    let bad = f.push_image("a", "bad", &[]).await;
    f.run(&format!(
        "INSERT INTO manifest_blobs (repository, manifest, digest)
            SELECT repository, digest, '0 nonsense' FROM manifests WHERE digest = '{bad}'"
    ))
    .await;
    f.advance(Duration::from_secs(60)).await;
    let good = f.push_image("a", "good", &[]).await;
    f.advance_leases(2.0).await;
    told(&f, &[]).await;
    collect(&f).await;
    assert_eq!(told(&f, &[(&good, "good"), (&bad, "bad")]).await, ["manifest.deleted|a||good||gc"]);
    let refused = f.store().delete_manifest(&repo("a"), &bad, &Cause::UNKNOWN).await;
    assert!(matches!(refused, Err(MetadataError::Backend { .. })), "{refused:?}");
    assert_eq!(told(&f, &[]).await, Vec::<String>::new());
}

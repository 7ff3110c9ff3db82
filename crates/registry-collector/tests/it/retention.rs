use std::{sync::Arc, thread, time::Duration};

use registry_collector::retention::{Judged, Outcome, Retention};
use registry_digest::{Algorithm, Digest};
use registry_metadata::{MetadataStore, Options, Purpose, PutManifest};
use registry_types::{
    Cause, Manifest, MediaType, Reference, RepositoryName, Tag,
    retention::{Action, Policy, Rule},
};

use crate::world::World;

fn repo() -> RepositoryName {
    "team/app".parse().unwrap()
}

/// Pushes an index without images, which needs no blobs, and is another one for each text.
async fn push(metadata: &dyn MetadataStore, text: &str, tags: &[&str]) -> Digest {
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[],"annotations":{{"text":"{text}"}}}}"#,
        MediaType::OCI_INDEX.as_str()
    );
    let manifest = Manifest::parse(None, document.into()).unwrap();
    let digest = manifest.digest(Algorithm::Sha256);
    let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let (required, required_children, cause) = (&[][..], &[][..], &Cause::UNKNOWN);
    let put = PutManifest {
        repository: &repo(),
        digest,
        manifest: &manifest,
        tags: &tags,
        required,
        required_children,
        cause,
    };
    metadata.put_manifest(&put).await.unwrap();
    digest
}

fn retention(world: &World, rules: Vec<Rule>) -> Retention {
    let policy = Policy { repositories: vec!["team/**".parse().unwrap()], rules };
    Retention::new(world.metadata.clone(), vec![policy], 0)
}

fn expire(count: Option<u32>) -> Rule {
    Rule { tags: vec!["**".parse().unwrap()], count, ..Rule::new(Action::Expire) }
}

async fn leads_to(world: &World, tag: &str) -> Option<Digest> {
    let reference: Reference = tag.parse().unwrap();
    let found = world.metadata.manifest(&repo(), &reference, Purpose::Read).await.unwrap();
    found.map(|manifest| manifest.digest)
}

/// More than a page of tags, and more than one image that has several.
#[tokio::test]
async fn the_newest_of_many_are_found_over_pages() {
    let world = World::new(Options::default());
    for number in 0..1_300 {
        let (tag, other) = (format!("b-{:04}", number * 7919 % 1_300), format!("a-{number:04}"));
        push(&*world.metadata, &tag, &[&tag, &other]).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let retention = retention(&world, vec![expire(Some(600))]);
    let mut gone = 0;
    let preview =
        retention.preview(None, &mut |judged| gone += u64::from(judged.outcome == Outcome::WouldGo)).await;
    let preview = preview.unwrap();
    assert_eq!((preview.repositories, preview.kept, preview.expired), (1, 1_200, 1_400));
    assert_eq!(gone, preview.expired);
    assert!(leads_to(&world, "a-0000").await.is_some());
    assert_eq!(retention.apply(None, &mut |_| {}).await.unwrap(), preview);
    assert!(leads_to(&world, "a-0699").await.is_none() && leads_to(&world, "a-0700").await.is_some());
    let again = retention.apply(None, &mut |_| {}).await.unwrap();
    assert_eq!((again.kept, again.expired), (1_900, 0), "what was left without a tag has a lease");
}

/// Somebody moves one tag, pushes another again and deletes a third while the policies are being applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_between_the_verdict_and_the_deletion_stays() {
    let world = World::new(Options::default());
    for tag in ["1-first", "2-moved", "3-pushed", "4-deleted", "5-last"] {
        push(&*world.metadata, tag, &[tag]).await;
    }
    world.clock.advance(Duration::from_secs(60));
    let metadata: Arc<dyn MetadataStore> = world.metadata.clone();
    let meanwhile = || async {
        push(&*metadata, "another", &["2-moved"]).await;
        push(&*metadata, "3-pushed", &["3-pushed"]).await;
        metadata.delete_tag(&repo(), &"4-deleted".parse().unwrap(), &Cause::UNKNOWN).await.unwrap();
    };
    let mut outcomes = Vec::new();
    let mut see = |judged: Judged<'_>| {
        if outcomes.is_empty() {
            let run = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(meanwhile());
            thread::scope(|scope| scope.spawn(run).join().unwrap());
        }
        outcomes.push(judged.outcome);
    };
    let report = retention(&world, vec![expire(None)]).apply(None, &mut see).await.unwrap();
    let changed = Outcome::Changed;
    assert_eq!(outcomes, [Outcome::Deleted, changed, changed, changed, Outcome::Deleted]);
    assert_eq!((report.expired, report.changed, report.kept), (2, 3, 0));
    assert!(leads_to(&world, "2-moved").await.is_some() && leads_to(&world, "3-pushed").await.is_some());
    assert!(leads_to(&world, "1-first").await.is_none());
}

use registry_collector::{FsckOptions, Problem};
use registry_metadata::Options;
use registry_storage::BlobStore;

use crate::world::{DAY, World};

const SHALLOW: FsckOptions = FsckOptions {
    deep: false,
    sample_percent: 100,
    kibibytes_per_second: 0,
    repair: false,
    accept_older_database: false,
    sweep: registry_collector::SweepOptions { delete: false, unknown_for: DAY },
};
const DEEP: FsckOptions = FsckOptions { deep: true, ..SHALLOW };
const REPAIR: FsckOptions = FsckOptions { repair: true, ..DEEP };

async fn problems(world: &World, options: FsckOptions) -> Vec<Problem> {
    let report = world.fsck(options).await;
    assert_eq!(report.found, report.findings.len() as u64);
    report.findings.iter().map(|finding| finding.problem).collect()
}

#[tokio::test]
async fn a_registry_that_is_well_has_nothing_to_find() {
    let world = World::new(Options::default());
    world.push("a", b"one").await;
    world.push("b", b"two").await;
    world.begin(&"a".parse().unwrap(), b"half").await;
    let report = world.fsck(DEEP).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.objects, report.objects_read, report.bytes_read), (2, 2, 6));
    assert_eq!(report.sweep.unwrap().objects, 3);
}

#[tokio::test]
async fn bytes_that_are_missing_are_hidden_and_heal_when_they_are_pushed_again() {
    let world = World::new(Options::default());
    let (digest, location) = world.push("team/app", b"content").await;
    world.store.delete(&location).await.unwrap();
    let report = world.fsck(SHALLOW).await;
    assert_eq!(report.findings[0].problem, Problem::Missing);
    assert_eq!(report.findings[0].digests, [digest.to_string()]);
    assert_eq!(report.findings[0].repositories, ["team/app"]);
    assert!(world.is_served("team/app", &digest).await, "nothing was repaired");

    let report = world.fsck(REPAIR).await;
    assert_eq!((report.found, report.repaired), (1, 1));
    assert!(!world.is_served("team/app", &digest).await);
    assert_eq!(problems(&world, DEEP).await, [Problem::Hidden]);
    world.push("team/app", b"content").await;
    assert!(world.is_served("team/app", &digest).await);
    assert_eq!(problems(&world, DEEP).await, []);
}

#[tokio::test]
async fn wrong_bytes_are_found_by_their_size_or_by_reading_them() {
    let world = World::new(Options::default());
    let (short, at) = world.push("a", b"content").await;
    world.write(&at, b"conten").await;
    let (changed, at) = world.push("a", b"something").await;
    world.write(&at, b"sometHing").await;
    assert_eq!(problems(&world, SHALLOW).await, [Problem::WrongSize], "it does not read");
    let mut found = problems(&world, REPAIR).await;
    found.sort_unstable_by_key(|problem| format!("{problem:?}"));
    assert_eq!(found, [Problem::Corrupt, Problem::WrongSize]);
    for digest in [short, changed] {
        assert!(!world.is_served("a", &digest).await);
    }
    assert_eq!(problems(&world, FsckOptions { sample_percent: 0, ..DEEP }).await.len(), 2, "hidden");
    for content in [&b"content"[..], b"something"] {
        world.push("a", content).await;
    }
    assert_eq!(problems(&world, DEEP).await, []);
}

#[tokio::test]
async fn what_was_hidden_and_is_well_is_shown_again() {
    let world = World::new(Options::default());
    let (digest, location) = world.push("a", b"content").await;
    world.metadata.mark_bad(&location).await.unwrap();
    assert_eq!(problems(&world, SHALLOW).await, [Problem::Hidden], "nobody has read it");
    assert_eq!(problems(&world, DEEP).await, [Problem::HiddenButWell]);
    assert_eq!(problems(&world, REPAIR).await, [Problem::HiddenButWell]);
    assert!(world.is_served("a", &digest).await);
    assert_eq!(problems(&world, DEEP).await, []);
}

#[tokio::test]
async fn an_older_database_can_be_taken_for_the_right_one() {
    let world = World::new(Options::default());
    let (digest, _) = world.push("a", b"content").await;
    world.store.write_mark(i64::MAX / 2).await.unwrap();
    assert_eq!(problems(&world, REPAIR).await, [Problem::Mark]);
    let accept = FsckOptions { accept_older_database: true, ..SHALLOW };
    assert_eq!(problems(&world, accept).await, []);
    assert_eq!(problems(&world, REPAIR).await, []);
    assert!(world.is_served("a", &digest).await);
}

#[tokio::test]
async fn a_sample_is_read_and_not_everything() {
    let world = World::new(Options::default());
    for number in 0..200_u32 {
        world.push("a", &number.to_le_bytes()).await;
    }
    let report = world.fsck(FsckOptions { sample_percent: 30, ..DEEP }).await;
    assert!((20..100).contains(&report.objects_read), "{report}");
}

use std::time::Duration;

use registry_collector::MarkError;
use registry_metadata::Options;
use registry_storage::BlobStore;
use registry_types::Location;

use crate::world::{DAY, World};

fn lost() -> Location {
    "store/blobs/00/lost".parse().unwrap()
}

#[tokio::test]
async fn what_no_row_leads_to_goes_after_two_sweeps_a_day_apart_if_it_was_told_to() {
    let world = World::new(Options::default());
    let (_, known) = world.push("a", b"known").await;
    let upload = world.begin(&"a".parse().unwrap(), b"half").await;
    world.write(&lost(), b"lost").await;

    let report = world.sweep(true).run().await.unwrap();
    assert_eq!((report.objects, report.bytes), (3, 13));
    assert_eq!((report.unknown, report.unknown_bytes, report.garbage), (1, 4, 0));
    assert_eq!(report.named, [lost().to_string()]);
    world.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(world.sweep(true).run().await.unwrap().garbage, 0, "a day is not over");
    world.clock.advance(Duration::from_secs(1));
    let report = world.sweep(false).run().await.unwrap();
    assert_eq!((report.garbage, report.given_up), (1, 0), "nobody told it to");
    let report = world.sweep(true).run().await.unwrap();
    assert_eq!((report.garbage, report.given_up), (1, 1));
    assert!(world.is_stored(&lost()).await, "deleting is the collector's");
    world.collector().collect(&()).await;
    assert!(!world.is_stored(&lost()).await);
    assert!(world.is_stored(&known).await && world.is_stored(&upload.location).await);
    assert_eq!(world.sweep(true).run().await.unwrap().unknown, 0);
}

#[tokio::test]
async fn what_was_known_in_between_starts_anew() {
    let world = World::new(Options::default());
    world.write(&lost(), b"lost").await;
    world.sweep(true).run().await.unwrap();
    world.store.delete(&lost()).await.unwrap();
    world.clock.advance(DAY);
    world.sweep(true).run().await.unwrap();
    world.write(&lost(), b"again").await;
    let report = world.sweep(true).run().await.unwrap();
    assert_eq!((report.unknown, report.garbage), (1, 0));
}

#[tokio::test]
async fn a_database_that_is_older_than_the_store_is_not_swept() {
    let world = World::new(Options::default());
    world.collector().collect(&()).await;
    // The store has seen a later state of the database than this one.
    let mark = world.metadata.mark().await.unwrap();
    assert_eq!(world.store.read_mark().await.unwrap(), Some(mark));
    world.store.write_mark(mark + 1).await.unwrap();
    world.write(&lost(), b"pushed after the copy").await;
    world.clock.advance(DAY);
    for delete in [false, true] {
        let refused = world.sweep(delete).run().await.unwrap_err();
        assert!(matches!(refused, MarkError::DatabaseOlder { .. }), "{refused}");
    }
    // Nor does working on make it look newer.
    world.collector().collect(&()).await;
    world.clock.advance(DAY);
    assert!(world.sweep(true).run().await.is_err());
    assert!(world.is_stored(&lost()).await);
}

#[tokio::test]
async fn only_our_own_prefix_is_swept() {
    let world = World::new(Options::default());
    for _ in 0..2 {
        let report = world.sweep(true).run().await.unwrap();
        assert_eq!((report.objects, report.given_up), (0, 0), "the identity and the mark are no objects");
        world.clock.advance(DAY);
    }
}

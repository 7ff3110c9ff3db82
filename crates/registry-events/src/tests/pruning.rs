//! What goes.

use std::time::Duration;

use registry_database::contract::Bench;

use super::{add, moved, moved_many, order_all, taken, try_take};
use crate::{Bounds, PRUNED_MAX, Prune, Pruned};

const COUNT: &str = "SELECT COUNT(*) FROM events";

async fn prune(bench: &Bench, bounds: Bounds) -> Pruned {
    bench.database.write("prune", Prune, bounds).await.unwrap()
}

pub(super) async fn events_go_when_all_have_taken_them(bench: &Bench) {
    add(&bench.database, "a").await;
    add(&bench.database, "b").await;
    moved(&bench.database, &["v1", "v2", "v3"]).await;
    order_all(&bench.database).await;
    moved(&bench.database, &["v4"]).await;
    assert_eq!(prune(bench, Bounds::default()).await, Pruned::default());
    assert_eq!(try_take(&bench.database, "a", 3).await.unwrap().len(), 3);
    assert_eq!(prune(bench, Bounds::default()).await, Pruned::default());
    assert_eq!(try_take(&bench.database, "b", 2).await.unwrap().len(), 2);
    assert_eq!(prune(bench, Bounds::default()).await, Pruned { events: 2, lost: vec![] });
    assert_eq!(bench.rows("SELECT tag FROM events ORDER BY id").await, ["v3", "v4"]);
    order_all(&bench.database).await;
    assert_eq!(
        (taken(&bench.database, "a").await, taken(&bench.database, "b").await.len()),
        (vec!["v4".into()], 2)
    );
    assert_eq!(prune(bench, Bounds::default()).await.events, 2);
    // Positions go on though nothing is there.
    moved(&bench.database, &["v5"]).await;
    order_all(&bench.database).await;
    assert_eq!(try_take(&bench.database, "a", 1).await.unwrap()[0].position, 5);
}

pub(super) async fn a_consumer_that_lags_too_far_is_moved_on_and_told(bench: &Bench) {
    const EVENTS: usize = PRUNED_MAX + 300;
    let bounds = Bounds { kept_max: 100, ..Bounds::default() };
    add(&bench.database, "ahead").await;
    add(&bench.database, "behind").await;
    add(&bench.database, "dead").await;
    moved_many(&bench.database, EVENTS).await;
    order_all(&bench.database).await;
    for (consumer, count) in [("ahead", EVENTS), ("behind", 250)] {
        let mut left = count;
        while left > 0 {
            left -= try_take(&bench.database, consumer, left).await.unwrap().len();
        }
    }
    let lost = |behind, dead| vec![("behind".to_owned(), behind), ("dead".to_owned(), dead)];
    assert_eq!(prune(bench, bounds).await, Pruned { events: PRUNED_MAX as u64, lost: lost(750, 1_000) });
    assert_eq!(prune(bench, bounds).await, Pruned { events: 200, lost: lost(200, 200) });
    assert_eq!(prune(bench, bounds).await, Pruned::default());
    let consumers = bench.rows("SELECT name, position, lost FROM event_consumers ORDER BY name").await;
    assert_eq!(consumers, ["ahead|1300|0", "behind|1200|950", "dead|1200|1200"]);
    let next = try_take(&bench.database, "dead", 500).await.unwrap();
    assert_eq!((next.len(), next[0].position), (100, 1201));
}

pub(super) async fn events_have_an_age(bench: &Bench) {
    let bounds = Bounds { age_max: Duration::from_secs(60), ..Bounds::default() };
    add(&bench.database, "a").await;
    moved(&bench.database, &["v1", "v2"]).await;
    order_all(&bench.database).await;
    bench.advance(Duration::from_secs(59)).await;
    moved(&bench.database, &["v3"]).await;
    order_all(&bench.database).await;
    assert_eq!(prune(bench, bounds).await, Pruned::default());
    bench.advance(Duration::from_secs(2)).await;
    assert_eq!(prune(bench, bounds).await, Pruned { events: 2, lost: vec![("a".to_owned(), 2)] });
    assert_eq!(taken(&bench.database, "a").await, ["v3"]);
}

pub(super) async fn without_consumers_all_events_go(bench: &Bench) {
    moved_many(&bench.database, PRUNED_MAX + 1).await;
    assert_eq!(prune(bench, Bounds::default()).await.events, PRUNED_MAX as u64);
    assert_eq!(bench.value(COUNT).await, "1");
    assert_eq!(prune(bench, Bounds::default()).await.events, 1);
    assert_eq!(bench.value(COUNT).await, "0");
}

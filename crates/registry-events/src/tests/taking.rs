//! Consumers.

use registry_database::{Error, contract::Bench};

use super::{Remove, TakeAndRefuse, add, moved, moved_many, order_all, taken, try_take};
use crate::{AddConsumerError, CONSUMER_NAME_BYTES_MAX, CONSUMERS_MAX};

pub(super) async fn each_consumer_takes_each_event_once(bench: &Bench) {
    let database = &bench.database;
    add(database, "a").await;
    moved(database, &["v1", "v2"]).await;
    order_all(database).await;
    add(database, "b").await;
    moved(database, &["v3"]).await;
    // Nothing is taken that has no position.
    assert_eq!(
        (taken(database, "a").await, taken(database, "b").await),
        (vec!["v1".into(), "v2".into()], vec![])
    );
    order_all(database).await;
    // One that is added again stays where it is.
    add(database, "a").await;
    assert_eq!(
        (taken(database, "a").await, taken(database, "b").await),
        (vec!["v3".into()], vec!["v3".into()])
    );
    assert_eq!((taken(database, "a").await, taken(database, "absent").await), (vec![], vec![]));
    moved_many(database, 3).await;
    order_all(database).await;
    let some = try_take(database, "a", 2).await.unwrap();
    assert_eq!(some.iter().map(|event| event.position).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(taken(database, "a").await, ["2"]);
    assert!(database.write("remove a consumer", Remove, "b".to_owned()).await.unwrap());
    assert_eq!(taken(database, "b").await, [""; 0]);
    assert!(!database.write("remove a consumer", Remove, "b".to_owned()).await.unwrap());
}

pub(super) async fn two_nodes_share_a_consumer(bench: &Bench) {
    const EVENTS: usize = 1_500;
    add(&bench.database, "a").await;
    moved_many(&bench.database, EVENTS).await;
    order_all(&bench.database).await;
    let all = async |database| {
        let mut positions = Vec::new();
        loop {
            let events = try_take(database, "a", 7).await.unwrap();
            if events.is_empty() {
                return positions;
            }
            positions.extend(events.iter().map(|event| event.position));
        }
    };
    let (mut one, other) = tokio::join!(all(&bench.database), all(&bench.other));
    assert!(one.is_sorted() && other.is_sorted());
    one.extend(other);
    one.sort_unstable();
    assert_eq!(one, (1..=EVENTS as i64).collect::<Vec<_>>());
}

pub(super) async fn what_was_not_kept_is_taken_again(bench: &Bench) {
    add(&bench.database, "a").await;
    moved(&bench.database, &["v1"]).await;
    order_all(&bench.database).await;
    let refused = bench.database.write("take and refuse", TakeAndRefuse, "a".to_owned()).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert_eq!(taken(&bench.other, "a").await, ["v1"]);
}

pub(super) async fn an_event_that_can_not_be_read_stops_none(bench: &Bench) {
    add(&bench.database, "a").await;
    moved(&bench.database, &["v1", "v2", "v3"]).await;
    order_all(&bench.database).await;
    bench.run("UPDATE events SET kind = 'moon.landed' WHERE tag = 'v2' OR tag = 'v3'").await;
    assert_eq!(taken(&bench.database, "a").await, ["v1"]);
    assert_eq!(bench.value("SELECT position, lost FROM event_consumers").await, "3|2");
}

pub(super) async fn consumers_have_limits(bench: &Bench) {
    let refused =
        async |name: &str| match bench.database.write("add a consumer", super::Add, name.to_owned()).await {
            Err(Error::Refused(reason)) => reason.downcast::<AddConsumerError>().map(|reason| *reason).ok(),
            _ => None,
        };
    assert_eq!(refused("").await, Some(AddConsumerError::Name));
    assert_eq!(refused(&"a".repeat(CONSUMER_NAME_BYTES_MAX + 1)).await, Some(AddConsumerError::Name));
    assert_eq!(refused(&"a".repeat(CONSUMER_NAME_BYTES_MAX)).await, None);
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {CONSUMERS_MAX})
        INSERT INTO event_consumers (name, position, created_at_ms) SELECT 'c' || i, 0, 0 FROM n"
    );
    bench.run(&fill).await;
    assert_eq!(refused("one more").await, Some(AddConsumerError::TooMany));
}

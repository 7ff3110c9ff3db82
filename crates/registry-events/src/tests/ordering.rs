//! Positions.

use registry_database::contract::Bench;

use super::{add, moved, moved_many, order_all, taken, try_take};
use crate::{ORDERED_MAX, Order};

const IN_ORDER: &str = "SELECT COUNT(*) FROM events WHERE position = id";

pub(super) async fn two_nodes_that_order_at_once_leave_no_gap(bench: &Bench) {
    const EVENTS: usize = 4 * ORDERED_MAX + 7;
    add(&bench.database, "a").await;
    moved_many(&bench.database, EVENTS).await;
    tokio::join!(order_all(&bench.database), order_all(&bench.other));
    assert_eq!(bench.value(IN_ORDER).await, EVENTS.to_string());
    let stream = "SELECT position FROM event_stream";
    assert_eq!(bench.value(stream).await, EVENTS.to_string());
    let again = bench.other.write("order events", Order, ()).await.unwrap();
    assert_eq!((again.events, again.position), (0, EVENTS as i64));
}

pub(super) async fn without_a_consumer_nothing_is_ordered(bench: &Bench) {
    moved(&bench.database, &["v1"]).await;
    order_all(&bench.database).await;
    assert_eq!(bench.value("SELECT COUNT(*) FROM events WHERE position IS NULL").await, "1");
    // A consumer begins with what has no position yet.
    add(&bench.database, "a").await;
    order_all(&bench.database).await;
    assert_eq!(taken(&bench.database, "a").await, ["v1"]);
    // The stream goes on where it was.
    moved(&bench.database, &["v2"]).await;
    order_all(&bench.database).await;
    assert_eq!(try_take(&bench.database, "a", 1).await.unwrap()[0].position, 2);
}

#[cfg(feature = "postgres-server")]
mod on_postgres {
    use std::sync::Mutex;

    use registry_database::{Fault, Session, Step, step};
    use registry_testing_postgres::PostgresServer;
    use tokio::sync::oneshot;

    use super::super::{Move, OWNERS};
    use super::{Bench, add, moved, order_all, taken};
    use crate::Recorder;

    /// Records that a tag moved, says so, and waits before it ends.
    struct Slow(Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>);

    impl Step for Slow {
        type Of = Vec<String>;
        type Output = ();

        async fn run<S: Session>(&self, session: &S, tags: &Vec<String>) -> Result<(), Fault> {
            Move(Recorder::new()).run(session, tags).await?;
            let signals = self.0.lock().unwrap().take();
            let (recorded, go) = signals.unwrap();
            recorded.send(()).unwrap();
            go.await.map_err(Fault::refused)
        }
    }

    step!(Slow);

    /// An event with a lower number that is committed later has a later position, and is not missed.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_that_are_committed_out_of_order_are_all_taken() {
        let bench = Bench::postgres(&PostgresServer::shared().database(), &OWNERS).await;
        add(&bench.database, "a").await;
        let ((recorded, was_recorded), (go, may_go)) = (oneshot::channel(), oneshot::channel());
        let slow = tokio::spawn({
            let (database, step) = (bench.database.clone(), Slow(Mutex::new(Some((recorded, may_go)))));
            async move { database.write("move a tag", step, vec!["first".to_owned()]).await }
        });
        was_recorded.await.unwrap();
        moved(&bench.other, &["second"]).await;
        order_all(&bench.other).await;
        assert_eq!(taken(&bench.other, "a").await, ["second"]);
        go.send(()).unwrap();
        slow.await.unwrap().unwrap();
        order_all(&bench.other).await;
        assert_eq!(taken(&bench.other, "a").await, ["first"]);
        let numbers = bench.rows("SELECT id, position, tag FROM events ORDER BY id").await;
        assert_eq!(numbers, ["1|2|first", "2|1|second"]);
    }
}

//! Death at every step: at the n-th change to the store, before it or after it, whatever it is a change of.

use super::{Bench, close, dump, push, text_of};

/// More than a run makes.
const CHANGES_MAX: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_at_any_step() {
    for change in 0..CHANGES_MAX {
        for after in [false, true] {
            die_and_look(change, after).await;
        }
    }
}

/// Pushes until the store stops for ever; then what was acknowledged must be there, on the database that is left, on an
/// empty one, and on one that was copied before.
async fn die_and_look(change: u64, after: bool) {
    let what = format!("change {change}, after: {after}");
    let bench = Bench::new().snapshots(3);
    let mut acknowledged = Vec::new();
    close(bench.open("first").await).await;
    bench.copy("first", "old");
    bench.objects.die_at(change, after);
    let store = tokio::select! {
        store = bench.open("first") => store,
        () = bench.objects.death() => return,
    };
    for number in 0..12 {
        bench.clock.advance(std::time::Duration::from_secs(1));
        let name = format!("t{number}");
        tokio::select! {
            pushed = push(&store, &name) => acknowledged.push((name, pushed.unwrap())),
            () = bench.objects.death() => break,
        }
    }
    bench.copy("first", "crashed");
    close(store).await;
    let survivor = bench.objects.survivor();
    // The empty one first: nothing may hang on what the dead one kept.
    let mut dumps = Vec::new();
    for name in ["empty", "old", "crashed"] {
        let store =
            bench.open_on(name, &survivor).await.unwrap_or_else(|error| panic!("{what}, {name}: {error:?}"));
        for (page, text) in &acknowledged {
            assert_eq!(text_of(&store, page).as_ref(), Some(text), "{what}, {name}, {page}");
        }
        store.database.writer().check("look").unwrap();
        dumps.push(dump(&store));
        close(store).await;
    }
    assert_eq!(dumps[0], dumps[1], "{what}");
    // It went on from there: the next one has all of it.
    assert_eq!(dump(&bench.open_on("later", &survivor).await.unwrap()), dumps[2], "{what}");
}

//! From an empty database, from an old one, and from one that was not journalled.

use std::time::Duration;

use super::{Bench, close, dump, push, push_blob, resolve, rows};
use crate::{
    JournalRole, NewUpload, Options, SqliteStore, sqlite::tests::model::Model, traits::*, verify_journal,
};

const SEEDS: u64 = 8;
const STEPS: usize = 150;

async fn verified(bench: &Bench, name: &str) -> crate::JournalReport {
    let report = verify_journal(&bench.path(name), std::sync::Arc::new(bench.journal.clone())).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "{report:?}");
    report
}

/// Whatever clients, clock and collector do, the journal leads to the same rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_lost_is_made_again_row_by_row() {
    for seed in 0..SEEDS {
        // With many snapshots, with few, and with none but the first.
        let bench = Bench::new().snapshots([5, 40, 10_000][seed as usize % 3]);
        let options = Options { undelete_window: Duration::ZERO, ..Options::default() };
        let store = bench.open("first").await;
        store.begin_quotas().await.unwrap();
        let mut model = Model::on(seed, store, bench.clock.clone(), options);
        let mut copied = Vec::new();
        for round in 0..3 {
            model.steps(STEPS / 3).await;
            let copy = format!("copy{round}");
            bench.copy("first", &copy);
            copied.push(copy);
        }
        let store = model.into_store();
        store.journal_settled().await.unwrap();
        let expected = dump(&store);
        assert!(expected.len() > 20, "seed {seed}: too little has happened");
        close(store).await;
        verified(&bench, "first").await;
        let again = bench.open("second").await;
        assert_eq!(dump(&again), expected, "seed {seed}");
        assert_eq!(again.verify().await.unwrap(), [""; 0], "seed {seed}");
        close(again).await;
        for copy in copied {
            let old = bench.open(&copy).await;
            assert_eq!(dump(&old), expected, "seed {seed}, {copy}");
            close(old).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_made_again_goes_on() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    store.bind_store("the-store").await.unwrap();
    push(&store, "one").await.unwrap();
    let numbers = rows(&store, "SELECT id FROM repositories");
    close(store).await;
    let store = bench.open("second").await;
    assert_eq!(store.store_id().await.unwrap().as_deref(), Some("the-store"));
    assert_eq!(rows(&store, "SELECT id FROM repositories"), numbers);
    push(&store, "two").await.unwrap();
    close(store).await;
    let store = bench.open("third").await;
    assert!(resolve(&store, "one").await.is_some() && resolve(&store, "two").await.is_some());
    verified(&bench, "third").await;
}

/// Sessions of an old database may have become blobs since, which they would overwrite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_forgets_its_sessions_and_a_current_one_does_not() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push_blob(&store, "x").await.unwrap();
    let id = registry_types::UploadId::from_random([9; 16]);
    let new = NewUpload {
        id,
        repository: super::repository(),
        location: registry_types::Location::of_upload(&id),
        algorithm: registry_digest::Algorithm::Sha256,
    };
    store.start_upload(&new).await.unwrap();
    bench.copy("first", "old");
    close(store).await;
    let store = bench.open("first").await;
    assert!(store.upload(&super::repository(), &id).await.unwrap().is_some());
    push(&store, "later").await.unwrap();
    close(store).await;
    let old = bench.open("old").await;
    assert!(old.upload(&super::repository(), &id).await.unwrap().is_none());
    assert!(resolve(&old, "later").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_can_begin_with_a_database_that_has_content() {
    let bench = Bench::new();
    let plain =
        SqliteStore::open(bench.path("first"), Options::default(), std::sync::Arc::new(bench.clock.clone()));
    let plain = plain.unwrap();
    push(&plain, "before").await.unwrap();
    drop(plain);
    let store = bench.open("first").await;
    push(&store, "after").await.unwrap();
    let expected = dump(&store);
    close(store).await;
    assert_eq!(dump(&bench.open("second").await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_entries_and_snapshots_go_and_a_database_from_before_them_is_replaced() {
    let bench = Bench::new().snapshots(4);
    let store = bench.open("first").await;
    push(&store, "t0").await.unwrap();
    bench.copy("first", "old");
    for number in 1..20 {
        bench.clock.advance(Duration::from_secs(1));
        push(&store, &format!("t{number}")).await.unwrap();
    }
    let pruned = async {
        while bench.journal.names("journal").first().unwrap().ends_with("01") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), pruned).await.unwrap();
    store.journal_settled().await.unwrap();
    let expected = dump(&store);
    close(store).await;
    assert!(bench.journal.names("snapshots").len() <= 2, "{:?}", bench.journal.names("snapshots"));
    let old = bench.open("old").await;
    assert_eq!(dump(&old), expected);
    close(old).await;
    verified(&bench, "old").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_damaged_is_passed_over() {
    let mut bench = Bench::new();
    bench.options.retention = Duration::from_secs(3600);
    bench.options.snapshot_entries = 3;
    let store = bench.open("first").await;
    for number in 0..8 {
        push(&store, &format!("t{number}")).await.unwrap();
    }
    let made = async {
        while bench.journal.names("snapshots").len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), made).await.unwrap();
    let expected = dump(&store);
    close(store).await;
    // Of the newest that is whole: the stop may have left parts of one that was being made, which nobody looks at.
    let newest = bench.journal.names("snapshots").pop().unwrap();
    bench.journal.damage(&format!("{}/00000000", newest.replacen("snapshots", "snapshot-parts", 1)));
    assert_eq!(dump(&bench.open("second").await), expected);
    let journal = std::sync::Arc::new(bench.journal.clone());
    let report = verify_journal(&bench.path("first"), journal).await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("not what was stored")), "{report:?}");
}

/// A newer version changes the schema at its start: what was before leads there only by a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_schema_is_carried_by_a_snapshot() {
    let bench = Bench::new();
    let store = bench.open("first").await;
    push(&store, "one").await.unwrap();
    bench.copy("first", "old");
    close(store).await;
    let newer =
        "UPDATE store SET format = 99; ALTER TABLE tags ADD COLUMN note TEXT; UPDATE tags SET note = 'new'";
    rusqlite::Connection::open(bench.path("first")).unwrap().execute_batch(newer).unwrap();
    let store = bench.open("first").await;
    push(&store, "two").await.unwrap();
    let expected = dump(&store);
    assert!(expected.iter().any(|row| row.ends_with("|new")));
    close(store).await;
    for name in ["old", "empty"] {
        let store = bench.open(name).await;
        assert_eq!(dump(&store), expected, "{name}");
        close(store).await;
    }
    verified(&bench, "old").await;
}

/// As `registry-gc` does, beside the server or when that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_on_the_same_database_writes_to_the_same_journal() {
    let mut bench = Bench::new();
    let server = bench.open("first").await;
    push(&server, "one").await.unwrap();
    bench.options.role = JournalRole::Beside;
    let beside = bench.open("first").await;
    for number in 0..10 {
        let (mine, theirs) = (format!("server{number}"), format!("beside{number}"));
        let (mine, theirs) = tokio::join!(push(&server, &mine), push(&beside, &theirs));
        mine.unwrap();
        theirs.unwrap();
    }
    close(server).await;
    push(&beside, "alone").await.unwrap();
    let expected = dump(&beside);
    close(beside).await;
    bench.options.role = JournalRole::Serving;
    assert_eq!(dump(&bench.open("second").await), expected);
    verified(&bench, "first").await;
}

/// However much there is to be counted at once, it has to fit nowhere; and what is lost is counted again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_for_quotas_is_not_journalled_and_counted_again() {
    let mut bench = Bench::new();
    bench.quota = "team/".to_owned();
    let store = bench.open("first").await;
    let before = rows(&store, "SELECT number FROM journal_state");
    push(&store, "one").await.unwrap();
    let pushed = rows(&store, "SELECT number FROM journal_state");
    assert_ne!(pushed, before);
    store.begin_quotas().await.unwrap();
    assert_eq!(
        rows(&store, "SELECT number FROM journal_state"),
        pushed,
        "counting is no commit of the journal"
    );
    bench.copy("first", "old");
    push(&store, "two").await.unwrap();
    let usage = store.quota_usage().await.unwrap();
    assert_eq!(usage[0].usage.unwrap().tags, 2);
    // What a session has saved is lost with the session.
    let id = registry_types::UploadId::from_random([9; 16]);
    let (repository, location) = (super::repository(), registry_types::Location::of_upload(&id));
    let new = NewUpload { id, repository, location, algorithm: registry_digest::Algorithm::Sha256 };
    store.start_upload(&new).await.unwrap();
    let claim = store.claim_upload(&new.repository, &id).await.unwrap();
    store.save_upload(&id, claim.epoch, 100, b"state").await.unwrap();
    store.release_upload(&id, claim.epoch);
    assert_eq!(store.quota_usage().await.unwrap()[0].usage.unwrap().held, usage[0].usage.unwrap().held + 100);
    push(&store, "one").await.unwrap();
    close(store).await;
    for name in ["empty", "old"] {
        let again = bench.open(name).await;
        assert_eq!(again.quota_usage().await.unwrap()[0].usage, None, "{name}: others went on");
        again.begin_quotas().await.unwrap();
        assert_eq!(again.quota_usage().await.unwrap(), usage, "{name}");
        assert_eq!(again.verify().await.unwrap(), [""; 0], "{name}");
        close(again).await;
    }
}

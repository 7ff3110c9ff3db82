//! The writer: what fails alone, what fails together, and what is waited for.

use std::{sync::Arc, time::Duration};

use rusqlite::Connection;

use super::{
    super::{
        fault::Fault,
        manifests,
        writer::{Durability, Tx},
    },
    backend::{place, rows},
};
use crate::{MetadataError, Options, SqliteStore, SystemClock, traits::*};

fn open(path: &std::path::Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path, Options::default(), Arc::new(SystemClock)).unwrap())
}

fn insert(tx: &Tx<'_>, name: &str) -> Result<(), Fault> {
    tx.connection().execute("INSERT INTO repositories (name, created_at) VALUES ($1, 0)", [name])?;
    Ok(())
}

async fn count(store: &SqliteStore) -> String {
    rows(store, "SELECT COUNT(*) FROM repositories").remove(0)
}

#[tokio::test]
async fn work_that_is_refused_takes_nothing_with_it() {
    let (_folder, path) = place();
    let store = open(&path);
    let mut running = Vec::new();
    for number in 0..100 {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            let work = move |tx: &Tx<'_>| {
                insert(tx, &format!("r{number}"))?;
                match number % 3 {
                    0 => Ok(()),
                    1 => insert(tx, "r0"),
                    _ => Err(MetadataError::UploadUnknown {
                        id: registry_types::UploadId::from_random([0; 16]),
                    }
                    .into()),
                }
            };
            store.writer.run("test", Durability::Full, (), work).await
        }));
    }
    for (number, answer) in running.into_iter().enumerate() {
        match (number % 3, answer.await.unwrap()) {
            (0, Ok(()))
            | (1, Err(MetadataError::Backend { .. }))
            | (2, Err(MetadataError::UploadUnknown { .. })) => {}
            (_, answer) => panic!("{number}: {answer:?}"),
        }
    }
    assert_eq!(count(&store).await, "34");
}

#[tokio::test]
async fn work_is_done_though_nobody_waits_for_it() {
    let (_folder, path) = place();
    let store = open(&path);
    let work = store.writer.run("test", Durability::Full, (), |tx: &Tx<'_>| insert(tx, "a"));
    // Given up, unless the writer was faster than this thread.
    let _ = tokio::time::timeout(Duration::ZERO, work).await;
    drop(store);
    assert_eq!(count(&open(&path)).await, "1");
}

#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let (_folder, path) = place();
    let store = open(&path);
    let limit = |pages: i64| {
        move |tx: &Tx<'_>| {
            let set = format!("PRAGMA max_page_count = {pages}");
            Ok(tx.connection().query_row(&set, [], |row| row.get::<_, i64>(0))?)
        }
    };
    store.writer.run("test", Durability::Full, (), limit(1)).await.unwrap();
    let fill = |tx: &Tx<'_>| {
        for number in 0..10_000 {
            insert(tx, &format!("r{number}"))?;
        }
        Ok(())
    };
    let error = store.writer.run("fill", Durability::Full, (), fill).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSpace { operation: "fill", .. }), "{error:?}");
    assert_eq!(count(&store).await, "0");
    store.check().await.unwrap();

    // A transaction of its own, since a limit can not be raised by work that fails with it.
    store.writer.run("test", Durability::Full, (), limit(1_000_000)).await.unwrap();
    store.writer.run("fill", Durability::Full, (), fill).await.unwrap();
    assert_eq!(count(&store).await, "10000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_that_writes_is_waited_for() {
    let (_folder, path) = place();
    let store = open(&path);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO repositories (name, created_at) VALUES ('theirs', 0)")
        .unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.writer.run("test", Durability::Full, (), |tx: &Tx<'_>| insert(tx, "ours")).await }
    });
    assert_eq!(count(&store).await, "0", "reading goes on, and sees nothing unfinished");
    other.execute_batch("COMMIT").unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(count(&store).await, "2");
}

#[tokio::test]
async fn work_that_panics_again_and_again_stops_the_writer_and_the_store_says_so() {
    let (_folder, path) = place();
    let store = open(&path);
    let panics = |tx: &Tx<'_>| -> Result<(), Fault> {
        insert(tx, "half done")?;
        panic!("a test of work that panics")
    };
    for _ in 0..2 {
        let error = store.writer.run("panic", Durability::Full, (), panics).await.unwrap_err();
        assert!(matches!(error, MetadataError::Backend { operation: "panic", .. }), "{error:?}");
    }
    assert!(matches!(store.check().await, Err(MetadataError::Unavailable { .. })));
    assert_eq!(count(&store).await, "0");
}

/// The log is copied while the store is open, and begins anew.
#[tokio::test]
async fn the_log_does_not_grow_without_end() {
    let (_folder, path) = place();
    let store = open(&path);
    let rewrite = |tx: &Tx<'_>| {
        tx.connection().execute("DELETE FROM repositories", [])?;
        for number in 0..2_000 {
            insert(tx, &format!("{number:0200}"))?;
        }
        Ok(())
    };
    // 600 transactions of more than 100 pages each.
    for _ in 0..600 {
        store.writer.run("test", Durability::Process, (), rewrite).await.unwrap();
    }
    let log = std::fs::metadata(path.with_file_name("registry.db-wal")).unwrap().len();
    assert!(log < 200 << 20, "{log}");
}

/// It goes between the look at it and the renewal of its lease.
#[tokio::test]
async fn renewing_a_manifest_that_has_gone_leaves_nothing() {
    let (_folder, path) = place();
    let store = open(&path);
    let renew = |tx: &Tx<'_>| {
        let digest = registry_digest::Digest::of(registry_digest::Algorithm::Sha256, b"gone");
        manifests::renew(tx, &"r0".parse().unwrap(), &digest)
    };
    store.writer.run("insert", Durability::Full, (), |tx| insert(tx, "r0")).await.unwrap();
    let renewed = store.writer.run("renew", Durability::Full, (), renew).await;
    assert!(matches!(renewed, Err(MetadataError::ManifestUnknown { .. })), "{renewed:?}");
    assert_eq!(rows(&store, "SELECT digest FROM gc_queue"), [""; 0]);
}

//! Opening a database: a new one, an old one, and those that are refused.

use std::sync::Arc;

use rusqlite::Connection;

use registry_database::{OpenError as DatabaseError, SQLITE};

use super::backend::{place, rows};
use crate::{OpenError, Options, SqliteStore, SystemClock, schema::OWNERS, traits::*};

fn open(path: &std::path::Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, Options::default(), Arc::new(SystemClock))
}

#[tokio::test]
async fn what_was_committed_is_there_after_the_next_start() {
    let (_folder, path) = place();
    open(&path).unwrap().bind_store("one").await.unwrap();
    assert_eq!(open(&path).unwrap().store_id().await.unwrap().as_deref(), Some("one"));
}

#[test]
fn a_closed_database_is_one_file() {
    let (folder, path) = place();
    drop(open(&path).unwrap());
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files, [path]);
}

#[test]
fn folders_and_files_are_made_and_not_for_everybody() {
    let (folder, _) = place();
    let path = folder.path().join("new/deep/registry.db");
    let _store = open(&path).unwrap();
    #[cfg(unix)]
    for file in ["registry.db", "registry.db-wal", "registry.db-shm"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path.with_file_name(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{file}");
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_not_touched() {
    let (_folder, path) = place();
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(foreign);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Database(DatabaseError::Foreign { .. }))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_database_is_refused() {
    let (_folder, path) = place();
    std::fs::write(&path, "a text that is longer than the header of a database ".repeat(20)).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Database(DatabaseError::Database { .. }))));
}

/// A database as the program left it that knew the first `count` steps.
fn older(count: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, path) = place();
    let older = Connection::open(&path).unwrap();
    older.pragma_update(None, "application_id", 0x5247_4d44).unwrap();
    let steps = &OWNERS.migrations()[..count];
    for step in steps {
        older.execute_batch(&SQLITE.render(step.sql)).unwrap();
    }
    let row = "INSERT INTO store (one, format, oldest_binary, created_at) VALUES (1, $1, 1, 1)";
    older.execute(row, [steps.last().unwrap().number]).unwrap();
    (folder, path)
}

#[test]
fn an_older_schema_is_brought_up_to_date() {
    for count in 1..=OWNERS.migrations().len() {
        let (_folder, path) = older(count);
        let store = open(&path).unwrap();
        assert_eq!(rows(&store, "SELECT format FROM store"), [OWNERS.format().to_string()]);
        assert!(rows(&store, "SELECT digest FROM pulls").is_empty());
        if count < OWNERS.migrations().len() {
            let owners = rows(&store, "SELECT owner, format FROM owners ORDER BY owner");
            assert_eq!(owners, ["database|7", "metadata|13"]);
        }
    }
}

/// More repositories than one transaction places, some of them deleted.
#[test]
fn repositories_of_an_older_schema_are_in_their_namespaces() {
    let (_folder, path) = older(OWNERS.migrations().len() - 1);
    let some = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
        INSERT INTO repositories (name, created_at, purge_at)
        SELECT CASE i % 3 WHEN 0 THEN 'app' || i WHEN 1 THEN 'team' || (i % 7) || '/app' || i
            ELSE '~' || i || '~away/app' || i END, 1, CASE i % 3 WHEN 2 THEN 1 << 60 END FROM n";
    Connection::open(&path).unwrap().execute_batch(some).unwrap();
    let store = open(&path).unwrap();
    let counts = "SELECT n.name, COUNT(*), SUM(r.public) FROM repositories r
        JOIN namespaces n ON n.id = r.namespace GROUP BY n.name ORDER BY n.name";
    let teams = (0..7).map(|team| format!("team{team}|{}|0", if team == 1 { 58 } else { 57 }));
    let expected: Vec<String> =
        ["_|400|0", "away|400|0"].map(str::to_owned).into_iter().chain(teams).collect();
    assert_eq!(rows(&store, counts), expected);
}

/// A start places some, and the collector the rest.
#[tokio::test]
async fn a_start_places_a_bounded_number_of_repositories() {
    let (_folder, path) = place();
    drop(open(&path).unwrap());
    let some = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050)
        INSERT INTO repositories (name, created_at) SELECT 'team/app' || i, 1 FROM n";
    Connection::open(&path).unwrap().execute_batch(some).unwrap();
    let store = open(&path).unwrap();
    let unplaced = "SELECT COUNT(*) FROM repositories WHERE namespace IS NULL";
    assert_eq!(rows(&store, unplaced), ["50"]);
    store.collect(&crate::CollectRules::default(), 10).await.unwrap();
    assert_eq!(rows(&store, unplaced), ["0"]);
}

#[tokio::test]
async fn repositories_that_can_not_be_placed_stop_no_start_and_no_collection() {
    let (_folder, path) = place();
    drop(open(&path).unwrap());
    let refusing = "INSERT INTO repositories (name, created_at) VALUES ('team/app', 1);
        INSERT INTO gc_queue (kind, repository, digest, due_at, reason) VALUES ('digest', 0, 'sha256:none', 0, 'x');
        CREATE TRIGGER refuse BEFORE UPDATE OF namespace ON repositories BEGIN SELECT RAISE(ABORT, 'no'); END";
    Connection::open(&path).unwrap().execute_batch(refusing).unwrap();
    let store = open(&path).unwrap();
    let collected = store.collect(&crate::CollectRules::default(), 10).await.unwrap();
    assert_eq!(collected.len(), 1, "{collected:?}");
}

#[test]
fn opening_does_not_wait_for_a_writer() {
    let (_folder, path) = place();
    drop(open(&path).unwrap());
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = open(&path).unwrap();
    assert_eq!(rows(&store, "SELECT COUNT(*) FROM store"), ["1"]);
}

#[test]
fn a_newer_schema_that_this_binary_can_work_with_is_left_alone() {
    let (_folder, path) = place();
    drop(open(&path).unwrap());
    let newer = "UPDATE store SET format = 99";
    Connection::open(&path).unwrap().execute_batch(newer).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(rows(&store, "SELECT format FROM store"), ["99"]);
}

#[test]
fn a_newer_schema_that_needs_a_newer_binary_is_refused() {
    let (_folder, path) = place();
    drop(open(&path).unwrap());
    let newer = "UPDATE store SET format = 99, oldest_binary = 98";
    Connection::open(&path).unwrap().execute_batch(newer).unwrap();
    let Err(OpenError::Database(refused)) = open(&path) else { panic!("it is opened") };
    assert!(
        matches!(refused, DatabaseError::TooNew { format: 99, oldest_binary: 98, known } if known == OWNERS.format())
    );
}

#[test]
fn of_several_that_open_a_new_database_at_once_one_makes_the_schema() {
    // Many times, since the threads meet in few of them.
    for _ in 0..20 {
        let (_folder, path) = place();
        let stores: Vec<_> = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path))).collect();
            opening.into_iter().map(|opened| opened.join().unwrap()).collect()
        });
        for store in stores {
            assert_eq!(rows(&store.unwrap(), "SELECT COUNT(*) FROM store"), ["1"]);
        }
    }
}

#[test]
fn one_store_serves() {
    let (_folder, path) = place();
    let (first, second) = (open(&path).unwrap(), open(&path).unwrap());
    first.lock_for_serving().unwrap();
    first.lock_for_serving().unwrap();
    assert!(matches!(second.lock_for_serving(), Err(OpenError::Database(DatabaseError::Served { .. }))));
    drop(first);
    second.lock_for_serving().unwrap();
}

//! What SQLite's planner makes of the statements.

use std::{collections::BTreeSet, sync::Arc};

use super::backend::rows;
use crate::{Options, SqliteStore, SystemClock, sql};

/// All statements that SQLite is given.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    sql::all().chain(sql::sqlite::ALL.iter().copied())
}

/// Statements that look at more than an index leads to, and why they may.
const SCANS: &[(&str, &str)] = &[
    ("DELETED", "an index of what was deleted and nothing else"),
    ("PREFIXES", "a row for each quota"),
    ("COUNT_PREFIX", "counts all there is, once for a new quota"),
    ("UPLOADS_OF_PREFIX", "counts all there is, once for a new quota"),
    ("TAGS_OF_PREFIX", "counts all there is, once for a new quota"),
    ("COUNT_REPOSITORY", "counts a whole repository, when one is brought back"),
    ("AUDIT", "counts all there is, for `fsck`"),
    ("MANIFESTS_WITHIN", "a page of keys, which is found by an index"),
    ("PAGE_OF_RANGES", "sorts a page of each range, which is found by an index"),
];

/// Statements that ask a whole repository, and why they may.
const WHOLE_REPOSITORY: &[(&str, &str)] = &[
    ("UNLIST", "stops at the first manifest"),
    ("HAS_MANIFESTS", "stops at the first manifest"),
    ("BRING_BACK", "stops at the first manifest"),
    ("SOME_MANIFESTS", "all of it goes, some at a time"),
    ("SOME_BLOBS", "all of it goes, some at a time"),
    ("SOME_UPLOADS", "all of it goes, some at a time"),
    ("SOME_TRASHED_MANIFESTS", "all of it goes, some at a time"),
    ("SOME_TRASHED_TAGS", "all of it goes, some at a time"),
    ("DELETE_REPOSITORY", "a foreign key asks whether anything is left"),
    ("ARE_MORE_THAN", "stops at the limit"),
    ("UNCOUNT_REPOSITORY", "all of it goes"),
    ("TAGS_OF_REPOSITORY", "all of it goes, or comes"),
    ("UPLOADS_OF_REPOSITORY", "all of it goes, or comes"),
    ("HAS_CONTENT", "stops at the first row"),
    ("REMOVE_EMPTY", "a foreign key asks whether anything is left"),
    ("END_TAGS_OF", "all of it goes, some at a time"),
    ("END_MANIFESTS_OF", "all of it goes, some at a time"),
    ("DELETE_HISTORY", "all of it goes, some at a time"),
    ("DELETE_USAGE", "all of it goes, some at a time"),
];

fn store() -> SqliteStore {
    SqliteStore::open_in_memory(Options::default(), Arc::new(SystemClock)).unwrap()
}

#[test]
fn every_statement_finds_its_rows_by_an_index_in_order() {
    check_plans(&store());
}

/// The registry never asks for statistics, but an operator may, or a later version.
#[test]
fn statements_find_their_rows_by_an_index_if_there_are_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filled.sqlite");
    let open = || SqliteStore::open(&path, Options::default(), Arc::new(SystemClock)).unwrap();
    drop(open());
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql::filled::FILL).unwrap();
    let store = open();
    assert_ne!(rows(&store, "SELECT 1 FROM sqlite_stat1 LIMIT 1"), [""; 0]);
    check_plans(&store);
}

fn check_plans(store: &SqliteStore) {
    for (name, sql) in all() {
        if SCANS.iter().any(|(scan, _)| *scan == name) {
            continue;
        }
        // A list that the statement is given is no table.
        for step in plan(store, sql).into_iter().filter(|step| !step.contains("VIRTUAL TABLE")) {
            if step == "SCAN CONSTANT ROW" {
                continue; // One row of parameters.
            }
            assert!(!step.starts_with("SCAN"), "{name}: {step}");
            assert!(!step.contains("TEMP B-TREE"), "{name}: {step}");
            assert!(!step.contains("AUTOMATIC"), "{name}: {step}");
            let is_whole = WHOLE_REPOSITORY.iter().any(|(whole, _)| *whole == name);
            assert!(is_whole || !step.contains("(repository=?)"), "{name} reads a repository: {step}");
        }
    }
}

fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
    let explain = |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        statement.raw_query().mapped(|row| row.get(3)).collect()
    };
    store.readers.read("explain", explain).unwrap()
}

/// The hot paths, down to the index.
#[test]
fn hot_reads_use_the_index_that_is_meant_for_them() {
    let store = store();
    let cases = [
        (sql::blobs::READ.sqlite, "repository_blobs|b USING PRIMARY KEY (repository=? AND digest=?)"),
        (
            sql::blobs::PROMISE.sqlite,
            "manifest_blobs|m USING COVERING INDEX manifest_blobs_target (repository=? AND target=?)",
        ),
        (
            sql::blobs::PROMISE.sqlite,
            "manifest_blobs|m USING COVERING INDEX manifest_blobs_target (repository=? AND target=? AND digest=?)",
        ),
        (sql::manifests::BY_TAG.sqlite, "tags|t USING PRIMARY KEY (repository=? AND name=?)"),
        (
            sql::manifests::BY_TAG.sqlite,
            "manifests|m USING INDEX sqlite_autoindex_manifests_1 (repository=? AND digest=?)",
        ),
        (sql::manifests::BY_TAG_WITHIN.sqlite, "tags|t USING PRIMARY KEY (repository=? AND name=?)"),
        (
            sql::manifests::BY_TAG_WITHIN.sqlite,
            "manifests|m USING INDEX sqlite_autoindex_manifests_1 (repository=? AND digest=?)",
        ),
        (sql::tags::PAGE.sqlite, "tags|t USING PRIMARY KEY (repository=? AND name>?)"),
        (
            sql::repositories::PAGE_AFTER.sqlite,
            "repositories USING COVERING INDEX repositories_listed (name>?)",
        ),
        (
            sql::repositories::PUBLIC_AFTER.sqlite,
            "repositories USING COVERING INDEX repositories_public (name>?)",
        ),
        (
            sql::repositories::PAGE_OF_RANGES.sqlite,
            "repositories|w USING COVERING INDEX repositories_listed (name>? AND name<?)",
        ),
        (
            sql::manifests::REFERRERS.sqlite,
            "manifests|m USING INDEX manifests_subject (repository=? AND subject=? AND digest>?)",
        ),
        (
            sql::manifests::REFERRERS_OF_TYPE.sqlite,
            "manifests|m USING INDEX manifests_subject_type (repository=? AND subject=? AND artifact_type=? AND digest>?)",
        ),
        (sql::reclaim::DUE.sqlite, "reclaim USING INDEX reclaim_not_before (not_before<?)"),
        (sql::uploads::UNTOUCHED.sqlite, "uploads USING COVERING INDEX uploads_touched (touched_at<?)"),
    ];
    for (sql, index) in cases {
        let (table, how) = index.split_once(" USING ").unwrap();
        let name = table.split_once('|').map_or(table, |(_, alias)| alias);
        let step = format!("SEARCH {name} USING {how}");
        let plan = plan(&store, sql);
        assert!(plan.contains(&step), "{step} is not in {plan:#?}");
    }
}

/// PostgreSQL numbers parameters by their digits, SQLite by their first appearance.
#[test]
fn parameters_appear_in_the_order_of_their_numbers() {
    let store = store();
    for (name, sql) in all() {
        let read = |connection: &rusqlite::Connection| {
            let statement = connection.prepare(sql)?;
            let count = statement.parameter_count();
            Ok::<_, rusqlite::Error>(
                (1..=count)
                    .map(|index| statement.parameter_name(index).map(str::to_owned))
                    .collect::<Vec<_>>(),
            )
        };
        let names = store.readers.read("prepare", read).unwrap();
        let expected: Vec<_> = (1..=names.len()).map(|number| Some(format!("${number}"))).collect();
        assert_eq!(names, expected, "{name}");
    }
}

/// SQLite prepares a statement anew if it believes that the plan depends on what is bound. That costs ten times what
/// running it does.
#[test]
fn statements_are_prepared_once() {
    let store = store();
    for (name, sql) in all().filter(|(_, sql)| sql.starts_with("SELECT")) {
        let run = |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare(sql)?;
            for round in 0..3 {
                statement.clear_bindings();
                for parameter in 1..=statement.parameter_count() {
                    statement.raw_bind_parameter(parameter, format!("{round}"))?;
                }
                let mut rows = statement.raw_query();
                while rows.next()?.is_some() {}
            }
            Ok::<_, rusqlite::Error>(statement.get_status(rusqlite::StatementStatus::RePrepare))
        };
        assert_eq!(store.readers.read("run", run).unwrap(), 0, "{name}");
    }
}

#[test]
fn statements_have_names_of_their_own_within_the_cache() {
    let all: Vec<&str> = all().map(|(_, sql)| sql).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(all.len() < registry_database::sqlite::connection::STATEMENTS_MAX);
}

/// Without one, removing a row of the parent reads the whole child.
#[test]
fn every_foreign_key_has_an_index() {
    let store = store();
    let tables =
        rows(&store, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    for table in tables {
        let keys = rows(
            &store,
            &format!(
                "SELECT group_concat(\"from\") FROM (SELECT id, \"from\" FROM pragma_foreign_key_list('{table}')
                    ORDER BY id, seq) GROUP BY id"
            ),
        );
        let indexes = rows(
            &store,
            &format!(
                "SELECT (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno))
                    FROM pragma_index_list('{table}') l"
            ),
        );
        for key in keys {
            let is_prefix = |index: &String| format!("{index},").starts_with(&format!("{key},"));
            assert!(indexes.iter().any(is_prefix), "{table} ({key}): {indexes:?}");
        }
    }
}

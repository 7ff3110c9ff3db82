//! Owners and their steps.

use rusqlite::Connection;

use super::{OWNERS, THINGS, open, place, value};
use crate::{OpenError, Owners, SCHEMA, SQLITE};

#[test]
fn a_new_database_says_whose_tables_it_has() {
    let (_folder, path) = place();
    let database = open(&path, &OWNERS).unwrap();
    let owners = "SELECT group_concat(owner || ' ' || format || ' ' || oldest_binary || ' ' || volatile, ', ') FROM owners";
    assert_eq!(value(&database, owners), "database 7 1 , things 2 2 lost");
}

#[test]
fn a_database_with_tables_of_an_owner_that_is_not_known_is_refused() {
    let (_folder, path) = place();
    drop(open(&path, &OWNERS).unwrap());
    let more = "INSERT INTO owners (owner, format, oldest_binary, volatile) VALUES ('builds', 9, 1, '')";
    Connection::open(&path).unwrap().execute_batch(more).unwrap();
    let refused = open(&path, &OWNERS);
    assert!(matches!(&refused, Err(OpenError::UnknownOwner { owner }) if owner == "builds"), "{refused:?}");
}

#[test]
fn steps_keep_the_rows_that_are_there_and_what_the_strictest_of_them_asks_for() {
    let (_folder, path) = place();
    let older = Connection::open(&path).unwrap();
    older.pragma_update(None, "application_id", 0x5247_4d44).unwrap();
    older.execute_batch(&SQLITE.render(THINGS.migrations[0].sql)).unwrap();
    older
        .execute_batch("INSERT INTO store VALUES (1, 1, 1, 1); INSERT INTO things (name) VALUES ('old')")
        .unwrap();
    drop(older);
    let database = open(&path, &OWNERS).unwrap();
    assert_eq!(value(&database, "SELECT name || ' ' || size FROM things"), "old 7");
    // The last step could do with an older binary than the one before it.
    assert_eq!(value(&database, "SELECT format || ' ' || oldest_binary FROM store"), "7 2");
    drop(database);
    assert!(matches!(open(&path, &Owners::new(&[&SCHEMA])), Err(OpenError::UnknownOwner { .. })));
}

//! A collector as the schema is meant for, in its simplest form: one that takes untagged manifests too. It shows that the
//! queue leads to all garbage and that the conditions protect all else; `model` lets it loose.

use registry_digest::Digest;
use registry_types::{Location, RepositoryName};
use rusqlite::{Connection, params};

use super::super::{
    fault::Fault,
    manifests,
    reclaim::{Garbage, enqueue, give_up},
    statement::parsed,
    writer::{Durability, Tx},
};
use crate::SqliteStore;

/// Works off what is due, one short transaction for each entry. Returns how many there were.
pub(super) async fn collect(store: &SqliteStore) -> usize {
    let mut count = 0;
    while store.writer.run("collect", Durability::Full, (), collect_one).await.unwrap() {
        count += 1;
    }
    count
}

fn collect_one(tx: &Tx<'_>) -> Result<bool, Fault> {
    let next =
        "SELECT kind, repository, digest FROM gc_queue WHERE due_at <= now_ms() ORDER BY due_at LIMIT 1";
    let read =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, parsed(row, 2)?));
    let (kind, repository, digest): (_, _, Digest) = match tx.connection.query_row(next, [], read) {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(false),
        found => found?,
    };
    // The entry goes first, so that whatever is found out now may enqueue it again.
    let entry = params![kind, repository, digest.to_string()];
    tx.connection
        .execute("DELETE FROM gc_queue WHERE kind = $1 AND repository = $2 AND digest = $3", entry)?;
    match kind.as_str() {
        "blob" => unlink(tx, repository, &digest)?,
        "manifest" => remove_manifest(tx, repository, &digest)?,
        _ => remove_digest(tx, &digest)?,
    }
    Ok(true)
}

fn unlink(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let here = params![repository, digest.to_string()];
    let is_referenced = "SELECT EXISTS (SELECT 1 FROM manifest_blobs WHERE repository = $1 AND digest = $2)";
    if tx.connection.query_row(is_referenced, here, |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    if let Some(in_ms) = lease_left_ms(tx.connection, "repository_blobs", repository, digest)? {
        return Ok(enqueue(tx, Garbage::Blob(repository), digest, in_ms, "not yet")?);
    }
    if tx.connection.execute("DELETE FROM repository_blobs WHERE repository = $1 AND digest = $2", here)? > 0
    {
        enqueue(tx, Garbage::Digest, digest, 0, "unlinked")?;
    }
    Ok(())
}

fn remove_manifest(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
    let name: RepositoryName =
        tx.connection
            .query_row("SELECT name FROM repositories WHERE id = $1", [repository], |row| parsed(row, 0))?;
    // No lease is that long, so what is safe to promise is referenced.
    let is_referenced =
        manifests::promise(tx.connection, &name, digest, i64::MAX / 2)?.is_none_or(|it| it.is_safe);
    if is_referenced {
        return Ok(());
    }
    if let Some(in_ms) = lease_left_ms(tx.connection, "manifests", repository, digest)? {
        return Ok(enqueue(tx, Garbage::Manifest(repository), digest, in_ms, "not yet")?);
    }
    manifests::delete(tx, &name, digest, None)?;
    Ok(())
}

fn remove_digest(tx: &Tx<'_>, digest: &Digest) -> Result<(), Fault> {
    let text = digest.to_string();
    let object = "DELETE FROM digests WHERE digest = $1
        AND NOT EXISTS (SELECT 1 FROM repository_blobs WHERE digest = $1)
        AND NOT EXISTS (SELECT 1 FROM trash_blobs WHERE digest = $1)
        RETURNING object";
    let object = match tx.connection.query_row(object, [text], |row| row.get::<_, i64>(0)) {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(()),
        object => object?,
    };
    let last = "DELETE FROM objects WHERE id = $1
        AND NOT EXISTS (SELECT 1 FROM digests WHERE object = $1) RETURNING location";
    match tx.connection.query_row(last, [object], |row| parsed::<Location>(row, 0)) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
        location => Ok(give_up(tx, &location?, tx.options.read_grace_ms(), "collected")?),
    }
}

/// What is left of a lease; none if it is over or there is no such row.
fn lease_left_ms(
    connection: &Connection,
    table: &str,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<Option<i64>> {
    let left = format!(
        "SELECT MAX(lease_until - now_ms()) FROM {table}
            WHERE repository = $1 AND digest = $2 AND lease_until > now_ms()"
    );
    connection.query_row(&left, params![repository, digest.to_string()], |row| row.get(0))
}

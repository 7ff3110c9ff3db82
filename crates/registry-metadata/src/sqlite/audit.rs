//! Comparing rows with bytes.

use std::time::Duration;

use bytes::Bytes;
use registry_digest::Digest;
use registry_types::Location;
use rusqlite::{Connection, params};

use super::{
    collect::name_of,
    fault::Fault,
    quota,
    reclaim::give_up,
    statement::{all, execute, exists, if_readable, one, parsed, readable, unsigned},
    writer::Tx,
};
use crate::{
    MANIFESTS_BYTES_MAX, ManifestPosition, StoredManifest, StoredObject, UnknownObject,
    audit::{TEXTS, Texts, VERIFY_LINES_MAX, VERIFY_PAGE},
    sql::audit as sql,
};

pub(super) fn mark(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(one(connection, sql::MARK, [], |row| row.get(0))?.unwrap_or(0))
}

pub(super) fn raise_mark(tx: &Tx<'_>, above: i64) -> Result<i64, Fault> {
    let mark = one(tx.connection, sql::RAISE_MARK, [above], |row| row.get(0))?;
    Ok(mark.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
}

pub(super) fn claim_sweep(tx: &Tx<'_>, interval_ms: i64) -> rusqlite::Result<bool> {
    exists(tx.connection, sql::CLAIM_SWEEP, [interval_ms])
}

/// Those to which no row leads at this moment.
pub(super) fn unknown(connection: &Connection, locations: &[Location]) -> rusqlite::Result<Vec<Location>> {
    let mut unknown = Vec::new();
    for location in locations {
        if !exists(connection, sql::IS_KNOWN, [location.as_str()])? {
            unknown.push(location.clone());
        }
    }
    Ok(unknown)
}

pub(super) fn note_unknown(tx: &Tx<'_>, locations: &[Location]) -> Result<Vec<UnknownObject>, Fault> {
    let mut noted = Vec::new();
    for location in unknown(tx.connection, locations)? {
        let unknown_ms: Option<i64> =
            one(tx.connection, sql::NOTE_UNKNOWN, [location.as_str()], |row| row.get(0))?;
        // It was seen first in the future if the clock was set back.
        let unknown_for = Duration::from_millis(unknown_ms.unwrap_or(0).max(0).unsigned_abs());
        noted.push(UnknownObject { location, unknown_for });
    }
    Ok(noted)
}

pub(super) fn reclaim_unknown(tx: &Tx<'_>, locations: &[Location]) -> Result<u64, Fault> {
    let unknown = unknown(tx.connection, locations)?;
    for location in &unknown {
        give_up(tx, location, 0, "unknown")?;
        execute(tx.connection, sql::FORGET_UNKNOWN, [location.as_str()])?;
    }
    Ok(unknown.len() as u64)
}

pub(super) fn forget_unknown(tx: &Tx<'_>, not_seen_for_ms: i64) -> rusqlite::Result<()> {
    execute(tx.connection, sql::FORGET_UNSEEN, [not_seen_for_ms]).map(drop)
}

pub(super) fn objects(
    connection: &Connection,
    after: Option<&Location>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredObject>> {
    let rest = params![after.map_or("", Location::as_str), i64::MAX];
    let rows: Vec<(i64, StoredObject)> = readable(connection, sql::OBJECTS_AFTER, rest, limit, |row| {
        let object = StoredObject {
            location: parsed(row, 1)?,
            size_bytes: unsigned(row, 2)?,
            is_bad: row.get(3)?,
            digests: Vec::new(),
        };
        Ok((row.get(0)?, object))
    })?;
    rows.into_iter()
        .map(|(id, object)| {
            let digests: Vec<Digest> =
                readable(connection, sql::DIGESTS_OF, [id], usize::MAX, |row| parsed(row, 0))?;
            Ok(StoredObject { digests, ..object })
        })
        .collect()
}

pub(super) fn mark_good(tx: &Tx<'_>, location: &Location) -> rusqlite::Result<()> {
    execute(tx.connection, sql::MARK_GOOD, [location.as_str()]).map(drop)
}

pub(super) fn all_manifests(
    connection: &Connection,
    after: Option<&ManifestPosition>,
    limit: usize,
) -> rusqlite::Result<Vec<(ManifestPosition, StoredManifest)>> {
    let (repository, digest) = after.map_or((0, ""), |after| (after.repository, after.digest.as_str()));
    let mut statement = connection.prepare_cached(sql::MANIFESTS_AFTER)?;
    let mut rows = statement.query(params![repository, digest, i64::MAX])?;
    let (mut page, mut bytes_sum) = (Vec::new(), 0);
    while page.len() < limit
        && let Some(row) = rows.next()?
    {
        let bytes = row.get_ref(3)?.as_blob()?;
        bytes_sum += bytes.len();
        if bytes_sum > MANIFESTS_BYTES_MAX && !page.is_empty() {
            break;
        }
        let read = || {
            let bytes = Bytes::copy_from_slice(bytes);
            Ok(StoredManifest { digest: parsed(row, 1)?, media_type: parsed(row, 2)?, bytes })
        };
        let Some(manifest) = if_readable(read())? else { continue };
        let repository = row.get(0)?;
        let name = name_of(connection, repository)?;
        page.push((ManifestPosition { repository, name, digest: manifest.digest.to_string() }, manifest));
    }
    Ok(page)
}

/// SQLite's own checks: pages and indexes, then foreign keys. Then texts that can not be read, and what is counted for
/// quotas.
pub(super) fn verify(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut said: Vec<String> = connection
        .prepare(&format!("PRAGMA integrity_check({VERIFY_LINES_MAX})"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    said.retain(|line| line != "ok");
    let mut keys = connection.prepare("PRAGMA foreign_key_check")?;
    let dangling = keys.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?))
    })?;
    for row in dangling.take(VERIFY_LINES_MAX) {
        let (table, number, parent) = row?;
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        said.push(format!("a row{number} of {table} refers to a row of {parent} that is not there"));
    }
    for texts in TEXTS {
        said.extend(unreadable(connection, texts)?);
    }
    said.extend(quota::audit(connection)?);
    Ok(said)
}

/// The rows of a table that can not be read.
fn unreadable(connection: &Connection, texts: &Texts) -> rusqlite::Result<Vec<String>> {
    let (mut said, mut after) = (Vec::new(), (0, String::new()));
    while said.len() < VERIFY_LINES_MAX {
        let page = params![after.0, after.1, VERIFY_PAGE];
        let rows: Vec<(i64, String, Vec<String>)> = all(connection, texts.sql, page, |row| {
            let columns = (2..2 + texts.columns.len()).map(|column| row.get(column));
            Ok((row.get(0)?, row.get(1)?, columns.collect::<rusqlite::Result<_>>()?))
        })?;
        let Some((number, key, _)) = rows.last() else { break };
        after = (*number, key.clone());
        said.extend(rows.iter().filter_map(|(_, key, columns)| texts.say(key, columns)));
    }
    Ok(said)
}

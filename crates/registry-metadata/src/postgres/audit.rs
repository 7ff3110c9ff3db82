//! Comparing rows with bytes.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use registry_digest::Digest;
use registry_types::{Location, RepositoryName};
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    quota,
    reclaim::give_up,
    row::{all_parsed, column, parsed, readable, signed, unsigned},
    sql as own,
    transaction::{Tx, Work},
};
use crate::{
    MANIFESTS_BYTES_MAX, ManifestPosition, StoredManifest, StoredObject, UnknownObject,
    audit::{TEXTS, Texts, VERIFY_LINES_MAX, VERIFY_PAGE},
    sql::audit as sql,
};

pub(super) async fn mark(connection: &Connection) -> Result<i64, Fault> {
    let row = connection.one(sql::MARK, &[]).await?;
    row.map_or(Ok(0), |row| column(&row, 0))
}

pub(super) struct RaiseMark {
    pub(super) above: i64,
}

#[async_trait]
impl Work for RaiseMark {
    type Output = i64;

    async fn run(&self, tx: &Tx<'_>) -> Result<i64, Fault> {
        let row = tx.one(sql::RAISE_MARK, &[&self.above]).await?;
        column(&row.ok_or_else(|| Fault::Unreadable("the table `store` has no row".into()))?, 0)
    }
}

pub(super) async fn claim_sweep(connection: &Connection, interval_ms: i64) -> Result<bool, Fault> {
    connection.exists(sql::CLAIM_SWEEP, &[&interval_ms]).await
}

/// Those to which no row leads at this moment.
pub(super) async fn unknown(connection: &Connection, locations: &[Location]) -> Result<Vec<Location>, Fault> {
    let locations: Vec<&str> = locations.iter().map(Location::as_str).collect();
    all_parsed(&connection.all(own::UNKNOWN_OF, &[&locations]).await?)
}

pub(super) async fn note_unknown(
    connection: &Connection,
    locations: &[Location],
) -> Result<Vec<UnknownObject>, Fault> {
    let unknown = unknown(connection, locations).await?;
    // In the order in which everybody locks them.
    let mut texts: Vec<&str> = unknown.iter().map(Location::as_str).collect();
    texts.sort_unstable();
    let noted = |row: &Row| {
        // It was seen first in the future if the clock was set back.
        let unknown_for = Duration::from_millis(column::<i64>(row, 1)?.max(0).unsigned_abs());
        Ok(UnknownObject { location: parsed(row, 0)?, unknown_for })
    };
    connection.all(own::NOTE_UNKNOWN_OF, &[&texts]).await?.iter().map(noted).collect()
}

pub(super) struct ReclaimUnknown(pub(super) Vec<Location>);

#[async_trait]
impl Work for ReclaimUnknown {
    type Output = u64;

    async fn run(&self, tx: &Tx<'_>) -> Result<u64, Fault> {
        let unknown = unknown(tx, &self.0).await?;
        for location in &unknown {
            give_up(tx, location, 0, "unknown").await?;
            tx.execute(sql::FORGET_UNKNOWN, &[&location.as_str()]).await?;
        }
        Ok(unknown.len() as u64)
    }
}

pub(super) async fn forget_unknown(connection: &Connection, not_seen_for_ms: i64) -> Result<(), Fault> {
    connection.execute(sql::FORGET_UNSEEN, &[&not_seen_for_ms]).await.map(drop)
}

pub(super) async fn objects(
    connection: &Connection,
    after: Option<&Location>,
    limit: usize,
) -> Result<Vec<StoredObject>, Fault> {
    let mut after = after.map_or("", Location::as_str).to_owned();
    loop {
        let rows = connection.all(sql::OBJECTS_AFTER, &[&after, &signed(limit)]).await?;
        let objects = objects_of(connection, &rows).await?;
        match rows.last() {
            // Page by page until there are some that can be read.
            Some(last) if objects.is_empty() => after = column(last, 1)?,
            _ => return Ok(objects),
        }
    }
}

async fn objects_of(connection: &Connection, rows: &[Row]) -> Result<Vec<StoredObject>, Fault> {
    let ids: Vec<i64> = rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
    let found = connection.all(own::DIGESTS_OF_MANY, &[&ids]).await?;
    let mut digests: BTreeMap<i64, Vec<Digest>> = BTreeMap::new();
    for (object, digest) in readable(&found, |row| Ok((column(row, 0)?, parsed(row, 1)?)))? {
        digests.entry(object).or_default().push(digest);
    }
    let object = |row: &Row| {
        Ok(StoredObject {
            location: parsed(row, 1)?,
            size_bytes: unsigned(row, 2)?,
            is_bad: column::<i64>(row, 3)? == 1,
            digests: digests.get(&column::<i64>(row, 0)?).cloned().unwrap_or_default(),
        })
    };
    readable(rows, object)
}

/// Shows an object again.
pub(super) struct MarkGood(pub(super) Location);

#[async_trait]
impl Work for MarkGood {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.execute(sql::MARK_GOOD, &[&self.0.as_str()]).await.map(drop)
    }
}

pub(super) async fn all_manifests(
    connection: &Connection,
    after: Option<&ManifestPosition>,
    limit: usize,
) -> Result<Vec<(ManifestPosition, StoredManifest)>, Fault> {
    let mut after = after.map_or((0, String::new()), |after| (after.repository, after.digest.clone()));
    loop {
        let page: Parameters<'_> = &[&after.0, &after.1, &signed(limit), &signed(MANIFESTS_BYTES_MAX)];
        let rows = connection.all(own::MANIFESTS_WITHIN, page).await?;
        let manifests = manifests_of(connection, &rows).await?;
        match rows.last() {
            Some(last) if manifests.is_empty() => after = (column(last, 0)?, column(last, 1)?),
            _ => return Ok(manifests),
        }
    }
}

async fn manifests_of(
    connection: &Connection,
    rows: &[Row],
) -> Result<Vec<(ManifestPosition, StoredManifest)>, Fault> {
    let ids: Vec<i64> = rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
    let names = names_of(connection, &ids).await?;
    let manifest = |row: &Row| {
        let repository = column(row, 0)?;
        let bytes = Bytes::copy_from_slice(column(row, 3)?);
        let manifest = StoredManifest { digest: parsed(row, 1)?, media_type: parsed(row, 2)?, bytes };
        let name = names.get(&repository).cloned();
        Ok((ManifestPosition { repository, name, digest: manifest.digest.to_string() }, manifest))
    };
    readable(rows, manifest)
}

/// Without those that were renamed aside: they have a name that is none.
async fn names_of(connection: &Connection, ids: &[i64]) -> Result<BTreeMap<i64, RepositoryName>, Fault> {
    let mut names = BTreeMap::new();
    for row in connection.all(own::NAMES_OF, &[&ids]).await? {
        if let Ok(name) = column::<&str>(&row, 1)?.parse() {
            names.insert(column(&row, 0)?, name);
        }
    }
    Ok(names)
}

/// Every foreign key, as a statement that counts what it should not let be.
const FOREIGN_KEYS: &str = "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
        format('SELECT COUNT(*) FROM %s child LEFT JOIN %s parent ON %s WHERE %s AND parent.%I IS NULL',
            c.conrelid::regclass, c.confrelid::regclass,
            string_agg(format('parent.%I = child.%I', f.attname, a.attname), ' AND ' ORDER BY k.place),
            string_agg(format('child.%I IS NOT NULL', a.attname), ' AND ' ORDER BY k.place),
            min(f.attname))
    FROM pg_constraint c
    CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (own, foreign_key, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own
    JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = k.foreign_key
    WHERE c.contype = 'f' AND c.connamespace = to_regnamespace(current_schema())
    GROUP BY c.oid, c.conrelid, c.confrelid ORDER BY 1, 2";

/// Every foreign key is looked at, texts that can not be read, and what is counted for quotas; pages and indexes are the
/// server's (`pg_amcheck`). However long it takes.
pub(super) async fn verify(connection: &Connection) -> Result<Vec<String>, Fault> {
    // Its setting is for this alone.
    connection.mark_unusable(true);
    let client = connection.client();
    client.batch_execute("SET statement_timeout = 0").await?;
    let mut said = Vec::new();
    for key in client.query(FOREIGN_KEYS, &[]).await? {
        let (child, parent, count): (String, String, String) =
            (column(&key, 0)?, column(&key, 1)?, column(&key, 2)?);
        let dangling: i64 = column(&client.query_one(&count, &[]).await?, 0)?;
        if dangling > 0 {
            said.push(format!("{dangling} rows of {child} refer to rows of {parent} that are not there"));
        }
    }
    for texts in TEXTS {
        said.extend(unreadable(connection, texts).await?);
    }
    said.extend(quota::audit(connection).await?);
    Ok(said)
}

/// The rows of a table that can not be read.
async fn unreadable(connection: &Connection, texts: &Texts) -> Result<Vec<String>, Fault> {
    let (mut said, mut after) = (Vec::new(), (0_i64, String::new()));
    while said.len() < VERIFY_LINES_MAX {
        let rows = connection.all(texts.sql, &[&after.0, &after.1, &VERIFY_PAGE]).await?;
        let Some(last) = rows.last() else { break };
        after = (column::<i64>(last, 0)?, column(last, 1)?);
        for row in &rows {
            let columns = (2..2 + texts.columns.len()).map(|index| column(row, index));
            said.extend(texts.say(column(row, 1)?, &columns.collect::<Result<Vec<String>, Fault>>()?));
        }
    }
    Ok(said)
}

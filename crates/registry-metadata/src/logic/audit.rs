//! Comparing rows with bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use registry_database::{Fault, FromRow, Row, Session, Text, params, signed};
use registry_digest::Digest;
use registry_types::{Location, RepositoryName};

use super::{Keyed, Tx, all_parsed, all_readable, quota, reclaim::give_up};
use crate::{
    MANIFESTS_BYTES_MAX, ManifestPosition, StoredManifest, StoredObject, UnknownObject,
    audit::{TEXTS, Texts, VERIFY_LINES_MAX, VERIFY_PAGE},
    collecting::Reason,
    sql::audit as sql,
};

pub(crate) async fn mark(session: &impl Session) -> Result<i64, Fault> {
    Ok(session.one(sql::MARK, &[]).await?.unwrap_or(0))
}

pub(crate) async fn raise_mark(tx: &Tx<'_, impl Session>, above: i64) -> Result<i64, Fault> {
    let mark = tx.one(sql::RAISE_MARK, params![above]).await?;
    mark.ok_or_else(|| Fault::Unreadable("the table `store` has no row".into()))
}

pub(crate) async fn claim_sweep(session: &impl Session, interval_ms: i64) -> Result<bool, Fault> {
    session.exists(sql::CLAIM_SWEEP, params![interval_ms]).await
}

/// Those to which no row leads at this moment, in the order of their locations.
pub(crate) async fn unknown(session: &impl Session, locations: &[Location]) -> Result<Vec<Location>, Fault> {
    let locations: Vec<&str> = locations.iter().map(Location::as_str).collect();
    let mut unknown: Vec<Location> = all_parsed(session, sql::UNKNOWN, params![&locations[..]]).await?;
    unknown.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    Ok(unknown)
}

/// Notes those to which no row leads at this moment, in one statement.
pub(crate) async fn note_unknown(
    session: &impl Session,
    locations: &[Location],
) -> Result<Vec<UnknownObject>, Fault> {
    let texts: Vec<&str> = locations.iter().map(Location::as_str).collect();
    let noted: Vec<(Text<Location>, i64)> = session.all(sql::NOTE_UNKNOWN, params![&texts[..]]).await?;
    let object = |(location, unknown_ms): (Text<Location>, i64)| {
        // It was seen first in the future if the clock was set back.
        let unknown_for = Duration::from_millis(unknown_ms.max(0).unsigned_abs());
        UnknownObject { location: location.0, unknown_for }
    };
    Ok(noted.into_iter().map(object).collect())
}

pub(crate) async fn reclaim_unknown(tx: &Tx<'_, impl Session>, locations: &[Location]) -> Result<u64, Fault> {
    let unknown = unknown(tx.session, locations).await?;
    for location in &unknown {
        give_up(tx, location, 0, Reason::Unknown).await?;
        tx.execute(sql::FORGET_UNKNOWN, params![location.as_str()]).await?;
    }
    Ok(unknown.len() as u64)
}

pub(crate) async fn forget_unknown(session: &impl Session, not_seen_for_ms: i64) -> Result<(), Fault> {
    session.execute(sql::FORGET_UNSEEN, params![not_seen_for_ms]).await.map(drop)
}

/// A page of objects: at most so many that can be read, and none only after the last.
pub(crate) async fn objects(
    session: &impl Session,
    after: Option<&Location>,
    limit: usize,
) -> Result<Vec<StoredObject>, Fault> {
    let mut after = after.map_or("", Location::as_str).to_owned();
    loop {
        let page: Vec<Keyed<(i64, String), StoredObject>> =
            session.all(sql::OBJECTS_AFTER, params![&after, signed(limit)]).await?;
        let Some(Keyed { key: (_, last), .. }) = page.last() else { return Ok(Vec::new()) };
        after.clone_from(last);
        let objects = with_digests(session, page).await?;
        if !objects.is_empty() {
            return Ok(objects);
        }
    }
}

async fn with_digests(
    session: &impl Session,
    page: Vec<Keyed<(i64, String), StoredObject>>,
) -> Result<Vec<StoredObject>, Fault> {
    let ids: Vec<i64> = page.iter().map(|row| row.key.0).collect();
    let found: Vec<(i64, Text<Digest>)> = all_readable(session, sql::DIGESTS_OF, params![&ids[..]]).await?;
    let mut digests: BTreeMap<i64, BTreeSet<Digest>> = BTreeMap::new();
    for (object, digest) in found {
        digests.entry(object).or_default().insert(digest.0);
    }
    let object = |row: Keyed<(i64, String), StoredObject>| {
        let digests = digests.remove(&row.key.0).unwrap_or_default();
        Some(StoredObject { digests: digests.into_iter().collect(), ..row.value? })
    };
    Ok(page.into_iter().filter_map(object).collect())
}

/// Without its digests; after its number.
impl FromRow for StoredObject {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        let (location, size_bytes) = (row.parsed(1)?, row.get(2)?);
        Ok(StoredObject { location, size_bytes, is_bad: row.get(3)?, digests: Vec::new() })
    }
}

pub(crate) async fn mark_good(session: &impl Session, location: &Location) -> Result<(), Fault> {
    session.execute(sql::MARK_GOOD, params![location.as_str()]).await.map(drop)
}

/// A page of manifests: at most so many that can be read, and none only after the last.
pub(crate) async fn all_manifests(
    session: &impl Session,
    after: Option<&ManifestPosition>,
    limit: usize,
) -> Result<Vec<(ManifestPosition, StoredManifest)>, Fault> {
    let mut after = after.map_or((0, String::new()), |after| (after.repository, after.digest.clone()));
    loop {
        let within = params![after.0, &after.1, signed(limit), signed(MANIFESTS_BYTES_MAX)];
        let page: Vec<Keyed<(i64, String), StoredManifest>> =
            session.all(sql::MANIFESTS_WITHIN, within).await?;
        let Some(last) = page.last() else { return Ok(Vec::new()) };
        let next = last.key.clone();
        let manifests = with_positions(session, page).await?;
        if !manifests.is_empty() {
            return Ok(manifests);
        }
        after = next;
    }
}

async fn with_positions(
    session: &impl Session,
    page: Vec<Keyed<(i64, String), StoredManifest>>,
) -> Result<Vec<(ManifestPosition, StoredManifest)>, Fault> {
    let repositories: BTreeSet<i64> = page.iter().map(|row| row.key.0).collect();
    let repositories: Vec<i64> = repositories.into_iter().collect();
    let rows: Vec<(i64, String)> = session.all(sql::NAMES_OF, params![&repositories[..]]).await?;
    // A repository that was renamed aside has a name that is none.
    let names: BTreeMap<i64, RepositoryName> =
        rows.into_iter().filter_map(|(id, name)| Some((id, name.parse().ok()?))).collect();
    let manifest = |row: Keyed<(i64, String), StoredManifest>| {
        let (manifest, (repository, _)) = (row.value?, row.key);
        let name = names.get(&repository).cloned();
        Some((ManifestPosition { repository, name, digest: manifest.digest.to_string() }, manifest))
    };
    Ok(page.into_iter().filter_map(manifest).collect())
}

/// After the repository's number.
impl FromRow for StoredManifest {
    fn from_row(row: &Row<'_>) -> Result<Self, Fault> {
        let bytes = Bytes::copy_from_slice(row.bytes(3)?);
        Ok(StoredManifest { digest: row.parsed(1)?, media_type: row.parsed(2)?, bytes })
    }
}

/// Texts that can not be read, and what is counted wrongly for quotas. The databases' own checks are in their folders.
pub(crate) async fn verify(session: &impl Session) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for texts in TEXTS {
        said.extend(unreadable(session, texts).await?);
    }
    said.extend(quota::audit(session).await?);
    Ok(said)
}

/// The rows of a table that can not be read.
async fn unreadable(session: &impl Session, texts: &Texts) -> Result<Vec<String>, Fault> {
    let (mut said, mut after) = (Vec::new(), (0, String::new()));
    while said.len() < VERIFY_LINES_MAX {
        let page = params![after.0, &after.1, VERIFY_PAGE];
        let rows: Vec<(i64, String, String, Option<String>)> = session.all(texts.sql, page).await?;
        let Some((number, key, ..)) = rows.last() else { break };
        after = (*number, key.clone());
        said.extend(rows.iter().filter_map(|(_, key, first, second)| {
            texts.say(key, [Some(first.as_str()), second.as_deref()].into_iter().flatten())
        }));
    }
    Ok(said)
}

//! Images and when they were pulled.

use registry_digest::Digest;
use registry_types::RepositoryName;
use rusqlite::{Connection, Row, ToSql, params};

use super::{
    fault::Fault,
    manifests, repositories,
    statement::{all, execute, if_readable, one, parsed, signed},
    tags,
    writer::Tx,
};
use crate::{
    Image, ImagePage, ImagePosition, Options, PULLS_APART, Pull,
    clock::millis,
    retention::{Position, TaggedRow, UntaggedRow},
    sql::retention as sql,
};

pub(super) fn page(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
    after: Option<&ImagePosition>,
    limit: usize,
) -> rusqlite::Result<ImagePage> {
    let times =
        one(connection, sql::TIMES.sqlite, [], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let (now_ms, pulls_since) = times.unwrap_or_default();
    let first = Position::first();
    let (images, next) = match after.map_or(&first, |after| &after.0) {
        Position::Tags(after) => {
            let page = params![repository.as_str(), after, signed(limit)];
            let (rows, last, is_full) =
                rows_of_page(connection, sql::TAGGED_AFTER.sqlite, page, limit, tagged)?;
            let images = rows.into_iter().map(|row| row.image(options, repository)).collect();
            (images, ImagePosition::after_tags(last, is_full))
        }
        Position::Manifests(after) => {
            let page = params![repository.as_str(), after, signed(limit)];
            let (rows, last, is_full) =
                rows_of_page(connection, sql::UNTAGGED_AFTER.sqlite, page, limit, untagged)?;
            let images = rows.into_iter().filter_map(|row| row.image(options)).collect();
            (images, ImagePosition::after_manifests(last, is_full))
        }
    };
    Ok(ImagePage { images, next, now_ms, pulls_since_ms: pulls_since.unwrap_or(now_ms) })
}

/// The rows that can be read, the first column of the last one, and whether there may be more.
fn rows_of_page<T>(
    connection: &Connection,
    sql: &str,
    page: &[&dyn ToSql],
    limit: usize,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<(Vec<T>, Option<String>, bool)> {
    let rows: Vec<(String, Option<T>)> =
        all(connection, sql, page, |row| Ok((row.get(0)?, if_readable(read(row))?)))?;
    let (last, is_full) = (rows.last().map(|(name, _)| name.clone()), rows.len() == limit);
    Ok((rows.into_iter().filter_map(|(_, row)| row).collect(), last, is_full))
}

/// Deletes an image that is as it was told.
pub(super) fn expire(
    tx: &Tx<'_>,
    repository: &RepositoryName,
    image: &Image,
    actor: &str,
) -> Result<bool, Fault> {
    let Some(id) = repositories::id(tx.connection(), repository)? else { return Ok(false) };
    if image.hold.is_some() || find(tx, id, repository, image)?.as_ref() != Some(image) {
        return Ok(false);
    }
    match &image.tag {
        Some(tag) => tags::expire(tx, id, tag, actor)?,
        None => {
            manifests::remove(tx, id, &image.digest, Some(actor))?;
        }
    }
    Ok(true)
}

/// The image as it is now.
fn find(tx: &Tx<'_>, id: i64, repository: &RepositoryName, image: &Image) -> rusqlite::Result<Option<Image>> {
    match &image.tag {
        Some(tag) => {
            let row = one(tx.connection(), sql::TAGGED.sqlite, params![id, tag.as_str()], tagged)?;
            Ok(row.map(|row| row.image(tx.options, repository)))
        }
        None => {
            let row =
                one(tx.connection(), sql::UNTAGGED.sqlite, params![id, image.digest.to_string()], untagged)?;
            Ok(row.and_then(|row| row.image(tx.options)))
        }
    }
}

pub(super) fn record(tx: &Tx<'_>, pulls: &[Pull]) -> Result<(), Fault> {
    execute(tx.connection(), sql::BEGIN_PULLS.sqlite, [])?;
    for Pull { repository, digest } in pulls {
        let row = params![repository.as_str(), digest.to_string(), millis(PULLS_APART)];
        execute(tx.connection(), sql::RECORD_PULL.sqlite, row)?;
    }
    Ok(())
}

fn tagged(row: &Row<'_>) -> rusqlite::Result<TaggedRow> {
    Ok(TaggedRow {
        tag: parsed(row, 0)?,
        digest: parsed::<Digest>(row, 1)?,
        created_at_ms: row.get(2)?,
        updated_at_ms: row.get(3)?,
        pulled: [row.get(4)?, row.get(5)?],
        is_companion: row.get(6)?,
    })
}

fn untagged(row: &Row<'_>) -> rusqlite::Result<UntaggedRow> {
    Ok(UntaggedRow {
        digest: parsed(row, 0)?,
        created_at_ms: row.get(1)?,
        lease_until_ms: row.get(2)?,
        now_ms: row.get(3)?,
        pulled: [row.get(4)?, row.get(5)?],
        is_referenced: row.get(6)?,
    })
}

//! Images and when they were pulled.

use async_trait::async_trait;
use registry_types::RepositoryName;
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    fault::Fault,
    manifests, repositories,
    row::{column, parsed, readable, signed},
    sql as own, tags,
    transaction::{Tx, Work},
};
use crate::{
    Image, ImagePage, ImagePosition, Options, PULLS_APART, Pull,
    clock::millis,
    retention::{Position, TaggedRow, UntaggedRow},
    sql::retention as sql,
};

pub(super) async fn page(
    connection: &Connection,
    options: &Options,
    repository: &RepositoryName,
    after: Option<&ImagePosition>,
    limit: usize,
) -> Result<ImagePage, Fault> {
    let times = connection.one(sql::TIMES.postgres, &[]).await?;
    let times = times.map(|row| Ok::<_, Fault>((column(&row, 0)?, column(&row, 1)?))).transpose()?;
    let (now_ms, pulls_since): (i64, Option<i64>) = times.unwrap_or_default();
    let first = Position::first();
    let position = after.map_or(&first, |after| &after.0);
    let (statement, name) = match position {
        Position::Tags(after) => (sql::TAGGED_AFTER.postgres, after),
        Position::Manifests(after) => (sql::UNTAGGED_AFTER.postgres, after),
    };
    let rows = connection.all(statement, &[&repository.as_str(), name, &signed(limit)]).await?;
    let is_full = rows.len() == limit;
    let last: Option<String> = rows.last().map(|row| column(row, 0)).transpose()?;
    let (images, next) = match position {
        Position::Tags(_) => {
            let rows: Vec<TaggedRow> = readable(&rows, tagged)?;
            let images = rows.into_iter().map(|row| row.image(options, repository)).collect();
            (images, ImagePosition::after_tags(last, is_full))
        }
        Position::Manifests(_) => {
            let rows: Vec<UntaggedRow> = readable(&rows, untagged)?;
            let images = rows.into_iter().filter_map(|row| row.image(options)).collect();
            (images, ImagePosition::after_manifests(last, is_full))
        }
    };
    Ok(ImagePage { images, next, now_ms, pulls_since_ms: pulls_since.unwrap_or(now_ms) })
}

/// Deletes an image that is as it was told.
pub(super) struct Expire {
    pub(super) repository: RepositoryName,
    pub(super) image: Image,
    pub(super) actor: String,
}

#[async_trait]
impl Work for Expire {
    type Output = bool;

    async fn run(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        if self.image.hold.is_some() {
            return Ok(false);
        }
        match &self.image.tag {
            Some(_) => self.expire_tag(tx).await,
            None => self.expire_manifest(tx).await,
        }
    }
}

impl Expire {
    /// Locks the tag, then looks in a new statement: whoever sets it is waited for, and seen.
    async fn expire_tag(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        let (Some(tag), Some(id)) = (&self.image.tag, repositories::id(tx, &self.repository).await?) else {
            return Ok(false);
        };
        if tags::lock(tx, &self.repository, tag).await?.is_none() {
            return Ok(false);
        }
        let row = tx.one(sql::TAGGED.postgres, &[&id, &tag.as_str()]).await?;
        let now =
            row.map(|row| Ok::<_, Fault>(tagged(&row)?.image(tx.options, &self.repository))).transpose()?;
        if now.as_ref() != Some(&self.image) {
            return Ok(false);
        }
        tags::remove(tx, id, tag, Some(&self.actor)).await?;
        manifests::dereferenced(tx, id, &[self.image.digest], "expired").await?;
        Ok(true)
    }

    /// Locks repository and manifest, as every deletion does, then looks in a new statement.
    async fn expire_manifest(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        let row = tx.one(own::LOCK_REPOSITORY, &[&self.repository.as_str()]).await?;
        let Some(id) = row.map(|row| column::<i64>(&row, 0)).transpose()? else { return Ok(false) };
        let of_manifest: Parameters<'_> = &[&id, &self.image.digest.to_string()];
        if !tx.exists(own::LOCK_MANIFEST, of_manifest).await? {
            return Ok(false);
        }
        let row = tx.one(sql::UNTAGGED.postgres, of_manifest).await?;
        let now = row.map(|row| Ok::<_, Fault>(untagged(&row)?.image(tx.options))).transpose()?.flatten();
        if now.as_ref() != Some(&self.image) {
            return Ok(false);
        }
        manifests::remove(tx, id, &self.image.digest, Some(&self.actor)).await?;
        Ok(true)
    }
}

/// In the order in which everybody locks them.
pub(super) struct RecordPulls(Vec<Pull>);

impl RecordPulls {
    pub(super) fn new(pulls: &[Pull]) -> RecordPulls {
        let mut pulls = pulls.to_vec();
        pulls.sort_unstable();
        pulls.dedup();
        RecordPulls(pulls)
    }
}

#[async_trait]
impl Work for RecordPulls {
    type Output = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.execute(sql::BEGIN_PULLS.postgres, &[]).await?;
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.0.iter().map(|pull| pull.repository.as_str()).collect();
        let digests: Vec<String> = self.0.iter().map(|pull| pull.digest.to_string()).collect();
        tx.execute(own::RECORD_PULLS, &[&names, &digests, &millis(PULLS_APART)]).await.map(drop)
    }
}

fn tagged(row: &Row) -> Result<TaggedRow, Fault> {
    Ok(TaggedRow {
        tag: parsed(row, 0)?,
        digest: parsed(row, 1)?,
        created_at_ms: column(row, 2)?,
        updated_at_ms: column(row, 3)?,
        pulled: [column(row, 4)?, column(row, 5)?],
        is_companion: column::<i32>(row, 6)? == 1,
    })
}

fn untagged(row: &Row) -> Result<UntaggedRow, Fault> {
    Ok(UntaggedRow {
        digest: parsed(row, 0)?,
        created_at_ms: column(row, 1)?,
        lease_until_ms: column(row, 2)?,
        now_ms: column(row, 3)?,
        pulled: [column(row, 4)?, column(row, 5)?],
        is_referenced: column::<i32>(row, 6)? == 1,
    })
}

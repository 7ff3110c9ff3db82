//! Pushing a manifest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use registry_digest::Digest;
use registry_types::{Descriptor, Manifest, RepositoryName, Tag};
use rusqlite::params;

use super::{
    fault::Fault,
    manifests,
    reclaim::{Garbage, enqueue},
    repositories,
    statement::{execute, exists, one},
    tags,
    writer::Tx,
};
use crate::{
    MetadataError, PutManifest,
    sql::{blobs as blob_sql, manifests as sql, repositories as repository_sql},
};

/// Everything that the writer needs of a [`PutManifest`], taken out on the thread that asks.
pub(super) struct Put {
    repository: RepositoryName,
    digest: Digest,
    media_type: String,
    subject: Option<String>,
    artifact_type: Option<String>,
    annotations: Option<String>,
    bytes: Bytes,
    /// What it refers to, each once and in order, and whether that must be there.
    blobs: BTreeMap<Digest, bool>,
    children: BTreeMap<Digest, bool>,
    tags: Vec<Tag>,
    actor: Option<String>,
    /// Whether it has labels, which somebody is to read.
    has_labels: bool,
}

/// A digest as it is stored, and the same again if it is here: the foreign key.
struct Link {
    digest: String,
    target: Option<String>,
}

impl Put {
    pub(super) fn new(put: &PutManifest<'_>) -> Put {
        let manifest = put.manifest;
        let required: BTreeSet<&Digest> = put.required.iter().chain(put.required_children).collect();
        let marked = |descriptor: &Descriptor| (descriptor.digest, required.contains(&descriptor.digest));
        let mut blobs: BTreeMap<Digest, bool> = manifest.blobs().map(marked).collect();
        let mut children: BTreeMap<Digest, bool> = manifest.child_manifests().map(marked).collect();
        let is_named = |digest: &&Digest| blobs.contains_key(digest) || children.contains_key(digest);
        // Whatever else the caller requires is required, though the manifest does not name it.
        let missing = |required: &[Digest]| -> Vec<Digest> {
            required.iter().filter(|digest| !is_named(digest)).copied().collect()
        };
        let (more_blobs, more_children) = (missing(put.required), missing(put.required_children));
        blobs.extend(more_blobs.into_iter().map(|digest| (digest, true)));
        children.extend(more_children.into_iter().map(|digest| (digest, true)));
        Put {
            repository: put.repository.clone(),
            digest: put.digest,
            media_type: manifest.media_type().to_string(),
            subject: manifest.subject().map(|subject| subject.digest.to_string()),
            artifact_type: manifest.artifact_type().map(str::to_owned),
            annotations: annotations(put),
            bytes: manifest.bytes().clone(),
            blobs,
            children,
            tags: put.tags.to_vec(),
            actor: put.actor.map(str::to_owned),
            has_labels: has_labels(manifest),
        }
    }

    /// References are checked, then manifest and references inserted, then tags set.
    pub(super) fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let repository = repositories::create(tx, &self.repository)?;
        let (blobs, children) = self.resolve(tx, repository)?;
        if self.insert(tx, repository)? {
            self.insert_references(tx, repository, &blobs, &children)?;
            if self.has_labels {
                enqueue(tx, Garbage::Label(repository), &self.digest, 0, "pushed")?;
            }
        }
        for tag in &self.tags {
            tags::set(tx, repository, tag, &self.digest, self.actor.as_deref())?;
        }
        if self.tags.is_empty() {
            // Nothing may refer to it yet, and its pusher was told that it is here.
            manifests::grant(tx, repository, &self.digest, "pushed")?;
        }
        Ok(())
    }

    /// For a manifest whose row is here again: its references, and what waits for it.
    pub(super) fn link(&self, tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
        let (blobs, children) = self.resolve(tx, repository)?;
        Ok(self.insert_references(tx, repository, &blobs, &children)?)
    }

    fn insert_references(
        &self,
        tx: &Tx<'_>,
        repository: i64,
        blobs: &[Link],
        children: &[Link],
    ) -> rusqlite::Result<()> {
        let manifest = self.digest.to_string();
        insert_links(tx, sql::INSERT_BLOB, repository, &manifest, blobs)?;
        insert_links(tx, sql::INSERT_CHILD, repository, &manifest, children)?;
        execute(tx.connection, sql::LINK_WAITING, params![repository, manifest])?;
        execute(tx.connection, repository_sql::LIST, [repository]).map(drop)
    }

    /// What of the references is here. All that is required and is not is told at once.
    fn resolve(&self, tx: &Tx<'_>, repository: i64) -> Result<(Vec<Link>, Vec<Link>), Fault> {
        let mut digests = BTreeSet::new();
        let mut blobs = Vec::with_capacity(self.blobs.len());
        for (digest, is_required) in &self.blobs {
            let text = digest.to_string();
            let is_bad: Option<bool> =
                one(tx.connection, blob_sql::LINKED, params![repository, text], |row| row.get(0))?;
            // Bad bytes count as absent, so that the client pushes them again; but the link is there and is kept.
            if *is_required && is_bad != Some(false) {
                digests.insert(*digest);
            }
            blobs.push(Link { target: is_bad.map(|_| text.clone()), digest: text });
        }
        let mut children = Vec::with_capacity(self.children.len());
        for (digest, is_required) in &self.children {
            let text = digest.to_string();
            let is_here = exists(tx.connection, sql::EXISTS, params![repository, text])?;
            if *is_required && !is_here {
                digests.insert(*digest);
            }
            children.push(Link { target: is_here.then(|| text.clone()), digest: text });
        }
        if digests.is_empty() {
            return Ok((blobs, children));
        }
        Err(MetadataError::MissingReferences { digests: digests.into_iter().collect() }.into())
    }

    /// Whether the manifest is new here.
    fn insert(&self, tx: &Tx<'_>, repository: i64) -> rusqlite::Result<bool> {
        let row = params![
            repository,
            self.digest.to_string(),
            self.media_type,
            super::statement::signed(self.bytes.len()),
            self.subject,
            self.artifact_type,
            tx.options.grant_ms(),
            self.actor,
            self.annotations,
            &self.bytes[..],
        ];
        Ok(execute(tx.connection, sql::INSERT, row)? > 0)
    }
}

fn insert_links(
    tx: &Tx<'_>,
    sql: &str,
    repository: i64,
    manifest: &str,
    links: &[Link],
) -> rusqlite::Result<()> {
    for link in links {
        execute(tx.connection, sql, params![repository, manifest, link.digest, link.target])?;
    }
    Ok(())
}

/// Whether the config may have labels, or the manifest says itself when it expires.
fn has_labels(manifest: &Manifest) -> bool {
    let of_image =
        ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
    manifest.config().is_some_and(|config| of_image.contains(&config.media_type.as_str()))
        || manifest.annotations().contains_key(crate::EXPIRES_AFTER)
}

/// Only referrers are listed with their annotations.
fn annotations(put: &PutManifest<'_>) -> Option<String> {
    let annotations = put.manifest.annotations();
    let is_listed = put.manifest.subject().is_some() && !annotations.is_empty();
    is_listed.then(|| serde_json::to_string(annotations).expect("texts by texts are JSON"))
}

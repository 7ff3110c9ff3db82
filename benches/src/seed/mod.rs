//! A registry that many have pushed to for years, made in seconds: rows are written straight into the database, whose schema
//! the server itself has made. Bytes of blobs are not there; nothing asks for them.

pub(crate) mod images;
pub(crate) mod waiting;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use serde_json::json;

use crate::{
    bench::{Bench, HOT_REPOSITORY, HOT_TAG, remove},
    image::{digest, push_to},
    servers::{OurOptions, Server},
};

/// A repository with many tags.
pub(crate) const TAGS_REPOSITORY: &str = "bench/tags";

/// How much there is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) tags: u64,
    pub(crate) repositories: u64,
    pub(crate) blobs: u64,
}

pub(crate) fn tag_name(number: u64) -> String {
    format!("v{number:07}")
}

pub(crate) fn repository_name(number: u64) -> String {
    format!("bench/r{number:07}")
}

/// A folder for ours with the hot image and all that.
pub(crate) fn ours(bench: &Bench, folder: &Path, amount: Amount) -> Result<()> {
    let server = Server::ours(&bench.programs, folder, OurOptions::default())?;
    push_to(&server.plain()?, &bench.hot, HOT_REPOSITORY, HOT_TAG)?;
    let database = server.directory.join("metadata.sqlite");
    drop(server);
    fill(&database, amount).with_context(|| format!("write rows into {}", database.display()))
}

/// The same for docker-registry, which keeps them as folders; without blobs.
pub(crate) fn docker_registry(data: &Path, amount: Amount) -> Result<()> {
    let repositories = data.join("docker/registry/v2/repositories");
    let link = index().1;
    for tag in (0..amount.tags).map(tag_name) {
        let current = repositories.join(TAGS_REPOSITORY).join("_manifests/tags").join(tag).join("current");
        fs::create_dir_all(&current)?;
        fs::write(current.join("link"), &link)?;
    }
    for name in (0..amount.repositories).map(repository_name) {
        for part in ["_layers", "_manifests", "_uploads"] {
            fs::create_dir_all(repositories.join(&name).join(part))?;
        }
    }
    Ok(())
}

/// Removes a folder of ours, once its server has stopped.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    remove(folder)
}

/// An index of nothing, which refers to nothing, and its digest.
fn index() -> (Vec<u8>, String) {
    let manifest = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []});
    let bytes = manifest.to_string().into_bytes();
    let digest = digest(&bytes);
    (bytes, digest)
}

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// `$1` is how many.
pub(super) const NUMBERS: &str =
    "WITH RECURSIVE number(i) AS (SELECT 0 WHERE $1 > 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < $1)";

/// Opens the database of a stopped server, to write much into it at once.
pub(super) fn open(database: &Path) -> Result<Connection> {
    let connection = Connection::open(database)?;
    // A benchmark that is stopped here begins anew; and the log would be as large as the database.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF")?;
    Ok(connection)
}

fn fill(database: &Path, amount: Amount) -> Result<()> {
    let mut connection = open(database)?;
    let transaction = connection.transaction()?;
    let (bytes, digest) = index();
    let count = |number: u64| i64::try_from(number);

    let repository = "INSERT INTO repositories (name, listed, created_at) VALUES ($1, 1, 0)";
    transaction.execute(repository, [TAGS_REPOSITORY])?;
    let repositories = format!(
        "{NUMBERS} INSERT INTO repositories (name, listed, created_at)
         SELECT printf('bench/r%07d', i), 1, 0 FROM number"
    );
    transaction.execute(&repositories, [count(amount.repositories)?])?;
    let manifests = "INSERT INTO manifests
            (repository, digest, media_type, size, lease_until, pushed_at, bytes)
         SELECT id, $1, $2, $3, 0, 0, $4 FROM repositories WHERE name = $5 OR name GLOB 'bench/r[0-9]*'";
    let size = count(bytes.len() as u64)?;
    transaction.execute(manifests, params![digest, INDEX_TYPE, size, bytes, TAGS_REPOSITORY])?;
    let tags = format!(
        "{NUMBERS} INSERT INTO tags (repository, name, digest, updated_at)
         SELECT (SELECT id FROM repositories WHERE name = $2), printf('v%07d', i), $3, 0 FROM number"
    );
    transaction.execute(&tags, params![count(amount.tags)?, TAGS_REPOSITORY, digest])?;
    let objects = format!(
        "{NUMBERS} INSERT INTO objects (location, size, created_at)
         SELECT printf('store/blobs/%02x/seed-%d', i & 255, i), 1000, 0 FROM number"
    );
    transaction.execute(&objects, [count(amount.blobs)?])?;
    let digests = "INSERT INTO digests (digest, object)
         SELECT 'sha256:' || lower(hex(randomblob(32))), id FROM objects WHERE location GLOB 'store/blobs/*/seed-*'";
    transaction.execute(digests, [])?;
    // Spread over the repositories, in the manner of real ones.
    let links = "INSERT INTO repository_blobs (repository, digest, lease_until, created_at)
         SELECT (SELECT id FROM repositories WHERE name = $1) + object % $2, digest, 0, 0 FROM digests
         WHERE object IN (SELECT id FROM objects WHERE location GLOB 'store/blobs/*/seed-*')";
    transaction.execute(links, params![TAGS_REPOSITORY, count(amount.repositories.max(1))?])?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA journal_mode = WAL")?;
    Ok(())
}

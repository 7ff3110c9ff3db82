//! Images with all their bytes, as if they had been pushed: for ours as rows and files, for docker-registry as files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rusqlite::{Connection, Transaction, params};

use crate::{
    image::{Blob, Image, MANIFEST_TYPE, digest},
    random::Random,
};

/// Over so many repositories they are spread.
const REPOSITORIES: usize = 1000;

/// A config and one layer of this size, so that the disk holds them.
const LAYER_BYTES: usize = 400;

/// An image that can be deleted.
pub(crate) struct Seeded {
    pub(crate) repository: String,
    pub(crate) digest: String,
}

impl Seeded {
    pub(crate) fn path(&self) -> String {
        format!("/v2/{}/manifests/{}", self.repository, self.digest)
    }
}

/// Writes so many images into the database and the folder that a server of ours has made.
pub(crate) fn ours(data: &Path, count: usize) -> Result<Vec<Seeded>> {
    let blobs = data.join("store/blobs");
    for byte in 0..=255 {
        fs::create_dir_all(blobs.join(format!("{byte:02x}")))?;
    }
    let mut connection = Connection::open(data.join("metadata.sqlite"))?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF")?;
    let transaction = connection.transaction()?;
    let names: Vec<String> = (0..REPOSITORIES).map(|number| format!("bench/gc{number:04}")).collect();
    let mut ids = Vec::with_capacity(names.len());
    for name in &names {
        let sql = "INSERT INTO repositories (name, listed, created_at) VALUES ($1, 1, 0)";
        transaction.execute(sql, [name])?;
        ids.push(transaction.last_insert_rowid());
    }
    let mut random = Random::new();
    let mut seeded = Vec::with_capacity(count);
    for number in 0..count {
        let image = Image::random(&mut random, &[LAYER_BYTES], &[]);
        let at = number % REPOSITORIES;
        seeded.push(Seeded { repository: names[at].clone(), digest: digest(&image.manifest) });
        let rows = Rows { transaction: &transaction, repository: ids[at], blobs: &blobs };
        rows.insert(&image, &format!("v{number}"), &mut random)?;
    }
    transaction.commit()?;
    connection.execute_batch("PRAGMA journal_mode = WAL")?;
    Ok(seeded)
}

/// Where the rows of one image go.
struct Rows<'a> {
    transaction: &'a Transaction<'a>,
    repository: i64,
    blobs: &'a Path,
}

impl Rows<'_> {
    fn insert(&self, image: &Image, tag: &str, random: &mut Random) -> Result<()> {
        let manifest = digest(&image.manifest);
        let size = i64::try_from(image.manifest.len())?;
        self.execute(
            "INSERT INTO manifests (repository, digest, media_type, size, lease_until, pushed_at, bytes)
             VALUES ($1, $2, $3, $4, 0, 0, $5)",
            params![self.repository, manifest, MANIFEST_TYPE, size, image.manifest],
        )?;
        for blob in image.layers.iter().chain([&image.config]) {
            self.blob(blob, random)?;
            self.execute(
                "INSERT INTO manifest_blobs (repository, manifest, digest, target) VALUES ($1, $2, $3, $3)",
                params![self.repository, manifest, blob.digest],
            )?;
        }
        self.execute(
            "INSERT INTO tags (repository, name, digest, updated_at) VALUES ($1, $2, $3, 0)",
            params![self.repository, tag, manifest],
        )
    }

    fn blob(&self, blob: &Blob, random: &mut Random) -> Result<()> {
        let id = upload_id(random);
        let location = format!("store/blobs/{}/{id}", &id[..2]);
        fs::write(self.blobs.join(&id[..2]).join(&id), &blob.bytes)?;
        let size = i64::try_from(blob.bytes.len())?;
        self.execute(
            "INSERT INTO objects (location, size, created_at) VALUES ($1, $2, 0)",
            params![location, size],
        )?;
        let object = self.transaction.last_insert_rowid();
        self.execute("INSERT INTO digests (digest, object) VALUES ($1, $2)", params![blob.digest, object])?;
        self.execute(
            "INSERT INTO repository_blobs (repository, digest, lease_until, created_at) VALUES ($1, $2, 0, 0)",
            params![self.repository, blob.digest],
        )
    }

    fn execute(&self, sql: &str, row: impl rusqlite::Params) -> Result<()> {
        self.transaction.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }
}

/// A version 4 UUID, as uploads have.
fn upload_id(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// The same for docker-registry: blobs by their digests, and links to them. Of `deleted` of them, spread over all, the
/// manifest's link is missing, as after a `DELETE`.
pub(crate) fn docker_registry(data: &Path, count: usize, deleted: usize) -> Result<()> {
    let root = data.join("docker/registry/v2");
    let mut random = Random::new();
    for number in 0..count {
        let image = Image::random(&mut random, &[LAYER_BYTES], &[]);
        let repository = root.join(format!("repositories/bench/gc{:04}", number % REPOSITORIES));
        let manifest = Blob::of(image.manifest);
        for blob in image.layers.iter().chain([&image.config]) {
            write_blob(&root, blob)?;
            write(
                &repository.join("_layers").join(below(&blob.digest)?).join("link"),
                blob.digest.as_bytes(),
            )?;
        }
        write_blob(&root, &manifest)?;
        let is_deleted = number % (count / deleted).max(1) == 0;
        if !is_deleted {
            let link = manifest.digest.as_bytes();
            write(
                &repository.join("_manifests/revisions").join(below(&manifest.digest)?).join("link"),
                link,
            )?;
            let tag = repository.join("_manifests/tags").join(format!("v{number}"));
            write(&tag.join("current/link"), link)?;
            write(&tag.join("index").join(below(&manifest.digest)?).join("link"), link)?;
        }
    }
    Ok(())
}

fn write_blob(root: &Path, blob: &Blob) -> Result<()> {
    let (_, hex) = blob.digest.split_once(':').context("a digest has an algorithm")?;
    write(&root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data"), &blob.bytes)
}

fn below(digest: &str) -> Result<PathBuf> {
    let (algorithm, hex) = digest.split_once(':').context("a digest has an algorithm")?;
    Ok(PathBuf::from(algorithm).join(hex))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    Ok(fs::write(path, bytes)?)
}

//! Finding repositories: several parts of the storage are walked at once, and each repository is handed on when the walk has passed it.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use registry_digest::Digest;
use registry_storage::{OtherKeys, OtherObject, StorageError};
use tokio::sync::mpsc::Sender;

use crate::{
    layout::{Entry, REPOSITORIES, parse, passes_over},
    report::Notes,
};

/// With fewer parts than this, organisations are parts no more, and what is in them are.
const PARTS_MIN: usize = 16;

/// How often parts are taken apart.
const LEVELS_MAX: usize = 3;

/// A repository as it is in the storage.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) layers: Vec<Link<Digest>>,
    pub(crate) revisions: Vec<Link<Digest>>,
    pub(crate) tags: Vec<Link<String>>,
}

/// A link, which may not be read yet.
#[derive(Debug)]
pub(crate) struct Link<T> {
    pub(crate) of: T,
    pub(crate) size_bytes: u64,
    pub(crate) modified_ms: i64,
}

/// The folders that are walked, each of them with whole repositories in it.
pub(crate) async fn parts(keys: &dyn OtherKeys) -> Result<Vec<String>, StorageError> {
    let below = |folder: &str, names: Vec<String>| -> Vec<String> {
        names.into_iter().map(|name| format!("{folder}{name}/")).collect()
    };
    let mut parts = below(REPOSITORIES, keys.folders(REPOSITORIES).await?);
    for _ in 0..LEVELS_MAX {
        if parts.len() >= PARTS_MIN {
            break;
        }
        let mut finer = Vec::new();
        for part in parts.iter().cloned() {
            let names = keys.folders(&part).await?;
            match names.is_empty() || names.iter().any(|name| name.starts_with('_')) {
                true => finer.push(part),
                false => finer.extend(below(&part, names)),
            }
        }
        if finer.len() == parts.len() {
            break;
        }
        parts = finer;
    }
    Ok(parts)
}

/// Walks a part. Ends early once the run takes no repositories any more.
pub(crate) async fn walk(
    keys: &dyn OtherKeys,
    part: &str,
    notes: &Notes,
    to: &Sender<Found>,
) -> Result<(), StorageError> {
    let mut pages = keys.walk(part, passes_over);
    let mut found = Found::default();
    while let Some(page) = pages.try_next().await? {
        for object in page {
            let Some(below) = object.key.strip_prefix(REPOSITORIES) else { continue };
            let Some((name, entry)) = parse(below) else {
                notes.problem("", &object.key, "the Go registry writes no such file");
                continue;
            };
            if name != found.name {
                let passed =
                    std::mem::replace(&mut found, Found { name: name.to_owned(), ..Found::default() });
                if !passed.name.is_empty() && to.send(passed).await.is_err() {
                    return Ok(());
                }
            }
            found.add(&object, entry, notes);
        }
    }
    if !found.name.is_empty() {
        let _ = to.send(found).await;
    }
    Ok(())
}

impl Found {
    fn add(&mut self, object: &OtherObject, entry: Entry<'_>, notes: &Notes) {
        let (size_bytes, modified_ms) = (object.size_bytes, millis(object.modified));
        match entry {
            Entry::Layer(of) => self.layers.push(Link { of, size_bytes, modified_ms }),
            Entry::Revision(of) => self.revisions.push(Link { of, size_bytes, modified_ms }),
            Entry::Tag(tag) => self.tags.push(Link { of: tag.to_owned(), size_bytes, modified_ms }),
            Entry::Upload => notes.add(|report| report.unfinished_uploads += 1),
            Entry::Passed => {}
            Entry::Signature => {
                notes.problem(&self.name, &object.key, "signatures of schema 1 are not taken over");
            }
            Entry::Unknown => notes.problem(&self.name, &object.key, "the Go registry writes no such file"),
        }
    }
}

/// Milliseconds since 1970 UTC.
pub(crate) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

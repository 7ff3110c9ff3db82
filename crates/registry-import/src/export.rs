use std::{collections::HashSet, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt;
use registry_digest::Digest;
use registry_metadata::{MetadataError, MetadataStore, Purpose, Trashed};
use registry_storage::{OtherKeys, StorageError};
use registry_types::{Location, MANIFEST_BYTES_MAX, Reference, RepositoryName, Tag, Viewer};
use serde::Serialize;

use crate::{
    ImportError, LeftOut,
    layout::{self, Entry, FOLDER, LINK_BYTES_MAX, REPOSITORIES, parse},
    report::Notes,
};

/// How many rows are read at once.
const PAGE: usize = 1000;

/// Writes the layout of a Go registry beside what is here, so that it can serve everything.
#[derive(Clone)]
pub struct Export {
    /// What is here.
    pub metadata: Arc<dyn MetadataStore>,
    /// The store, as the Go registry has it.
    pub keys: Arc<dyn OtherKeys>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// How many repositories were written.
    pub repositories: u64,
    /// How many tags they have.
    pub tags: u64,
    /// How many objects of this registry were linked or copied to the Go registry's keys.
    pub objects: u64,
    /// How many links were removed, since what they led to is not here any more.
    pub removed: u64,
    /// What the Go registry will not have.
    #[serde(flatten)]
    pub left_out: LeftOut,
}

impl Exported {
    /// As JSON, in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{} repositories with {} tags; linked or copied {} objects, removed {} links; left out {} entries",
            self.left_out,
            self.repositories,
            self.tags,
            self.objects,
            self.removed,
            self.left_out.count()
        )
    }
}

impl Export {
    /// Writes everything, and removes the links of what is not here any more. To be repeated at will. Repositories that are not here
    /// at all are left alone.
    ///
    /// While an import is not finished, what was imported is the Go registry's already and is left as it is.
    ///
    /// # Errors
    /// [`ImportError`]; what the Go registry can not have is none.
    pub async fn run(&self) -> Result<Exported, ImportError> {
        self.metadata.keep_adopted_bytes(FOLDER).await?;
        let (mut exported, notes) = (Exported::default(), Notes::default());
        let adopted = self.adopted().await?;
        let state = self.metadata.adoption().await?;
        let is_unfinished = state.is_some_and(|state| state.finished_at_ms.is_none());
        let mut after: Option<RepositoryName> = None;
        loop {
            let after_name = after.as_ref().map(RepositoryName::as_str);
            let page = self.metadata.repositories(&Viewer::everything(), after_name, PAGE).await?;
            for name in page.iter().filter(|name| !adopted.contains(name.as_str())) {
                if is_unfinished && self.has(name).await? {
                    notes.problem(
                        name.as_str(),
                        "",
                        "the Go registry has a repository of this name that was not taken over, and the import is not finished: it is left as it is",
                    );
                    continue;
                }
                self.repository(name, &mut exported, &notes).await?;
            }
            if page.len() < PAGE {
                break;
            }
            after = page.into_iter().next_back();
        }
        Ok(Exported { left_out: notes.into_report().left_out, ..exported })
    }

    /// Repositories that the Go registry still changes.
    async fn adopted(&self) -> Result<HashSet<String>, ImportError> {
        let mut adopted = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.metadata.adopted_repositories(after.as_deref(), PAGE).await?;
            adopted.extend(page.iter().map(RepositoryName::to_string));
            if page.len() < PAGE {
                return Ok(adopted);
            }
            after = page.last().map(RepositoryName::to_string);
        }
    }

    /// Whether the Go registry has anything of a repository.
    async fn has(&self, name: &RepositoryName) -> Result<bool, ImportError> {
        let mut pages = self.keys.walk(&format!("{REPOSITORIES}{name}/_manifests/"), |_| false);
        Ok(pages.try_next().await?.is_some_and(|page| !page.is_empty()))
    }

    /// Bytes first, then what leads to them, in the order in which the Go registry writes.
    async fn repository(
        &self,
        name: &RepositoryName,
        exported: &mut Exported,
        notes: &Notes,
    ) -> Result<(), ImportError> {
        let mut after = None;
        loop {
            let page = self.metadata.stored_blobs(name, after.as_ref(), PAGE).await?;
            for digest in &page {
                self.blob(name, digest, exported, notes).await?;
            }
            after = page.last().copied();
            if page.len() < PAGE {
                break;
            }
        }
        let revisions = self.manifests(name, notes).await?;
        let tags = self.tags(name, notes).await?;
        exported.tags += tags.len() as u64;
        exported.removed += self.remove_gone(name, &revisions, &tags).await?;
        exported.repositories += 1;
        Ok(())
    }

    async fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        exported: &mut Exported,
        notes: &Notes,
    ) -> Result<(), ImportError> {
        let Some(blob) = self.metadata.blob(name, digest, Purpose::Read).await? else { return Ok(()) };
        // Bytes that were imported are where they belong; their key says by which digest.
        let stored_by = match layout::digest_of_blob(blob.location.as_str()) {
            Some(stored_by) => stored_by,
            None if digest.algorithm().as_str() == "sha256" => *digest,
            None => {
                let reason =
                    "the Go registry stores bytes by SHA-256, and these were pushed by another digest";
                notes.problem(name.as_str(), digest, reason);
                return Ok(());
            }
        };
        let (Some(key), Some(link)) = (layout::blob(&stored_by), layout::layer(name, digest)) else {
            return Ok(());
        };
        if blob.location != key {
            match self.keys.share(&blob.location, &key).await {
                Ok(is_new) => exported.objects += u64::from(is_new),
                Err(StorageError::Missing { .. }) => {
                    notes.problem(name.as_str(), digest, "its bytes are missing");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.link(&link, &stored_by).await
    }

    /// Answers the digests of the manifests that are here.
    async fn manifests(&self, name: &RepositoryName, notes: &Notes) -> Result<HashSet<Digest>, ImportError> {
        let mut all = HashSet::new();
        let mut after = None;
        loop {
            let page = self.metadata.stored_manifests(name, after.as_ref(), PAGE).await?;
            for digest in &page {
                if digest.algorithm().as_str() == "sha256" {
                    self.manifest(name, digest).await?;
                } else {
                    notes.problem(name.as_str(), digest, "the Go registry has manifests by SHA-256 only");
                }
            }
            all.extend(page.iter().copied());
            after = page.last().copied();
            if page.len() < PAGE {
                return Ok(all);
            }
        }
    }

    async fn manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<(), ImportError> {
        let (Some(key), Some(link)) = (layout::blob(digest), layout::revision(name, digest)) else {
            return Ok(());
        };
        let found = self.metadata.manifest(name, &Reference::Digest(*digest), Purpose::Read).await?;
        let Some(manifest) = found else { return Ok(()) };
        if self.keys.read(&key, manifest.bytes.len() as u64).await?.as_ref() != Some(&manifest.bytes) {
            self.keys.put(&key, manifest.bytes).await?;
        }
        self.link(&link, digest).await
    }

    /// Answers the names of the tags that are here.
    async fn tags(&self, name: &RepositoryName, notes: &Notes) -> Result<HashSet<String>, ImportError> {
        let mut all = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.metadata.stored_tags(name, after.as_deref(), PAGE).await?;
            for it in &page {
                if it.digest.algorithm().as_str() != "sha256" {
                    notes.problem(name.as_str(), &it.tag, "the Go registry has manifests by SHA-256 only");
                    continue;
                }
                let history = layout::history(name, &it.tag, &it.digest);
                let current = layout::current(name, it.tag.as_str());
                if let (Some(history), Some(current)) = (history, current) {
                    self.link(&history, &it.digest).await?;
                    self.link(&current, &it.digest).await?;
                }
            }
            all.extend(page.iter().map(|it| it.tag.to_string()));
            after = page.last().map(|it| it.tag.to_string());
            if page.len() < PAGE {
                return Ok(all);
            }
        }
    }

    /// Writes a link, unless it is there.
    async fn link(&self, key: &Location, digest: &Digest) -> Result<(), ImportError> {
        let text = Bytes::from(digest.to_string());
        if self.keys.read(key, LINK_BYTES_MAX).await?.as_ref() != Some(&text) {
            self.keys.put(key, text).await?;
        }
        Ok(())
    }

    /// Removes the links of tags and manifests that were here and are deleted, and of manifests whose bytes are gone; answers how
    /// many those were. What was never taken over stays.
    async fn remove_gone(
        &self,
        name: &RepositoryName,
        revisions: &HashSet<Digest>,
        tags: &HashSet<String>,
    ) -> Result<u64, ImportError> {
        let mut removed = 0;
        let deleted = self.deleted(name).await?;
        let mut pages = self.keys.walk(&format!("{REPOSITORIES}{name}/_manifests/"), |_| false);
        while let Some(page) = pages.try_next().await? {
            for object in page {
                let below = object.key.strip_prefix(REPOSITORIES).unwrap_or_default();
                let is_gone = match parse(below) {
                    Some((_, Entry::Revision(digest))) => {
                        !revisions.contains(&digest) && self.is_deleted(&digest, &deleted).await?
                    }
                    Some((_, Entry::Tag(_) | Entry::Passed)) => match tag_of(below) {
                        Some(tag) if !tags.contains(tag) => self.was_here(name, tag).await?,
                        _ => false,
                    },
                    _ => false,
                };
                if let (true, Ok(key)) = (is_gone, object.key.parse()) {
                    self.keys.remove_other(&key).await?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

impl Export {
    /// The manifests of a repository that were deleted and can still be restored.
    async fn deleted(&self, name: &RepositoryName) -> Result<HashSet<Digest>, ImportError> {
        let mut deleted = HashSet::new();
        let mut after: Option<Trashed> = None;
        loop {
            let page = match self.metadata.trash(name, after.as_ref(), PAGE).await {
                Err(MetadataError::RepositoryUnknown { .. }) => return Ok(deleted),
                page => page?,
            };
            deleted.extend(page.iter().filter(|it| it.tag.is_none()).map(|it| it.digest));
            if page.len() < PAGE {
                return Ok(deleted);
            }
            after = page.into_iter().next_back();
        }
    }

    /// Whether a manifest that is not here was deleted here, as far as that is known: after the time in which it can be restored
    /// nothing is known of it, and then it counts as deleted if the Go registry has no bytes of it either.
    async fn is_deleted(&self, digest: &Digest, deleted: &HashSet<Digest>) -> Result<bool, ImportError> {
        if deleted.contains(digest) {
            return Ok(true);
        }
        let Some(key) = layout::blob(digest) else { return Ok(false) };
        Ok(self.keys.read(&key, MANIFEST_BYTES_MAX as u64).await?.is_none())
    }

    /// Whether a tag that is not here once was.
    async fn was_here(&self, name: &RepositoryName, tag: &str) -> Result<bool, ImportError> {
        let Ok(tag) = tag.parse::<Tag>() else { return Ok(false) };
        Ok(!self.metadata.tag_history(name, &tag, None, 1).await?.is_empty())
    }
}

/// The tag that a key below [`REPOSITORIES`] belongs to.
fn tag_of(below: &str) -> Option<&str> {
    below.split_once("/_manifests/tags/")?.1.split('/').next()
}

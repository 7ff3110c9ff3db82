//! One repository: what is new, what moved, what went.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use registry_digest::Digest;
use registry_metadata::{AdoptedBlob, AdoptedManifest, AdoptedTag, MetadataError, MetadataStore};
use registry_storage::StorageError;
use registry_types::{Location, MANIFEST_BYTES_MAX, Manifest, RepositoryName, Tag};

use crate::{
    ImportError,
    batch::Batch,
    layout::{self, LINK_BYTES_MAX},
    report::NotesOf,
    run::Context,
    scan::{Found, Link},
};

/// How many rows are read at once.
const PAGE: usize = 1000;

/// A link whose time is nearer than this to the last run may have been written beside it, and is read again.
const RACY_MS: i64 = 60_000;

/// What the database has of a repository.
#[derive(Default)]
struct Known {
    blobs: HashSet<Digest>,
    manifests: HashSet<Digest>,
    tags: HashMap<Tag, (Digest, i64)>,
}

impl Known {
    async fn read(metadata: &dyn MetadataStore, name: &RepositoryName) -> Result<Known, MetadataError> {
        let mut known = Known::default();
        let mut after = None;
        loop {
            let page = metadata.stored_blobs(name, after.as_ref(), PAGE).await?;
            after = page.last().copied();
            known.blobs.extend(page.iter().copied());
            if page.len() < PAGE {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = metadata.stored_manifests(name, after.as_ref(), PAGE).await?;
            after = page.last().copied();
            known.manifests.extend(page.iter().copied());
            if page.len() < PAGE {
                break;
            }
        }
        let mut after: Option<String> = None;
        loop {
            let page = metadata.stored_tags(name, after.as_deref(), PAGE).await?;
            after = page.last().map(|last| last.tag.to_string());
            let is_last = page.len() < PAGE;
            known.tags.extend(page.into_iter().map(|it| (it.tag, (it.digest, it.updated_at_ms))));
            if is_last {
                return Ok(known);
            }
        }
    }
}

/// Makes the repository here what it is there.
pub(crate) async fn take_over(context: &Context<'_>, found: Found) -> Result<(), ImportError> {
    let Ok(name) = found.name.parse::<RepositoryName>() else {
        context.notes.problem(&found.name, "", "this registry can not hold a repository of this name");
        return Ok(());
    };
    let tag_count = found.tags.len();
    let notes = context.notes.of(&name);
    let known = Known::read(context.metadata, &name).await?;
    let batch = Batch::new(context.metadata, notes, context.is_dry, &name);
    let mut taking = Taking { context, name: &name, notes, known, batch, sizes: HashMap::new() };
    match taking.all(found).await {
        Err(ImportError::Metadata(MetadataError::RepositoryExists { .. })) => {
            notes.problem("", "clients pushed to this repository here: it is not taken over");
        }
        done => done?,
    }
    context.progress.repository_done(tag_count);
    notes.add(|report| report.repositories += 1);
    Ok(())
}

struct Taking<'a> {
    context: &'a Context<'a>,
    name: &'a RepositoryName,
    notes: NotesOf<'a>,
    known: Known,
    batch: Batch<'a>,
    /// Where the blobs are that this run takes over, and how many bytes they have.
    sizes: HashMap<Digest, (Location, u64)>,
}

impl Taking<'_> {
    async fn all(&mut self, found: Found) -> Result<(), ImportError> {
        self.blobs(&found.layers).await?;
        let there = self.manifests(&found.revisions).await?;
        self.tags(found.tags, &there).await?;
        let gone: Vec<Digest> =
            self.known.manifests.iter().filter(|digest| !there.contains(digest)).copied().collect();
        self.batch.flush().await?;
        self.batch.gone_manifests(gone);
        self.batch.flush().await
    }

    /// Blobs that are not known yet. After it [`Known::blobs`] has those that can be relied on.
    async fn blobs(&mut self, layers: &[Link<Digest>]) -> Result<(), ImportError> {
        for link in layers {
            if self.known.blobs.contains(&link.of) {
                continue;
            }
            match self.blob(link).await {
                Ok(blob) => {
                    self.known.blobs.insert(link.of);
                    self.sizes.insert(link.of, (blob.location.clone(), blob.size_bytes));
                    self.batch.blob(blob).await?;
                }
                Err(out) => self.notes.problem(link.of, out.reason()?),
            }
        }
        Ok(())
    }

    /// Where the bytes of a link are.
    async fn blob(&self, link: &Link<Digest>) -> Result<AdoptedBlob, Out> {
        let digest = link.of;
        // What a link of SHA-256 leads to is in its name; others lead to the digest that the bytes are stored by.
        let stored_by = match digest.algorithm().as_str() {
            "sha256" => check_size(link).map(|()| digest)?,
            _ => {
                let key = layout::layer(self.name, &digest).ok_or("it has no key")?;
                self.read_link(&key).await?
            }
        };
        let location = layout::blob(&stored_by).ok_or("it has no key")?;
        match self.context.size(&stored_by, &location).await? {
            // What a power cut leaves of a file that was not durable.
            Some(0) if digest != Digest::of(digest.algorithm(), &[]) => {
                Err("its bytes are missing: its file is empty".into())
            }
            Some(size_bytes) => Ok(AdoptedBlob { digest, location, size_bytes }),
            None => Err("its bytes are missing".into()),
        }
    }

    /// Reads the digest that a link leads to.
    async fn read_link(&self, key: &Location) -> Result<Digest, Out> {
        let bytes = self.context.keys.read(key, LINK_BYTES_MAX).await?.ok_or("the link is gone")?;
        Ok(parse_link(&bytes)?)
    }

    /// Manifests that are not known yet: first those that list nothing that is missing. Answers all that are there.
    async fn manifests(&mut self, revisions: &[Link<Digest>]) -> Result<HashSet<Digest>, ImportError> {
        let mut there = HashSet::with_capacity(revisions.len());
        let mut waiting = Vec::new();
        for link in revisions {
            match check_size(link) {
                Ok(()) => _ = there.insert(link.of),
                Err(reason) => {
                    self.notes.problem(link.of, reason);
                    continue;
                }
            }
            if !self.known.manifests.contains(&link.of) {
                waiting.push(link);
            }
        }
        // What was taken for known and is not there any more is no reason to wait less.
        loop {
            let before = waiting.len();
            let mut deferred = Vec::new();
            for link in waiting {
                if let Some(missing) = self.manifest(link).await? {
                    deferred.push((link, missing));
                }
            }
            if deferred.len() == before || deferred.is_empty() {
                for (link, missing) in deferred {
                    self.notes.problem(link.of, format_args!("{missing}, which it lists, is missing"));
                }
                return Ok(there);
            }
            waiting = deferred.into_iter().map(|(link, _)| link).collect();
        }
    }

    /// Takes a manifest over, or tells a manifest that must be here first.
    async fn manifest(&mut self, link: &Link<Digest>) -> Result<Option<Digest>, ImportError> {
        let manifest = match self.read_manifest(&link.of).await {
            Ok(manifest) => manifest,
            Err(out) => {
                self.notes.problem(link.of, out.reason()?);
                return Ok(None);
            }
        };
        self.hide_truncated(&manifest).await?;
        let (required, required_children) = (self.context.policy)(&manifest);
        if let Some(missing) = required.iter().find(|digest| !self.known.blobs.contains(digest)) {
            self.notes.problem(link.of, format_args!("{missing}, which it refers to, is missing"));
            return Ok(None);
        }
        let is_missing = |digest: &&Digest| !self.known.manifests.contains(digest);
        if let Some(missing) = required_children.iter().find(is_missing) {
            return Ok(Some(*missing));
        }
        self.known.manifests.insert(link.of);
        let (digest, pushed_at_ms) = (link.of, link.modified_ms);
        let adopted = AdoptedManifest { digest, manifest, required, required_children, pushed_at_ms };
        self.batch.manifest(adopted).await?;
        Ok(None)
    }

    async fn read_manifest(&self, digest: &Digest) -> Result<Manifest, Out> {
        let key = layout::blob(digest).ok_or("it has no key")?;
        let size_bytes = self.context.size(digest, &key).await?.ok_or("its bytes are missing")?;
        if size_bytes > MANIFEST_BYTES_MAX as u64 {
            return Err(format!("it has {size_bytes} bytes, of at most {MANIFEST_BYTES_MAX}").into());
        }
        let bytes = self.context.keys.read(&key, MANIFEST_BYTES_MAX as u64).await?;
        let bytes = bytes.ok_or("its bytes are missing")?;
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            return Err("its bytes have another digest".into());
        }
        let parsed = Manifest::parse(None, bytes);
        parsed.map_err(|error| format!("it is no manifest that is accepted: {error}").into())
    }

    /// Hides blobs that were taken over and have another size than this manifest says, so that a push brings them back.
    async fn hide_truncated(&mut self, manifest: &Manifest) -> Result<(), ImportError> {
        for blob in manifest.blobs() {
            let Some((location, size_bytes)) = self.sizes.get(&blob.digest).cloned() else { continue };
            if size_bytes == blob.size {
                continue;
            }
            self.sizes.remove(&blob.digest);
            self.notes.problem(
                blob.digest,
                format_args!(
                    "its file has {size_bytes} bytes instead of {}: it is hidden until it is pushed again",
                    blob.size
                ),
            );
            self.batch.flush().await?;
            if !self.context.is_dry {
                self.context.metadata.mark_bad(&location).await?;
            }
        }
        Ok(())
    }

    /// `there` are the manifests that the Go registry had when the repository was listed.
    async fn tags(&mut self, links: Vec<Link<String>>, there: &HashSet<Digest>) -> Result<(), ImportError> {
        let mut gone: HashSet<Tag> = self.known.tags.keys().cloned().collect();
        for link in links {
            let Ok(tag) = link.of.parse::<Tag>() else {
                self.notes.problem(&link.of, "this registry can not hold a tag of this name");
                continue;
            };
            let known = self.known.tags.get(&tag).copied();
            if known.is_some_and(|(_, updated_at_ms)| self.is_unchanged(&link, updated_at_ms)) {
                gone.remove(&tag);
                self.notes.add(|report| report.tags += 1);
                continue;
            }
            match self.tag(&link).await {
                Ok(digest) => {
                    gone.remove(&tag);
                    self.notes.add(|report| report.tags += 1);
                    if known != Some((digest, link.modified_ms)) {
                        self.batch.tag(AdoptedTag { tag, digest, updated_at_ms: link.modified_ms }).await?;
                    }
                }
                Err(Unusable::Leads(digest)) => {
                    // One that came after the listing is the next run's: until then the tag stays where it is.
                    if !there.contains(&digest) {
                        gone.remove(&tag);
                    }
                    self.notes.problem(&tag, format_args!("it leads to {digest}, which is not here"));
                }
                Err(Unusable::Link(out)) => {
                    gone.remove(&tag);
                    self.notes.problem(&tag, out.reason()?);
                }
            }
        }
        for tag in gone {
            self.batch.gone_tag(tag).await?;
        }
        Ok(())
    }

    /// Whether a link was not written since a run that came to its end.
    fn is_unchanged(&self, link: &Link<String>, updated_at_ms: i64) -> bool {
        let ran_at_ms = self.context.ran_at_ms.unwrap_or(i64::MIN);
        link.modified_ms == updated_at_ms && link.modified_ms < ran_at_ms.saturating_sub(RACY_MS)
    }

    async fn tag(&self, link: &Link<String>) -> Result<Digest, Unusable> {
        let key = layout::current(self.name, &link.of);
        let key = key.ok_or_else(|| Unusable::Link("it has no key".into()))?;
        if link.size_bytes > LINK_BYTES_MAX {
            return Err(Unusable::Link(format!("its link has {} bytes", link.size_bytes).into()));
        }
        let digest = self.read_link(&key).await.map_err(Unusable::Link)?;
        let is_here = self.known.manifests.contains(&digest) && !self.batch.refused.contains(&digest);
        match is_here {
            true => Ok(digest),
            false => Err(Unusable::Leads(digest)),
        }
    }
}

/// Why a tag is left out.
enum Unusable {
    /// Its link can not be read, so a tag that is here stays as it is.
    Link(Out),
    /// It leads to what can not be pulled.
    Leads(Digest),
}

/// Why something is not taken over.
enum Out {
    /// Because of what it is.
    Entry(String),
    /// The store does not answer, which says nothing of the entry: the run ends, and a later one goes on.
    Store(StorageError),
}

impl Out {
    fn reason(self) -> Result<String, StorageError> {
        match self {
            Out::Entry(reason) => Ok(reason),
            Out::Store(error) => Err(error),
        }
    }
}

impl From<StorageError> for Out {
    fn from(error: StorageError) -> Out {
        Out::Store(error)
    }
}

impl From<String> for Out {
    fn from(reason: String) -> Out {
        Out::Entry(reason)
    }
}

impl From<&str> for Out {
    fn from(reason: &str) -> Out {
        Out::Entry(reason.to_owned())
    }
}

/// That a link is as long as the digest in its name.
fn check_size(link: &Link<Digest>) -> Result<(), String> {
    let expected = link.of.to_string().len() as u64;
    match link.size_bytes {
        0 => Err("its link is empty".to_owned()),
        size if size == expected => Ok(()),
        size => Err(format!("its link has {size} bytes instead of {expected}")),
    }
}

fn parse_link(bytes: &Bytes) -> Result<Digest, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "its link is no text".to_owned())?;
    match text {
        "" => Err("its link is empty".to_owned()),
        text => text.parse().map_err(|_| format!("its link holds {text:?}, which is no digest")),
    }
}

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::SystemTime,
};

use futures_util::{StreamExt, TryStreamExt, future::try_join, stream};
use parking_lot::Mutex;
use registry_digest::Digest;
use registry_metadata::MetadataStore;
use registry_storage::{BlobStore, OtherKeys, StorageError};
use registry_types::{Location, Manifest, RepositoryName};
use tokio::sync::mpsc;

use crate::{
    ImportError, Progress, Report,
    layout::{BLOBS, SCHEDULER_STATE, digest_of_blob},
    report::Notes,
    repository::take_over,
    scan::{Found, millis, parts, walk},
};

/// How many parts of the storage are walked at once, and repositories taken over.
const AT_ONCE: usize = 4;

/// How many repositories wait between the two.
const WAITING_MAX: usize = 8;

/// How many names are read at once.
const PAGE: usize = 1000;

/// Which blobs and which children of a manifest must be there for it to be taken over.
pub type Policy = Arc<dyn Fn(&Manifest) -> (Vec<Digest>, Vec<Digest>) + Send + Sync>;

/// Takes over the storage of a Go registry, in place.
#[derive(Clone)]
pub struct Import {
    /// Where what is read goes.
    pub metadata: Arc<dyn MetadataStore>,
    /// The bytes.
    pub store: Arc<dyn BlobStore>,
    /// The same store, as the Go registry has it.
    pub keys: Arc<dyn OtherKeys>,
    /// Which manifests are taken over.
    pub policy: Policy,
    /// Only says what would be done. What is in the database already is taken into account.
    pub is_dry: bool,
    /// To be looked at while a run works.
    pub progress: Arc<Progress>,
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("keys", &self.keys)
            .field("is_dry", &self.is_dry)
            .finish_non_exhaustive()
    }
}

/// What all parts of a run share.
pub(crate) struct Context<'a> {
    pub(crate) metadata: &'a dyn MetadataStore,
    pub(crate) store: &'a dyn BlobStore,
    pub(crate) keys: &'a dyn OtherKeys,
    pub(crate) policy: &'a Policy,
    pub(crate) is_dry: bool,
    pub(crate) progress: &'a Progress,
    pub(crate) notes: Notes,
    /// When the last run began that came to its end.
    pub(crate) ran_at_ms: Option<i64>,
    /// The sizes of all blobs, where a look is a request.
    sizes: Option<HashMap<Digest, u64>>,
    /// The repositories that were found, as hashes of their names.
    seen: Mutex<HashSet<u64>>,
}

impl Context<'_> {
    /// How many bytes a blob has, if it is there.
    pub(crate) async fn size(
        &self,
        digest: &Digest,
        location: &Location,
    ) -> Result<Option<u64>, StorageError> {
        match &self.sizes {
            Some(sizes) => Ok(sizes.get(digest).copied()),
            None => self.store.size(location).await,
        }
    }
}

impl Import {
    /// Makes the database what the Go registry has. Whatever was done is kept if the future is dropped, and the next run goes on.
    ///
    /// # Errors
    /// [`ImportError`]; what can not be taken over is none.
    pub async fn run(&self) -> Result<Report, ImportError> {
        let began_at_ms = millis(SystemTime::now());
        self.refuse_mirror().await?;
        let parts = parts(&*self.keys).await?;
        if parts.is_empty() {
            return Err(ImportError::NothingHere);
        }
        self.progress.expect(parts.len());
        let state = match self.is_dry {
            true => self.metadata.adoption().await?,
            false => Some(self.metadata.begin_adoption().await?),
        };
        let context = Context {
            metadata: &*self.metadata,
            store: &*self.store,
            keys: &*self.keys,
            policy: &self.policy,
            is_dry: self.is_dry,
            progress: &self.progress,
            notes: Notes::default(),
            ran_at_ms: state.and_then(|state| state.ran_at_ms),
            sizes: if self.keys.is_near() { None } else { Some(self.sizes().await?) },
            seen: Mutex::default(),
        };
        let (to, from) = mpsc::channel(WAITING_MAX);
        try_join(walk_all(&context, parts, to), take_all(&context, from)).await?;
        remove_gone(&context).await?;
        if !self.is_dry {
            self.metadata.end_adoption_run(began_at_ms).await?;
        }
        Ok(context.notes.into_report())
    }

    async fn refuse_mirror(&self) -> Result<(), ImportError> {
        let Ok(state) = SCHEDULER_STATE.parse() else { return Ok(()) };
        match self.store.size(&state).await? {
            Some(_) => Err(ImportError::Mirror),
            None => Ok(()),
        }
    }

    /// The size of each blob, by listing them.
    pub(crate) async fn sizes(&self) -> Result<HashMap<Digest, u64>, StorageError> {
        let mut parts = Vec::new();
        for algorithm in self.keys.folders(BLOBS).await? {
            let folder = format!("{BLOBS}{algorithm}/");
            let shards = self.keys.folders(&folder).await?;
            parts.extend(shards.into_iter().map(|shard| format!("{folder}{shard}/")));
        }
        let pages =
            stream::iter(parts).map(|part| self.keys.walk(&part, |_| false)).flatten_unordered(AT_ONCE * 4);
        pages
            .try_fold(HashMap::new(), |mut sizes, page| async move {
                let sized = |object: registry_storage::OtherObject| {
                    Some((digest_of_blob(&object.key)?, object.size_bytes))
                };
                sizes.extend(page.into_iter().filter_map(sized));
                Ok(sizes)
            })
            .await
    }
}

async fn walk_all(
    context: &Context<'_>,
    parts: Vec<String>,
    to: mpsc::Sender<Found>,
) -> Result<(), ImportError> {
    let walked = stream::iter(parts.into_iter().map(Ok)).try_for_each_concurrent(AT_ONCE, |part| {
        let to = to.clone();
        async move {
            walk(context.keys, &part, &context.notes, &to).await?;
            context.progress.part_done();
            Ok(())
        }
    });
    walked.await
}

async fn take_all(context: &Context<'_>, from: mpsc::Receiver<Found>) -> Result<(), ImportError> {
    let found = stream::unfold(from, |mut from| async move { from.recv().await.map(|found| (found, from)) });
    let taken = found.map(Ok).try_for_each_concurrent(AT_ONCE, |found| async move {
        context.seen.lock().insert(hash(&found.name));
        take_over(context, found).await
    });
    taken.await
}

/// Empties repositories of an earlier run that are not there any more.
async fn remove_gone(context: &Context<'_>) -> Result<(), ImportError> {
    let mut after: Option<RepositoryName> = None;
    loop {
        let page =
            context.metadata.adopted_repositories(after.as_ref().map(RepositoryName::as_str), PAGE).await?;
        for name in &page {
            let is_there = context.seen.lock().contains(&hash(name.as_str()));
            if !is_there {
                take_over(context, Found { name: name.to_string(), ..Found::default() }).await?;
            }
        }
        if page.len() < PAGE {
            return Ok(());
        }
        after = page.into_iter().next_back();
    }
}

/// Two names with one hash would keep a repository that was deleted there.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

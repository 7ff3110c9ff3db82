use std::{fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Attributes, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
    signer::Signer,
};
use registry_digest::{Algorithm, Digest, Hasher};
use registry_types::Location;

use super::failure::{failure, is_bad_range, is_conflict, is_passing};
use crate::StorageError;

/// How often a write is tried again after its answer did not come: the store's client repeats only what it knows to be
/// harmless, and takes a condition for harmful.
const CREATE_ATTEMPTS_MAX: u32 = 3;

const CREATE_RETRY_DELAY: Duration = Duration::from_millis(300);

/// The most that one request lists.
const LIST_KEYS_MAX: usize = 1000;

/// What the clients of all three clouds can do.
pub(super) trait Client: ObjectStore + MultipartStore + PaginatedListStore + Signer {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore + Signer> Client for T {}

/// A bucket, and the prefix in it that everything of ours is below. Keys are given without it.
#[derive(Clone)]
pub(super) struct Backend {
    client: Arc<dyn Client>,
    /// Empty, or with a slash at its end.
    prefix: Arc<str>,
    /// What new objects have besides their bytes.
    attributes: Attributes,
    /// What signs URLs, if anything does.
    signer: Option<Arc<dyn Signer>>,
}

/// What came of writing an object that must not be there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// There is one, which may be our own of an attempt whose answer was lost.
    Exists,
}

/// An object that is being read.
pub(super) struct Reading {
    pub(super) size_bytes: u64,
    pub(super) range: Range<u64>,
    pub(super) stream: BoxStream<'static, Result<Bytes, StorageError>>,
}

impl Backend {
    pub(super) fn new(client: Arc<dyn Client>, signer: Option<Arc<dyn Signer>>, prefix: &str) -> Backend {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Backend { client, prefix: prefix.into(), attributes: Attributes::new(), signer }
    }

    #[cfg(feature = "s3")]
    pub(super) fn with_attributes(self, attributes: Attributes) -> Backend {
        Backend { attributes, ..self }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn path(&self, key: &str) -> Result<Path, StorageError> {
        Path::parse(format!("{}{key}", self.prefix))
            .map_err(|source| StorageError::Backend { operation: "name an object", source: source.into() })
    }

    /// Writes an object unless there is one.
    pub(super) async fn create(&self, key: &str, payload: PutPayload) -> Result<Put, StorageError> {
        let path = self.path(key)?;
        let mut attempt = 1;
        loop {
            let attributes = self.attributes.clone();
            let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
            match self.client.put_opts(&path, payload.clone(), options).await {
                Ok(_) => return Ok(Put::Done),
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. }))
                    if !is_conflict(&error) =>
                {
                    return Ok(Put::Exists);
                }
                Err(error) if is_passing(&error) && attempt < CREATE_ATTEMPTS_MAX => {
                    // The attempt may have succeeded; and a server that refuses without reading on resets the
                    // connection, which hides why.
                    if let Ok(Some(_)) = self.size(key).await {
                        return Ok(Put::Exists);
                    }
                    tokio::time::sleep(CREATE_RETRY_DELAY * attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(failure("write an object", error)),
            }
        }
    }

    /// Writes an object of which the key is our own, whatever is there.
    pub(super) async fn put(&self, key: &str, payload: PutPayload) -> Result<(), StorageError> {
        let path = self.path(key)?;
        let mut attempt = 1;
        loop {
            match self.client.put(&path, payload.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if is_conflict(&error) && attempt < CREATE_ATTEMPTS_MAX => {
                    tokio::time::sleep(CREATE_RETRY_DELAY * attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(failure("write an object", error)),
            }
        }
    }

    /// Begins to read, or nothing if there is no such object. The range is cut where the object ends.
    pub(super) async fn get(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<Reading>, StorageError> {
        let path = self.path(key)?;
        // Some servers count in 63 bits.
        let range = range.map(|range| range.start..range.end.min(i64::MAX as u64));
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let result = match self.client.get_opts(&path, options).await {
            Ok(result) => result,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failure("read an object", error)),
        };
        let (size_bytes, range) = (result.meta.size, result.range.clone());
        let stream = result.into_stream().map_err(|error| failure("read an object", error)).boxed();
        Ok(Some(Reading { size_bytes, range, stream }))
    }

    /// As [`get`](Self::get), for a range that may lie outside of the object: it is then empty.
    pub(super) async fn get_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<Option<Reading>, StorageError> {
        let nothing = |size_bytes| Reading {
            size_bytes,
            range: range.start..range.start,
            stream: futures_util::stream::empty().boxed(),
        };
        if range.is_empty() || range.start > i64::MAX as u64 {
            return Ok(self.size(key).await?.map(nothing));
        }
        let path = self.path(key)?;
        let end = range.end.min(i64::MAX as u64);
        let options =
            GetOptions { range: Some(GetRange::Bounded(range.start..end)), ..GetOptions::default() };
        match self.client.get_opts(&path, options).await {
            Ok(result) => {
                let (size_bytes, range) = (result.meta.size, result.range.clone());
                let stream = result.into_stream().map_err(|error| failure("read an object", error)).boxed();
                Ok(Some(Reading { size_bytes, range, stream }))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) if is_bad_range(&error) => match self.size(key).await? {
                Some(size_bytes) if size_bytes > range.start => Err(failure("read an object", error)),
                size_bytes => Ok(size_bytes.map(nothing)),
            },
            Err(error) => Err(failure("read an object", error)),
        }
    }

    /// A whole object of at most `limit_bytes`, or nothing if there is none.
    pub(super) async fn read(&self, key: &str, limit_bytes: u64) -> Result<Option<Bytes>, StorageError> {
        let Some(Reading { size_bytes, mut stream, .. }) = self.get(key, None).await? else {
            return Ok(None);
        };
        if size_bytes > limit_bytes {
            let source = format!("{key} has {size_bytes} bytes, more than {limit_bytes}").into();
            return Err(StorageError::Backend { operation: "read an object", source });
        }
        let mut bytes = Vec::with_capacity(size_bytes as usize);
        while let Some(piece) = stream.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes.into()))
    }

    /// The size and digest of an object, which is read from its beginning to its end.
    pub(super) async fn digest(
        &self,
        key: &str,
        algorithm: Algorithm,
    ) -> Result<Option<(u64, Digest)>, StorageError> {
        let Some(mut reading) = self.get(key, None).await? else { return Ok(None) };
        let mut hasher = Hasher::new(algorithm);
        while let Some(piece) = reading.stream.try_next().await? {
            hasher.update(&piece);
        }
        Ok(Some((hasher.bytes_hashed(), hasher.finish())))
    }

    pub(super) async fn size(&self, key: &str) -> Result<Option<u64>, StorageError> {
        match self.client.head(&self.path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure("look at an object", error)),
        }
    }

    /// Removes an object; that there is none is no error.
    pub(super) async fn remove(&self, key: &str) -> Result<(), StorageError> {
        match self.client.delete(&self.path(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure("remove an object", error)),
        }
    }

    pub(super) async fn create_multipart(&self, key: &str) -> Result<String, StorageError> {
        let attributes = self.attributes.clone();
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let id = self.client.create_multipart_opts(&self.path(key)?, options).await;
        id.map_err(|error| failure("begin an upload", error))
    }

    /// Writes a part, counted from 0, and returns what the store calls it.
    ///
    /// # Errors
    /// As the library has them, so that the caller can tell why.
    pub(super) async fn put_part(
        &self,
        key: &str,
        id: &String,
        index: usize,
        payload: PutPayload,
    ) -> Result<String, object_store::Error> {
        let path = Path::parse(format!("{}{key}", self.prefix))?;
        Ok(self.client.put_part(&path, id, index, payload).await?.content_id)
    }

    /// Makes an object of parts.
    ///
    /// # Errors
    /// As the library has them.
    pub(super) async fn complete(
        &self,
        key: &str,
        id: &String,
        parts: &[String],
    ) -> Result<(), object_store::Error> {
        let path = Path::parse(format!("{}{key}", self.prefix))?;
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        self.client.complete_multipart(&path, id, parts).await.map(drop)
    }

    /// Gives up the parts of an upload; that there are none is no error.
    pub(super) async fn abort(&self, key: &str, id: &String) -> Result<(), StorageError> {
        match self.client.abort_multipart(&self.path(key)?, id).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure("give up an upload", error)),
        }
    }

    /// Objects whose keys begin with `prefix`, in order, strictly after `after`, at most `limit`; keys are without the
    /// bucket's prefix.
    ///
    /// # Errors
    /// [`StorageError::Unreliable`] if they do not come in order.
    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, ObjectMeta)>, StorageError> {
        let full = format!("{}{prefix}", self.prefix);
        let offset = after.map(|after| format!("{}{after}", self.prefix)).filter(|after| *after > full);
        let mut found: Vec<(String, ObjectMeta)> = Vec::new();
        let mut page_token = None;
        while found.len() < limit {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                max_keys: Some(LIST_KEYS_MAX.min(limit - found.len())),
                page_token: page_token.take(),
                ..PaginatedListOptions::default()
            };
            let page = self.client.list_paginated(Some(&full), options).await;
            let page = page.map_err(|error| failure("list objects", error))?;
            for meta in page.result.objects {
                let Some(key) = meta.location.as_ref().strip_prefix(&*self.prefix) else { continue };
                // A server may count the key that is listed after among those that follow.
                if after.is_some_and(|after| key <= after) {
                    continue;
                }
                if found.last().is_some_and(|(last, _)| key <= last.as_str()) {
                    let promise = "objects are listed in the order of their keys";
                    return Err(StorageError::Unreliable { promise, found: format!("{key} came late") });
                }
                found.push((key.to_owned(), meta));
            }
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The names of what lies directly below a folder, which ends in a slash, and has something below it.
    pub(super) async fn folders(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let full = format!("{}{folder}", self.prefix);
        let (mut names, mut page_token) = (Vec::new(), None);
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                page_token: page_token.take(),
                ..PaginatedListOptions::default()
            };
            let page = self.client.list_paginated(Some(&full), options).await;
            let page = page.map_err(|error| failure("list objects", error))?;
            let below = page.result.common_prefixes.iter();
            names.extend(below.filter_map(|path| Some(path.as_ref().strip_prefix(&full)?.to_owned())));
            page_token = page.page_token;
            if page_token.is_none() {
                names.sort_unstable();
                return Ok(names);
            }
        }
    }

    /// Copies an object within the bucket, without its bytes passing here; whether it is there.
    pub(super) async fn copy(&self, from: &str, to: &str) -> Result<bool, StorageError> {
        match self.client.copy(&self.path(from)?, &self.path(to)?).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failure("copy an object", error)),
        }
    }

    pub(super) fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    /// A URL that lets whoever has it read an object for a while; nothing if this store can not make one.
    pub(super) async fn sign(
        &self,
        location: &Location,
        lifetime: Duration,
    ) -> Result<Option<String>, StorageError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let url = signer.signed_url(http::Method::GET, &self.path(location.as_str())?, lifetime).await;
        url.map(|url| Some(url.into())).map_err(|error| failure("sign a URL", error))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client, self.prefix)
    }
}

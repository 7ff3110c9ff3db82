//! Whether a store keeps what is relied on. Some that speak S3 do not: they ignore conditions, list late, or answer a range
//! with the whole.

use std::error::Error as _;

use futures_util::TryStreamExt;
use object_store::{Error, PutPayload};

use super::{
    backend::{Backend, Put},
    failure::failure,
    layout,
    writer::PART_BYTES_MIN,
};
use crate::StorageError;

const CONTENT: &[u8] = b"what a registry relies on";

/// Tries everything below a folder that nobody else uses, and removes it again. Returns whether parts are put together
/// only where no object is. `is_thorough` also tries large parts, which costs 5 MiB.
///
/// # Errors
/// [`StorageError::Unreliable`] for a store that does not keep what is relied on.
pub(super) async fn run(backend: &Backend, is_thorough: bool) -> Result<bool, StorageError> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|source| StorageError::Backend {
        operation: "draw an object's name",
        source: source.into(),
    })?;
    let folder = format!("{}/{}", layout::PROBE, hex::encode(name));
    let keys = ["a", "b", "c"].map(|name| format!("{folder}/{name}"));
    let outcome = try_all(backend, &folder, &keys, is_thorough).await;
    for key in &keys {
        // Also after a failure, of which the error is the one to tell.
        if let Err(error) = backend.remove(key).await
            && outcome.is_ok()
        {
            return Err(error);
        }
    }
    let completes_if_absent = outcome?;
    if backend.read(&keys[0], 1000).await?.is_some() {
        return Err(lie("what was removed is gone", "an object was still there after it was removed"));
    }
    Ok(completes_if_absent)
}

async fn try_all(
    backend: &Backend,
    folder: &str,
    [one, other, parts]: &[String; 3],
    is_thorough: bool,
) -> Result<bool, StorageError> {
    conditions(backend, one).await?;
    reading(backend, one).await?;
    backend.create(other, PutPayload::from_static(b"")).await?;
    listing(backend, folder, &[one, other]).await?;
    if is_thorough {
        large_parts(backend, parts).await?;
    }
    conditional_completion(backend, one).await
}

async fn conditions(backend: &Backend, key: &str) -> Result<(), StorageError> {
    const PROMISE: &str = "an object is created only if there is none (If-None-Match: *)";
    if backend.create(key, PutPayload::from_static(CONTENT)).await? == Put::Exists {
        return Err(lie(PROMISE, "a new object was refused as if it existed"));
    }
    if backend.create(key, PutPayload::from_static(b"another")).await? == Put::Done {
        return Err(lie(PROMISE, "a second object was written over the first"));
    }
    Ok(())
}

async fn reading(backend: &Backend, key: &str) -> Result<(), StorageError> {
    if backend.read(key, 1000).await?.as_deref() != Some(CONTENT) {
        return Err(lie("what was written is read from then on", "something else was read"));
    }
    const PROMISE: &str = "a range of an object can be read";
    let range = match backend.get(key, Some(5..9)).await {
        Ok(Some(reading)) => reading.stream.try_collect::<Vec<_>>().await?.concat(),
        Ok(None) => return Err(lie(PROMISE, "the object was missing")),
        Err(error @ StorageError::Unavailable { .. }) => return Err(error),
        Err(error) => return Err(lie(PROMISE, &chain(&error))),
    };
    match range == CONTENT[5..9] {
        true => Ok(()),
        false => Err(lie(PROMISE, "other bytes came")),
    }
}

async fn listing(backend: &Backend, folder: &str, keys: &[&String]) -> Result<(), StorageError> {
    const PROMISE: &str = "what was written is listed from then on, by prefix and behind a key";
    let listed = |after| async move {
        let listed = backend.list(&format!("{folder}/"), after, 10).await?;
        Ok::<_, StorageError>(listed.into_iter().map(|(key, _)| key).collect::<Vec<_>>())
    };
    let (all, rest) = (listed(None).await?, listed(Some(keys[0].as_str())).await?);
    if !all.iter().eq(keys.iter().copied()) || !rest.iter().eq(keys[1..].iter().copied()) {
        return Err(lie(PROMISE, &format!("{} of {} objects were listed", all.len(), keys.len())));
    }
    Ok(())
}

/// Two parts, of which the first is as small as we ever make one.
async fn large_parts(backend: &Backend, key: &str) -> Result<(), StorageError> {
    const PROMISE: &str =
        "an object can be made of parts, of which the first has 5 MiB and the last one byte";
    let id = backend.create_multipart(key).await?;
    let written = async {
        let first = backend.put_part(key, &id, 0, vec![1; PART_BYTES_MIN].into()).await?;
        let last = backend.put_part(key, &id, 1, vec![2].into()).await?;
        backend.complete(key, &id, &[first, last]).await
    };
    if let Err(error) = written.await {
        let _ = backend.abort(key, &id).await;
        return match failure("write a part", error) {
            error @ StorageError::Unavailable { .. } => Err(error),
            error => Err(lie(PROMISE, &chain(&error))),
        };
    }
    match backend.size(key).await? {
        Some(size_bytes) if size_bytes == PART_BYTES_MIN as u64 + 1 => Ok(()),
        size_bytes => Err(lie(PROMISE, &format!("the object had {size_bytes:?} bytes"))),
    }
}

/// Whether parts are not put together where an object is.
async fn conditional_completion(backend: &Backend, key: &str) -> Result<bool, StorageError> {
    let id = backend.create_multipart(key).await?;
    let completed = async {
        let part = backend.put_part(key, &id, 0, PutPayload::from_static(b"over")).await?;
        backend.complete(key, &id, &[part]).await
    };
    match completed.await {
        Ok(()) => Ok(false),
        Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {
            backend.abort(key, &id).await?;
            Ok(true)
        }
        // Some do not know the condition and say so.
        Err(error) => {
            let _ = backend.abort(key, &id).await;
            Err(failure("complete an object", error))
        }
    }
}

fn lie(promise: &'static str, found: &str) -> StorageError {
    StorageError::Unreliable { promise, found: found.to_owned() }
}

fn chain(error: &StorageError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

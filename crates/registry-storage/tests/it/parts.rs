//! What another process does for a test. Run by hand they do nothing.

use std::{env, thread};

use bytes::Bytes;
use registry_digest::Algorithm;
use registry_storage::{BlobStore, FilesystemOptions, FilesystemStore, StorageError};

use super::{MARK, ROOT_VARIABLE, location};

/// The first bytes of what is uploaded.
pub(crate) fn content(length: u64) -> Vec<u8> {
    (0..length).map(|n| (n / 1000) as u8 ^ n as u8).collect()
}

fn open() -> Option<FilesystemStore> {
    let root = env::var_os(ROOT_VARIABLE)?;
    Some(FilesystemStore::open(&FilesystemOptions::new(root)).unwrap())
}

#[tokio::test]
#[ignore = "a part of another test"]
async fn uploads_for_ever() {
    let Some(store) = open() else { return };
    let content = Bytes::from(content(20_000_000));
    let mut upload = store.begin(&location(), Algorithm::Sha256).await.unwrap();
    for (count, chunk) in content.chunks(100_003).enumerate() {
        upload.append(content.slice_ref(chunk)).await.unwrap();
        if count % 7 == 0 {
            let state = upload.checkpoint().await.unwrap();
            println!("{MARK}{}", hex::encode(state.to_bytes()));
        }
    }
    thread::park();
}

#[test]
#[ignore = "a part of another test"]
fn serves_for_ever() {
    let Some(_store) = open() else { return };
    println!("{MARK}serving");
    loop {
        thread::park();
    }
}

#[tokio::test]
#[ignore = "a part of another test"]
async fn uploads_until_there_is_no_space() {
    let Some(store) = open() else { return };
    let content = Bytes::from(content(2_000_000));
    let mut upload = store.begin(&location(), Algorithm::Sha256).await.unwrap();
    upload.append(content.slice(..200_000)).await.unwrap();
    let state = upload.checkpoint().await.unwrap();
    upload.append(content.slice(200_000..)).await.unwrap();
    let full = upload.checkpoint().await;
    assert!(matches!(full, Err(StorageError::NoSpace { .. })), "{full:?}");
    println!("{MARK}{}", hex::encode(state.to_bytes()));
    loop {
        thread::park();
    }
}

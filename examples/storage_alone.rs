//! Content-addressed storage without a registry: write bytes once, read any part of them back.
//!
//! `cargo run -p registry-examples --example storage_alone`

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};
use registry_storage::{BlobStore, Body, FilesystemOptions, FilesystemStore, UploadState};
use registry_types::{Location, UploadId};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = FilesystemStore::open(&FilesystemOptions::new(folder.path()))?;

    // The key holds the upload's own id, so it is never used twice.
    let location = Location::of_upload(&UploadId::from_random(*b"sixteen  bytes.."));
    let mut upload = store.begin(&location, Algorithm::Sha256).await?;
    upload.append(Bytes::from_static(b"hello, ")).await?;

    // From here on the upload can go on after a crash, or on another node: the bytes so far are durable.
    let state: UploadState = upload.checkpoint().await?;
    drop(upload);
    let mut upload = store.resume(&location, &state).await?;
    upload.append(Bytes::from_static(b"world")).await?;

    // Nothing is kept unless it is what it was to be.
    let size_bytes = upload.finish(&Digest::of(Algorithm::Sha256, b"hello, world")).await?;
    eprintln!("{size_bytes} bytes at {location}");

    if let Body::File { file, range } = store.open(&location, 7..size_bytes).await? {
        let mut text = vec![0; usize::try_from(range.end - range.start)?];
        std::os::unix::fs::FileExt::read_exact_at(&*file, &mut text, range.start)?;
        anyhow::ensure!(text == b"world");
    }
    Ok(())
}

//! How fast uploads are: MB/s and CPU seconds per GB of large ones, operations per second of small ones.
//!
//! `cargo run --release -p registry-storage --example throughput -- <directory> [full|none] [large|single|small]`, where
//! `none` leaves the disk's flushes out of the measurement. The directory is left behind, as removing files from it would
//! slow down the creation of others.

#![allow(clippy::print_stdout, reason = "its output is its product")]

use std::{path::PathBuf, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use registry_digest::{Algorithm, Digest};
use registry_storage::{BlobStore, Durability, FilesystemOptions, FilesystemStore};
use registry_types::{Location, UploadId};
use tokio::task::JoinSet;

const LARGE_BYTES: usize = 16 * 1024 * 1024;
const SMALL_BYTES: usize = 10 * 1000;
/// Name, how many at a time, bytes of each, how many one after another.
const WORKLOADS: [(&str, usize, usize, usize); 3] =
    [("large", 4, LARGE_BYTES, 10), ("single", 1, LARGE_BYTES, 10), ("small", 8, SMALL_BYTES, 1000)];
/// What a frame of a request's body often has.
const FRAME_BYTES: usize = 64 * 1024;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let root = PathBuf::from(args.next().ok_or("the first argument is a directory to write to")?);
    let durability = match args.next().as_deref() {
        Some("none") => Durability::None,
        _ => Durability::Full,
    };
    let only = args.next();
    let store = FilesystemStore::open(&FilesystemOptions { durability, ..FilesystemOptions::new(root) })?;
    let store: Arc<dyn BlobStore> = Arc::new(store);
    println!("durability {durability:?}");
    for round in 0..3 {
        for (name, tasks, size_bytes, count) in WORKLOADS {
            if only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            let content = content(size_bytes, round);
            let (before, begin) = (cpu_secs()?, Instant::now());
            let mut running = JoinSet::new();
            for _ in 0..tasks {
                running.spawn(push(store.clone(), content.clone(), count));
            }
            while let Some(pushed) = running.join_next().await {
                pushed??;
            }
            let (secs, after) = (begin.elapsed().as_secs_f64(), cpu_secs()?);
            let (user_secs, system_secs) = (after.0 - before.0, after.1 - before.1);
            let (bytes, ops) = ((tasks * size_bytes * count) as f64, (tasks * count) as f64);
            println!(
                "{name:10} {:6.0} MB/s  CPU s/GB {:5.2} user {:5.2} system  {:6.0} ops/s {:6.0} CPU µs/op",
                bytes / secs / 1e6,
                user_secs / bytes * 1e9,
                system_secs / bytes * 1e9,
                ops / secs,
                (user_secs + system_secs) / ops * 1e6
            );
        }
    }
    Ok(())
}

fn content(size_bytes: usize, seed: usize) -> Bytes {
    (0..size_bytes).map(|n| (n.wrapping_mul(2654435761).wrapping_add(seed) >> 8) as u8).collect()
}

async fn push(store: Arc<dyn BlobStore>, content: Bytes, count: usize) -> Result<(), AnyError> {
    let digest = Digest::of(Algorithm::Sha256, &content);
    // As a server would: read into a buffer, give parts of it away.
    let mut buffer = BytesMut::new();
    for _ in 0..count {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let location = Location::of_upload(&UploadId::from_random(id));
        let mut upload = store.begin(&location, Algorithm::Sha256).await?;
        for frame in content.chunks(FRAME_BYTES) {
            buffer.extend_from_slice(frame);
            upload.append(buffer.split().freeze()).await?;
            tokio::task::yield_now().await;
        }
        upload.finish(&digest).await?;
    }
    Ok(())
}

/// User and system time of this process so far.
fn cpu_secs() -> Result<(f64, f64), AnyError> {
    const TICKS_PER_SEC: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let secs = |index: usize| fields[index].parse::<f64>().map(|ticks| ticks / TICKS_PER_SEC);
    Ok((secs(11)?, secs(12)?))
}

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use registry_metadata::MetadataStore;
use registry_storage::{BlobStore, ObjectInfo};
use registry_types::Location;
use serde::Serialize;

use crate::{MarkError, mark};

/// How many objects are listed at once.
const PAGE: usize = 1000;

/// How many unknown objects a report names.
const NAMED_MAX: usize = 100;

/// What a sweep may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepOptions {
    /// Whether what is garbage is given up, not only reported.
    pub delete: bool,
    /// For how long an object must have been unknown, from one sweep to another. One day.
    pub unknown_for: Duration,
}

impl Default for SweepOptions {
    fn default() -> Self {
        SweepOptions { delete: false, unknown_for: Duration::from_secs(24 * 60 * 60) }
    }
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// How many objects are in the store.
    pub objects: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// To how many of them no row leads.
    pub unknown: u64,
    /// How many bytes those have.
    pub unknown_bytes: u64,
    /// How many have been unknown for long enough to be garbage.
    pub garbage: u64,
    /// How many of them were given up, to be deleted by the next collection.
    pub given_up: u64,
    /// The first of those that are unknown.
    pub named: Vec<String>,
}

/// Looks through the store for bytes to which no row leads. It costs in proportion to what is stored.
///
/// Safe while clients push, because the row of an upload is there before its first byte, and leaves only for another row
/// that leads to the same bytes. What is found all the same has lost its row to a power cut, or to an older copy of the
/// database that somebody restored; so nothing goes that was not unknown in two sweeps a day apart, and nothing at all
/// while the database is older than the store.
#[derive(Debug)]
pub struct Sweep {
    metadata: Arc<dyn MetadataStore>,
    store: Arc<dyn BlobStore>,
    options: SweepOptions,
}

impl Sweep {
    /// A sweep of a registry whose metadata and bytes these are.
    pub fn new(metadata: Arc<dyn MetadataStore>, store: Arc<dyn BlobStore>, options: SweepOptions) -> Sweep {
        Sweep { metadata, store, options }
    }

    /// Goes through the store once.
    ///
    /// # Errors
    /// [`MarkError::DatabaseOlder`]; [`MarkError::NotKept`] if it was to delete; and if database or store fail.
    pub async fn run(&self) -> Result<SweepReport, MarkError> {
        match mark::advance(&*self.metadata, &*self.store).await {
            Err(MarkError::NotKept) if !self.options.delete => {}
            checked => checked?,
        }
        let (mut report, begun) = (SweepReport::default(), Instant::now());
        let mut after: Option<Location> = None;
        loop {
            let page = self.store.list(after.as_ref(), PAGE).await?;
            self.compare(&page, &mut report).await?;
            if page.len() < PAGE {
                break;
            }
            after = page.into_iter().next_back().map(|last| last.location);
        }
        self.metadata.forget_unknown(begun.elapsed() + Duration::from_secs(1)).await?;
        Ok(report)
    }

    async fn compare(&self, page: &[ObjectInfo], report: &mut SweepReport) -> Result<(), MarkError> {
        let ours = page.iter().filter(|object| object.location.as_str().starts_with(Location::PREFIX));
        let ours: Vec<&ObjectInfo> = ours.collect();
        report.objects += ours.len() as u64;
        report.bytes += ours.iter().map(|object| object.size_bytes).sum::<u64>();
        let locations: Vec<Location> = ours.iter().map(|object| object.location.clone()).collect();
        let unknown = self.metadata.note_unknown(&locations).await?;
        let mut garbage = Vec::new();
        for object in unknown {
            let listed = ours.iter().find(|listed| listed.location == object.location);
            report.unknown += 1;
            report.unknown_bytes += listed.map_or(0, |listed| listed.size_bytes);
            if report.named.len() < NAMED_MAX {
                report.named.push(object.location.to_string());
            }
            if object.unknown_for >= self.options.unknown_for {
                garbage.push(object.location);
            }
        }
        report.garbage += garbage.len() as u64;
        if self.options.delete && !garbage.is_empty() {
            report.given_up += self.metadata.reclaim_unknown(&garbage).await?;
        }
        Ok(())
    }
}

use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use registry_digest::Digest;
use registry_metadata::{MetadataStore, StoredObject};
use registry_storage::{BlobStore, StorageError};
use registry_types::{Location, Viewer};
use serde::Serialize;

use crate::{MarkError, Pace, Sweep, SweepOptions, SweepReport, hash, mark};

/// How many rows are read at once.
const PAGE: usize = 200;

/// How many findings a report lists; beyond that it counts.
const FINDINGS_MAX: usize = 1000;

/// How many repositories a finding names.
const REPOSITORIES_MAX: usize = 10;

/// How to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsckOptions {
    /// Whether bytes are read and hashed.
    pub deep: bool,
    /// How many of a hundred objects are read, chosen anew each time. 100.
    pub sample_percent: u8,
    /// How many KiB a second are read; zero is without a limit.
    pub kibibytes_per_second: u32,
    /// Whether what is bad is hidden, so that clients push it again, what is well again is shown, and what is garbage is
    /// given up. Nothing is deleted to which a row leads.
    pub repair: bool,
    /// Whether an older copy of the database is taken for the right one.
    pub accept_older_database: bool,
    /// What counts as garbage in the store.
    pub sweep: SweepOptions,
}

impl Default for FsckOptions {
    fn default() -> Self {
        FsckOptions {
            deep: false,
            sample_percent: 100,
            kibibytes_per_second: 0,
            repair: false,
            accept_older_database: false,
            sweep: SweepOptions::default(),
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A row leads to bytes that are not there.
    Missing,
    /// There are more bytes, or fewer, than the row says.
    WrongSize,
    /// The bytes are not what their digest says.
    Corrupt,
    /// The bytes can not be read.
    Unreadable,
    /// The bytes are well, but the object is hidden.
    HiddenButWell,
    /// The object is hidden, and its bytes are as bad as when it was: nobody has pushed it since.
    Hidden,
    /// A manifest in the database is not what its digest says.
    CorruptManifest,
    /// The database says so about itself.
    Database,
    /// The database was restored from an older copy, or nobody can tell.
    Mark,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Where the bytes lie, or should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What they should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// Some repositories that have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether it was repaired: hidden, or shown again.
    pub repaired: bool,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How many objects have a row.
    pub objects: u64,
    /// How many of them were read.
    pub objects_read: u64,
    /// How many bytes were read.
    pub bytes_read: u64,
    /// How many manifests were looked at.
    pub manifests: u64,
    /// What is in the store; absent if that could not be told.
    pub sweep: Option<SweepReport>,
    /// How many things are not as they should be.
    pub found: u64,
    /// How many of them were repaired.
    pub repaired: u64,
    /// The first of them, one by one.
    pub findings: Vec<Finding>,
}

/// Compares rows with bytes both ways, while others push and collect.
#[derive(Debug)]
pub struct Fsck {
    metadata: Arc<dyn MetadataStore>,
    store: Arc<dyn BlobStore>,
    options: FsckOptions,
    pace: Pace,
    random: RandomState,
}

impl Fsck {
    /// A check of a registry whose metadata and bytes these are.
    pub fn new(metadata: Arc<dyn MetadataStore>, store: Arc<dyn BlobStore>, options: FsckOptions) -> Fsck {
        let pace = Pace::per_second(options.kibibytes_per_second);
        Fsck { metadata, store, options, pace, random: RandomState::new() }
    }

    /// Looks at everything once. Reads the database's pages on this thread.
    ///
    /// # Errors
    /// If the database or the store can not be asked at all. What can be asked and is wrong is in the report.
    pub async fn run(&self) -> Result<FsckReport, MarkError> {
        let (mut report, begun) = (FsckReport::default(), Instant::now());
        if self.options.accept_older_database {
            mark::accept(&*self.metadata, &*self.store).await?;
        }
        for detail in self.metadata.verify().await? {
            report.note(Finding { detail: Some(detail), ..Finding::of(Problem::Database) });
        }
        self.objects(&mut report).await?;
        self.manifests(&mut report).await?;
        self.sweep(&mut report).await?;
        report.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    async fn objects(&self, report: &mut FsckReport) -> Result<(), MarkError> {
        let mut after: Option<Location> = None;
        loop {
            let page = self.metadata.objects(after.as_ref(), PAGE).await?;
            for object in &page {
                report.objects += 1;
                self.object(object, report).await?;
            }
            match page.into_iter().next_back() {
                Some(last) => after = Some(last.location),
                None => return Ok(()),
            }
        }
    }

    async fn object(&self, object: &StoredObject, report: &mut FsckReport) -> Result<(), MarkError> {
        let (problem, detail) = match self.examine(object, report).await {
            Some(found) => found,
            None if object.is_bad => (Problem::HiddenButWell, None),
            None => return Ok(()),
        };
        // It may have been collected or replaced while it was looked at.
        if !self.is_current(object).await? {
            return Ok(());
        }
        let mut finding = Finding::of(problem);
        for digest in &object.digests {
            let repositories =
                self.metadata.repositories_with_blob(&Viewer::everything(), digest, REPOSITORIES_MAX).await?;
            finding.repositories.extend(repositories.iter().map(ToString::to_string));
        }
        if self.options.repair {
            finding.repaired = self.repair(object, problem).await?;
        }
        finding.location = Some(object.location.to_string());
        finding.digests = object.digests.iter().map(Digest::to_string).collect();
        finding.detail = detail;
        report.note(finding);
        Ok(())
    }

    /// What is wrong with an object's bytes, as far as was looked.
    async fn examine(
        &self,
        object: &StoredObject,
        report: &mut FsckReport,
    ) -> Option<(Problem, Option<String>)> {
        let hidden = |problem| if object.is_bad { Problem::Hidden } else { problem };
        let actual_bytes = match self.store.size(&object.location).await {
            Ok(Some(actual_bytes)) => actual_bytes,
            Ok(None) => return Some((hidden(Problem::Missing), None)),
            Err(error) => return Some((hidden(Problem::Unreadable), Some(text(&error)))),
        };
        if actual_bytes != object.size_bytes {
            let detail = format!("{actual_bytes} bytes, not {}", object.size_bytes);
            return Some((hidden(Problem::WrongSize), Some(detail)));
        }
        if !self.options.deep || !(self.is_sampled(&object.location) || object.is_bad) {
            // Of one that is hidden nobody knows whether it is well without having read it.
            return object.is_bad.then_some((Problem::Hidden, None));
        }
        report.objects_read += 1;
        report.bytes_read += object.size_bytes;
        let (location, size_bytes) = (&object.location, object.size_bytes);
        match hash::digests_of(&*self.store, location, size_bytes, &object.digests, &self.pace).await {
            Ok(actual) if actual == object.digests => None,
            Ok(actual) => {
                let actual = actual.first().map(|actual| format!("the bytes are {actual}"));
                Some((hidden(Problem::Corrupt), actual))
            }
            Err(StorageError::Missing { .. }) => Some((hidden(Problem::Missing), None)),
            Err(error) => Some((hidden(Problem::Unreadable), Some(text(&error)))),
        }
    }

    fn is_sampled(&self, location: &Location) -> bool {
        self.random.hash_one(location.as_str()) % 100 < u64::from(self.options.sample_percent)
    }

    async fn is_current(&self, object: &StoredObject) -> Result<bool, MarkError> {
        let Some(before) = before(&object.location) else { return Ok(true) };
        // Locations that differ in their last letter only are few.
        let now = self.metadata.objects(Some(&before), PAGE).await?;
        Ok(now.iter().any(|now| now.location == object.location))
    }

    /// Hides what is bad and shows what is well. A copy that can not be read at this moment is left as it is: it may be the
    /// only one.
    async fn repair(&self, object: &StoredObject, problem: Problem) -> Result<bool, MarkError> {
        match problem {
            Problem::Missing | Problem::WrongSize | Problem::Corrupt => {
                self.metadata.mark_bad(&object.location).await?;
                Ok(true)
            }
            Problem::HiddenButWell => {
                self.metadata.mark_good(&object.location).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn manifests(&self, report: &mut FsckReport) -> Result<(), MarkError> {
        let mut after = None;
        loop {
            let page = self.metadata.all_manifests(after.as_ref(), PAGE).await?;
            for (position, manifest) in &page {
                report.manifests += 1;
                let digest = manifest.digest;
                if Digest::of(digest.algorithm(), &manifest.bytes) != digest {
                    let mut finding = Finding::of(Problem::CorruptManifest);
                    finding.digests.push(digest.to_string());
                    finding.repositories.extend(position.name.as_ref().map(ToString::to_string));
                    report.note(finding);
                }
            }
            match page.into_iter().next_back() {
                Some((position, _)) => after = Some(position),
                None => return Ok(()),
            }
        }
    }

    async fn sweep(&self, report: &mut FsckReport) -> Result<(), MarkError> {
        let options = SweepOptions { delete: self.options.repair, ..self.options.sweep };
        match Sweep::new(self.metadata.clone(), self.store.clone(), options).run().await {
            Ok(swept) => report.sweep = Some(swept),
            Err(error @ (MarkError::DatabaseOlder { .. } | MarkError::NotKept)) => {
                report.note(Finding { detail: Some(error.to_string()), ..Finding::of(Problem::Mark) });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A location shortly before this one: it without its last letter.
fn before(location: &Location) -> Option<Location> {
    let text = location.as_str();
    text.get(..text.len() - 1)?.parse().ok()
}

fn text(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

impl Finding {
    fn of(problem: Problem) -> Finding {
        Finding {
            problem,
            location: None,
            digests: Vec::new(),
            repositories: Vec::new(),
            detail: None,
            repaired: false,
        }
    }
}

impl FsckReport {
    /// Whether all is as it should be. Garbage in the store is no fault.
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }

    /// One line of JSON, an object with the fields of this struct.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are JSON")
    }

    fn note(&mut self, mut finding: Finding) {
        self.found += 1;
        self.repaired += u64::from(finding.repaired);
        finding.repositories.sort_unstable();
        finding.repositories.dedup();
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

impl fmt::Display for FsckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let left_out = self.found - self.findings.len() as u64;
        if left_out > 0 {
            writeln!(f, "and {left_out} more")?;
        }
        write!(f, "{} objects ({} read, {} bytes)", self.objects, self.objects_read, self.bytes_read)?;
        writeln!(f, " and {} manifests looked at in {} ms", self.manifests, self.took_ms)?;
        if let Some(sweep) = &self.sweep {
            write!(f, "{} objects of {} bytes in the store; ", sweep.objects, sweep.bytes)?;
            write!(f, "no row refers to {} of {} bytes, ", sweep.unknown, sweep.unknown_bytes)?;
            writeln!(
                f,
                "{} of them are garbage, {} were queued for deletion",
                sweep.garbage, sweep.given_up
            )?;
        }
        write!(f, "found {} problems, repaired {}", self.found, self.repaired)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Missing => "missing",
            Problem::WrongSize => "wrong size",
            Problem::Corrupt => "corrupt",
            Problem::Unreadable => "unreadable",
            Problem::HiddenButWell => "hidden, but well",
            Problem::Hidden => "hidden until it is pushed again",
            Problem::CorruptManifest => "corrupt manifest",
            Problem::Database => "database",
            Problem::Mark => "not swept",
        };
        write!(f, "{problem}:")?;
        for part in self.location.iter().chain(&self.digests).chain(&self.detail) {
            write!(f, " {part}")?;
        }
        if !self.repositories.is_empty() {
            write!(f, " in {}", self.repositories.join(", "))?;
        }
        if self.repaired { write!(f, " (repaired)") } else { Ok(()) }
    }
}

use std::fmt;

use parking_lot::Mutex;
use registry_types::RepositoryName;
use serde::Serialize;

/// How many problems a report names; the others are counted.
pub const PROBLEMS_MAX: usize = 10_000;

/// What a run did, and what it left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many repositories were looked at.
    pub repositories: u64,
    /// How many tags lead to a manifest that is here.
    pub tags: u64,
    /// How many manifests were taken over.
    pub manifests_added: u64,
    /// How many links of blobs were taken over.
    pub blobs_added: u64,
    /// How many tags were set or moved.
    pub tags_set: u64,
    /// How many tags were removed, since they are not there any more.
    pub tags_removed: u64,
    /// How many manifests were removed, likewise.
    pub manifests_removed: u64,
    /// How many uploads are there that were never finished. They are left out, and clients begin them again.
    pub unfinished_uploads: u64,
    /// What was left out.
    #[serde(flatten)]
    pub left_out: LeftOut,
}

/// What an import or an export left out, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The first [`PROBLEMS_MAX`] entries.
    pub problems: Vec<Problem>,
    /// How many more are not named.
    pub problems_left_out: u64,
}

impl LeftOut {
    /// How many entries were left out.
    pub fn count(&self) -> u64 {
        self.problems.len() as u64 + self.problems_left_out
    }
}

/// A line for each entry that is named.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Problem { repository, entry, reason } in &self.problems {
            writeln!(f, "left out: {repository} {entry}: {reason}")?;
        }
        if self.problems_left_out > 0 {
            writeln!(f, "left out: {} more", self.problems_left_out)?;
        }
        Ok(())
    }
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The repository, as it is named in the storage.
    pub repository: String,
    /// What it is: a tag, a digest, a key.
    pub entry: String,
    /// Why it was left out.
    pub reason: String,
}

impl Report {
    /// As JSON, in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{} repositories with {} tags; added {} manifests and {} blobs, set {} tags; removed {} tags and {} manifests; \
             left out {} entries and {} unfinished uploads",
            self.left_out,
            self.repositories,
            self.tags,
            self.manifests_added,
            self.blobs_added,
            self.tags_set,
            self.tags_removed,
            self.manifests_removed,
            self.left_out.count(),
            self.unfinished_uploads
        )
    }
}

/// A report to which several tasks add.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Report>);

impl Notes {
    pub(crate) fn add(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.lock());
    }

    pub(crate) fn problem(&self, repository: &str, entry: impl fmt::Display, reason: impl fmt::Display) {
        let mut report = self.0.lock();
        let left_out = &mut report.left_out;
        if left_out.problems.len() >= PROBLEMS_MAX {
            left_out.problems_left_out += 1;
            return;
        }
        let (repository, entry, reason) = (repository.to_owned(), entry.to_string(), reason.to_string());
        left_out.problems.push(Problem { repository, entry, reason });
    }

    /// The problem of an entry of a repository.
    pub(crate) fn of<'a>(&'a self, repository: &'a RepositoryName) -> NotesOf<'a> {
        NotesOf { notes: self, repository: repository.as_str() }
    }

    /// What was noted, problems in order.
    pub(crate) fn into_report(self) -> Report {
        let mut report = self.0.into_inner();
        report
            .left_out
            .problems
            .sort_by(|one, other| (&one.repository, &one.entry).cmp(&(&other.repository, &other.entry)));
        report
    }
}

/// Notes about one repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotesOf<'a> {
    notes: &'a Notes,
    repository: &'a str,
}

impl NotesOf<'_> {
    pub(crate) fn problem(&self, entry: impl fmt::Display, reason: impl fmt::Display) {
        self.notes.problem(self.repository, entry, reason);
    }

    pub(crate) fn add(&self, change: impl FnOnce(&mut Report)) {
        self.notes.add(change);
    }
}

use std::{collections::BTreeMap, fmt, time::Duration};

use registry_metadata::{CandidateKind, Collected, Verdict};
use serde::Serialize;

/// How many things a report lists one by one; beyond that it counts.
pub const ITEMS_MAX: usize = 1000;

/// How many failures a report tells in words.
const FAILURES_MAX: usize = 20;

/// What a collection did, or would do: as text by [`Display`](fmt::Display), as JSON by [`to_json`](Self::to_json).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was done, only looked at.
    pub dry_run: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How many candidates were looked at.
    pub looked_at: u64,
    /// How many went, by kind.
    pub removed: BTreeMap<&'static str, u64>,
    /// How many stay, by reason.
    pub kept: BTreeMap<&'static str, u64>,
    /// How many bytes nothing leads to any more since this collection. They are deleted after the grace.
    pub bytes_given_up: u64,
    /// How many objects were deleted from the store, or would be.
    pub objects_deleted: u64,
    /// How many steps failed; the next collection tries them again.
    pub failed: u64,
    /// What failed, in words.
    pub failures: Vec<String>,
    /// What went and what stays, the first [`ITEMS_MAX`] of it.
    pub items: Vec<Item>,
    /// How many more items there were.
    pub items_left_out: u64,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is: `blob`, `manifest`, `digest`, `trashed_manifest`, `trashed_tag`.
    pub kind: &'static str,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Which.
    pub digest: String,
    /// Why it was looked at.
    pub reason: String,
    /// Why it stays; absent if it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<&'static str>,
    /// Until when it is promised, in milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

impl Report {
    /// Whether everything that was due was dealt with.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// How many of a kind went.
    pub fn removed(&self, kind: CandidateKind) -> u64 {
        self.removed.get(kind.as_str()).copied().unwrap_or(0)
    }

    /// One line of JSON, an object with the fields of this struct.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are JSON")
    }

    pub(crate) fn note(&mut self, collected: &Collected) {
        self.looked_at += 1;
        let kind = collected.candidate.kind.as_str();
        match &collected.verdict {
            Verdict::Removed { bytes } => {
                *self.removed.entry(kind).or_default() += 1;
                self.bytes_given_up += bytes;
            }
            Verdict::Kept(kept) => {
                *self.kept.entry(kept.as_str()).or_default() += 1;
                if let registry_metadata::Kept::Failed { reason } = kept {
                    self.note_failure(format!("{kind} {}: {reason}", collected.candidate.digest));
                }
            }
        }
        if self.items.len() < ITEMS_MAX {
            self.items.push(Item::of(collected));
        } else {
            self.items_left_out += 1;
        }
    }

    pub(crate) fn note_failure(&mut self, failure: String) {
        self.failed += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }

    pub(crate) fn finish(mut self, took: Duration) -> Report {
        self.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

impl Item {
    fn of(collected: &Collected) -> Item {
        let (kept, until_ms) = match &collected.verdict {
            Verdict::Removed { .. } => (None, None),
            Verdict::Kept(kept) => (Some(kept.as_str()), kept.until_ms()),
        };
        let candidate = &collected.candidate;
        Item {
            kind: candidate.kind.as_str(),
            repository: candidate.repository.as_ref().map(ToString::to_string),
            digest: candidate.digest.clone(),
            reason: candidate.reason.clone(),
            kept,
            until_ms,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |counts: &BTreeMap<&'static str, u64>| match counts.is_empty() {
            true => "nothing".to_owned(),
            false => {
                let each = counts.iter().map(|(what, count)| format!("{count} {}", what.replace('_', " ")));
                each.collect::<Vec<_>>().join(", ")
            }
        };
        let (removed, deleted) = match self.dry_run {
            true => ("would remove", "would be deleted"),
            false => ("removed", "deleted"),
        };
        writeln!(f, "looked at {} candidates in {} ms", self.looked_at, self.took_ms)?;
        writeln!(f, "{removed}: {}", counts(&self.removed))?;
        writeln!(f, "kept: {}", counts(&self.kept))?;
        writeln!(f, "queued for deletion: {} bytes", self.bytes_given_up)?;
        write!(f, "objects {deleted}: {}", self.objects_deleted)?;
        if self.failed > 0 {
            write!(f, "\nfailed: {}", self.failed)?;
        }
        for failure in &self.failures {
            write!(f, "\n  {failure}")?;
        }
        Ok(())
    }
}

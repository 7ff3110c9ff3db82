//! What a transaction changes of what quotas count, noted until it is settled.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use registry_digest::Digest;

use crate::Options;

/// How often a digest is used and held more, or less, than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) uses: i64,
    pub(crate) holds: i64,
    /// Of a manifest; that of a blob is in the database.
    pub(crate) size_bytes: Option<i64>,
}

impl Use {
    fn is_none(&self) -> bool {
        self.uses == 0 && self.holds == 0
    }

    /// What this change took or gave, if the digest is counted like that after it.
    pub(crate) fn settled(&self, after: Counted) -> More {
        let sum = |uses: i64, holds: i64| match (uses > 0, holds > 0) {
            (true, _) => More { bytes: after.size_bytes, ..More::default() },
            (false, true) => More { held: after.size_bytes, ..More::default() },
            (false, false) => More::default(),
        };
        let (now, before) =
            (sum(after.uses, after.holds), sum(after.uses - self.uses, after.holds - self.holds));
        More { bytes: now.bytes - before.bytes, held: now.held - before.held, ..More::default() }
    }
}

/// How often a digest is used and held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) uses: i64,
    pub(crate) holds: i64,
    pub(crate) size_bytes: i64,
}

impl Counted {
    /// Whether it is to be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.uses <= 0 && self.holds <= 0
    }
}

/// How much more a counter has, or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct More {
    pub(crate) bytes: i64,
    /// Without what sessions have saved.
    pub(crate) held: i64,
    pub(crate) tags: i64,
    /// What sessions have saved.
    pub(crate) uploads: i64,
}

impl std::ops::AddAssign for More {
    fn add_assign(&mut self, other: More) {
        self.bytes += other.bytes;
        self.held += other.held;
        self.tags += other.tags;
        self.uploads += other.uploads;
    }
}

/// What a transaction changes in a repository. Digests are in order, which is that of locks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) digests: BTreeMap<String, Use>,
    pub(crate) tags: i64,
    /// What its sessions have saved, in bytes.
    pub(crate) uploads: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// By the repository's number.
    pub(crate) changes: BTreeMap<i64, Change>,
    /// Whether more than may be is refused. What was deleted comes back in any case.
    pub(crate) refuses: bool,
    /// Whether more than may be is taken all the same.
    takes_all: bool,
}

/// What a transaction has changed so far. Without quotas nothing is noted.
#[derive(Debug)]
pub(crate) struct Ledger {
    is_kept: bool,
    noted: Mutex<Noted>,
}

impl Ledger {
    pub(crate) fn new(options: &Options) -> Ledger {
        Ledger { is_kept: !options.quotas.is_empty(), noted: Mutex::default() }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// This is a push: what exceeds a quota is refused.
    pub(crate) fn refuse_excess(&self) {
        let mut noted = self.noted.lock();
        noted.refuses = !noted.takes_all;
    }

    /// What another registry has is counted, whatever a quota says.
    pub(crate) fn refuse_nothing(&self) {
        self.noted.lock().takes_all = true;
    }

    /// So many manifests of the repository refer to a blob that is there, more than before.
    pub(crate) fn add_blob(&self, repository: i64, digest: &Digest, uses: usize) {
        if uses > 0 {
            let uses = i64::try_from(uses).unwrap_or(i64::MAX);
            self.note(repository, digest, Use { uses, ..Use::default() });
        }
    }

    pub(crate) fn add_manifest(&self, repository: i64, digest: &Digest, size_bytes: usize) {
        let size_bytes = i64::try_from(size_bytes).ok();
        self.note(repository, digest, Use { uses: 1, size_bytes, ..Use::default() });
    }

    /// A manifest went, or referred to this blob and went.
    pub(crate) fn remove(&self, repository: i64, digest: &Digest) {
        self.note(repository, digest, Use { uses: -1, ..Use::default() });
    }

    /// A blob was linked to the repository, or put into its trash.
    pub(crate) fn hold(&self, repository: i64, digest: &Digest) {
        self.note(repository, digest, Use { holds: 1, ..Use::default() });
    }

    /// A manifest was put into the trash.
    pub(crate) fn hold_manifest(&self, repository: i64, digest: &Digest, size_bytes: i64) {
        self.note(repository, digest, Use { holds: 1, size_bytes: Some(size_bytes), ..Use::default() });
    }

    /// A blob's link is gone, or something left the trash.
    pub(crate) fn let_go(&self, repository: i64, digest: &Digest) {
        self.note(repository, digest, Use { holds: -1, ..Use::default() });
    }

    /// A session of the repository has saved so many bytes more. Less, if it is over.
    pub(crate) fn add_upload(&self, repository: i64, bytes: i64) {
        if self.is_kept {
            self.noted.lock().changes.entry(repository).or_default().uploads += bytes;
        }
    }

    pub(crate) fn add_tag(&self, repository: i64) {
        self.note_tags(repository, 1);
    }

    pub(crate) fn remove_tags(&self, repository: i64, tags: usize) {
        self.note_tags(repository, -i64::try_from(tags).unwrap_or(i64::MAX));
    }

    fn note(&self, repository: i64, digest: &Digest, more: Use) {
        if self.is_kept {
            let mut noted = self.noted.lock();
            let digests = &mut noted.changes.entry(repository).or_default().digests;
            let used = digests.entry(digest.to_string()).or_default();
            used.uses += more.uses;
            used.holds += more.holds;
            used.size_bytes = used.size_bytes.or(more.size_bytes);
        }
    }

    fn note_tags(&self, repository: i64, more: i64) {
        if self.is_kept {
            self.noted.lock().changes.entry(repository).or_default().tags += more;
        }
    }

    /// What is to be settled; after this nothing is noted.
    pub(crate) fn take(&self) -> Noted {
        let mut noted = std::mem::take(&mut *self.noted.lock());
        for change in noted.changes.values_mut() {
            change.digests.retain(|_, used| !used.is_none());
        }
        noted.changes.retain(|_, change| *change != Change::default());
        noted
    }
}

#[cfg(test)]
mod tests {
    use registry_digest::Algorithm;

    use super::*;
    use crate::Quota;

    #[test]
    fn what_is_taken_back_in_the_same_transaction_is_not_settled() {
        let options = Options { quotas: vec![Quota::default()], ..Options::default() };
        let ledger = Ledger::new(&options);
        let digest = Digest::of(Algorithm::Sha256, b"x");
        ledger.add_manifest(1, &digest, 10);
        ledger.remove(1, &digest);
        ledger.add_tag(1);
        ledger.remove_tags(1, 1);
        assert!(ledger.take().changes.is_empty());
        ledger.add_blob(2, &digest, 2);
        assert_eq!(ledger.take().changes[&2].digests[&digest.to_string()].uses, 2);
        assert!(ledger.take().changes.is_empty(), "taken once");
    }

    #[test]
    fn without_quotas_nothing_is_noted() {
        let ledger = Ledger::new(&Options::default());
        ledger.add_tag(1);
        assert!(ledger.take().changes.is_empty());
    }

    #[test]
    fn a_digest_counts_as_used_or_as_held_and_never_as_both() {
        let after = |uses, holds| Counted { uses, holds, size_bytes: 10 };
        for (uses, holds, counted, bytes, held) in [
            (0, 1, after(0, 1), 0, 10),
            (0, 1, after(0, 2), 0, 0),
            (1, 0, after(1, 1), 10, -10),
            (1, 0, after(2, 1), 0, 0),
            (-1, 1, after(0, 2), -10, 10),
            (-1, 0, after(1, 0), 0, 0),
            (0, -1, after(0, 0), 0, -10),
            (0, -1, after(1, 0), 0, 0),
            (-1, 0, after(0, 0), -10, 0),
        ] {
            let more = Use { uses, holds, size_bytes: None }.settled(counted);
            assert_eq!((more.bytes, more.held), (bytes, held), "{uses} {holds} {counted:?}");
        }
    }
}

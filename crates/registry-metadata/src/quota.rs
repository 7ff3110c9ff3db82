//! Quotas: what groups of repositories may hold, and what a transaction changes about it.
//!
//! A digest counts once for a quota, however many images and repositories use it: as long as a manifest in one of the
//! quota's repositories refers to it, or is it. What was uploaded and no manifest refers to yet does not count.
//!
//! Who writes rows that count notes that in the transaction's [`Ledger`]; before the commit all of it is *settled*: the
//! counters of the quotas that hold for the repository are locked, changed, and compared with the limits. So there is one
//! place that counts, it comes after all other locks, and a transaction that fails leaves the counters as they were. The
//! counters that are kept are those in the database, whatever this process is told of limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use parking_lot::Mutex;
use registry_digest::Digest;
use thiserror::Error;

use crate::Options;

/// What the repositories whose names begin with a prefix may hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How their names begin, such as `team/`; empty for all repositories.
    pub prefix: String,
    /// How many bytes: of blobs that manifests refer to, and of manifests, each once. None is without a limit.
    pub bytes_max: Option<u64>,
    /// How many tags. None is without a limit.
    pub tags_max: Option<u64>,
}

impl Quota {
    fn holds_for(&self, repository: &str) -> bool {
        repository.starts_with(&self.prefix)
    }
}

/// What repositories hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The sizes of all digests that count, each once.
    pub bytes: u64,
    /// How many tags there are.
    pub tags: u64,
}

/// A quota, and what is used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    /// The quota.
    pub quota: Quota,
    /// None if nobody has [counted](crate::MetadataStore::begin_quotas) yet.
    pub usage: Option<Usage>,
}

/// What a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaKind {
    /// Bytes.
    Bytes,
    /// Tags.
    Tags,
}

impl QuotaKind {
    /// `bytes` or `tags`.
    pub fn as_str(self) -> &'static str {
        match self {
            QuotaKind::Bytes => "bytes",
            QuotaKind::Tags => "tags",
        }
    }

    fn amount(self, number: u64) -> String {
        match (self, number) {
            (QuotaKind::Bytes, bytes) => ByteSize(bytes).to_string(),
            (QuotaKind::Tags, 1) => "1 tag".to_owned(),
            (QuotaKind::Tags, tags) => format!("{tags} tags"),
        }
    }
}

/// Something does not fit into a quota.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// The quota's prefix.
    pub prefix: String,
    /// What there would be too much of.
    pub kind: QuotaKind,
    /// How much there may be.
    pub limit: u64,
    /// How much there is.
    pub usage: u64,
    /// How much more there would be; 0 if it was not known yet.
    pub requested: u64,
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => f.write_str("the quota of all repositories")?,
            prefix => write!(f, "the quota of `{prefix}`")?,
        }
        let (limit, usage) = (self.kind.amount(self.limit), self.kind.amount(self.usage));
        match self.requested {
            0 => write!(f, " is used up: {usage} of {limit}"),
            more => {
                write!(f, " is exceeded: {usage} of {limit} are used, this adds {}", self.kind.amount(more))
            }
        }
    }
}

/// A number of bytes as people read it: `1.5 GiB`. Rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Some(power) = self.0.checked_ilog2().map(|bits| bits / 10).filter(|power| *power > 0) else {
            return write!(f, "{} bytes", self.0);
        };
        let unit = UNITS[power as usize - 1];
        // In tenths, so that nothing is rounded up to the next unit.
        let tenths = (u128::from(self.0) * 10) >> (10 * power);
        match (tenths / 10, tenths % 10) {
            (whole, 0) => write!(f, "{whole} {unit}"),
            (whole, tenth) => write!(f, "{whole}.{tenth} {unit}"),
        }
    }
}

/// How often a digest is used more, or less, than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) uses: i64,
    /// Of a manifest; that of a blob is in the database.
    pub(crate) size_bytes: Option<i64>,
}

/// What a transaction changes in a repository. Digests are in order, which is that of locks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) digests: BTreeMap<String, Use>,
    pub(crate) tags: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// By the repository's number.
    pub(crate) changes: BTreeMap<i64, Change>,
    /// Whether more than may be is refused. What was deleted comes back in any case.
    pub(crate) refuses: bool,
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
        self.noted.lock().refuses = true;
    }

    /// So many manifests of the repository refer to a blob that is there, more than before.
    pub(crate) fn add_blob(&self, repository: i64, digest: &Digest, uses: usize) {
        if uses > 0 {
            let uses = i64::try_from(uses).unwrap_or(i64::MAX);
            self.note(repository, digest, Use { uses, size_bytes: None });
        }
    }

    pub(crate) fn add_manifest(&self, repository: i64, digest: &Digest, size_bytes: usize) {
        let size_bytes = i64::try_from(size_bytes).ok();
        self.note(repository, digest, Use { uses: 1, size_bytes });
    }

    /// A manifest went, or referred to this blob and went.
    pub(crate) fn remove(&self, repository: i64, digest: &Digest) {
        self.note(repository, digest, Use { uses: -1, size_bytes: None });
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
            change.digests.retain(|_, used| used.uses != 0);
        }
        noted.changes.retain(|_, change| !change.digests.is_empty() || change.tags != 0);
        noted
    }
}

/// A counter, as it is before a transaction is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) prefix: String,
    pub(crate) bytes: i64,
    pub(crate) tags: i64,
}

impl Options {
    /// The quotas that hold for a repository.
    pub(crate) fn quotas_of(&self, repository: &str) -> impl Iterator<Item = &Quota> {
        self.quotas.iter().filter(move |quota| quota.holds_for(repository))
    }

    /// The prefixes that are to be counted, in order.
    pub(crate) fn quota_prefixes(&self) -> BTreeSet<String> {
        self.quotas.iter().map(|quota| quota.prefix.clone()).collect()
    }

    /// Refuses what takes a counter beyond its limit. Who adds nothing may be beyond it: somebody lowered it.
    pub(crate) fn refuse_excess(
        &self,
        counter: &Counter,
        bytes: i64,
        tags: i64,
    ) -> Result<(), QuotaExceeded> {
        for quota in self.quotas.iter().filter(|quota| quota.prefix == counter.prefix) {
            quota.fits(QuotaKind::Bytes, counter.bytes, bytes)?;
            quota.fits(QuotaKind::Tags, counter.tags, tags)?;
        }
        Ok(())
    }
}

impl Quota {
    fn fits(&self, kind: QuotaKind, usage: i64, more: i64) -> Result<(), QuotaExceeded> {
        let limit = match kind {
            QuotaKind::Bytes => self.bytes_max,
            QuotaKind::Tags => self.tags_max,
        };
        let (Some(limit), Ok(requested @ 1..)) = (limit, u64::try_from(more)) else { return Ok(()) };
        let usage = u64::try_from(usage).unwrap_or(0);
        if usage.saturating_add(requested) <= limit {
            return Ok(());
        }
        Err(QuotaExceeded { prefix: self.prefix.clone(), kind, limit, usage, requested })
    }

    /// Whether there is room for at least one byte, for whoever is about to send some.
    pub(crate) fn has_room(&self, usage: Usage) -> Result<(), QuotaExceeded> {
        match self.bytes_max {
            Some(limit) if usage.bytes >= limit => {
                let (prefix, kind) = (self.prefix.clone(), QuotaKind::Bytes);
                Err(QuotaExceeded { prefix, kind, limit, usage: usage.bytes, requested: 0 })
            }
            _ => Ok(()),
        }
    }

    /// Whether there is room for a blob that is not counted yet.
    pub(crate) fn has_room_for(&self, usage: Usage, size_bytes: u64) -> Result<(), QuotaExceeded> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.fits(QuotaKind::Bytes, signed(usage.bytes), signed(size_bytes))
    }
}

/// What an audit says of a counter, if it is not right.
pub(crate) fn audited(
    prefix: &str,
    [bytes, real_bytes, tags, real_tags, digests]: [i64; 5],
) -> Option<String> {
    (bytes != real_bytes || tags != real_tags || digests != 0).then(|| {
        format!(
            "the quota of `{prefix}` counts {bytes} bytes and {tags} tags, there are {real_bytes} and {real_tags}; \
             digests not counted as they are used: {digests} (`registry quota --recount` counts again)"
        )
    })
}

#[cfg(test)]
mod tests {
    use registry_digest::Algorithm;

    use super::*;

    fn options(quotas: &[(&str, Option<u64>)]) -> Options {
        let quota = |(prefix, bytes_max): &(&str, _)| Quota {
            prefix: (*prefix).to_owned(),
            bytes_max: *bytes_max,
            tags_max: Some(2),
        };
        Options { quotas: quotas.iter().map(quota).collect(), ..Options::default() }
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_and_never_rounded_up() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (100 << 30, "100 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_message_says_how_much_there_may_be_there_is_and_there_would_be() {
        let exceeded = |prefix: &str, kind, limit, usage, requested| {
            QuotaExceeded { prefix: prefix.to_owned(), kind, limit, usage, requested }.to_string()
        };
        assert_eq!(
            exceeded("team/", QuotaKind::Bytes, 100 << 30, 99 << 30, 3 << 29),
            "the quota of `team/` is exceeded: 99 GiB of 100 GiB are used, this adds 1.5 GiB"
        );
        assert_eq!(
            exceeded("", QuotaKind::Tags, 5, 5, 1),
            "the quota of all repositories is exceeded: 5 tags of 5 tags are used, this adds 1 tag"
        );
        assert_eq!(
            exceeded("a", QuotaKind::Bytes, 1024, 1024, 0),
            "the quota of `a` is used up: 1 KiB of 1 KiB"
        );
    }

    #[test]
    fn what_is_taken_back_in_the_same_transaction_is_not_settled() {
        let ledger = Ledger::new(&options(&[("", None)]));
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
    fn only_who_adds_is_refused_and_every_limit_counts() {
        let options = options(&[("", Some(100)), ("team/", None)]);
        let counter = |prefix: &str, bytes, tags| Counter { prefix: prefix.to_owned(), bytes, tags };
        assert_eq!(options.refuse_excess(&counter("", 90, 0), 10, 0), Ok(()));
        assert_eq!(options.refuse_excess(&counter("", 90, 0), 11, 0).unwrap_err().requested, 11);
        assert_eq!(options.refuse_excess(&counter("", 500, 9), 0, 0), Ok(()), "lowered since");
        assert_eq!(options.refuse_excess(&counter("", 500, 9), -1, -1), Ok(()));
        assert_eq!(options.refuse_excess(&counter("team/", 500, 2), 1, 1).unwrap_err().kind, QuotaKind::Tags);
        assert_eq!(options.refuse_excess(&counter("other/", 500, 9), 1, 1), Ok(()));
        let prefixes = |name| options.quotas_of(name).map(|it| it.prefix.as_str()).collect::<Vec<_>>();
        assert_eq!((prefixes("team/app"), prefixes("teams")), (vec!["", "team/"], vec![""]));
    }
}

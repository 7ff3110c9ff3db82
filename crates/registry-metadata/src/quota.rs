//! Quotas: what groups of repositories may hold, and what a transaction changes about it.
//!
//! A digest counts once for a quota, however many images and repositories use it: as *used*, as long as a manifest in one
//! of the quota's repositories refers to it, or is it; else as *held*, as long as the blob is linked to one of them or lies
//! in their trash. What sessions of uploads have saved is held as well. Used bytes and held bytes have limits of their own.
//!
//! Who writes rows that count notes that in the transaction's [`Ledger`]; before the commit all of it is *settled*: the
//! counters of the quotas that hold for the repository are locked, changed, and compared with the limits. So there is one
//! place that counts, it comes after all other locks, and a transaction that fails leaves the counters as they were. The
//! counters that are kept are those in the database, whatever this process is told of limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use parking_lot::Mutex;
use registry_digest::Digest;
use thiserror::Error;

use crate::Options;

/// For how long a session is held at most that no client goes on with, where there is a quota.
pub const COUNTED_UNTOUCHED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the repositories whose names begin with a prefix may hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How their names begin, such as `team/`; empty for all repositories.
    pub prefix: String,
    /// How many bytes: of blobs that manifests refer to, and of manifests, each once. None is without a limit.
    pub bytes_max: Option<u64>,
    /// How many bytes are held beside those: by unfinished uploads, by blobs that no manifest refers to, by what was deleted
    /// and can be restored. None is without a limit.
    pub held_max: Option<u64>,
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
    /// The sizes of all digests that manifests use, each once.
    pub bytes: u64,
    /// The sizes of all digests that are kept without that, each once, and what unfinished uploads have saved.
    pub held: u64,
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
    /// Bytes that manifests use.
    Bytes,
    /// Bytes that are held beside those.
    Held,
    /// Tags.
    Tags,
}

impl QuotaKind {
    /// `bytes`, `held` or `tags`.
    pub fn as_str(self) -> &'static str {
        match self {
            QuotaKind::Bytes => "bytes",
            QuotaKind::Held => "held",
            QuotaKind::Tags => "tags",
        }
    }

    fn amount(self, number: u64) -> String {
        match (self, number) {
            (QuotaKind::Bytes | QuotaKind::Held, bytes) => ByteSize(bytes).to_string(),
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
        match (self.kind, self.requested) {
            (QuotaKind::Held, 0) => write!(f, " is used up: {HOLDERS} hold {usage} of {limit}; {HELD_UNTIL}"),
            (QuotaKind::Held, more) => {
                let more = self.kind.amount(more);
                write!(f, " is exceeded: {HOLDERS} hold {usage} of {limit}, this adds {more}; {HELD_UNTIL}")
            }
            (_, 0) => write!(f, " is used up: {usage} of {limit}"),
            (_, more) => {
                write!(f, " is exceeded: {usage} of {limit} are used, this adds {}", self.kind.amount(more))
            }
        }
    }
}

/// What holds bytes that no manifest uses.
const HOLDERS: &str = "uploads, blobs without an image and deleted images";

/// When they give them back, and what else helps.
const HELD_UNTIL: &str = "uploads give it back when they end, blobs after `gc.lease`, deleted images after \
                          `gc.undelete_window`; the operator can raise `quotas[].held`";

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

/// A counter, as it is before a transaction is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) prefix: String,
    pub(crate) bytes: i64,
    pub(crate) tags: i64,
    /// Without what sessions have saved.
    pub(crate) held: i64,
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

    /// Refuses what takes a counter beyond its limit; `uploads` is what sessions have saved, with what they save now. Who
    /// adds nothing may be beyond it: somebody lowered it.
    pub(crate) fn refuse_excess(
        &self,
        counter: &Counter,
        more: More,
        uploads: i64,
    ) -> Result<(), QuotaExceeded> {
        for quota in self.quotas.iter().filter(|quota| quota.prefix == counter.prefix) {
            quota.fits(QuotaKind::Bytes, counter.bytes, more.bytes)?;
            quota.fits(QuotaKind::Held, counter.held + uploads - more.uploads, more.held + more.uploads)?;
            quota.fits(QuotaKind::Tags, counter.tags, more.tags)?;
        }
        Ok(())
    }
}

impl Quota {
    fn limit(&self, kind: QuotaKind) -> Option<u64> {
        match kind {
            QuotaKind::Bytes => self.bytes_max,
            QuotaKind::Held => self.held_max,
            QuotaKind::Tags => self.tags_max,
        }
    }

    fn fits(&self, kind: QuotaKind, usage: i64, more: i64) -> Result<(), QuotaExceeded> {
        let (Some(limit), Ok(requested @ 1..)) = (self.limit(kind), u64::try_from(more)) else {
            return Ok(());
        };
        let usage = u64::try_from(usage).unwrap_or(0);
        if usage.saturating_add(requested) <= limit {
            return Ok(());
        }
        Err(QuotaExceeded { prefix: self.prefix.clone(), kind, limit, usage, requested })
    }

    /// Whether there is room for at least one byte, for whoever is about to send some.
    pub(crate) fn has_room(&self, usage: Usage) -> Result<(), QuotaExceeded> {
        for (kind, usage) in [(QuotaKind::Bytes, usage.bytes), (QuotaKind::Held, usage.held)] {
            if let Some(limit) = self.limit(kind).filter(|limit| usage >= *limit) {
                return Err(QuotaExceeded { prefix: self.prefix.clone(), kind, limit, usage, requested: 0 });
            }
        }
        Ok(())
    }

    /// Whether there is room for a blob that is not counted yet.
    pub(crate) fn has_room_for(&self, usage: Usage, size_bytes: u64) -> Result<(), QuotaExceeded> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.fits(QuotaKind::Bytes, signed(usage.bytes), signed(size_bytes))
    }

    /// How large an upload may become that has saved so much. `is_used` says whether manifests use the blob already, if it
    /// is known which blob this will be: what they use adds nothing, and of what is not known this can not be said.
    pub(crate) fn room(
        &self,
        usage: Usage,
        saved_bytes: u64,
        is_used: Option<bool>,
    ) -> impl Iterator<Item = UploadRoom> {
        let held = self.held_max.map(|limit| {
            let size_bytes_max = saved_bytes.saturating_add(limit.saturating_sub(usage.held));
            (QuotaKind::Held, limit, usage.held, size_bytes_max)
        });
        let bytes = self.bytes_max.filter(|_| is_used != Some(true)).map(|limit| {
            let size_bytes_max = if is_used.is_some() { limit.saturating_sub(usage.bytes) } else { limit };
            (QuotaKind::Bytes, limit, usage.bytes, size_bytes_max)
        });
        [held, bytes].into_iter().flatten().map(|(kind, limit, usage, size_bytes_max)| {
            let exceeded = QuotaExceeded { prefix: self.prefix.clone(), kind, limit, usage, requested: 0 };
            UploadRoom { size_bytes_max, exceeded }
        })
    }
}

/// How large an upload may become, and because of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRoom {
    /// No byte beyond this can be kept.
    pub size_bytes_max: u64,
    exceeded: QuotaExceeded,
}

impl UploadRoom {
    /// What is said of an upload that has saved so much, of what would be too large.
    pub fn exceeded(&self, saved_bytes: u64, size_bytes: u64) -> QuotaExceeded {
        // What it has saved is held already.
        let counted_bytes = if self.exceeded.kind == QuotaKind::Held { saved_bytes } else { 0 };
        QuotaExceeded { requested: size_bytes.saturating_sub(counted_bytes), ..self.exceeded.clone() }
    }
}

/// The numbers of an audit: what is counted, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audited {
    pub(crate) bytes: [i64; 2],
    pub(crate) tags: [i64; 2],
    pub(crate) held: [i64; 2],
    pub(crate) uploads: [i64; 2],
    /// How many digests are not counted as they are used and held.
    pub(crate) digests: i64,
}

/// How many columns an audit has.
pub(crate) const AUDIT_COLUMNS: usize = 9;

impl From<[i64; AUDIT_COLUMNS]> for Audited {
    fn from(columns: [i64; AUDIT_COLUMNS]) -> Audited {
        let [b, bytes, t, tags, h, held, u, uploads, digests] = columns;
        Audited { bytes: [b, bytes], tags: [t, tags], held: [h, held], uploads: [u, uploads], digests }
    }
}

/// What an audit says of a counter, if it is not right.
pub(crate) fn audited(prefix: &str, audited: Audited) -> Option<String> {
    let Audited { bytes, tags, held, uploads, digests } = audited;
    let is_right = [bytes, tags, held, uploads].iter().all(|[counted, real]| counted == real);
    (!is_right || digests != 0).then(|| {
        format!(
            "the quota of `{prefix}` counts {} bytes and {} tags, there are {} and {}; {} bytes held beside and {} in \
             uploads, there are {} and {}; digests not counted as they are used: {digests} (`registry quota --recount` \
             counts again)",
            bytes[0], tags[0], bytes[1], tags[1], held[0], uploads[0], held[1], uploads[1]
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
            held_max: Some(50),
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
        assert_eq!(
            exceeded("a/", QuotaKind::Held, 2048, 1024, 4096),
            "the quota of `a/` is exceeded: uploads, blobs without an image and deleted images hold 1 KiB of 2 KiB, \
             this adds 4 KiB; uploads give it back when they end, blobs after `gc.lease`, deleted images after \
             `gc.undelete_window`; the operator can raise `quotas[].held`"
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
        let counter = |prefix: &str, bytes, tags| Counter { prefix: prefix.to_owned(), bytes, tags, held: 0 };
        let more = |bytes, tags| More { bytes, tags, ..More::default() };
        let fits = |counter, more| options.refuse_excess(&counter, more, 0);
        assert_eq!(fits(counter("", 90, 0), more(10, 0)), Ok(()));
        assert_eq!(fits(counter("", 90, 0), more(11, 0)).unwrap_err().requested, 11);
        assert_eq!(fits(counter("", 500, 9), more(0, 0)), Ok(()), "lowered since");
        assert_eq!(fits(counter("", 500, 9), more(-1, -1)), Ok(()));
        assert_eq!(fits(counter("team/", 500, 2), more(1, 1)).unwrap_err().kind, QuotaKind::Tags);
        assert_eq!(fits(counter("other/", 500, 9), more(1, 1)), Ok(()));
        let prefixes = |name| options.quotas_of(name).map(|it| it.prefix.as_str()).collect::<Vec<_>>();
        assert_eq!((prefixes("team/app"), prefixes("teams")), (vec!["", "team/"], vec![""]));
    }

    #[test]
    fn sessions_and_what_is_kept_without_an_image_are_held_together() {
        let options = options(&[("", None)]);
        let counter = Counter { prefix: String::new(), bytes: 0, tags: 0, held: 30 };
        let saved = |uploads| More { uploads, ..More::default() };
        assert_eq!(options.refuse_excess(&counter, saved(20), 20), Ok(()));
        let exceeded = options.refuse_excess(&counter, saved(5), 21).unwrap_err();
        assert_eq!((exceeded.kind, exceeded.usage, exceeded.requested), (QuotaKind::Held, 46, 5));
        let finished = More { held: 10, uploads: -10, ..More::default() };
        assert_eq!(options.refuse_excess(&counter, finished, 20), Ok(()), "a session became a blob");
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

    #[test]
    fn an_upload_has_room_for_what_can_be_held_and_what_an_image_can_use() {
        let quota = Quota { bytes_max: Some(100), held_max: Some(50), ..Quota::default() };
        let usage = Usage { bytes: 70, held: 45, tags: 0 };
        let room =
            |is_used| quota.room(usage, 40, is_used).map(|room| room.size_bytes_max).collect::<Vec<_>>();
        assert_eq!(room(None), [45, 100]);
        assert_eq!(room(Some(false)), [45, 30]);
        assert_eq!(room(Some(true)), [45]);
        let first = quota.room(usage, 40, None).next().unwrap();
        assert_eq!(first.exceeded(40, 46).requested, 6);
    }
}

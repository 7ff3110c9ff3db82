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

mod ledger;

use std::{collections::BTreeSet, fmt, time::Duration};

use thiserror::Error;

pub(crate) use self::ledger::{Change, Counted, Ledger, More, Noted};

use registry_types::Quota;

use crate::Options;

/// For how long a session is held at most that no client goes on with, where there is a quota.
pub const COUNTED_UNTOUCHED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// None before the first [count](crate::Quotas::begin_quotas).
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
            fits(quota, QuotaKind::Bytes, counter.bytes, more.bytes)?;
            fits(quota, QuotaKind::Held, counter.held + uploads - more.uploads, more.held + more.uploads)?;
            fits(quota, QuotaKind::Tags, counter.tags, more.tags)?;
        }
        Ok(())
    }
}

fn limit_of(quota: &Quota, kind: QuotaKind) -> Option<u64> {
    match kind {
        QuotaKind::Bytes => quota.bytes_max,
        QuotaKind::Held => quota.held_max,
        QuotaKind::Tags => quota.tags_max,
    }
}

fn fits(quota: &Quota, kind: QuotaKind, usage: i64, more: i64) -> Result<(), QuotaExceeded> {
    let (Some(limit), Ok(requested @ 1..)) = (limit_of(quota, kind), u64::try_from(more)) else {
        return Ok(());
    };
    let usage = u64::try_from(usage).unwrap_or(0);
    if usage.saturating_add(requested) <= limit {
        return Ok(());
    }
    Err(QuotaExceeded { prefix: quota.prefix.clone(), kind, limit, usage, requested })
}

/// Whether there is room for at least one byte, for a client that is about to send some.
pub(crate) fn has_room(quota: &Quota, usage: Usage) -> Result<(), QuotaExceeded> {
    for (kind, usage) in [(QuotaKind::Bytes, usage.bytes), (QuotaKind::Held, usage.held)] {
        if let Some(limit) = limit_of(quota, kind).filter(|limit| usage >= *limit) {
            return Err(QuotaExceeded { prefix: quota.prefix.clone(), kind, limit, usage, requested: 0 });
        }
    }
    Ok(())
}

/// Whether there is room for a blob that is not counted yet.
pub(crate) fn has_room_for(quota: &Quota, usage: Usage, size_bytes: u64) -> Result<(), QuotaExceeded> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    fits(quota, QuotaKind::Bytes, signed(usage.bytes), signed(size_bytes))
}

/// How large an upload may become that has saved so much. `is_used` says whether manifests use the blob already, if it
/// is known which blob this will be: what they use adds nothing, and of what is not known this can not be said.
pub(crate) fn rooms(
    quota: &Quota,
    usage: Usage,
    saved_bytes: u64,
    is_used: Option<bool>,
) -> impl Iterator<Item = UploadRoom> {
    let held = quota.held_max.map(|limit| {
        let size_bytes_max = saved_bytes.saturating_add(limit.saturating_sub(usage.held));
        (QuotaKind::Held, limit, usage.held, size_bytes_max)
    });
    let bytes = quota.bytes_max.filter(|_| is_used != Some(true)).map(|limit| {
        let size_bytes_max = if is_used.is_some() { limit.saturating_sub(usage.bytes) } else { limit };
        (QuotaKind::Bytes, limit, usage.bytes, size_bytes_max)
    });
    [held, bytes].into_iter().flatten().map(|(kind, limit, usage, size_bytes_max)| {
        let exceeded = QuotaExceeded { prefix: quota.prefix.clone(), kind, limit, usage, requested: 0 };
        UploadRoom { size_bytes_max, exceeded }
    })
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
    fn an_upload_has_room_for_what_can_be_held_and_what_an_image_can_use() {
        let quota = Quota { bytes_max: Some(100), held_max: Some(50), ..Quota::default() };
        let usage = Usage { bytes: 70, held: 45, tags: 0 };
        let room =
            |is_used| rooms(&quota, usage, 40, is_used).map(|room| room.size_bytes_max).collect::<Vec<_>>();
        assert_eq!(room(None), [45, 100]);
        assert_eq!(room(Some(false)), [45, 30]);
        assert_eq!(room(Some(true)), [45]);
        let first = rooms(&quota, usage, 40, None).next().unwrap();
        assert_eq!(first.exceeded(40, 46).requested, 6);
    }
}

//! A commit as it is kept and stored, and the chain that commits make.
//!
//! | Bytes of a record | |
//! |---|---|
//! | 8 | its number, consecutive from 1 |
//! | 32 | the hash of the record before it; zeros for the first |
//! | 8 | when, in milliseconds since 1970 UTC |
//! | 8 | the schema: the sum of the numbers of its owners' last steps |
//! | 1 | its [`Kind`] |
//! | … | what it did, see [`change`](super::change) |
//!
//! The hash of a record is the SHA-256 of its bytes, so it stands for the whole history up to there. Numbers are
//! big-endian. An entry is `RGJ1`, then the records, each after its length in 4 bytes.

use bytes::Bytes;
use registry_digest::{Algorithm, Digest};

/// What an entry begins with.
const MAGIC: &[u8; 4] = b"RGJ1";

/// What a record has before the changes.
const HEAD_BYTES: usize = 8 + 32 + 8 + 8 + 1;

/// The hash of a record.
pub(crate) type Hash = [u8; 32];

/// What comes before the first record.
pub(crate) const NO_HASH: Hash = [0; 32];

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes to rows.
    Changes = 1,
    /// From here on only a snapshot of this commit or a later one counts: the journal begins, or the schema changed.
    Rebase = 2,
}

/// A commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) number: i64,
    pub(crate) previous: Hash,
    pub(crate) at_ms: i64,
    pub(crate) format: i64,
    pub(crate) kind: Kind,
    pub(crate) changes: &'a [u8],
}

impl Record<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.changes.len());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.previous);
        bytes.extend(self.at_ms.to_be_bytes());
        bytes.extend(self.format.to_be_bytes());
        bytes.push(self.kind as u8);
        bytes.extend(self.changes);
        bytes
    }

    /// None for what is no record.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (previous, rest) = rest.split_first_chunk()?;
        let (at_ms, rest) = rest.split_first_chunk()?;
        let (format, rest) = rest.split_first_chunk()?;
        let (kind, changes) = rest.split_first()?;
        let kind = match kind {
            1 => Kind::Changes,
            2 => Kind::Rebase,
            _ => return None,
        };
        let number = i64::from_be_bytes(*number);
        let (at_ms, format) = (i64::from_be_bytes(*at_ms), i64::from_be_bytes(*format));
        Some(Record { number, previous: *previous, at_ms, format, kind, changes })
    }
}

/// The hash of a record's bytes.
pub(crate) fn hash(record: &[u8]) -> Hash {
    let digest = Digest::of(Algorithm::Sha256, record);
    digest.as_bytes().try_into().expect("a SHA-256 has 32 bytes")
}

/// An entry of these records.
pub(crate) fn entry<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut bytes = MAGIC.to_vec();
    for record in records {
        let length = u32::try_from(record.len()).expect("a commit is cut long before it has 4 GiB");
        bytes.extend(length.to_be_bytes());
        bytes.extend(record);
    }
    bytes.into()
}

/// The records of an entry; none for what is no entry.
pub(crate) fn records(entry: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = entry.strip_prefix(MAGIC)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk()?;
        let (record, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        records.push(record);
        rest = after;
    }
    (!records.is_empty()).then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: i64, previous: Hash) -> Vec<u8> {
        Record { number, previous, at_ms: 5, format: 1, kind: Kind::Changes, changes: b"abc" }.encode()
    }

    #[test]
    fn records_survive_their_bytes() {
        let first = record(1, NO_HASH);
        let second = record(2, hash(&first));
        let entry = entry([&first[..], &second]);
        assert_eq!(records(&entry).unwrap(), [&first, &second]);
        let decoded = Record::decode(&second).unwrap();
        assert_eq!((decoded.number, decoded.previous, decoded.changes), (2, hash(&first), &b"abc"[..]));
        assert_eq!(decoded.encode(), second);
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let whole = entry([&record(1, NO_HASH)[..]]);
        for length in 0..whole.len() {
            assert_eq!(records(&whole[..length]), None, "{length}");
        }
        assert_eq!(Record::decode(&record(1, NO_HASH)[..HEAD_BYTES - 1]), None);
    }
}

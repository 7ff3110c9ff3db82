//! What the objects of a journal are called. Numbers are padded, so that the order of names is that of numbers.

/// Entries: `journal/<number of the first commit in it>`.
pub(crate) const ENTRIES: &str = "journal";

/// Snapshots: `snapshots/<number of the last commit in it>-<16 hex digits of its hash>`. Written last, so a snapshot
/// that has one is whole.
pub(crate) const SNAPSHOTS: &str = "snapshots";

/// The bytes of snapshots: `snapshot-parts/<as above>/<part>`.
pub(crate) const PARTS: &str = "snapshot-parts";

/// The name of the entry that begins with this commit.
pub(crate) fn entry(number: i64) -> String {
    format!("{ENTRIES}/{number:020}")
}

/// The commit that an entry begins with.
pub(crate) fn entry_number(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(ENTRIES)?.strip_prefix('/')?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// Which snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SnapshotName {
    /// The last commit in it.
    pub(crate) number: i64,
    /// The beginning of its hash.
    id: String,
}

impl SnapshotName {
    pub(crate) fn new(number: i64, hash_hex: &str) -> SnapshotName {
        SnapshotName { number, id: hash_hex[..16].to_owned() }
    }

    /// From the name of an object below [`SNAPSHOTS`] or [`PARTS`].
    pub(crate) fn parse(name: &str) -> Option<SnapshotName> {
        let (_, rest) = name.split_once('/')?;
        let own = rest.split('/').next()?;
        let (number, id) = own.split_once('-')?;
        Some(SnapshotName { number: number.parse().ok()?, id: id.to_owned() })
    }

    pub(crate) fn description(&self) -> String {
        format!("{SNAPSHOTS}/{:020}-{}", self.number, self.id)
    }

    pub(crate) fn part(&self, part: u64) -> String {
        format!("{PARTS}/{:020}-{}/{part:08}", self.number, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_their_numbers_are() {
        assert!(entry(9) < entry(10) && entry(99) < entry(100_000));
        assert_eq!(entry_number(&entry(42)), Some(42));
        for other in
            ["journal/42", "journal", "snapshots/00000000000000000042", "journal/0000000000000000004x"]
        {
            assert_eq!(entry_number(other), None, "{other}");
        }
    }

    #[test]
    fn a_snapshot_is_known_by_each_of_its_names() {
        let name = SnapshotName::new(7, "0123456789abcdef0123");
        assert_eq!(SnapshotName::parse(&name.description()), Some(name.clone()));
        assert_eq!(SnapshotName::parse(&name.part(3)), Some(name));
    }
}

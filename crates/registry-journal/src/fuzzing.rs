//! What fuzz targets need of the journal's decoders.

use super::{
    change,
    names::SnapshotName,
    record::{self, Record},
};

/// Reads bytes as an entry of the journal, with all that is in it.
///
/// # Panics
/// If what is read is not written as it was.
pub fn journal_entry(bytes: &[u8]) {
    if let Some(name) = str::from_utf8(bytes).ok().and_then(SnapshotName::parse) {
        assert_eq!(SnapshotName::parse(&name.description()), Some(name));
    }
    let Some(records) = record::records(bytes) else { return };
    assert_eq!(record::entry(records.iter().copied()), bytes);
    for bytes in records {
        if let Some(record) = Record::decode(bytes) {
            assert_eq!(record.encode(), bytes);
            changes(record.changes);
        }
    }
}

fn changes(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let before = bytes;
        let Some(change) = change::decode(&mut bytes) else { return };
        let mut written = Vec::new();
        change.encode(&mut written);
        assert_eq!(written, before[..before.len() - bytes.len()]);
    }
}

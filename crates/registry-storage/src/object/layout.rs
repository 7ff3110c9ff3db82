//! Where things lie in a bucket, below the prefix that the operator chose.

use registry_types::Location;

/// Which store this is.
pub(super) const IDENTITY: &str = "store/identity";

/// How far the database had come that belongs to this store.
pub(super) const MARK: &str = "store/mark";

/// What the probe at start writes to.
pub(super) const PROBE: &str = "store/probe";

/// What a Go registry keeps its data in.
pub(super) const FOREIGN: &str = "docker/registry/v2";

/// What the tails of unfinished uploads begin with.
pub(super) const TAILS_PREFIX: &str = "store/tails/";

const NAME_BYTES: usize = 8;

/// The end of an unfinished upload that is too short for a part, stored as an object of its own. Its key is
/// `store/tails/<shard>/<upload id>/<begin>-<name>`, both numbers in 16 hex digits: no two are alike, so that a write that
/// comes late disturbs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Where in the upload it begins.
    pub(super) begin: u64,
    pub(super) size_bytes: u64,
    pub(super) name: [u8; NAME_BYTES],
}

impl Tail {
    pub(super) fn key(&self, location: &Location) -> String {
        let folder = tails_of(location).unwrap_or_default();
        format!("{folder}{:016x}-{}", self.begin, hex::encode(self.name))
    }

    /// The upload and the tail that a key names.
    pub(super) fn parse(key: &str, size_bytes: u64) -> Option<(Location, Tail)> {
        let (upload, file) = key.strip_prefix(TAILS_PREFIX)?.rsplit_once('/')?;
        let location = format!("{}{upload}", Location::BLOBS_PREFIX).parse().ok()?;
        let (begin, name) = file.split_once('-')?;
        let begin = u64::from_str_radix(begin, 16).ok()?;
        let name = <[u8; NAME_BYTES]>::try_from(hex::decode(name).ok()?).ok()?;
        Some((location, Tail { begin, size_bytes, name }))
    }

    pub(super) fn end(&self) -> u64 {
        self.begin + self.size_bytes
    }
}

/// What the keys of an upload's tails begin with.
pub(super) fn tails_of(location: &Location) -> Option<String> {
    upload(location).map(|below| format!("{TAILS_PREFIX}{below}/"))
}

/// `<two hex digits>/<name>`, if this is the key of an object that came of an upload.
pub(super) fn upload(location: &Location) -> Option<&str> {
    let below = location.as_str().strip_prefix(Location::BLOBS_PREFIX)?;
    let (shard, name) = below.split_once('/')?;
    let is_shard = shard.len() == 2 && shard.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_shard && !name.contains('/')).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_found_again_by_its_key() {
        let location: Location = "store/blobs/ab/some-upload".parse().unwrap();
        let tail = Tail { begin: 1 << 40, size_bytes: 17, name: *b"12345678" };
        let key = tail.key(&location);
        assert_eq!(key, "store/tails/ab/some-upload/0000010000000000-3132333435363738");
        assert_eq!(Tail::parse(&key, 17), Some((location, tail)));
        for other in ["store/blobs/ab/x", "store/tails/ab/x", "store/tails/ab/x/0-1", "store/tails/ab/x/y"] {
            assert_eq!(Tail::parse(other, 17), None, "{other}");
        }
    }

    #[test]
    fn knows_the_keys_of_uploads() {
        let split = |text: &str| upload(&text.parse().unwrap()).map(str::to_owned);
        assert_eq!(split("store/blobs/ab/x"), Some("ab/x".into()));
        for text in ["store/identity", "store/blobs/ab", "store/blobs/AB/x", "store/blobs/ab/c/d", "x/ab/c"] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}

//! Where things lie below a store's root.

use registry_types::Location;

/// Everything of ours.
pub(super) const OURS: &str = "store";

/// Which store this is.
pub(super) const IDENTITY: &str = "store/identity";

/// How far the database had come.
pub(super) const MARK: &str = "store/mark";

/// Held by the process that serves.
pub(super) const LOCK: &str = "store/lock";

/// What the objects lie in, by shard.
pub(super) const BLOBS: &str = "store/blobs";

/// What small objects lie in, each as a file.
pub(super) const SMALL: &str = "store/small";

/// What a Go registry keeps its data in.
pub(super) const FOREIGN: &str = "docker/registry/v2";

/// The directory and the name of an object that came of an upload, `store/blobs/<two hex digits>/<name>`.
pub(super) fn split(location: &Location) -> Option<(&str, &str)> {
    let below = location.as_str().strip_prefix(Location::BLOBS_PREFIX)?;
    let (shard, name) = below.split_once('/')?;
    let directory = &location.as_str()[..Location::BLOBS_PREFIX.len() + shard.len()];
    (is_shard(shard) && !name.contains('/')).then_some((directory, name))
}

/// Whether a directory below [`BLOBS`] is one that we make.
pub(super) fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use registry_types::UploadId;

    use super::*;

    #[test]
    fn splits_the_keys_of_uploads() {
        let location = Location::of_upload(&UploadId::from_random([0xab; 16]));
        let (directory, name) = split(&location).unwrap();
        assert_eq!(directory, "store/blobs/ab");
        assert_eq!(name.len(), 36);
    }

    #[test]
    fn knows_other_keys() {
        for text in [
            "store/identity",
            "store/blobs/ab",
            "store/blobs/AB/x",
            "store/blobs/abc/x",
            "x/ab/c",
            "store/blobs/ab/c/d",
        ] {
            assert_eq!(split(&text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn agrees_with_the_types_about_the_prefix() {
        assert_eq!(Location::BLOBS_PREFIX, format!("{BLOBS}/"));
        assert_eq!(Location::PREFIX, format!("{OURS}/"));
    }
}

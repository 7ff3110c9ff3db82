//! What fuzz targets need of the decoders of unfinished uploads.

use super::progress::Progress;

/// Reads bytes as what an unfinished upload has in an object store.
///
/// # Panics
/// If what is read is not written in a form that reads the same.
pub fn progress(bytes: &[u8]) {
    if let Some(progress) = Progress::from_bytes(bytes) {
        assert_eq!(Progress::from_bytes(&progress.to_bytes()), Some(progress));
    }
}

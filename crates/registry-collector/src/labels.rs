//! Reading the labels of images that were pushed: whether their tags expire. Here and not in the push, which would have to
//! wait for it.

use std::{error::Error, time::Duration};

use futures_util::TryStreamExt;
use registry_digest::Digest;
use registry_metadata::{EXPIRES_AFTER, EXPIRES_AFTER_MAX, MetadataError, Purpose, StoredManifest};
use registry_storage::StorageError;
use registry_types::{Manifest, Reference, RepositoryName, image_labels};

use crate::{Collector, Report, Watch};

/// How many are listed at once. Only one is in memory with its manifest and config.
const BATCH: usize = 100;

/// The largest config that is read.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// When to look again at labels that could not be read.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// How many are read before what else there is to collect has its turn.
const TURN_MAX: usize = 1000;

/// After so many that could not be read, the others are left to the next collection: the store may be away.
const FAILED_MAX: usize = 20;

/// Reads labels for one turn. Whether there are more, which can be read.
pub(crate) async fn run(
    collector: &Collector,
    report: &mut Report,
    watch: &dyn Watch,
) -> Result<bool, MetadataError> {
    let mut failed = 0;
    for _ in 0..TURN_MAX / BATCH {
        let unread = collector.metadata.unread_labels(BATCH).await?;
        if unread.is_empty() {
            return Ok(false);
        }
        for (repository, digest) in &unread {
            let error: Box<dyn Error + Send + Sync> = match read(collector, repository, digest).await {
                Ok(()) => continue,
                Err(Failure::Metadata(error)) if error.is_outage() => return Err(error),
                Err(Failure::Metadata(error)) => error.into(),
                Err(Failure::Storage(error)) => error.into(),
            };
            // It must not keep the others from their turn.
            collector.metadata.postpone_labels(repository, digest, AGAIN).await?;
            let what = format!("could not read the labels of {repository}@{digest}");
            collector.note(report, watch, &what, &*error);
            failed += 1;
            if failed == FAILED_MAX {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Why the labels of one image could not be read.
enum Failure {
    Metadata(MetadataError),
    Storage(StorageError),
}

impl From<MetadataError> for Failure {
    fn from(error: MetadataError) -> Self {
        Failure::Metadata(error)
    }
}

async fn read(collector: &Collector, repository: &RepositoryName, digest: &Digest) -> Result<(), Failure> {
    let (metadata, reference) = (&collector.metadata, Reference::Digest(*digest));
    let Some(stored) = metadata.manifest(repository, &reference, Purpose::Read).await? else {
        // It is gone, and with it that its labels are to be read; or it is on its way in again.
        return Ok(metadata.postpone_labels(repository, digest, AGAIN).await?);
    };
    let after = expires_after(collector, repository, stored).await?;
    Ok(metadata.set_expiry(repository, digest, after).await?)
}

/// After how long tags that lead to a manifest expire; none if they do not, or if its content does not tell.
async fn expires_after(
    collector: &Collector,
    repository: &RepositoryName,
    stored: StoredManifest,
) -> Result<Option<Duration>, Failure> {
    let Ok(manifest) = Manifest::parse(Some(&stored.media_type), stored.bytes) else { return Ok(None) };
    if let Some(after) = manifest.annotations().get(EXPIRES_AFTER) {
        return Ok(parse(after));
    }
    let Some(config) = manifest.config().map(|config| config.digest) else { return Ok(None) };
    drop(manifest);
    let blob = collector.metadata.blob(repository, &config, Purpose::Read).await?;
    let Some(blob) = blob.filter(|blob| blob.size_bytes <= CONFIG_BYTES_MAX) else { return Ok(None) };
    let read = async {
        let body = collector.store.open(&blob.location, 0..blob.size_bytes).await?;
        body.into_stream()
            .try_fold(Vec::new(), async |mut bytes, piece| {
                bytes.extend_from_slice(&piece);
                Ok(bytes)
            })
            .await
    };
    match read.await {
        Ok(bytes) => Ok(of_config(&bytes)),
        Err(StorageError::Missing { .. } | StorageError::Truncated { .. }) => Ok(None),
        Err(error) => Err(Failure::Storage(error)),
    }
}

fn of_config(bytes: &[u8]) -> Option<Duration> {
    parse(image_labels(bytes)?.get(EXPIRES_AFTER)?)
}

/// A number and a unit: seconds, minutes, hours, days, weeks. None for anything else, and beyond [`EXPIRES_AFTER_MAX`].
fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let after = Duration::from_secs(number.checked_mul(unit_secs)?);
    (after <= EXPIRES_AFTER_MAX).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbers_with_a_unit() {
        let cases = [("1s", 1), ("2m", 120), ("3h", 10_800), ("2d", 172_800), ("1w", 604_800), (" 5s ", 5)];
        for (text, secs) in cases {
            assert_eq!(parse(text), Some(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(parse("36500d"), Some(EXPIRES_AFTER_MAX));
        let too_long = ["36501d", "18446744073709551615s", "18446744073709551615w", "99999999999999999999w"];
        for text in ["", "h", "1", "1y", "-1h", "1.5h", "ü"].into_iter().chain(too_long) {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_label_is_found_in_a_config() {
        let config = br#"{"architecture":"amd64","config":{"Labels":{"a":"b","quay.expires-after":"2w"}}}"#;
        assert_eq!(of_config(config), Some(Duration::from_secs(14 * 24 * 60 * 60)));
        for other in
            [&b"{}"[..], br#"{"config":null}"#, br#"{"config":{"Labels":null}}"#, b"[1]", b"not JSON"]
        {
            assert_eq!(of_config(other), None);
        }
    }
}

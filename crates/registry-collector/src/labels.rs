//! Reading the labels of images that were pushed: whether their tags expire. Here and not in the push, which would have to
//! wait for it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::TryStreamExt;
use registry_metadata::{EXPIRES_AFTER, MetadataError, Purpose, StoredManifest};
use registry_storage::StorageError;
use registry_types::{Manifest, RepositoryName};
use serde::Deserialize;

use crate::{Collector, Report, Watch};

/// How many are asked for at once.
const BATCH: usize = 100;

/// The largest config that is read.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// The part of an image's config that counts here.
#[derive(Deserialize)]
struct Config {
    config: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

pub(crate) async fn run(
    collector: &Collector,
    report: &mut Report,
    watch: &dyn Watch,
) -> Result<(), MetadataError> {
    loop {
        let unread = collector.metadata.unread_labels(BATCH).await?;
        if unread.is_empty() {
            return Ok(());
        }
        for (repository, manifest) in &unread {
            let after = match expires_after(collector, repository, manifest).await? {
                Ok(after) => after,
                Err(error) => {
                    // It comes again, and so would all others that can not be read now.
                    let what = format!("could not read the labels of {repository}@{}", manifest.digest);
                    collector.note(report, watch, &what, &error);
                    return Ok(());
                }
            };
            collector.metadata.set_expiry(repository, &manifest.digest, after).await?;
        }
    }
}

/// After how long tags that lead to a manifest expire; none if they do not, or if nobody can tell.
async fn expires_after(
    collector: &Collector,
    repository: &RepositoryName,
    stored: &StoredManifest,
) -> Result<Result<Option<Duration>, StorageError>, MetadataError> {
    let Ok(manifest) = Manifest::parse(Some(&stored.media_type), stored.bytes.clone()) else {
        return Ok(Ok(None));
    };
    if let Some(after) = manifest.annotations().get(EXPIRES_AFTER) {
        return Ok(Ok(parse(after)));
    }
    let Some(config) = manifest.config() else { return Ok(Ok(None)) };
    let blob = collector.metadata.blob(repository, &config.digest, Purpose::Read).await?;
    let Some(blob) = blob.filter(|blob| blob.size_bytes <= CONFIG_BYTES_MAX) else { return Ok(Ok(None)) };
    let read = async {
        let body = collector.store.open(&blob.location, 0..blob.size_bytes).await?;
        body.into_stream()
            .try_fold(Vec::new(), async |mut bytes, piece| {
                bytes.extend_from_slice(&piece);
                Ok(bytes)
            })
            .await
    };
    Ok(match read.await {
        Ok(bytes) => Ok(of_config(&bytes)),
        Err(StorageError::Missing { .. } | StorageError::Truncated { .. }) => Ok(None),
        Err(error) => Err(error),
    })
}

fn of_config(bytes: &[u8]) -> Option<Duration> {
    let config: Config = serde_json::from_slice(bytes).ok()?;
    parse(config.config?.labels?.get(EXPIRES_AFTER)?)
}

/// A number and a unit: seconds, minutes, hours, days, weeks.
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
    Some(Duration::from_secs(number.checked_mul(unit_secs)?))
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
        for text in ["", "h", "1", "1y", "-1h", "1.5h", "ü", "99999999999999999999w", "18446744073709551615w"]
        {
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

use std::cmp::Ordering;

use object_store::ObjectMeta;
use registry_types::Location;

use super::{backend::Backend, layout, layout::Tail};
use crate::{ObjectInfo, StorageError};

/// The objects that came of uploads and the unfinished uploads that have a tail, in one order.
pub(super) async fn objects(
    backend: &Backend,
    after: Option<&Location>,
    limit: usize,
) -> Result<Vec<ObjectInfo>, StorageError> {
    let mut objects = finished(backend, after, limit).await?;
    let unfinished = unfinished(backend, after, limit).await?;
    // Of a finished upload, what may be left of a tail is not its size.
    let is_finished =
        |info: &ObjectInfo| objects.binary_search_by(|object| object.location.cmp(&info.location)).is_ok();
    let added: Vec<_> = unfinished.into_iter().filter(|info| !is_finished(info)).collect();
    objects.extend(added);
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    objects.truncate(limit);
    Ok(objects)
}

async fn finished(
    backend: &Backend,
    after: Option<&Location>,
    limit: usize,
) -> Result<Vec<ObjectInfo>, StorageError> {
    let listed = backend.list(Location::BLOBS_PREFIX, position(after, Location::BLOBS_PREFIX), limit).await?;
    let info = |(key, meta): (String, ObjectMeta)| {
        let location = key.parse().ok()?;
        layout::upload(&location)?;
        Some(ObjectInfo { location, size_bytes: meta.size, modified: meta.last_modified.into() })
    };
    Ok(listed.into_iter().filter_map(info).collect())
}

/// Unfinished uploads, as far as their last tail. Those that have nothing but parts are not seen.
async fn unfinished(
    backend: &Backend,
    after: Option<&Location>,
    limit: usize,
) -> Result<Vec<ObjectInfo>, StorageError> {
    let mut uploads: Vec<ObjectInfo> = Vec::new();
    // Behind all tails of the upload that is listed after.
    let mut after = match after.map(|after| position(Some(after), Location::BLOBS_PREFIX)) {
        Some(None) | None => None,
        Some(Some(after)) => {
            let below = after.strip_prefix(Location::BLOBS_PREFIX);
            Some(below.map_or("store/tails0".to_owned(), |below| format!("{}{below}0", layout::TAILS_PREFIX)))
        }
    };
    while uploads.len() < limit {
        // One more, so that the last upload of a page is not cut through.
        let wanted = limit.saturating_sub(uploads.len()).saturating_add(1);
        let page = backend.list(layout::TAILS_PREFIX, after.as_deref(), wanted).await?;
        let is_last = page.len() < wanted;
        after = page.last().map(|(key, _)| key.clone());
        for (key, meta) in page {
            let Some((location, tail)) = Tail::parse(&key, meta.size) else { continue };
            note(&mut uploads, location, tail, &meta);
        }
        if is_last {
            break;
        }
    }
    uploads.truncate(limit);
    Ok(uploads)
}

fn note(uploads: &mut Vec<ObjectInfo>, location: Location, tail: Tail, meta: &ObjectMeta) {
    let modified = meta.last_modified.into();
    match uploads.last_mut() {
        Some(last) if last.location == location => {
            if tail.end().cmp(&last.size_bytes) == Ordering::Greater {
                last.size_bytes = tail.end();
                last.modified = modified;
            }
        }
        _ => uploads.push(ObjectInfo { location, size_bytes: tail.end(), modified }),
    }
}

/// Where a listing of keys that begin with `prefix` goes on; nothing if it begins at its beginning.
fn position<'l>(after: Option<&'l Location>, prefix: &str) -> Option<&'l str> {
    after.map(|after| after.as_str()).filter(|after| *after > prefix)
}

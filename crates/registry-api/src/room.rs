//! What a manifest takes while it is parsed, and until it is durable.

use registry_server::{Reservation, Share, Turn};
use registry_types::Manifest;

use crate::{error::ApiError, sizes};

/// From this size on, a manifest is large: few are parsed at once, and apart from other requests. Images have manifests of a few
/// kB.
const LARGE_BYTES: usize = 256 * 1024;

/// How many times its size a manifest takes once it is parsed. Measured on the worst that is accepted, which has nothing but ten
/// thousand short annotations: 12.2 times. The rest is for the rows that are written.
const PARSED_FACTOR: usize = 16;

/// How many times the size of its parsed form a manifest takes until it is durable: that, and the rows that are written.
const ROWS_FACTOR: usize = 2;

/// What a manifest takes while it is parsed: memory, or, if it is large, a turn. It goes with the work, which goes on if the
/// request is given up.
pub(crate) enum Room {
    Small { memory: Reservation },
    Large { _turn: Turn },
}

impl Room {
    /// For a manifest of this size.
    pub(crate) async fn take(share: &Share, size: usize) -> Result<Room, ApiError> {
        if size < LARGE_BYTES {
            return Ok(Room::Small { memory: share.memory(size * PARSED_FACTOR)? });
        }
        Ok(Room::Large { _turn: share.turn().await? })
    }

    /// What the manifest takes from then on until it is durable. A large one keeps its turn.
    pub(crate) fn for_rows_of(mut self, manifest: &Manifest) -> Room {
        if let Room::Small { memory } = &mut self {
            memory.shrink_to(ROWS_FACTOR * sizes::of_manifest(manifest));
        }
        self
    }

    /// What `work` makes, with the room that it is to keep. What takes long runs on a thread that no other request waits for.
    pub(crate) async fn parse<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Room), ApiError> {
        if let Room::Small { .. } = self {
            return Ok((work(), self));
        }
        let done = tokio::task::spawn_blocking(move || (work(), self)).await;
        done.map_err(|error| ApiError::Internal { operation: "reading a manifest", source: error.into() })
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::mpsc};

    use bytes::Bytes;
    use futures_util::FutureExt;
    use registry_digest::{Algorithm, Digest};
    use registry_types::MediaType;

    use super::*;
    use crate::Budget;

    /// A manifest of 100 layers, or of the most annotations.
    fn manifest(layers: usize, annotations: usize) -> Manifest {
        let blob = |number| {
            let digest = Digest::of(Algorithm::default(), format!("{number}").as_bytes());
            format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":2}}"#)
        };
        let layers: Vec<_> = (0..layers).map(blob).collect();
        let annotations: Vec<_> = (0..annotations).map(|number| format!(r#""{number:05}":"""#)).collect();
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}],"annotations":{{{}}}}}"#,
            blob(usize::MAX),
            layers.join(","),
            annotations.join(",")
        );
        Manifest::parse(Some(&MediaType::OCI_MANIFEST), Bytes::from(text)).unwrap()
    }

    #[tokio::test]
    async fn a_manifest_that_waits_for_the_database_takes_what_it_is() {
        let budget = Budget::new(48 << 20, 1);
        let share = budget.client();
        let image = manifest(100, 0);
        let room = Room::take(&share, 20_000).await.unwrap();
        assert_eq!(budget.memory_bytes(), 320_000);
        let room = room.for_rows_of(&image);
        assert!((100_000..150_000).contains(&budget.memory_bytes()), "{}", budget.memory_bytes());
        drop(room);
        assert_eq!(budget.memory_bytes(), 0);
        // The tree of annotations is by far larger than its texts.
        let size = sizes::of_manifest(&manifest(0, 9_000));
        assert!(size > 1_000_000, "{size}");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_keeps_its_turn_until_its_manifest_is_parsed() {
        let share = Budget::new(48 << 20, 1).client();
        let (end, parses) = mpsc::channel::<()>();
        let room = Room::take(&share, LARGE_BYTES).await.unwrap();
        let mut request = Box::pin(room.parse(move || parses.recv()));
        assert!(request.as_mut().now_or_never().is_none());
        drop(request);
        let mut next = pin!(Room::take(&share, LARGE_BYTES));
        assert!(next.as_mut().now_or_never().is_none(), "the first one is still parsed");
        end.send(()).unwrap();
        assert!(next.await.is_ok());
    }
}

//! Turns in which large documents are parsed: few at once, and of each address one.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How many large documents a node parses at once. The worst manifest takes 28 MB for a moment, which is not taken of the
/// memory that answers share.
const AT_ONCE_MAX: usize = 2;

/// How long a large document waits until it is parsed.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Turns that are taken at once.
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    /// Those of a node.
    pub(crate) fn of_node() -> Turns {
        Turns(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }

    /// That of an address or a connection: one of its documents is parsed, or waits for the node, at a time.
    pub(crate) fn of_client() -> Turns {
        Turns(Arc::new(Semaphore::new(1)))
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }
}

/// The right to parse a large document, until this is dropped. It belongs with the work: one that goes on after its request was
/// given up keeps it.
pub struct Turn(#[expect(dead_code, reason = "they are kept")] Vec<OwnedSemaphorePermit>);

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

/// Waits for a turn of each, one after the other: the node's come last. Nothing if they do not come in time.
pub(crate) async fn turn(all: &[&Turns]) -> Option<Turn> {
    let take = async {
        let mut permits = Vec::new();
        for turns in all {
            permits.push(turns.turn().await?);
        }
        Some(Turn(permits))
    };
    timeout(WAIT_MAX, take).await.ok().flatten()
}

//! Gives memory back to the system after peaks.
//!
//! The allocator keeps what was freed for the next time, in pieces that lie between others; after a burst of large manifests
//! that is as much as the burst took. So once much was given back, and no more than once in a while, it is told to let go.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

/// After how much that was given back it is worth the work.
const GIVEN_BACK_BYTES_MIN: usize = 16 * 1024 * 1024;

/// A burst is waited for to end, and the work is not done more often than this.
const PAUSE: Duration = Duration::from_secs(5);

// A process has one allocator, so these are the process's and not a server's: what any server of it gives back counts.
static GIVEN_BACK_BYTES: AtomicUsize = AtomicUsize::new(0);
static IS_WAITING: AtomicBool = AtomicBool::new(false);

/// Notes that so much was given back.
pub(crate) fn note(bytes: usize) {
    let given_back = GIVEN_BACK_BYTES.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
    if given_back < GIVEN_BACK_BYTES_MIN || IS_WAITING.load(Ordering::Relaxed) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if IS_WAITING.swap(true, Ordering::Relaxed) {
        return;
    }
    runtime.spawn(async {
        let waiting = Waiting;
        tokio::time::sleep(PAUSE).await;
        GIVEN_BACK_BYTES.store(0, Ordering::Relaxed);
        // It looks through all that was allocated.
        let _ = tokio::task::spawn_blocking(registry_sendfile::release_memory).await;
        drop(waiting);
    });
}

/// Waits no more when it is dropped, also with its runtime.
struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        IS_WAITING.store(false, Ordering::Relaxed);
    }
}

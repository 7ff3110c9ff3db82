//! What tests see of a store's system calls.

use parking_lot::Mutex;
use rustix::io::Errno;

use super::disk::Call;

/// A record of calls, and which of them fail.
#[derive(Debug, Default)]
pub(super) struct Probe {
    calls: Mutex<Vec<String>>,
    failing: Mutex<Option<(&'static str, Errno)>>,
}

impl Probe {
    pub(super) fn note(&self, call: &Call<'_>) -> Result<(), Errno> {
        let text = format!("{call:?}");
        let failing = *self.failing.lock();
        let failure = failing.filter(|(prefix, _)| text.starts_with(prefix));
        self.calls.lock().push(text);
        failure.map_or(Ok(()), |(_, errno)| Err(errno))
    }

    /// The calls since the last time this was asked.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock())
    }

    pub(super) fn has_seen(&self, text: &str) -> bool {
        self.calls.lock().iter().any(|call| call == text)
    }

    /// Makes calls whose text begins so fail from now on.
    pub(super) fn fail(&self, prefix: &'static str, errno: Errno) {
        *self.failing.lock() = Some((prefix, errno));
    }

    pub(super) fn stop_failing(&self) {
        *self.failing.lock() = None;
    }
}

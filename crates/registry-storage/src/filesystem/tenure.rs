use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use registry_types::Location;

use crate::StorageError;

/// Who may write to which object.
///
/// A request that is given up may leave a write behind that a thread is still busy with. The request that takes up the
/// session again must not have that write land among its own bytes. So whoever begins to write takes the tenure over, and
/// every change of the file is made while holding it: the earlier holder ends its current call and makes no further one.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenures {
    objects: Arc<Mutex<HashMap<Location, Arc<Object>>>>,
}

#[derive(Debug, Default)]
struct Object {
    /// The number of the tenure that counts.
    current: AtomicU64,
    /// Held during each change.
    change: Mutex<()>,
}

/// The right to change an object, until another tenure of it begins.
#[derive(Debug)]
pub(super) struct Tenure {
    tenures: Tenures,
    location: Location,
    object: Arc<Object>,
    number: u64,
}

impl Tenures {
    /// Begins a new tenure of an object, which ends any earlier one. Does not block.
    pub(super) fn begin(&self, location: &Location) -> Tenure {
        let object = self.objects.lock().entry(location.clone()).or_default().clone();
        let number = object.current.fetch_add(1, Ordering::SeqCst) + 1;
        Tenure { tenures: self.clone(), location: location.clone(), object, number }
    }
}

impl Tenure {
    /// Which object it is about.
    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// Waits until an earlier holder's current change is done, and keeps later ones out until the guard is dropped.
    ///
    /// # Errors
    /// [`StorageError::UploadSuperseded`] if another tenure began.
    pub(super) fn hold(&self) -> Result<MutexGuard<'_, ()>, StorageError> {
        let guard = self.object.change.lock();
        if self.is_current() {
            Ok(guard)
        } else {
            Err(StorageError::UploadSuperseded { location: self.location.clone() })
        }
    }

    /// As [`hold`](Self::hold), or nothing if that would wait or fail.
    pub(super) fn try_hold(&self) -> Option<MutexGuard<'_, ()>> {
        self.object.change.try_lock().filter(|_| self.is_current())
    }

    fn is_current(&self) -> bool {
        self.object.current.load(Ordering::SeqCst) == self.number
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let mut objects = self.tenures.objects.lock();
        // One reference is the map's and one ours; new ones are made only under the lock.
        if Arc::strong_count(&self.object) == 2 {
            objects.remove(&self.location);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    fn location() -> Location {
        "store/blobs/00/a".parse().unwrap()
    }

    #[test]
    fn the_latest_counts() {
        let tenures = Tenures::default();
        let first = tenures.begin(&location());
        assert!(first.hold().is_ok());
        let second = tenures.begin(&location());
        assert!(matches!(first.hold(), Err(StorageError::UploadSuperseded { .. })));
        drop(first);
        assert!(second.hold().is_ok());
    }

    #[test]
    fn the_next_waits_for_a_change_in_progress() {
        let tenures = Tenures::default();
        let first = tenures.begin(&location());
        let change = first.hold().unwrap();
        assert!(first.try_hold().is_none());
        let second = tenures.begin(&location());
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _held = second.hold().unwrap();
                tell.send("second").unwrap();
            });
            assert!(told.try_recv().is_err());
            drop(change);
            assert_eq!(told.recv(), Ok("second"));
        });
    }

    #[test]
    fn nothing_is_remembered_after_the_last() {
        let tenures = Tenures::default();
        let (first, second) = (tenures.begin(&location()), tenures.begin(&location()));
        drop(second);
        assert!(first.hold().is_err(), "an ended tenure does not come back");
        drop(first);
        assert!(tenures.objects.lock().is_empty());
    }
}

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use registry_types::Location;

use crate::StorageError;

/// Which upload of this process may write to which object.
///
/// Only a courtesy: it tells a request early that another of the same process took over or gave up what it writes to. That
/// an object stays right does not rest on it, as the other may be on another node; see the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenures {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    current: HashMap<Location, u64>,
}

/// The right to write to an object, until another begins.
#[derive(Debug)]
pub(super) struct Tenure {
    tenures: Tenures,
    location: Location,
    number: u64,
}

impl Tenures {
    pub(super) fn begin(&self, location: &Location) -> Tenure {
        let mut state = self.state.lock();
        state.count += 1;
        let number = state.count;
        state.current.insert(location.clone(), number);
        Tenure { tenures: self.clone(), location: location.clone(), number }
    }

    /// Ends whatever tenure there is.
    pub(super) fn end(&self, location: &Location) {
        self.state.lock().current.remove(location);
    }
}

impl Tenure {
    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// # Errors
    /// [`StorageError::UploadSuperseded`] if it ended.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let is_current = self.tenures.state.lock().current.get(&self.location) == Some(&self.number);
        match is_current {
            true => Ok(()),
            false => Err(StorageError::UploadSuperseded { location: self.location.clone() }),
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let mut state = self.tenures.state.lock();
        if state.current.get(&self.location) == Some(&self.number) {
            state.current.remove(&self.location);
        }
    }
}

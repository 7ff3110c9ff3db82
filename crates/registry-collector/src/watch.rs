use registry_metadata::Collected;
use registry_types::Location;

/// Is told of each thing when it happens: for counters, and for output while a collection runs.
pub trait Watch: Sync {
    /// A candidate went, or stays.
    fn collected(&self, _collected: &Collected) {}

    /// An object's bytes are deleted.
    fn reclaimed(&self, _location: &Location) {}

    /// Something failed, and is left for the next collection.
    fn failed(&self) {}
}

/// Nobody watches.
impl Watch for () {}

use std::path::PathBuf;

use registry_types::Durability;

/// Where a [`FilesystemStore`](super::FilesystemStore) is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemOptions {
    /// The directory that all keys are relative to. Created if only its last part is missing.
    pub root: PathBuf,
    /// What is waited for before bytes count as stored.
    pub durability: Durability,
    /// What the store is opened for.
    pub access: Access,
    /// How much of the file system uploads leave free, in bytes. None is 256 MiB, but at most a twentieth of it.
    pub reserve_bytes: Option<u64>,
}

impl FilesystemOptions {
    /// The usual: durable, and for the process that serves.
    pub fn new(root: impl Into<PathBuf>) -> FilesystemOptions {
        let (durability, access) = (Durability::Full, Access::Serve);
        FilesystemOptions { root: root.into(), durability, access, reserve_bytes: None }
    }
}

impl Access {
    /// Whether this process leaves the store to another one, or as it is: it holds no lock, makes nothing and takes no uploads.
    pub(crate) fn is_beside(self) -> bool {
        matches!(self, Access::Beside | Access::Look)
    }
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// To serve: holds the root's lock until the store is dropped. Refuses the data of a Go registry that was not
    /// imported.
    #[default]
    Serve,
    /// To take over the data of a Go registry: as `Serve`, without that refusal.
    Adopt,
    /// To look at whatever is there, also what another registry has: as `Beside`, without the refusal of `Serve`.
    Look,
    /// To read and delete while another process may serve. Takes no lock and no uploads.
    Beside,
}

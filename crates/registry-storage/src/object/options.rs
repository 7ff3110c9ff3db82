use std::time::Duration;

use crate::Access;

/// What all object stores have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Below which prefix of the bucket everything lies; slashes at its ends do not count. Empty for the whole bucket.
    pub prefix: String,
    /// How many bytes a part has, as long as memory is not scarce; at least 5 MiB. 16 MiB.
    pub part_bytes: usize,
    /// How much memory all uploads together may fill with bytes that are not stored yet; at least two parts. 48 MiB.
    pub upload_memory_bytes: usize,
    /// Up to how many bytes an upload's tail is kept in its state, which saves three requests. 16 KiB.
    pub inline_bytes: usize,
    /// How long a signed URL can be used. 20 minutes. Whoever deletes must wait for longer.
    pub signed_url_lifetime: Duration,
    /// What the store is opened for.
    pub access: Access,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        ObjectOptions {
            prefix: String::new(),
            part_bytes: 16 * MIB,
            upload_memory_bytes: 48 * MIB,
            inline_bytes: 16 * 1024,
            signed_url_lifetime: Duration::from_secs(20 * 60),
            access: Access::Serve,
        }
    }
}

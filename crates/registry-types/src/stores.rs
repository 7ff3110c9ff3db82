//! How a store of bytes is used: what the configuration says, and what the store is opened with.

use crate::Secret;

/// What is waited for before bytes count as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The disk: bytes and their names survive a power cut.
    #[default]
    Full,
    /// Nothing: bytes survive the end of the process, but a power cut may lose what was acknowledged.
    None,
}

/// A key of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Credentials {
    /// The key's id.
    pub key_id: String,
    /// Its secret.
    pub secret: Secret,
    /// The token of a session.
    pub token: Option<Secret>,
}

/// How S3 encrypts what it keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum S3Encryption {
    /// As the bucket does.
    #[default]
    Bucket,
    /// With keys that S3 manages.
    Managed,
    /// With a key of the key management service.
    Kms {
        /// The key.
        key_id: String,
    },
}

/// With which account Google Cloud Storage is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GcsCredentials {
    /// As the environment, the user's own file, or the machine's metadata server says. Signs URLs through a service, if it
    /// may.
    #[default]
    Ambient,
    /// A service account whose key is in this file.
    File(String),
    /// A service account with this key, as JSON.
    Key(Secret),
    /// None: a public bucket, or a server for tests. Signs nothing.
    Anonymous,
}

/// With which account Azure is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AzureCredentials {
    /// As the environment says: a client's secret, a workload's token, or the machine's identity.
    #[default]
    Ambient,
    /// The account's key.
    SharedKey(Secret),
    /// An application.
    ClientSecret {
        /// The application's id.
        client_id: String,
        /// The tenant's id.
        tenant_id: String,
        /// The application's secret.
        secret: Secret,
    },
}

use registry_outbound::UrlError;
use registry_secrets::{CheckError, SealError};
use thiserror::Error as ThisError;

use crate::HOSTS_MAX;

/// Why certificates can not be had or used.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum AcmeError {
    /// There is no host, or there are too many.
    #[error("certificates are wanted for {0} hosts; expected 1 to {HOSTS_MAX}")]
    Hosts(usize),
    /// A host that no authority gives a certificate for.
    #[error(
        "{0:?} is no host of a certificate; expected a name of DNS with a dot, such as registry.example.com, without a port or *"
    )]
    Host(String),
    /// The URL of the authority's directory is none.
    #[error("the URL of the ACME directory can not be used")]
    Directory(#[source] UrlError),
    /// The authority refused, or did not answer.
    #[error("the ACME authority gave no certificate")]
    Authority(#[from] instant_acme::Error),
    /// The authority did not want to see what this program can show.
    #[error("the ACME authority offers no challenge of type {0}")]
    Challenge(&'static str),
    /// The authority looked at what was shown, and did not accept it, or gave something else than what was asked for.
    #[error("the ACME authority found the host invalid: {0}")]
    Invalid(String),
    /// It took too long.
    #[error("the order took longer than {0} s")]
    Late(u64),
    /// A certificate can not be used.
    #[error("a certificate can not be used: {0}")]
    Certificate(String),
    /// A key or an account can not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A key or an account can not be opened.
    #[error("the key of a certificate can not be used")]
    Open(#[from] registry_secrets::OpenError),
    /// The keys are not those of the database.
    #[error(transparent)]
    Keys(#[from] CheckError),
    /// The system gives no random bytes.
    #[error("a private key can not be made")]
    Key(#[from] rcgen::Error),
    /// The tables can not be made or looked for.
    #[error(transparent)]
    Tables(#[from] registry_database::OpenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] registry_database::Error),
}

use std::{io, path::PathBuf};

use registry_metadata::MetadataError;
use registry_storage::StorageError;

/// Why a registry can not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The builder was told to use a store of the embedder's, and no database for it.
    #[error("a blob store was given without the metadata store that belongs to it, or the other way round")]
    Incomplete,
    /// A command was to work on a registry that was never started.
    #[error("there is no database at {}: was this registry ever started?", path.display())]
    NothingHere {
        /// Where it should be.
        path: PathBuf,
    },
    /// A command was to work on a registry that lives in another process's memory.
    #[error(
        "this registry lives in the memory of the process that serves it, where no other process can reach it"
    )]
    OnlyInMemory,
    /// Bytes go to an object store, and nothing says where the database is.
    #[error("an object store was given without the path of the database that belongs to it")]
    DatabaseMissing,
    /// The configuration asks for something that this build does not have.
    #[error("`{key}` needs a build with `--features {feature}`")]
    NotBuilt {
        /// Where the configuration asks for it.
        key: &'static str,
        /// What to build with.
        feature: &'static str,
    },
    /// Registries can not be mirrored as they are described.
    #[cfg(feature = "mirror")]
    #[error("can not mirror other registries")]
    Mirror(#[from] registry_proxy::SetUpError),
    /// The URL of a mirrored registry can not be asked.
    #[cfg(feature = "mirror")]
    #[error("can not mirror {name}")]
    Upstream {
        /// The registry's name.
        name: String,
        /// What is wrong with the URL.
        source: Box<registry_outbound::UrlError>,
    },
    /// A folder can not be made.
    #[error("can not make the folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The blob store can not be opened.
    #[error("can not open the blob store")]
    Storage(#[from] StorageError),
    /// The object store can not be opened.
    #[error("can not open {place}: {reason}; look at {look_at}")]
    ObjectStore {
        /// The bucket and its endpoint.
        place: String,
        /// What happened, once.
        reason: String,
        /// The keys of the configuration that say what failed.
        look_at: &'static str,
    },
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    /// The database can not be opened.
    #[error("can not open the database")]
    Database(#[from] registry_metadata::OpenError),
    /// An import was asked for where no other registry can have been.
    #[cfg(feature = "import")]
    #[error("no Go registry can have been here: this store is in memory, or an embedder's")]
    NoOtherKeys,
    /// The data of a Go registry can not be imported.
    #[cfg(feature = "import")]
    #[error("can not import the data of the Go registry")]
    Import(#[from] registry_import::ImportError),
    /// The database, or the embedder's own metadata store, does not answer.
    #[error("can not read the database")]
    Metadata(#[from] MetadataError),
    /// The keys do not open what is sealed in the database.
    #[cfg(feature = "sealed")]
    #[error(transparent)]
    Keys(#[from] registry_secrets::CheckError),
    /// The file of keys, or the key, can not be used.
    #[cfg(feature = "sealed")]
    #[error(transparent)]
    KeyFile(#[from] registry_secrets::KeyFileError),
    /// The key of the configuration can not be used.
    #[cfg(feature = "sealed")]
    #[error("the key of secrets can not be used")]
    Key(#[from] registry_secrets::ParseKeyError),
    /// The URL of the proxy can not be used.
    #[cfg(feature = "sealed")]
    #[error("`outbound.proxy` can not be used")]
    Proxy(#[source] Box<registry_outbound::UrlError>),
    /// A webhook of the configuration can not be used.
    #[cfg(feature = "webhooks")]
    #[error("the webhook {name} can not be used: {reason}")]
    WebhookUnusable {
        /// Which.
        name: String,
        /// Why.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A webhook can not be used.
    #[cfg(feature = "webhooks")]
    #[error(transparent)]
    Webhooks(#[from] registry_webhooks::WebhookError),
    /// URLs are to be signed for CloudFront, and this build does not.
    #[cfg(feature = "config")]
    #[error("`middleware.storage`: this build does not sign URLs for CloudFront")]
    NoCloudFront,
    /// URLs can not be signed for CloudFront.
    #[cfg(feature = "cloudfront")]
    #[error(transparent)]
    CloudFront(#[from] crate::cloudfront::CloudFrontError),
    /// No certificates can be had.
    #[cfg(feature = "acme")]
    #[error("can not order certificates")]
    Acme(#[from] registry_acme::AcmeError),
    /// Certificates are to be ordered, and this build does not.
    #[cfg(feature = "config")]
    #[error("`http.tls.letsencrypt`: this build orders no certificates")]
    NoAcme,
    /// Certificates can be kept nowhere.
    #[cfg(feature = "acme")]
    #[error("certificates are kept in the database, and the metadata is a store of the embedder's own")]
    AcmeWithoutDatabase,
    /// The database knows content, and the store was never used.
    #[error(
        "the database belongs to the store {expected}, but this store is empty: is the right folder mounted? \
         If its bytes are lost for good, begin with an empty database"
    )]
    StoreEmpty {
        /// The store that the database belongs to.
        expected: String,
    },
    /// The store belongs to a database that is not this one.
    #[error(
        "the store is {actual}, and the database {} : they do not belong together. \
         Restore the database that belongs to the store",
        expected.as_ref().map_or_else(|| "is new".to_owned(), |expected| format!("belongs to {expected}"))
    )]
    StoreMismatch {
        /// The store that the database belongs to; none for a new database.
        expected: Option<String>,
        /// The store that is there.
        actual: String,
    },
    /// Nothing says where the metadata is, and without SQLite there is no default.
    #[error("this build has no SQLite: say where the metadata is, in PostgreSQL or in a store of your own")]
    MetadataMissing,
    /// Something was asked about a journal that there can not be.
    #[error("there is no journal: the configuration does not put the database in a file beside a store")]
    NoJournal,
    #[cfg(feature = "sqlite")]
    /// The journal can not be read.
    #[error("can not read the journal")]
    Journal(#[from] registry_journal::JournalError),
    /// The password file can not be used.
    #[cfg(feature = "htpasswd")]
    #[error("can not use the password file")]
    Htpasswd(#[from] registry_auth::HtpasswdError),
    /// The keys of tokens can not be used.
    #[cfg(feature = "tokens")]
    #[error("can not check tokens")]
    Tokens(#[from] registry_auth::TokenError),
    /// The certificate can not be used.
    #[cfg(feature = "tls")]
    #[error("can not use the certificate")]
    Tls(#[from] registry_server::TlsError),
    /// No certificate could be made.
    #[cfg(feature = "selfsigned")]
    #[error("can not make a certificate")]
    SelfSigned(#[from] crate::selfsigned::SelfSignedError),
    /// Nothing can be asked over a connection of ours.
    #[cfg(any(feature = "config", feature = "sealed"))]
    #[error(transparent)]
    Outbound(#[from] registry_outbound::OutboundError),
    /// Root's rights can not be given up.
    #[cfg(feature = "config")]
    #[error("can not become another user than root")]
    Rights(#[source] crate::rights::RightsError),
    /// The address can not be listened on.
    #[error("can not listen on {address}{}", way_out(address, variable, source))]
    Listen {
        /// Where.
        address: String,
        /// The variable that names another address.
        variable: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Random bytes, a thread, or a socket could not be had.
    #[error("{operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// An error with its causes in one line. What a cause says that was said already is left out: some libraries repeat their
/// causes in their own text.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// What to do about an address that can not be listened on.
fn way_out(address: &str, variable: &str, source: &io::Error) -> String {
    let Some((host, port)) = address.rsplit_once(':') else { return String::new() };
    let next = port.parse::<u16>().ok().and_then(|port| port.checked_add(1));
    match (source.kind(), next) {
        (io::ErrorKind::AddrInUse, Some(next)) => {
            format!(", where another program listens; {variable}={host}:{next} picks another port")
        }
        (io::ErrorKind::PermissionDenied, _) => {
            format!(
                ", which takes root or the capability NET_BIND_SERVICE; {variable}={host}:5000 takes neither"
            )
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_has_a_way_out() {
        let error = |address: &str, kind: io::ErrorKind| {
            let source = kind.into();
            OpenError::Listen { address: address.to_owned(), variable: "REGISTRY_HTTP_ADDR", source }
                .to_string()
        };
        for (address, kind, said) in [
            ("127.0.0.1:5000", io::ErrorKind::AddrInUse, "REGISTRY_HTTP_ADDR=127.0.0.1:5001"),
            (":5000", io::ErrorKind::AddrInUse, "REGISTRY_HTTP_ADDR=:5001"),
            ("[::1]:443", io::ErrorKind::PermissionDenied, "REGISTRY_HTTP_ADDR=[::1]:5000"),
        ] {
            assert!(error(address, kind).contains(said), "{}", error(address, kind));
        }
        assert_eq!(error("/run/socket", io::ErrorKind::AddrInUse), "can not listen on /run/socket");
        assert_eq!(error("127.0.0.1:65535", io::ErrorKind::AddrInUse), "can not listen on 127.0.0.1:65535");
    }
}

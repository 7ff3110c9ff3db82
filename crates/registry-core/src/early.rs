//! What is opened while a process that starts as root still has its rights: a private key that only root may read, a
//! password file of root's, a port below 1024.
//!
//! Nothing here starts a thread.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use registry_auth::{Htpasswd, HtpasswdError, HtpasswdOptions};
use registry_config::{Acme, Auth, Certificate, Config, Listen, TcpAddress};
use registry_server::{Bound, CertificateSource, Tls};

use crate::{OpenError, authentication, authentication::Credentials, configured_tls, rights::User};

/// What was opened. Empty, it leaves everything to be opened later.
#[derive(Debug, Default)]
pub struct Early {
    pub(crate) tls: Option<Tls>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) main: Option<Bound>,
    pub(crate) debug: Option<Bound>,
    /// Where an authority is answered that certificates are ordered from.
    pub(crate) acme: Option<Bound>,
}

impl Early {
    /// Reads certificate, key, the authorities of clients, the password file and the keys of tokens, as far as they are there, and binds the
    /// addresses. Connections are not taken before the registry is open.
    ///
    /// A certificate or a password file that the registry makes itself is left to the user that it becomes; and so is a file
    /// in a folder of that user, who could have put a link there to a file that only root may read.
    ///
    /// # Errors
    /// [`OpenError`], which names the file or the address.
    pub fn open(config: &Config, user: User) -> Result<Early, OpenError> {
        let mut early = Early::default();
        if let Some(tls) = &config.http.tls
            && let Certificate::Files { certificate, key } = &tls.certificate
        {
            let source = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
            let files = configured_tls::tls_options(config, tls, source);
            if !files.paths().any(|path| is_chosen_by(path, user)) {
                early.tls = Some(Tls::load(files)?);
            }
        }
        early.credentials = credentials(&config.auth, user)?;
        if let Listen::Tcp(address) = &config.http.listen {
            early.main = Some(bind(address, "REGISTRY_HTTP_ADDR")?);
        }
        if let Some(debug) = &config.http.debug {
            early.debug = Some(bind(&debug.address, "REGISTRY_HTTP_DEBUG_ADDR")?);
        }
        if let Some(Certificate::Acme(Acme { http: Some(address), .. })) =
            config.http.tls.as_ref().map(|tls| &tls.certificate)
        {
            early.acme = Some(bind(address, "REGISTRY_HTTP_TLS_LETSENCRYPT_HTTPADDR")?);
        }
        Ok(early)
    }

    /// Says of each file that was opened whether it can be read again now, so that it is known what happens when it is renewed.
    pub fn look_again(&self) {
        if let Some(tls) = &self.tls {
            tls.look_again();
        }
        if let Some(credentials) = &self.credentials {
            credentials.look_again();
        }
    }
}

/// The password file, or the keys of tokens.
fn credentials(auth: &Auth, user: User) -> Result<Option<Credentials>, OpenError> {
    Ok(match auth {
        Auth::Htpasswd { realm, path, .. } if !is_chosen_by(path, user) => {
            match Htpasswd::open_blocking(HtpasswdOptions::new(realm, path)) {
                Err(HtpasswdError::Missing { .. }) => None,
                opened => Some(Credentials::Users(opened?.into())),
            }
        }
        Auth::Token(token) if !token.files().any(|path| is_chosen_by(path, user)) => {
            Some(Credentials::Tokens(authentication::tokens(token)?.into()))
        }
        _ => None,
    })
}

/// Whether a user decides what is found at a path: something on the way there is that user's.
fn is_chosen_by(path: &Path, user: User) -> bool {
    let is_on_the_way = |path: &Path| {
        path.ancestors().any(|above| fs::symlink_metadata(above).is_ok_and(|found| found.uid() == user.uid))
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    is_on_the_way(&absolute) || fs::canonicalize(path).is_ok_and(|path| is_on_the_way(&path))
}

fn bind(address: &TcpAddress, variable: &'static str) -> Result<Bound, OpenError> {
    let bound = match address.host.as_str() {
        "" => Bound::everywhere(address.port),
        _ => Bound::at(&address.to_string()),
    };
    bound.map_err(|source: io::Error| OpenError::Listen { address: address.to_string(), variable, source })
}

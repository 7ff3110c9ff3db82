//! What is opened while a process that starts as root still has its rights: a private key that only root may read, a
//! password file of root's, a port below 1024.
//!
//! Nothing here starts a thread.

use std::io;

use registry_api::{Bound, Tls};
use registry_auth::{Htpasswd, HtpasswdError, HtpasswdOptions};
use registry_config::{Auth, Certificate, Config, Listen, TcpAddress};

use crate::{OpenError, configured};

/// What was opened. Empty, it leaves everything to be opened later.
#[derive(Debug, Default)]
pub struct Early {
    pub(crate) tls: Option<Tls>,
    pub(crate) users: Option<Htpasswd>,
    pub(crate) main: Option<Bound>,
    pub(crate) debug: Option<Bound>,
}

impl Early {
    /// Reads certificate, key, the authorities of clients and the password file, as far as they are there, and binds the
    /// addresses. Connections are not taken before the registry is open.
    ///
    /// A certificate or a password file that the registry makes itself is left to the user that it becomes.
    ///
    /// # Errors
    /// [`OpenError`], which names the file or the address.
    pub fn open(config: &Config) -> Result<Early, OpenError> {
        let mut early = Early::default();
        if let Some(tls) = &config.http.tls
            && let Certificate::Files { certificate, key } = &tls.certificate
        {
            let files = configured::tls_files(config, tls, certificate.clone(), key.clone());
            early.tls = Some(Tls::load(files)?);
        }
        if let Auth::Htpasswd { realm, path, .. } = &config.auth {
            early.users = match Htpasswd::open_blocking(HtpasswdOptions::new(realm, path)) {
                Err(HtpasswdError::Missing { .. }) => None,
                opened => Some(opened?),
            };
        }
        if let Listen::Tcp(address) = &config.http.listen {
            early.main = Some(bind(address, "REGISTRY_HTTP_ADDR")?);
        }
        if let Some(debug) = &config.http.debug {
            early.debug = Some(bind(&debug.address, "REGISTRY_HTTP_DEBUG_ADDR")?);
        }
        Ok(early)
    }

    /// Says of each file that was opened whether it can be read again now, so that it is known what happens when it is renewed.
    pub fn look_again(&self) {
        if let Some(tls) = &self.tls {
            tls.look_again();
        }
        if let Some(users) = &self.users {
            users.look_again();
        }
    }
}

fn bind(address: &TcpAddress, variable: &'static str) -> Result<Bound, OpenError> {
    let bound = match address.host.as_str() {
        "" => Bound::everywhere(address.port),
        _ => Bound::at(&address.to_string()),
    };
    bound.map_err(|source: io::Error| OpenError::Listen { address: address.to_string(), variable, source })
}

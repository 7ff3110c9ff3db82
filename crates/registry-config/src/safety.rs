//! What must be said explicitly before it is done.

use crate::auth::Auth;
use crate::config::Config;
use crate::field::Field;
use crate::http::Listen;
use crate::tls::ClientCertificateMode;

/// What the registry does about what is open to everybody who reaches it. Key `safety`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safety {
    /// It serves, and the log says what is open and which key closes it. The default.
    #[default]
    Warn,
    /// It does not start before the configuration says that this is meant.
    Strict,
}

impl Safety {
    pub(crate) fn read(field: &Field<'_>) -> Safety {
        field.choice(&[("warn", Safety::Warn), ("strict", Safety::Strict)]).unwrap_or_default()
    }
}

/// Refuses what others on the network could abuse, unless the configuration says that it is meant.
pub(crate) fn check(config: &Config, root: &Field<'_>) {
    let Listen::Tcp(address) = &config.http.listen else { return };
    if address.is_loopback() {
        return;
    }
    let place = root.get("http").get("addr");
    if config.http.tls.is_none() && !config.http.insecure {
        place.problem(
            format!("plain HTTP on {address} lets others on the network read passwords and change images"),
            "a certificate (http.tls.certificate and http.tls.key, or http.tls.selfsigned: true), or an address \
             such as 127.0.0.1:5000; the line `insecure: true` below `http:`, or REGISTRY_HTTP_INSECURE=true, allows \
             it all the same",
        );
    }
    if config.auth == Auth::Absent && !clients_are_known(config) {
        place.problem(
            format!("without authentication everybody who reaches {address} can read and change everything"),
            "auth.htpasswd, or an address such as 127.0.0.1:5000; the line `auth: none`, or REGISTRY_AUTH=none, allows it \
             all the same",
        );
    }
}

/// A certificate that every client must show, and that is verified, is authentication too.
fn clients_are_known(config: &Config) -> bool {
    let clients = config.http.tls.as_ref().and_then(|tls| tls.clients.as_ref());
    clients.is_some_and(|clients| clients.mode == ClientCertificateMode::RequireAndVerify)
}

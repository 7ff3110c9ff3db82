//! What is open to others on the network: said, or refused.

use registry_types::ClientAuth;

use crate::auth::Auth;
use crate::config::Config;
use crate::field::Field;
use crate::http::Listen;
use crate::warning::Warning;

/// What the registry does about what is open to everybody who reaches it. Key `safety`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safety {
    /// It serves, and the log says what is open and which key closes it. The default.
    #[default]
    Warn,
    /// It does not start before the configuration says that this is meant.
    Strict,
}

const TLS: &str = "http.tls.certificate and http.tls.key, or http.tls.selfsigned: true";

impl Safety {
    pub(crate) fn read(field: &Field<'_>) -> Safety {
        field.choice(&[("warn", Safety::Warn), ("strict", Safety::Strict)]).unwrap_or_default()
    }
}

/// Notes what others on the network could abuse, unless the configuration says that it is meant.
pub(crate) fn check(config: &Config, root: &Field<'_>) {
    let http = root.get("http");
    debug_server(config, &http.get("debug"));
    let Listen::Tcp(address) = &config.http.listen else { return };
    if address.is_loopback() {
        return;
    }
    let place = http.get("addr");
    let is_plain = config.http.tls.is_none() && !config.http.insecure;
    let is_anonymous = config.auth == Auth::Absent && !clients_are_known(config);
    let address = address.to_string();
    match config.safety {
        Safety::Strict => refuse(&place, &address, is_plain, is_anonymous),
        Safety::Warn => warn(config, &place, &address, is_plain, is_anonymous),
    }
}

fn refuse(place: &Field<'_>, address: &str, is_plain: bool, is_anonymous: bool) {
    if is_plain {
        place.problem(
            format!("plain HTTP on {address} lets others on the network read passwords and change images"),
            format!(
                "as safety is strict, a certificate ({TLS}), or an address such as 127.0.0.1:5000; the line \
                 `insecure: true` below `http:`, or REGISTRY_HTTP_INSECURE=true, allows it all the same"
            ),
        );
    }
    if is_anonymous {
        place.problem(
            format!("without authentication everybody who reaches {address} can read and change everything"),
            "as safety is strict, auth.htpasswd, or an address such as 127.0.0.1:5000; the line `auth: none`, or \
             REGISTRY_AUTH=none, allows it all the same",
        );
    }
}

/// In one line, whatever is open.
fn warn(config: &Config, place: &Field<'_>, address: &str, is_plain: bool, is_anonymous: bool) {
    let key = "http.addr".to_owned();
    let variable = place.variable().map(str::to_owned);
    let open = |text| place.warn(Warning::Open { key: key.clone(), variable: variable.clone(), text });
    match (is_anonymous, is_plain) {
        (true, true) => open(format!(
            "everybody who reaches {address} can read, change and delete everything, and others on the network can read \
             and change what goes over it; auth.htpasswd (a password file) and {TLS} close it; `auth: none` and \
             `http.insecure: true` say that it is meant"
        )),
        (true, false) => open(format!(
            "everybody who reaches {address} can read, change and delete everything; auth.htpasswd (a password file) \
             closes it; `auth: none` says that it is meant"
        )),
        (false, true) if has_https_host(config) => place.warn(Warning::LeftToProxy {
            key: key.clone(),
            variable: variable.clone(),
            text: format!(
                "TLS is left to the proxy that http.host names: nothing else than it should reach {address}, where \
                 passwords come in plain HTTP"
            ),
        }),
        (false, true) => open(format!(
            "plain HTTP on {address} lets others on the network read passwords and change images; {TLS} close it, or \
             `http.host: https://…` if a proxy in front has the certificate; `http.insecure: true` says that it is meant"
        )),
        (false, false) => {}
    }
}

/// Metrics, and why health checks fail, are shown without authentication.
fn debug_server(config: &Config, debug: &Field<'_>) {
    let is_meant = debug.get("insecure").flag(false);
    let Some(server) = &config.http.debug else { return };
    if server.address.is_loopback() || is_meant {
        return;
    }
    let (place, address) = (debug.get("addr"), &server.address);
    let wrong = format!("everybody who reaches {address} can read health and metrics without authentication");
    match config.safety {
        Safety::Strict => place.problem(
            wrong,
            "as safety is strict, an address such as 127.0.0.1:5001; `http.debug.insecure: true`, or \
             REGISTRY_HTTP_DEBUG_INSECURE=true, allows it all the same",
        ),
        Safety::Warn => place.warn(Warning::Open {
            key: "http.debug.addr".to_owned(),
            variable: place.variable().map(str::to_owned),
            text: format!(
                "{wrong}; an address such as 127.0.0.1:5001 closes it; `http.debug.insecure: true` says that it is meant"
            ),
        }),
    }
}

/// A URL with TLS, where this process has none: something in front has it.
fn has_https_host(config: &Config) -> bool {
    config.http.host.as_deref().is_some_and(|host| host.starts_with("https://"))
}

/// A certificate that every client must show, and that is verified, is authentication too.
fn clients_are_known(config: &Config) -> bool {
    let clients = config.http.tls.as_ref().and_then(|tls| tls.clients.as_ref());
    clients.is_some_and(|clients| clients.mode == ClientAuth::Required)
}

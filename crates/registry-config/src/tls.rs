use std::path::{Path, PathBuf};

use registry_types::{ClientAuth, MinimumVersion};

use crate::field::Field;
use crate::{
    address::TcpAddress,
    http::{Listen, address, host_of},
};

/// How connections are encrypted. Key `http.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What the registry shows clients.
    pub certificate: Certificate,
    /// What clients must show, if anything.
    pub clients: Option<ClientCertificates>,
    /// The oldest version that is spoken. Key `minimumtls`.
    pub minimum: MinimumVersion,
}

/// What the registry shows clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// PEM files. Keys `certificate` and `key`.
    Files {
        /// The certificate and those that lead from it to an authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made by the registry itself, so clients must be told to trust it. Key `selfsigned`.
    SelfSigned {
        /// The names and addresses that it is for. By default `localhost`, the addresses of the loopback, and the hosts of
        /// `http.host` and `http.addr`.
        hosts: Vec<String>,
        /// The folder that it is kept in; `certificate` in that of the data by default. `None` for a registry in memory:
        /// it is another one after each start.
        directory: Option<PathBuf>,
    },
    /// Ordered from an authority, and renewed. Key `letsencrypt`.
    Acme(Acme),
}

/// Certificates from an authority that speaks ACME. Key `http.tls.letsencrypt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The hosts that they are for; that of `http.host` by default.
    pub hosts: Vec<String>,
    /// Whom the authority may write to.
    pub email: Option<String>,
    /// The URL of the authority's directory; Let's Encrypt's by default. Key `directoryurl`.
    pub directory: String,
    /// Where the authority is answered over plain HTTP, if it is not answered over TLS. Key `httpaddr`.
    pub http: Option<TcpAddress>,
}

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What clients must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM files with the authorities that are trusted. Key `clientcas`.
    pub authorities: Vec<PathBuf>,
    /// Key `clientauth`.
    pub mode: ClientAuth,
}

/// The names that the Go registry knows.
const CIPHER_SUITES: &[&str] = &[
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// What a certificate that the registry makes is for, and where it is kept, if nothing says so.
pub(crate) struct SelfSigned {
    hosts: Vec<String>,
    directory: Option<PathBuf>,
}

impl SelfSigned {
    pub(crate) fn usual(listen: &Listen, host: Option<&str>, data: Option<&Path>) -> SelfSigned {
        SelfSigned {
            hosts: default_hosts(listen, host),
            directory: data.map(|folder| folder.join("certificate")),
        }
    }
}

impl Tls {
    /// `None` for plain HTTP.
    pub(crate) fn read(tls: &Field<'_>, usual: SelfSigned, host: Option<&str>) -> Option<Tls> {
        let (certificate, self_signed) = (tls.get("certificate"), tls.get("selfsigned"));
        let has_files = certificate.is_set() || tls.get("key").is_set();
        let self_signed = self_signed_certificate(&self_signed, usual);
        let acme = acme(&tls.get("letsencrypt"), host);
        if [has_files, self_signed.is_some(), acme.is_some()].into_iter().filter(|is_there| *is_there).count()
            > 1
        {
            tls.problem("has more than one of certificate, selfsigned and letsencrypt", "one of them");
        }
        let certificate = if has_files { Some(files(tls)) } else { self_signed.or(acme) };
        let minimum = minimum(&tls.get("minimumtls"));
        check_cipher_suites(&tls.get("ciphersuites"));
        let clients = clients(tls);
        if certificate.is_none() && clients.is_some() {
            tls.get("clientcas")
                .problem("is given without a certificate", "http.tls.certificate and http.tls.key");
        }
        Some(Tls { certificate: certificate?, clients, minimum })
    }
}

fn acme(field: &Field<'_>, host: Option<&str>) -> Option<Certificate> {
    let is_said = |(_, field): &(&str, Field<'_>)| field.is_set();
    if !field.entries().iter().any(is_said) {
        return None;
    }
    if field.get("cachefile").path().is_some() {
        field.get("cachefile").remark("certificates are kept in the database, so the path has no effect");
    }
    let mut hosts = field.get("hosts").texts();
    if hosts.is_empty() {
        hosts.extend(host.and_then(host_of));
    }
    if hosts.is_empty() {
        field.problem(
            "names no host",
            "http.tls.letsencrypt.hosts or http.host, for which certificates are ordered",
        );
    }
    Some(Certificate::Acme(Acme {
        hosts,
        email: field.get("email").text(),
        directory: field.get("directoryurl").text().unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
        http: address(&field.get("httpaddr")),
    }))
}

fn files(tls: &Field<'_>) -> Certificate {
    let path = |name: &str, expected: &str| tls.get(name).required_path(expected).unwrap_or_default();
    Certificate::Files {
        certificate: path("certificate", "the path of a PEM file, beside http.tls.key"),
        key: path("key", "the path of a PEM file, beside http.tls.certificate"),
    }
}

fn self_signed_certificate(field: &Field<'_>, usual: SelfSigned) -> Option<Certificate> {
    if !field.is_set() {
        return None;
    }
    let SelfSigned { hosts, directory } = usual;
    if field.scalar().is_some() {
        return field.flag(false).then_some(Certificate::SelfSigned { hosts, directory });
    }
    let named = field.get("hosts").texts();
    Some(Certificate::SelfSigned {
        hosts: if named.is_empty() { hosts } else { named },
        directory: field.get("directory").path().or(directory),
    })
}

fn default_hosts(listen: &Listen, host: Option<&str>) -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    hosts.extend(host.and_then(host_of));
    if let Listen::Tcp(address) = listen
        && !["", "0.0.0.0", "::"].contains(&address.host.as_str())
    {
        hosts.push(address.host.clone());
    }
    let mut seen = Vec::new();
    hosts.retain(|host| {
        !seen.contains(host) && {
            seen.push(host.clone());
            true
        }
    });
    hosts
}

fn minimum(field: &Field<'_>) -> MinimumVersion {
    if let Some(old @ ("tls1.0" | "tls1.1")) = field.scalar() {
        field.remark(format!("{old} is not spoken any more, so tls1.2 is the oldest"));
        return MinimumVersion::Tls12;
    }
    field.choice(&[("tls1.2", MinimumVersion::Tls12), ("tls1.3", MinimumVersion::Tls13)]).unwrap_or_default()
}

fn check_cipher_suites(field: &Field<'_>) {
    let items = field.items();
    for item in &items {
        let known = |text: &str| CIPHER_SUITES.contains(&text).then_some(());
        item.parse("the name of a cipher suite, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", known);
    }
    if !items.is_empty() {
        field.remark("rustls chooses among suites that are all strong, so the list has no effect");
    }
}

fn clients(tls: &Field<'_>) -> Option<ClientCertificates> {
    let mode = tls.get("clientauth");
    let chosen = mode.choice(&[
        ("request-client-cert", ClientAuth::IfGivenUnverified),
        ("require-any-client-cert", ClientAuth::RequiredUnverified),
        ("verify-client-cert-if-given", ClientAuth::IfGiven),
        ("require-and-verify-client-cert", ClientAuth::Required),
    ]);
    let authorities: Vec<PathBuf> = tls.get("clientcas").items().iter().filter_map(Field::path).collect();
    if authorities.is_empty() {
        if mode.is_set() {
            // The Go registry ignores it then; whoever relies on it has an open door.
            mode.problem("has no effect without http.tls.clientcas", "http.tls.clientcas beside it");
        }
        return None;
    }
    Some(ClientCertificates { authorities, mode: chosen.unwrap_or_default() })
}

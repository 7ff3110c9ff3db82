//! A certificate for those who have none: made once, kept, and signed by an authority of its own that clients can trust.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// How long the certificate counts. Apple's clients refuse more than 825 days.
const VALID_DAYS: i64 = 820;

/// A certificate that ends sooner than this is made anew.
const RENEW_BEFORE_DAYS: i64 = 60;

/// The files of a self-signed certificate, which are kept from one start to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// What clients are to trust, in PEM form.
    pub authority: PathBuf,
    /// The certificate, in PEM form.
    pub certificate: PathBuf,
    /// Its private key, in PEM form, readable for its owner alone.
    pub key: PathBuf,
    /// Whether they were made now.
    pub is_new: bool,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfSignedError {
    /// A file can not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A host name can not stand in a certificate.
    #[error("can not make a certificate for {hosts:?}")]
    Certificate {
        /// The names.
        hosts: Vec<String>,
        /// Why.
        source: rcgen::Error,
    },
}

/// Finds the certificate in `folder`, or makes one for these hosts, names or addresses. One that was made for other hosts,
/// or ends soon, is made anew.
///
/// # Errors
/// [`SelfSignedError`]. What was written before is complete or absent, never half.
pub fn find_or_make(folder: &Path, hosts: &[String]) -> Result<SelfSigned, SelfSignedError> {
    let made_for = folder.join("made-for");
    let now = OffsetDateTime::now_utc();
    let found = SelfSigned {
        authority: folder.join("ca.crt"),
        certificate: folder.join("server.crt"),
        key: folder.join("server.key"),
        is_new: false,
    };
    if fs::read_to_string(&made_for).is_ok_and(|text| still_serves(&text, hosts, now)) {
        return Ok(found);
    }
    let (authority, certificate, key) =
        make(hosts, now).map_err(|source| SelfSignedError::Certificate { hosts: hosts.to_vec(), source })?;
    fs::create_dir_all(folder).map_err(|source| SelfSignedError::File { path: folder.to_owned(), source })?;
    // First: from here until it is written again, the files may not belong together.
    let _ = fs::remove_file(&made_for);
    write(&found.key, &key, 0o600)?;
    write(&found.certificate, &certificate, 0o644)?;
    write(&found.authority, &authority, 0o644)?;
    write(&made_for, &description(hosts, now), 0o644)?;
    Ok(SelfSigned { is_new: true, ..found })
}

/// What a certificate made now is for: the second at which to make a new one, then the hosts.
fn description(hosts: &[String], now: OffsetDateTime) -> String {
    let renew_at = now + Duration::days(VALID_DAYS - RENEW_BEFORE_DAYS);
    format!("{}\n{}", renew_at.unix_timestamp(), hosts.join("\n"))
}

fn still_serves(description: &str, hosts: &[String], now: OffsetDateTime) -> bool {
    description.split_once('\n').is_some_and(|(renew_at, made_for)| {
        made_for == hosts.join("\n")
            && renew_at.parse::<i64>().is_ok_and(|renew_at| now.unix_timestamp() < renew_at)
    })
}

/// Authority, certificate with its chain, and key.
fn make(hosts: &[String], now: OffsetDateTime) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "registry's own authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (authority.not_before, authority.not_after) = validity(now);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    // The authority's key ends here: nothing else can ever be signed with it.
    let issuer = rcgen::Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(hosts.to_vec())?;
    let name = hosts.first().map_or("registry", String::as_str);
    server.distinguished_name.push(DnType::CommonName, name);
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (server.not_before, server.not_after) = validity(now);
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    let chain = format!("{}{}", certificate.pem(), authority_certificate.pem());
    Ok((authority_certificate.pem(), chain, server_key.serialize_pem()))
}

/// From yesterday on, for clients whose clock is slow.
fn validity(now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
    (now - Duration::days(1), now + Duration::days(VALID_DAYS))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), SelfSignedError> {
    let write = || {
        let partial = path.with_extension("new");
        let _ = fs::remove_file(&partial);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|source| SelfSignedError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_server::{ClientAuth, MinimumVersion, Tls, TlsOptions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = ["registry.example".to_owned(), "192.0.2.1".to_owned()];
        let first = find_or_make(folder.path(), &hosts).unwrap();
        let pem = fs::read(&first.certificate).unwrap();
        let second = find_or_make(folder.path(), &hosts).unwrap();
        assert!(first.is_new && !second.is_new);
        assert_eq!(fs::read(&second.certificate).unwrap(), pem);
        assert_eq!(fs::metadata(&first.key).unwrap().permissions().mode() & 0o777, 0o600);

        let other = find_or_make(folder.path(), &hosts[..1]).unwrap();
        assert!(other.is_new);
        assert_ne!(fs::read(&other.certificate).unwrap(), pem);
    }

    #[test]
    fn one_that_ends_soon_is_made_anew() {
        let hosts = ["localhost".to_owned()];
        let now = OffsetDateTime::now_utc();
        let made = description(&hosts, now);
        assert!(still_serves(&made, &hosts, now + Duration::days(VALID_DAYS - RENEW_BEFORE_DAYS - 1)));
        assert!(!still_serves(&made, &hosts, now + Duration::days(VALID_DAYS - RENEW_BEFORE_DAYS + 1)));
    }

    #[test]
    fn the_server_can_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = find_or_make(folder.path(), &["localhost".to_owned()]).unwrap();
        let files = TlsOptions::new(made.certificate, made.key)
            .clients([made.authority], ClientAuth::IfGiven)
            .minimum_version(MinimumVersion::Tls13);
        Tls::load(files).unwrap();
    }
}

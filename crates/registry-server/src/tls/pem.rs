//! Certificates and keys in PEM files, and what is said of files that hold something else.

use std::{fs, path::Path};

use rustls::crypto::CryptoProvider;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

use super::{Explain, TlsError};

/// How many different sections of a file are named.
const NAMED_MAX: usize = 5;

/// How long the name of a section may be that is shown.
const NAME_BYTES_MAX: usize = 40;

/// The certificates of a file, in their order.
pub(super) fn certificates(path: &Path, explain: Explain) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path, explain)?;
    let wrong = |error| TlsError::Pem {
        path: path.to_owned(),
        expected: "certificate",
        found: described(&bytes, &error, "certificate"),
    };
    let all: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(wrong)?;
    if all.is_empty() { Err(wrong(Error::NoItemsFound)) } else { Ok(all) }
}

/// The first private key of a file, if it is of a kind that can be used.
pub(super) fn key(
    path: &Path,
    provider: &CryptoProvider,
    explain: Explain,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path, explain)?;
    let wrong = |found| TlsError::Pem { path: path.to_owned(), expected: "private key", found };
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| wrong(described(&bytes, &error, "private key")))?;
    if let Err(error) = provider.key_provider.load_private_key(key.clone_key()) {
        return Err(wrong(format!(
            "its key is of a kind that can not be used ({error}); RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, and \
             Ed25519 can"
        )));
    }
    Ok(key)
}

/// What a file holds that holds nothing of what was wanted.
fn described(bytes: &[u8], error: &Error, wanted: &str) -> String {
    let names = sections(bytes);
    let is = |what: &str| names.iter().any(|name| name == what);
    let is_encrypted = is("ENCRYPTED PRIVATE KEY")
        || (wanted == "private key" && bytes.windows(9).any(|window| window == b"ENCRYPTED"));
    if wanted == "private key" && is_encrypted {
        return "its key is encrypted, and there is no way to give a passphrase; `openssl pkey -in <this file> -out \
                <new file>` decrypts it"
            .to_owned();
    }
    if is("OPENSSH PRIVATE KEY") {
        return "its key is one of OpenSSH's own format; `ssh-keygen -p -m PEM -f <copy of this file>` rewrites it".to_owned();
    }
    if names.is_empty() {
        return match bytes.first() {
            None => "it is empty".to_owned(),
            // What ASN.1 begins with.
            Some(0x30) => {
                "it is DER or PKCS #12, not PEM; `openssl x509 -inform der`, `openssl pkey -inform der` or \
                           `openssl pkcs12 -nodes` make PEM of it"
                    .to_owned()
            }
            Some(_) => format!("it is not PEM: no line begins with `-----BEGIN ` ({error})"),
        };
    }
    match error {
        Error::NoItemsFound => format!("what it holds is: {}", names.join(", ")),
        error => format!("it is damaged: {error}"),
    }
}

/// The names of a file's sections, each once.
fn sections(bytes: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(name) = line.strip_prefix(b"-----BEGIN ") else { continue };
        let name = name.split(|byte| *byte == b'-').next().unwrap_or_default();
        let name = String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]).into_owned();
        if names.len() < NAMED_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Without the byte order mark that some editors begin every file with.
fn read(path: &Path, explain: Explain) -> Result<Vec<u8>, TlsError> {
    let mut bytes = fs::read(path).map_err(|source| TlsError::unreadable(path, source, explain))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

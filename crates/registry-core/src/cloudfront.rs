//! CloudFront before a bucket: clients are sent to a URL that it has not seen before and that only this registry can have made.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use registry_api::{Redirection, ToServer};
use registry_types::Location;
use rsa::{
    PrivateKey,
    pkcs1::DecodeRsaPrivateKey,
    pkcs1v15::SigningKey,
    pkcs8::DecodePrivateKey,
    signature::{SignatureEncoding, Signer},
};
use sha1::Sha1;
use thiserror::Error as ThisError;

/// Why nothing can be signed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum CloudFrontError {
    /// The file of the key can not be read.
    #[error("can not read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no private RSA key in PEM (PKCS #1 or PKCS #8)", path.display())]
    Key {
        /// Which.
        path: PathBuf,
    },
}

/// Sends clients to a distribution of CloudFront. A canned policy lets them read one URL for a while. Source: Amazon's "Create a signed URL
/// using a canned policy".
pub struct CloudFront {
    server: ToServer,
    key: SigningKey<Sha1>,
    key_pair_id: String,
    lifetime: Duration,
}

impl std::fmt::Debug for CloudFront {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CloudFront").field("server", &self.server).finish_non_exhaustive()
    }
}

impl CloudFront {
    /// To the distribution at `base`, whose origin is the bucket below `root`, with a key that CloudFront knows by this id.
    ///
    /// # Errors
    /// [`CloudFrontError`].
    pub fn open(
        base: &str,
        root: &str,
        private_key: &Path,
        key_pair_id: &str,
        lifetime: Duration,
    ) -> Result<CloudFront, CloudFrontError> {
        let path = || private_key.to_owned();
        let text = fs::read_to_string(private_key)
            .map_err(|source| CloudFrontError::File { path: path(), source })?;
        let key = PrivateKey::from_pkcs1_pem(&text).or_else(|_| PrivateKey::from_pkcs8_pem(&text));
        let key = SigningKey::new(key.map_err(|_| CloudFrontError::Key { path: path() })?);
        let server = ToServer::new(&[base.trim_end_matches('/'), root.trim_matches('/')].join("/"));
        Ok(CloudFront { server, key, key_pair_id: key_pair_id.to_owned(), lifetime })
    }

    fn signed(&self, url: &str, now: SystemTime) -> String {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ends = (since + self.lifetime).as_secs();
        let policy = format!(
            r#"{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{ends}}}}}}}]}}"#
        );
        let signature = BASE64_STANDARD.encode(self.key.sign(policy.as_bytes()).to_bytes());
        // What means something in a URL is written otherwise.
        let signature = signature.replace('+', "-").replace('=', "_").replace('/', "~");
        format!("{url}?Expires={ends}&Signature={signature}&Key-Pair-Id={}", self.key_pair_id)
    }
}

impl Redirection for CloudFront {
    fn lead(&self, location: &Location, url: Option<String>) -> Option<String> {
        Some(self.signed(&self.server.lead(location, url)?, SystemTime::now()))
    }

    fn leads_elsewhere(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};
    use rsa::{
        pkcs1::{EncodeRsaPrivateKey, LineEnding},
        pkcs1v15::{Signature, VerifyingKey},
        signature::{Keypair, Verifier},
    };

    use super::*;

    #[test]
    fn a_url_is_signed_as_cloudfront_verifies_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let key = PrivateKey::new(&mut UnwrapErr(SysRng), 2048).unwrap();
        fs::write(&path, key.to_pkcs1_pem(LineEnding::LF).unwrap()).unwrap();
        let base = "https://d1.cloudfront.example/";
        let front = CloudFront::open(base, "/registry/", &path, "K1", Duration::from_secs(1200)).unwrap();
        let location = Location::of_upload(&registry_types::UploadId::from_random([0xab; 16]));
        let url = front.server.lead(&location, None).unwrap();
        assert_eq!(url, format!("https://d1.cloudfront.example/registry/{}", location.as_str()));

        let signed = front.signed(&url, SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let query = signed.strip_prefix(&format!("{url}?Expires=2200&Signature=")).unwrap();
        let signature = query.strip_suffix("&Key-Pair-Id=K1").unwrap();
        let signature = signature.replace('-', "+").replace('_', "=").replace('~', "/");
        let signature = Signature::try_from(&*BASE64_STANDARD.decode(signature).unwrap()).unwrap();
        let policy = format!(
            "{{\"Statement\":[{{\"Resource\":\"{url}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":2200}}}}}}]}}"
        );
        let verifies: VerifyingKey<Sha1> = front.key.verifying_key();
        verifies.verify(policy.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn other_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let open =
            || CloudFront::open("https://d1.example", "", &path, "K1", Duration::from_secs(60)).unwrap_err();
        assert!(open().to_string().contains("can not read"));
        fs::write(&path, "no key").unwrap();
        assert!(open().to_string().contains("holds no private RSA key"));
    }
}

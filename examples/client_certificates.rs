//! Clients show certificates instead of passwords: the one with the known fingerprint is `ada`, who may do anything, others pull.
//!
//! `cargo run -p registry-examples --example client_certificates -- server.crt server.key authority.crt sha256:…`, where the last
//! is what `openssl x509 -in ada.crt -outform der | sha256sum` says.

use std::sync::Arc;

use registry_core::{
    Registry,
    api::{ClientAuth, Listener, ServeOptions, Tls, TlsOptions},
    async_trait,
    auth::{AnonymousAccess, Authenticated, AuthenticationError, Authenticator, Caller, Presented, Refused},
    digest::{Algorithm, Digest},
    http::HeaderValue,
};

#[derive(Debug)]
struct Certificates {
    ada: Digest,
}

#[async_trait]
impl Authenticator for Certificates {
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, AuthenticationError> {
        // Verified against the authority by the TLS handshake; what is left is whose it is.
        let shown = presented.certificate.map(|der| Digest::of(Algorithm::Sha256, der));
        if shown != Some(self.ada) {
            return Ok(Caller::anonymous());
        }
        eprintln!("ada comes from {:?}", presented.peer);
        Ok(Caller::user("ada".parse().expect("a name of small letters is one")))
    }

    // No login helps those without a certificate.
    fn challenge(&self, _: &Refused<'_>) -> Option<HeaderValue> {
        None
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let [certificate, key, authority, ada] = std::array::from_fn(|at| std::env::args().nth(at + 1));
    let usage = "certificate, key, authority and fingerprint are needed";
    let (Some(certificate), Some(key), Some(authority), Some(ada)) = (certificate, key, authority, ada)
    else {
        anyhow::bail!(usage)
    };
    let address = std::env::args().nth(5).unwrap_or_else(|| "127.0.0.1:5000".to_owned());

    let files = TlsOptions::new(certificate, key).clients([authority], ClientAuth::IfGiven);
    let options = ServeOptions::default().tls(Some(Arc::new(Tls::load(files)?)));
    let registry = Registry::builder()
        .authenticator(Arc::new(Certificates { ada: ada.parse()? }))
        .authorizer(Arc::new(Authenticated { anonymous: AnonymousAccess::Pull }))
        .serve_options(options)
        .open()
        .await?;
    let listener = Listener::tcp(&address).await?;
    eprintln!("listening on {}", listener.address()?);
    Ok(registry.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?)
}

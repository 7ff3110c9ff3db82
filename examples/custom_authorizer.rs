//! A registry from which every client may pull; users push below their own name.
//!
//! `cargo run -p registry-examples --example custom_authorizer -- htpasswd`, with a file of `registry hash-password`.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::{
    Registry,
    api::Listener,
    auth::{ActionSet, Authorizer, Caller, Htpasswd, HtpasswdOptions},
    types::{RepositoryName, Viewer},
};

#[derive(Debug)]
struct OwnNamespace;

#[async_trait]
impl Authorizer for OwnNamespace {
    async fn allowed(&self, caller: &Caller, repository: &RepositoryName) -> ActionSet {
        match caller.name() {
            Some(user) if repository.as_ref().starts_with(&format!("{user}/")) => ActionSet::ALL,
            _ => ActionSet::PULL,
        }
    }

    async fn visible(&self, _caller: &Caller) -> Viewer {
        Viewer::everything()
    }

    // Anonymous callers may list repositories as well.
    async fn lists(&self, _caller: &Caller) -> bool {
        true
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let passwords = std::env::args().nth(1).unwrap_or_else(|| "htpasswd".to_owned());
    let users = Htpasswd::open(HtpasswdOptions::new("registry", passwords)).await?;
    let registry =
        Registry::builder().authenticator(Arc::new(users)).authorizer(Arc::new(OwnNamespace)).open().await?;
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = Listener::tcp(&address).await?;
    eprintln!("listening on {}", listener.address()?);
    Ok(registry.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?)
}

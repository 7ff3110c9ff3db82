//! A registry in which everybody may pull, and users push below their own name.
//!
//! `cargo run -p registry-examples --example custom_authorizer -- htpasswd`, with a file of `registry hash-password`.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::{
    Registry,
    api::Listener,
    auth::{Access, Action, Authorizer, Caller, Decision, Htpasswd, HtpasswdOptions},
    types::RepositorySet,
};

#[derive(Debug)]
struct OwnNamespace;

#[async_trait]
impl Authorizer for OwnNamespace {
    async fn decide(&self, caller: &Caller, access: &Access) -> Decision {
        match (caller, access) {
            // Docker's login asks here, and needs to be asked for a password.
            (Caller::Anonymous, Access::Base) => Decision::Deny { visible: true },
            (_, Access::Base | Access::Catalog) => Decision::Allow,
            (_, Access::Repository { actions, .. }) if *actions == [Action::Pull] => Decision::Allow,
            (Caller::User(user), Access::Repository { name, .. })
                if name.as_ref().starts_with(&format!("{user}/")) =>
            {
                Decision::Allow
            }
            _ => Decision::Deny { visible: true },
        }
    }

    async fn visible(&self, _caller: &Caller) -> RepositorySet {
        RepositorySet::All
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let passwords = std::env::args().nth(1).unwrap_or_else(|| "htpasswd".to_owned());
    let users = Htpasswd::open(HtpasswdOptions::new("registry", passwords)).await?;
    let registry =
        Registry::builder().authenticator(Arc::new(users)).authorizer(Arc::new(OwnNamespace)).open().await?;
    let listener = Listener::tcp("127.0.0.1:5000").await?;
    eprintln!("listening on {}", listener.address()?);
    registry.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}

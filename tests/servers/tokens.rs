//! The same tokens, sent to this registry and to the Go registry: both accept and refuse the same, or the table says why not.
//!
//! `tests/setup registries` builds the Go registry.

#[path = "../it/tokens/table/mod.rs"]
mod table;

use std::fs;

use crate::go_registry::GoRegistry;
use registry_testing::{Client, ServerOptions};
use table::{Fate, ISSUER, Keys, REALM, SERVICE, cases};

#[tokio::test]
async fn both_registries_accept_and_refuse_the_same_tokens() {
    let keys = Keys::new();
    let options = ServerOptions::new();
    let (bundle, jwks) = (options.folder().join("bundle.pem"), options.folder().join("jwks.json"));
    fs::write(&bundle, keys.bundle()).unwrap();
    // No secret: with one, the Go registry takes no key of the set.
    fs::write(&jwks, keys.jwks()).unwrap();
    let auth = format!(
        "auth:\n  token:\n    realm: {REALM}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    \
         rootcertbundle: {}\n    jwks: {}\n",
        bundle.display(),
        jwks.display()
    );
    let ours = options.config(&auth).start().await;
    let go = GoRegistry::start("go-registry", &auth).await;
    let mut wrong = Vec::new();
    for case in cases(&keys) {
        let (method, path) = case.ask.method_and_path();
        let mut statuses = Vec::new();
        for url in [ours.url(), go.url().to_owned()] {
            let mut client = Client::new(&url);
            if let Some(authorization) = &case.authorization {
                client = client.header(http::header::AUTHORIZATION, authorization);
            }
            let response = client.request(method.parse().unwrap(), path).send().await.unwrap();
            statuses.push(response.status.as_u16());
        }
        let is_accepted = case.fate == Fate::Accepted;
        let [here, there] = [statuses[0] != 401, statuses[1] != 401];
        let there_expected = is_accepted != case.differs.is_some();
        if here != is_accepted || there != there_expected {
            wrong.push(format!("{}: {statuses:?}, expected {is_accepted} and {there_expected}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

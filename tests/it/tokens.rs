//! Tokens of another server: what is accepted, what is refused, and what the refusal says.

mod table;

use std::{collections::BTreeSet, fs};

use registry_core::types::ErrorCode;
use registry_testing::{Client, Image, Response, Server, ServerOptions, eventually, tokens::now_secs};
use serde_json::json;
use table::{Fate, ISSUER, Keys, REALM, SERVICE, cases};

/// A registry that takes the tokens of these keys.
async fn start(keys: &Keys, more: &str) -> Server {
    let options = ServerOptions::new();
    let (bundle, jwks) = (options.folder().join("bundle.pem"), options.folder().join("jwks.json"));
    fs::write(&bundle, keys.bundle()).unwrap();
    fs::write(&jwks, keys.jwks()).unwrap();
    let auth = format!(
        "auth:\n  token:\n    realm: {REALM}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    \
         rootcertbundle: {}\n    jwks: {}\n{more}",
        bundle.display(),
        jwks.display()
    );
    options.config(&auth).start().await
}

/// What an answer means for a token.
fn fate(response: &Response) -> Fate {
    if response.status != 401 {
        return Fate::Accepted;
    }
    let challenge = response.must_have("www-authenticate");
    let realm = format!("Bearer realm=\"{REALM}\",service=\"{SERVICE}\"");
    assert!(challenge.starts_with(&realm), "{challenge}");
    match challenge.rsplit_once(",error=") {
        None => Fate::Asked,
        Some((_, "\"invalid_token\"")) => Fate::Invalid,
        Some((_, "\"insufficient_scope\"")) => Fate::Insufficient,
        Some((_, other)) => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_token_of_the_table_is_judged() {
    let keys = Keys::new();
    let server = start(&keys, "").await;
    let (cases, mut wrong, mut names) = (cases(&keys), Vec::new(), BTreeSet::new());
    for case in &cases {
        assert!(names.insert(&case.name), "two are named {}", case.name);
        let mut client = server.client();
        if let Some(authorization) = &case.authorization {
            client = client.header(http::header::AUTHORIZATION, authorization);
        }
        let (method, path) = case.ask.method_and_path();
        // Twice: the second time, a token that is good is remembered.
        for _ in 0..2 {
            let response = client.request(method.parse().unwrap(), path).send().await.unwrap();
            let fate = fate(&response);
            if fate != case.fate {
                wrong.push(format!("{}: {fate:?}, expected {:?}", case.name, case.fate));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() > 200, "{}", cases.len());
}

/// A token of the first key of the set that allows these actions on repositories.
fn token(keys: &Keys, subject: &str, access: &[(&str, &[&str])]) -> String {
    let entry =
        |(name, actions): &(&str, &[&str])| json!({"type": "repository", "name": name, "actions": actions});
    keys.signed(&json!({
        "iss": ISSUER, "sub": subject, "aud": [SERVICE], "exp": now_secs() + 300, "nbf": now_secs() - 10,
        "access": access.iter().map(entry).collect::<Vec<_>>(),
    }))
}

fn bearer(server: &Server, token: &str) -> Client {
    server.client().header(http::header::AUTHORIZATION, &format!("Bearer {token}"))
}

#[tokio::test]
async fn a_token_lets_push_and_pull_what_it_names_and_nothing_else() {
    let keys = Keys::new();
    let server = start(&keys, "").await;
    let image = Image::random(1);
    let pushes = bearer(&server, &token(&keys, "ada", &[("team/app", &["pull", "push"])]));
    pushes.push("team/app", "latest", &image).await.unwrap();
    let pulls = bearer(&server, &token(&keys, "", &[("team/app", &["pull"])]));
    pulls.pull("team/app", "latest", &image).await.unwrap();

    // What a client is told to ask for.
    for (request, scope) in [
        (pulls.post("/v2/team/app/blobs/uploads/"), "repository:team/app:pull,push"),
        (
            pulls.put("/v2/team/app/manifests/new").body(image.manifest.bytes.clone()),
            "repository:team/app:pull,push",
        ),
        (
            pulls.delete(&format!("/v2/team/app/manifests/{}", image.manifest.digest)),
            "repository:team/app:delete",
        ),
        (pulls.get("/v2/team/other/tags/list"), "repository:team/other:pull"),
        (pulls.get("/v2/_catalog"), "registry:catalog:*"),
        (
            pulls.post(&format!("/v2/a/b/blobs/uploads/?mount={}&from=team/app", image.blobs[0].digest)),
            "repository:a/b:pull,push repository:team/app:pull",
        ),
    ] {
        let response = request.expect(401).await;
        assert_eq!(response.error_code(), ErrorCode::Unauthorized);
        let challenge = response.must_have("www-authenticate");
        assert!(
            challenge.ends_with(&format!(",scope=\"{scope}\",error=\"insufficient_scope\"")),
            "{challenge}"
        );
    }
    // Without a token it is the same for what is there and what is not, and no error.
    for name in ["team/app", "team/absent"] {
        let response = server.client().get(&format!("/v2/{name}/manifests/latest")).expect(401).await;
        let expected =
            format!("Bearer realm=\"{REALM}\",service=\"{SERVICE}\",scope=\"repository:{name}:pull\"");
        assert_eq!(response.must_have("www-authenticate"), expected);
    }
    let base = server.client().get("/v2/").expect(401).await;
    assert_eq!(base.must_have("www-authenticate"), format!("Bearer realm=\"{REALM}\",service=\"{SERVICE}\""));
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_a_token_may_pull() {
    let keys = Keys::new();
    let server = start(&keys, "").await;
    let image = Image::random(2);
    bearer(&server, &token(&keys, "ada", &[("base", &["*"])])).push("base", "latest", &image).await.unwrap();
    let digest = image.blobs[0].digest;
    let app: (&str, &[&str]) = ("app", &["pull", "push"]);
    let without = bearer(&server, &token(&keys, "ada", &[app]));
    without.post(&format!("/v2/app/blobs/uploads/?mount={digest}&from=base")).expect(202).await;
    without.post(&format!("/v2/app/blobs/uploads/?mount={digest}")).expect(202).await;
    let with = bearer(&server, &token(&keys, "ada", &[app, ("base", &["pull"])]));
    with.post(&format!("/v2/app/blobs/uploads/?mount={digest}")).expect(201).await;
    with.delete(&format!("/v2/app/blobs/{digest}")).expect(401).await;
}

#[tokio::test]
async fn the_realm_is_on_the_host_that_was_asked_if_the_operator_says_so() {
    let keys = Keys::new();
    let server = start(&keys, "    autoredirect: true\n    autoredirectpath: /tokens\n").await;
    let realm = |response: Response| {
        let challenge = response.must_have("www-authenticate").to_owned();
        challenge.split('"').nth(1).unwrap().to_owned()
    };
    let asked = server.client().get("/v2/").expect(401).await;
    assert_eq!(realm(asked), format!("https://{}/tokens", server.address()));
    let client = server.client();
    let proxied = client.header("x-forwarded-host".parse().unwrap(), "registry.example.com");
    assert_eq!(realm(proxied.get("/v2/").expect(401).await), "https://registry.example.com/tokens");
}

#[tokio::test]
async fn keys_are_read_again_at_a_signal() {
    let (old, new) = (Keys::new(), Keys::new());
    let server = start(&old, "").await;
    let by_old = bearer(&server, &token(&old, "ada", &[]));
    let by_new = bearer(&server, &token(&new, "ada", &[]));
    by_old.get("/v2/").expect(200).await;
    by_new.get("/v2/").expect(401).await;

    let jwks = server.options().folder().join("jwks.json");
    fs::write(&jwks, "{").unwrap();
    server.hang_up();
    server.log().wait_for("the keys stay as they were").await;
    by_old.get("/v2/").expect(200).await;

    fs::write(&jwks, new.jwks()).unwrap();
    server.hang_up();
    eventually("the new key counts", async || {
        (by_new.get("/v2/").send().await.unwrap().status == 200).then_some(())
    })
    .await;
    by_old.get("/v2/").expect(401).await;
}

#[tokio::test]
async fn a_start_without_a_key_says_which_file_is_wrong() {
    for (bundle, jwks, said) in [
        (Some("no certificate"), None, "hold no certificate and no public key"),
        (None, Some("{}"), "is no set of JSON web keys"),
        (None, Some(r#"{"keys":[]}"#), "hold no certificate and no public key"),
        (
            None,
            Some(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a"}]}"#),
            "hold no certificate and no public key",
        ),
    ] {
        let options = ServerOptions::new();
        let (mut keys, folder) = (String::new(), options.folder().to_owned());
        for (name, key, text) in [("bundle.pem", "rootcertbundle", bundle), ("jwks.json", "jwks", jwks)] {
            if let Some(text) = text {
                fs::write(folder.join(name), text).unwrap();
                keys.push_str(&format!("    {key}: {}\n", folder.join(name).display()));
            }
        }
        let config = format!("auth:\n  token:\n    realm: r\n    service: s\n    issuer: i\n{keys}");
        let Err((status, log)) = options.config(&config).try_start().await else {
            panic!("{said}: it started")
        };
        assert!(!status.success() && log.contains(said), "{said} is not in {log}");
    }
}

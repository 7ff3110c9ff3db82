//! What a token looks like, and what it may say.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use registry_testing::tokens::now_secs;
use serde_json::{Value, json};

use super::{Ask, Fate, ISSUER, SERVICE, Table, claims, may, with};

pub(super) fn malformed(table: &mut Table<'_>) {
    let good = table.good(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let other = encode(&with("sub", json!("eve")).to_string());
    let first = if signature.starts_with('A') { "B" } else { "A" };
    for (name, token) in [
        ("a word", "x".to_owned()),
        ("three words", "a.b.c".to_owned()),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{good}.{body}")),
        ("five parts", format!("{head}.{body}.{signature}.{body}.{signature}")),
        ("no signature", format!("{head}.{body}.")),
        ("half a signature", format!("{head}.{body}.{}", &signature[..40])),
        ("a changed signature", format!("{head}.{body}.{first}{}", &signature[1..])),
        ("changed claims", format!("{head}.{other}.{signature}")),
        ("a changed head", format!("{}.{body}.{signature}", encode(r#"{"alg":"ES256","kid":"key-0"}"#))),
        ("no head", format!(".{body}.{signature}")),
        ("no claims", format!("{head}..{signature}")),
        ("dots", "..".to_owned()),
        ("a head that is no JSON", format!("{}.{body}.{signature}", encode("{"))),
        ("a head that is a list", format!("{}.{body}.{signature}", encode("[]"))),
        ("letters that are not of base64", format!("{head}.{body}.{signature}!")),
        ("a space in it", format!("{head}. {body}.{signature}")),
        ("JSON in place of dots", r#"{"payload":"x","signatures":[]}"#.to_owned()),
    ] {
        table.token(name, token, Fate::Invalid);
    }
    let keys = table.keys;
    let signed = |text: &str| keys.known[0].token_of_text(&json!({"alg": "ES256", "kid": "key-0"}), text);
    for (name, text) in [("no JSON", "{"), ("a list", "[]"), ("a text", "\"x\""), ("nothing", "")] {
        table.token(format!("claims that are {name}"), signed(text), Fate::Invalid);
    }
    table.token("claims that are empty", signed("{}"), Fate::Invalid);
    let long = with("jti", json!("x".repeat(16 << 10)));
    table
        .claims("a token of more than 16 KiB", long, Fate::Invalid)
        .differs("a token has at most 16 KiB here");
}

pub(super) fn parties(table: &mut Table<'_>) {
    for (name, issuer, fate) in [
        ("another", json!("issuer.exampl"), Fate::Invalid),
        ("one in capitals", json!("ISSUER.example"), Fate::Invalid),
        ("an empty", json!(""), Fate::Invalid),
        ("null as", Value::Null, Fate::Invalid),
        ("a number as", json!(1), Fate::Invalid),
        ("a list as", json!([ISSUER]), Fate::Invalid),
    ] {
        table.claims(format!("{name} issuer"), with("iss", issuer), fate);
    }
    table.claims("no issuer", with("iss", None), Fate::Invalid);
    for (name, audience, fate) in [
        ("another", json!("registry"), Fate::Invalid),
        ("one in capitals", json!("Registry.example"), Fate::Invalid),
        ("a longer", json!("registry.example.org"), Fate::Invalid),
        ("an empty", json!(""), Fate::Invalid),
        ("null as", Value::Null, Fate::Invalid),
        ("a number as", json!(1), Fate::Invalid),
        ("an object as", json!({}), Fate::Invalid),
        ("a list as", json!([SERVICE]), Fate::Accepted),
        ("a list with others as", json!(["other", SERVICE, "another"]), Fate::Accepted),
        ("a list of others as", json!(["other", "another"]), Fate::Invalid),
        ("an empty list as", json!([]), Fate::Invalid),
        ("a list with a number as", json!([SERVICE, 1]), Fate::Invalid),
        ("a list in a list as", json!([[SERVICE]]), Fate::Invalid),
    ] {
        table.claims(format!("{name} audience"), with("aud", audience), fate);
    }
    table.claims("no audience", with("aud", None), Fate::Invalid);
}

pub(super) fn times(table: &mut Table<'_>) {
    let now = now_secs();
    for (name, end, fate) in [
        ("a minute ago, nearly", json!(now - 30), Fate::Accepted),
        ("two minutes ago", json!(now - 120), Fate::Invalid),
        ("in a thousand years", json!(32_503_680_000_i64), Fate::Accepted),
        ("at the beginning", json!(0), Fate::Invalid),
        ("before it", json!(-1), Fate::Invalid),
        ("as a text", json!((now + 300).to_string()), Fate::Invalid),
        ("as a fraction", json!(now as f64 + 300.5), Fate::Invalid),
        ("as null", Value::Null, Fate::Invalid),
    ] {
        table.claims(format!("it ends {name}"), with("exp", end), fate);
    }
    table.claims("it never ends", with("exp", None), Fate::Invalid);
    for (name, begin, fate) in [
        ("in half a minute", json!(now + 30), Fate::Accepted),
        ("in two minutes", json!(now + 120), Fate::Invalid),
        ("at the beginning", json!(0), Fate::Accepted),
        ("as a text", json!(now.to_string()), Fate::Invalid),
        ("as a fraction", json!(now as f64 - 10.5), Fate::Invalid),
    ] {
        table.claims(format!("it begins {name}"), with("nbf", begin), fate);
    }
    table
        .claims("it begins as null", with("nbf", Value::Null), Fate::Invalid)
        .differs("null is no time here");
    table.claims("it begins at no time", with("nbf", None), Fate::Accepted);
    table.claims("it was made in an hour", with("iat", json!(now + 3600)), Fate::Accepted);
    table.claims("it was made at no time", with("iat", None), Fate::Accepted);
    table.claims("it was made at a text", with("iat", json!("x")), Fate::Invalid);
    table.claims("its number is a number", with("jti", json!(1)), Fate::Invalid);
}

pub(super) fn subjects(table: &mut Table<'_>) {
    for (name, subject, fate) in [
        ("empty", json!(""), Fate::Accepted),
        ("null", Value::Null, Fate::Accepted),
        ("a name with a colon", json!("system:robot:ada"), Fate::Accepted),
        ("a name of another script", json!("\u{30a8}\u{30a4}\u{30c0}"), Fate::Accepted),
        ("a number", json!(1), Fate::Invalid),
    ] {
        table.claims(format!("its subject is {name}"), with("sub", subject), fate);
    }
    table.claims("it has no subject", with("sub", None), Fate::Accepted);
    table
        .claims("its subject has two lines", with("sub", json!("a\nb")), Fate::Invalid)
        .differs("a name has no control characters here");
    table
        .claims("its subject is long", with("sub", json!("x".repeat(256))), Fate::Invalid)
        .differs("a name has at most 255 bytes here");
}

pub(super) fn access(table: &mut Table<'_>) {
    use Ask::{Base, Catalog, Delete, Pull, Push};
    use Fate::{Accepted, Insufficient, Invalid};
    for (actions, allowed) in [
        (json!([]), &[][..]),
        (json!(null), &[]),
        (json!(["pull"]), &[Pull]),
        (json!(["push"]), &[]),
        (json!(["pull", "push"]), &[Pull, Push]),
        (json!(["push", "pull", "pull"]), &[Pull, Push]),
        (json!(["delete"]), &[Delete]),
        (json!(["pull", "push", "delete"]), &[Pull, Push, Delete]),
        (json!(["*"]), &[Pull, Push, Delete]),
        (json!(["pull", "*"]), &[Pull, Push, Delete]),
        (json!(["PULL", "Push"]), &[]),
        (json!(["pull,push"]), &[]),
        (json!(["pull", null]), &[Pull]),
        (json!([" pull"]), &[]),
        (json!(["admin", "tag"]), &[]),
    ] {
        for ask in [Pull, Push, Delete] {
            let fate = if allowed.contains(&ask) { Accepted } else { Insufficient };
            table.asking(format!("{actions} to {ask:?}"), may(actions.clone()), ask, fate);
        }
    }
    let app = |kind: &str, name: &str| json!({"type": kind, "name": name, "actions": ["pull", "push"]});
    for (name, access, ask, fate) in [
        ("no access, to log in", None, Base, Accepted),
        ("no access, to pull", None, Pull, Insufficient),
        ("null as access", Some(Value::Null), Base, Accepted),
        ("another repository", Some(json!([app("repository", "team/other")])), Pull, Insufficient),
        ("a repository above", Some(json!([app("repository", "team")])), Pull, Insufficient),
        ("a pattern", Some(json!([app("repository", "team/*")])), Pull, Insufficient),
        ("a star", Some(json!([app("repository", "*")])), Pull, Insufficient),
        ("no name", Some(json!([{"type": "repository", "actions": ["*"]}])), Pull, Insufficient),
        ("no type", Some(json!([{"name": "team/app", "actions": ["*"]}])), Pull, Insufficient),
        ("a type with a class", Some(json!([app("repository(plugin)", "team/app")])), Pull, Insufficient),
        ("a type in capitals", Some(json!([app("Repository", "team/app")])), Pull, Insufficient),
        (
            "a class beside the type",
            Some(json!([{"type": "repository", "class": "plugin", "name": "team/app", "actions": ["pull"]}])),
            Pull,
            Accepted,
        ),
        (
            "two entries for one repository",
            Some(json!([
                {"type": "repository", "name": "team/app", "actions": ["pull"]},
                {"type": "repository", "name": "team/app", "actions": ["push"]},
            ])),
            Push,
            Accepted,
        ),
        (
            "the second of two",
            Some(json!([app("repository", "a"), app("repository", "team/app")])),
            Push,
            Accepted,
        ),
        ("a text as access", Some(json!("pull")), Base, Invalid),
        ("an object as access", Some(app("repository", "team/app")), Base, Invalid),
        ("a text as entry", Some(json!(["repository:team/app:pull"])), Base, Invalid),
        (
            "a text as actions",
            Some(json!([{"type": "repository", "name": "team/app", "actions": "pull"}])),
            Pull,
            Invalid,
        ),
        (
            "a number as name",
            Some(json!([{"type": "repository", "name": 1, "actions": ["pull"]}])),
            Base,
            Invalid,
        ),
        (
            "the catalog",
            Some(json!([{"type": "registry", "name": "catalog", "actions": ["*"]}])),
            Catalog,
            Accepted,
        ),
        (
            "the catalog to pull",
            Some(json!([{"type": "registry", "name": "catalog", "actions": ["pull"]}])),
            Catalog,
            Insufficient,
        ),
        (
            "another catalog",
            Some(json!([{"type": "registry", "name": "other", "actions": ["*"]}])),
            Catalog,
            Insufficient,
        ),
        (
            "the catalog, for a repository",
            Some(json!([{"type": "registry", "name": "catalog", "actions": ["*"]}])),
            Pull,
            Insufficient,
        ),
        (
            "a repository, for the catalog",
            Some(json!([app("repository", "team/app")])),
            Catalog,
            Insufficient,
        ),
        (
            "a repository catalog, for the catalog",
            Some(json!([app("repository", "catalog")])),
            Catalog,
            Insufficient,
        ),
    ] {
        table.asking(name, with("access", access), ask, fate);
    }
}

pub(super) fn headers(table: &mut Table<'_>) {
    let good = table.good(&claims());
    for (name, header, fate) in [
        ("no header", None, Fate::Asked),
        ("an empty header", Some(String::new()), Fate::Asked),
        ("small letters", Some(format!("bearer {good}")), Fate::Accepted),
        ("capitals", Some(format!("BEARER {good}")), Fate::Accepted),
        ("two spaces", Some(format!("Bearer  {good}")), Fate::Invalid),
        ("no space", Some(format!("Bearer{good}")), Fate::Asked),
        ("the scheme alone", Some("Bearer".to_owned()), Fate::Asked),
        ("the token alone", Some(good.clone()), Fate::Asked),
        ("another scheme", Some(format!("Token {good}")), Fate::Asked),
        ("a password", Some("Basic YWRhOnNlY3JldA==".to_owned()), Fate::Asked),
        ("a password that is none", Some("Basic ?".to_owned()), Fate::Asked),
        ("a token as a password", Some(format!("Basic {good}")), Fate::Asked),
    ] {
        for ask in [Ask::Base, Ask::Pull] {
            table.add(format!("{name}, {ask:?}"), header.clone(), ask, fate);
        }
    }
}

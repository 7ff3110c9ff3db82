//! Tokens, and what becomes of each: a table for this registry, and for the Go registry beside it.

mod claims;
mod keys;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use registry_testing::tokens::{CertificateOptions, Certified, KeyKind, SigningKey, now_secs};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "issuer.example";
pub(crate) const SERVICE: &str = "registry.example";
pub(crate) const REALM: &str = "https://auth.example/token";

/// What is asked with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Base,
    Catalog,
    /// Of `team/app`.
    Pull,
    Push,
    Delete,
}

impl Ask {
    pub(crate) fn method_and_path(self) -> (&'static str, &'static str) {
        match self {
            Ask::Base => ("GET", "/v2/"),
            Ask::Catalog => ("GET", "/v2/_catalog"),
            Ask::Pull => ("GET", "/v2/team/app/manifests/latest"),
            Ask::Push => ("POST", "/v2/team/app/blobs/uploads/"),
            Ask::Delete => (
                "DELETE",
                "/v2/team/app/manifests/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered otherwise than by 401.
    Accepted,
    /// 401, and `error="invalid_token"`.
    Invalid,
    /// 401, and `error="insufficient_scope"`.
    Insufficient,
    /// 401, and no error: there is no token.
    Asked,
}

pub(crate) struct Case {
    pub(crate) name: String,
    /// The header `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) ask: Ask,
    pub(crate) fate: Fate,
    /// Why the Go registry judges otherwise, if it does.
    pub(crate) differs: Option<&'static str>,
}

/// Keys and certificates, trusted and others.
pub(crate) struct Keys {
    root: Certified,
    own: Certified,
    own_authority: Certified,
    own_rsa: Certified,
    own_p384: Certified,
    own_p521: Certified,
    own_ed25519: Certified,
    ended: Certified,
    stranger: Certified,
    known: [SigningKey; 5],
    secret: Vec<u8>,
}

const KINDS: [KeyKind; 5] = [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa, KeyKind::P521];

fn authority(name: &str) -> CertificateOptions {
    CertificateOptions { is_authority: true, ..CertificateOptions::new(name) }
}

impl Keys {
    pub(crate) fn new() -> Keys {
        let own = |kind, name: &str| Certified::by_itself(kind, &CertificateOptions::new(name));
        let ended = CertificateOptions { valid_secs: -7200..-3600, ..CertificateOptions::new("ended") };
        Keys {
            root: Certified::by_itself(KeyKind::P256, &authority("root")),
            own: own(KeyKind::P256, "own"),
            own_authority: Certified::by_itself(KeyKind::P256, &authority("own authority")),
            own_rsa: own(KeyKind::Rsa, "own of RSA"),
            own_p384: own(KeyKind::P384, "own of P-384"),
            own_p521: Certified::of_p521(),
            own_ed25519: own(KeyKind::Ed25519, "own of Ed25519"),
            ended: Certified::by_itself(KeyKind::P256, &ended),
            stranger: Certified::by_itself(KeyKind::P256, &authority("stranger")),
            known: KINDS.map(SigningKey::new),
            secret: b"a secret that both sides would have to know".to_vec(),
        }
    }

    /// A token with these claims, signed by the first key of the set.
    pub(crate) fn signed(&self, claims: &Value) -> String {
        self.known[0].token(&json!({"alg": "ES256", "typ": "JWT", "kid": "key-0"}), claims)
    }

    /// The bundle of certificates.
    pub(crate) fn bundle(&self) -> String {
        let trusted = [
            &self.root,
            &self.own,
            &self.own_authority,
            &self.own_rsa,
            &self.own_p384,
            &self.own_p521,
            &self.own_ed25519,
            &self.ended,
        ];
        trusted.map(Certified::pem).concat() + Certified::p521_root()
    }

    /// The set of keys: `key-0` and so on, in the order of [`KINDS`], and a secret.
    pub(crate) fn jwks(&self) -> String {
        let keys = self.known.iter().enumerate().map(|(index, key)| key.jwk(&format!("key-{index}")));
        let secret = json!({"kty": "oct", "kid": "secret", "k": URL_SAFE_NO_PAD.encode(&self.secret)});
        json!({"keys": keys.chain([secret]).collect::<Vec<_>>()}).to_string()
    }
}

/// Claims that are good for everything.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "ada", "aud": SERVICE, "exp": now_secs() + 300, "nbf": now_secs() - 10,
        "iat": now_secs() - 10, "jti": "1",
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push", "delete"]}],
    })
}

/// Good claims, one of which is another; `null` stands for itself, and nothing for none.
fn with(name: &str, value: impl Into<Option<Value>>) -> Value {
    let mut claims = claims();
    match value.into() {
        Some(value) => claims[name] = value,
        None => {
            claims.as_object_mut().expect("claims are an object").remove(name);
        }
    }
    claims
}

fn may(actions: Value) -> Value {
    with("access", json!([{"type": "repository", "name": "team/app", "actions": actions}]))
}

/// A table that is being written.
struct Table<'a> {
    keys: &'a Keys,
    cases: Vec<Case>,
}

impl Table<'_> {
    fn add(
        &mut self,
        name: impl Into<String>,
        authorization: Option<String>,
        ask: Ask,
        fate: Fate,
    ) -> &mut Case {
        let case = Case { name: name.into(), authorization, ask, fate, differs: None };
        self.cases.push(case);
        self.cases.last_mut().expect("one was pushed")
    }

    fn token(&mut self, name: impl Into<String>, token: String, fate: Fate) -> &mut Case {
        self.add(name, Some(format!("Bearer {token}")), Ask::Pull, fate)
    }

    /// A token with good claims, by the head.
    fn head(&mut self, name: impl Into<String>, key: &SigningKey, head: Value, fate: Fate) -> &mut Case {
        self.token(name, key.token(&head, &claims()), fate)
    }

    /// A token by a key that is trusted, by the claims.
    fn claims(&mut self, name: impl Into<String>, claims: Value, fate: Fate) -> &mut Case {
        let token = self.good(&claims);
        self.token(name, token, fate)
    }

    fn asking(&mut self, name: impl Into<String>, claims: Value, ask: Ask, fate: Fate) -> &mut Case {
        let token = self.good(&claims);
        self.add(name, Some(format!("Bearer {token}")), ask, fate)
    }

    fn good(&self, claims: &Value) -> String {
        self.keys.signed(claims)
    }
}

impl Case {
    fn differs(&mut self, why: &'static str) {
        self.differs = Some(why);
    }
}

/// All of it.
pub(crate) fn cases(keys: &Keys) -> Vec<Case> {
    let mut table = Table { keys, cases: Vec::new() };
    keys::known_keys(&mut table);
    keys::chains(&mut table);
    keys::ids(&mut table);
    keys::untrusted(&mut table);
    keys::algorithms(&mut table);
    claims::malformed(&mut table);
    claims::parties(&mut table);
    claims::times(&mut table);
    claims::subjects(&mut table);
    claims::access(&mut table);
    claims::headers(&mut table);
    table.cases
}

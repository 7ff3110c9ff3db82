//! Tokens, and what becomes of each: a table for this registry, and for the Go registry beside it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use registry_testing::tokens::{
    CertificateOptions, Certified, ExtendedKeyUsage, KeyKind, SigningKey, now_secs,
};
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
    own_ed25519: Certified,
    ended: Certified,
    stranger: Certified,
    known: [SigningKey; 4],
    secret: Vec<u8>,
}

const KINDS: [KeyKind; 4] = [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa];

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
            &self.own_ed25519,
            &self.ended,
        ];
        trusted.map(Certified::pem).concat()
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
    known_keys(&mut table);
    chains(&mut table);
    ids(&mut table);
    untrusted(&mut table);
    algorithms(&mut table);
    malformed(&mut table);
    parties(&mut table);
    times(&mut table);
    subjects(&mut table);
    access(&mut table);
    headers(&mut table);
    table.cases
}

fn known_keys(table: &mut Table<'_>) {
    let keys = table.keys;
    for (index, key) in keys.known.iter().enumerate() {
        let head = json!({"alg": key.algorithm(), "kid": format!("key-{index}")});
        table.head(format!("a key of the set, {}", key.algorithm()), key, head, Fate::Accepted);
    }
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let head = json!({"alg": algorithm, "kid": "key-3"});
        table.head(format!("a key of the set, {algorithm}"), &keys.known[3], head, Fate::Accepted);
    }
    let mut jwk = keys.known[0].jwk("key-0");
    let head = json!({"alg": "ES256", "jwk": jwk});
    table.head("a key that is sent along and known", &keys.known[0], head, Fate::Accepted);
    jwk = keys.stranger.key.jwk("key-0");
    let head = json!({"alg": "ES256", "jwk": jwk});
    table.head("the numbers of a key that is sent along do not count", &keys.known[0], head, Fate::Accepted);
    for (name, value) in [("typ", json!("at+jwt")), ("cty", json!("x")), ("whatever", json!([1, {}]))] {
        let mut head = json!({"alg": "ES256", "kid": "key-0"});
        head[name] = value;
        table.head(format!("a head with {name}"), &keys.known[0], head, Fate::Accepted);
    }
}

fn chains(table: &mut Table<'_>) {
    use KeyKind::{Ed25519, P256, P384, Rsa};
    let (keys, named) = (table.keys, CertificateOptions::new);
    let x5c = |key: &SigningKey, chain: &[&Certified]| {
        let texts: Vec<String> = chain.iter().map(|certificate| certificate.text()).collect();
        json!({"alg": key.algorithm(), "x5c": texts})
    };
    let mut chain = |name: &str, chain: &[&Certified], fate| {
        let key = &chain[0].key;
        table.head(name, key, x5c(key, chain), fate);
    };
    chain("a certificate of the bundle", &[&keys.own], Fate::Accepted);
    chain("an authority of the bundle that signs itself", &[&keys.own_authority], Fate::Accepted);
    chain("a certificate of the bundle, RSA", &[&keys.own_rsa], Fate::Accepted);
    chain("a certificate of the bundle, P-384", &[&keys.own_p384], Fate::Accepted);
    chain("a certificate of the bundle, Ed25519", &[&keys.own_ed25519], Fate::Accepted);
    for (name, kind) in [("P-256", P256), ("P-384", P384), ("Ed25519", Ed25519), ("RSA", Rsa)] {
        let leaf = keys.root.issue(kind, &named("leaf"));
        chain(&format!("a chain, {name}"), &[&leaf], Fate::Accepted);
    }
    let leaf = keys.root.issue(P256, &named("leaf"));
    chain("a chain with its root", &[&leaf, &keys.root], Fate::Accepted);
    let middle = keys.root.issue(P256, &authority("middle"));
    let lower = middle.issue(P256, &named("lower"));
    chain("a chain of three", &[&lower, &middle], Fate::Accepted);
    chain("a chain of three with its root", &[&lower, &middle, &keys.root], Fate::Accepted);
    chain("a chain with others among it", &[&lower, &leaf, &middle], Fate::Accepted);
    for usage in [ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::CodeSigning] {
        let options = CertificateOptions { usages: vec![usage.clone()], ..named("used") };
        let leaf = keys.root.issue(P256, &options);
        chain(&format!("a chain for {usage:?}"), &[&leaf], Fate::Accepted);
    }
    chain("a chain without its middle", &[&lower], Fate::Invalid);
    chain("a chain of a stranger", &[&keys.stranger.issue(P256, &named("leaf"))], Fate::Invalid);
    chain(
        "a chain of a stranger with its root",
        &[&keys.stranger.issue(P256, &named("leaf")), &keys.stranger],
        Fate::Invalid,
    );
    chain("a stranger", &[&keys.stranger], Fate::Invalid);
    chain(
        "a certificate that signs without being an authority",
        &[&keys.own.issue(P256, &named("leaf")), &leaf],
        Fate::Invalid,
    );
    chain("a certificate of the bundle that has ended", &[&keys.ended], Fate::Invalid);
    for (name, valid_secs) in [("has ended", -7200..-3600), ("has not begun", 3600..7200)] {
        let leaf = keys.root.issue(P256, &CertificateOptions { valid_secs, ..named("leaf") });
        chain(&format!("a certificate that {name}"), &[&leaf], Fate::Invalid);
    }
    let in_key = |chain: &[&Certified]| {
        let texts: Vec<String> = chain.iter().map(|certificate| certificate.text()).collect();
        let mut jwk = chain[0].key.members();
        jwk["x5c"] = json!(texts);
        json!({"alg": "ES256", "jwk": jwk})
    };
    table.head("a chain in a key that is sent along", &lower.key, in_key(&[&lower, &middle]), Fate::Accepted);
    let strange = keys.stranger.issue(P256, &named("leaf"));
    table.head(
        "a strange chain in a key that is sent along",
        &strange.key,
        in_key(&[&strange]),
        Fate::Invalid,
    );
    table.head(
        "a chain whose key did not sign",
        &keys.known[0],
        x5c(&keys.known[0], &[&leaf]),
        Fate::Invalid,
    );
    let mut head = x5c(&strange.key, &[&strange]);
    head["kid"] = json!("key-0");
    table.head("a strange chain beside a known key", &keys.known[0], head, Fate::Invalid);
    let signs = keys.root.issue(P256, &authority("signs"));
    table
        .head("an authority that is not in the bundle", &signs.key, x5c(&signs.key, &[&signs]), Fate::Invalid)
        .differs("a certificate that may sign others, and is not in the bundle, signs no token here");
    let many: Vec<&Certified> = std::iter::once(&leaf).chain(std::iter::repeat_n(&keys.root, 10)).collect();
    table
        .head("a chain of eleven", &leaf.key, x5c(&leaf.key, &many), Fate::Invalid)
        .differs("at most ten certificates are looked at");
    for (name, texts) in
        [("no base64", json!(["?"])), ("no certificate", json!(["AAAA"])), ("no text", json!([1]))]
    {
        let head = json!({"alg": "ES256", "x5c": texts, "kid": "key-0"});
        table.head(format!("a chain that is {name}"), &keys.known[0], head, Fate::Invalid);
    }
    let head = json!({"alg": "ES256", "x5c": [], "kid": "key-0"});
    table.head("an empty chain beside a known key", &keys.known[0], head, Fate::Accepted);
}

fn ids(table: &mut Table<'_>) {
    let keys = table.keys;
    let thumbprint = |key: &SigningKey| json!({"alg": key.algorithm(), "kid": key.thumbprint()});
    let libtrust = |key: &SigningKey| json!({"alg": key.algorithm(), "kid": key.libtrust_id()});
    table.head("the thumbprint of RSA", &keys.own_rsa.key, thumbprint(&keys.own_rsa.key), Fate::Accepted);
    for own in [&keys.own, &keys.own_p384] {
        table
            .head(
                format!("the thumbprint of {}", own.key.algorithm()),
                &own.key,
                thumbprint(&own.key),
                Fate::Accepted,
            )
            .differs("its version 3.0 computes the same thumbprint for all keys of a curve");
    }
    table
        .head(
            "the thumbprint of Ed25519",
            &keys.own_ed25519.key,
            thumbprint(&keys.own_ed25519.key),
            Fate::Accepted,
        )
        .differs("its version 3.0 has no thumbprint of Ed25519");
    for own in [&keys.own, &keys.own_rsa] {
        table
            .head(
                format!("libtrust's id of {}", own.key.algorithm()),
                &own.key,
                libtrust(&own.key),
                Fate::Accepted,
            )
            .differs("version 3 no longer knows the ids of version 2");
    }
    let mut jwk = keys.own.key.members();
    jwk["kid"] = json!(keys.own.key.libtrust_id());
    table
        .head(
            "libtrust's id in a key that is sent along",
            &keys.own.key,
            json!({"alg": "ES256", "jwk": jwk}),
            Fate::Accepted,
        )
        .differs("version 3 no longer knows the ids of version 2");
    table
        .head(
            "the thumbprint of a key of the set",
            &keys.known[0],
            thumbprint(&keys.known[0]),
            Fate::Accepted,
        )
        .differs("a key of the set has its own id alone");
}

fn untrusted(table: &mut Table<'_>) {
    let stranger = &table.keys.stranger.key;
    for (name, head) in [
        ("an id that is not known", json!({"alg": "ES256", "kid": "nobody"})),
        ("an empty id", json!({"alg": "ES256", "kid": ""})),
        ("no key at all", json!({"alg": "ES256"})),
        ("the id of another key", json!({"alg": "ES256", "kid": "key-0"})),
        ("a strange key that is sent along", json!({"alg": "ES256", "jwk": stranger.jwk("stranger")})),
        ("a strange key with a known id", json!({"alg": "ES256", "jwk": stranger.jwk("key-0")})),
        ("a strange key without an id", json!({"alg": "ES256", "jwk": stranger.members()})),
        ("an address of keys", json!({"alg": "ES256", "jku": "https://stranger.example/keys"})),
        ("an address of certificates", json!({"alg": "ES256", "x5u": "https://stranger.example/chain"})),
        ("a key that is none", json!({"alg": "ES256", "jwk": {"kty": "EC", "kid": "key-0"}})),
        ("a key that is a text", json!({"alg": "ES256", "jwk": "key-0"})),
        ("an id that is a number", json!({"alg": "ES256", "kid": 1})),
    ] {
        table.head(name, stranger, head, Fate::Invalid);
    }
}

fn algorithms(table: &mut Table<'_>) {
    let keys = table.keys;
    for algorithm in ["none", "None", "", "es256", "ES257", "ES512", "HS256", "A128KW"] {
        let head = json!({"alg": algorithm, "kid": "key-0"});
        table.head(format!("the algorithm {algorithm:?}"), &keys.known[0], head, Fate::Invalid);
    }
    table.head("no algorithm", &keys.known[0], json!({"kid": "key-0"}), Fate::Invalid);
    table.head(
        "an algorithm that is a number",
        &keys.known[0],
        json!({"alg": 1, "kid": "key-0"}),
        Fate::Invalid,
    );
    let unsigned = |head: Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&head), part(&claims()))
    };
    table.token("none without a signature", unsigned(json!({"alg": "none"})), Fate::Invalid);
    table.token(
        "a known key without a signature",
        unsigned(json!({"alg": "ES256", "kid": "key-0"})),
        Fate::Invalid,
    );
    let by_secret = |id: &str, secret: &[u8]| {
        SigningKey::by_secret(secret, &json!({"alg": "HS256", "kid": id}), &claims())
    };
    table.token("a secret of the set", by_secret("secret", &keys.secret), Fate::Invalid);
    table.token("a public key as a secret", by_secret("key-0", &keys.known[0].public_der()), Fate::Invalid);
    for (name, index, algorithm) in [
        ("RSA by a key of P-256", 0, "RS256"),
        ("P-256 by a key of RSA", 3, "ES256"),
        ("P-384 by a key of P-256", 0, "ES384"),
        ("Ed25519 by a key of P-256", 0, "EdDSA"),
        ("PSS that is PKCS #1", 3, "PS256"),
    ] {
        let (key, kid) = (&keys.known[index], format!("key-{index}"));
        let mut token = key.token(&json!({"alg": algorithm, "kid": kid}), &claims());
        if algorithm == "PS256" {
            let signed = key.token(&json!({"alg": "RS256", "kid": kid}), &claims());
            let signature = signed.rsplit('.').next().expect("it has parts").to_owned();
            token.truncate(token.rfind('.').expect("it has parts") + 1);
            token.push_str(&signature);
        }
        table.token(name, token, Fate::Invalid);
    }
    for (name, head) in [
        ("something critical", json!({"alg": "ES256", "kid": "key-0", "crit": ["exp"], "exp": 1})),
        ("nothing critical", json!({"alg": "ES256", "kid": "key-0", "crit": []})),
        ("a body that is no base64", json!({"alg": "ES256", "kid": "key-0", "crit": ["b64"], "b64": false})),
    ] {
        table.head(name, &keys.known[0], head, Fate::Invalid);
    }
}

fn malformed(table: &mut Table<'_>) {
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

fn parties(table: &mut Table<'_>) {
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

fn times(table: &mut Table<'_>) {
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
        ("as null", Value::Null, Fate::Accepted),
        ("as a text", json!(now.to_string()), Fate::Invalid),
        ("as a fraction", json!(now as f64 - 10.5), Fate::Invalid),
    ] {
        table.claims(format!("it begins {name}"), with("nbf", begin), fate);
    }
    table.claims("it begins at no time", with("nbf", None), Fate::Accepted);
    table.claims("it was made in an hour", with("iat", json!(now + 3600)), Fate::Accepted);
    table.claims("it was made at no time", with("iat", None), Fate::Accepted);
    table.claims("it was made at a text", with("iat", json!("x")), Fate::Invalid);
    table.claims("its number is a number", with("jti", json!(1)), Fate::Invalid);
}

fn subjects(table: &mut Table<'_>) {
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

fn access(table: &mut Table<'_>) {
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

fn headers(table: &mut Table<'_>) {
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

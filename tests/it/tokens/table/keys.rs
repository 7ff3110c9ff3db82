//! Which keys and algorithms count.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use registry_testing::tokens::{CertificateOptions, Certified, ExtendedKeyUsage, KeyKind, SigningKey};
use serde_json::{Value, json};

use super::{Fate, Table, authority, claims};

pub(super) fn known_keys(table: &mut Table<'_>) {
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

pub(super) fn chains(table: &mut Table<'_>) {
    use KeyKind::{Ed25519, P256, P384, Rsa};
    let (keys, named) = (table.keys, CertificateOptions::new);
    let x5c = |key: &SigningKey, chain: &[&Certified]| {
        let texts: Vec<String> = chain.iter().map(|certificate| certificate.text()).collect();
        json!({"alg": key.algorithm(), "x5c": texts})
    };
    let mut forged = Vec::new();
    let mut chain = |name: &str, chain: &[&Certified], fate| {
        let key = &chain[0].key;
        table.head(name, key, x5c(key, chain), fate);
    };
    chain("a certificate of the bundle", &[&keys.own], Fate::Accepted);
    chain("an authority of the bundle that signs itself", &[&keys.own_authority], Fate::Accepted);
    chain("a certificate of the bundle, RSA", &[&keys.own_rsa], Fate::Accepted);
    chain("a certificate of the bundle, P-384", &[&keys.own_p384], Fate::Accepted);
    chain("a certificate of the bundle, P-521", &[&keys.own_p521], Fate::Accepted);
    chain("a certificate of the bundle, Ed25519", &[&keys.own_ed25519], Fate::Accepted);
    for (name, kind) in [("P-256", P256), ("P-384", P384), ("Ed25519", Ed25519), ("RSA", Rsa)] {
        let leaf = keys.root.issue(kind, &named("leaf"));
        chain(&format!("a chain, {name}"), &[&leaf], Fate::Accepted);
    }
    for (leaf, hash) in Certified::of_p521_by_root().iter().zip(["SHA-256", "SHA-384", "SHA-512"]) {
        chain(&format!("a chain whose root is of P-521, by {hash}"), &[leaf], Fate::Accepted);
        let mut broken = leaf.der.clone();
        *broken.last_mut().expect("a certificate is not empty") ^= 1;
        let head = json!({"alg": "ES512", "x5c": [STANDARD.encode(broken)]});
        forged.push((format!("a chain whose root of P-521 did not sign it by {hash}"), head));
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
    for (name, head) in forged {
        table.head(name, &keys.own_p521.key, head, Fate::Invalid);
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

pub(super) fn ids(table: &mut Table<'_>) {
    let keys = table.keys;
    let thumbprint = |key: &SigningKey| json!({"alg": key.algorithm(), "kid": key.thumbprint()});
    let libtrust = |key: &SigningKey| json!({"alg": key.algorithm(), "kid": key.libtrust_id()});
    table.head("the thumbprint of RSA", &keys.own_rsa.key, thumbprint(&keys.own_rsa.key), Fate::Accepted);
    for own in [&keys.own, &keys.own_p384, &keys.own_p521] {
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
    for own in [&keys.own, &keys.own_rsa, &keys.own_p521] {
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

pub(super) fn untrusted(table: &mut Table<'_>) {
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

pub(super) fn algorithms(table: &mut Table<'_>) {
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
        ("P-521 by a key of P-256", 0, "ES512"),
        ("P-256 by a key of P-521", 4, "ES256"),
        ("P-384 by a key of P-521", 4, "ES384"),
        ("RSA by a key of P-521", 4, "RS512"),
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
    let good = keys.known[4].token(&json!({"alg": "ES512", "kid": "key-4"}), &claims());
    let (signed, signature) = good.rsplit_once('.').expect("it has parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("it is encoded");
    let (r, s) = signature.split_at(signature.len() / 2);
    for (name, signature) in [
        ("of zeros", vec![0; 132]),
        ("of the largest numbers", vec![0xff; 132]),
        ("whose first number is zero", [&[0; 66], s].concat()),
        ("whose numbers are exchanged", [s, r].concat()),
        ("that is too short", signature[1..].to_vec()),
        ("that is too long", [&[0], &signature[..]].concat()),
        ("that is empty", Vec::new()),
    ] {
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        table.token(format!("a signature of P-521 {name}"), token, Fate::Invalid);
    }
    for (name, head) in [
        ("something critical", json!({"alg": "ES256", "kid": "key-0", "crit": ["exp"], "exp": 1})),
        ("a body that is no base64", json!({"alg": "ES256", "kid": "key-0", "crit": ["b64"], "b64": false})),
    ] {
        table.head(name, &keys.known[0], head, Fate::Invalid);
    }
    let nothing = json!({"alg": "ES256", "kid": "key-0", "crit": []});
    table
        .head("nothing critical", &keys.known[0], nothing, Fate::Invalid)
        .differs("a list of what is critical must not be empty (RFC 7515, section 4.1.11)");
}

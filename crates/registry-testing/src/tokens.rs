//! Keys, certificates and signed tokens, as a token's server has them: also such as no server would make.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
pub use rcgen::ExtendedKeyUsagePurpose as ExtendedKeyUsage;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaKeyPair,
    },
};
use serde_json::{Value, json};

/// A key of RSA that is no secret: ring makes none.
const RSA_KEY: &str = include_str!("tokens/rsa.pem");

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2,048 bits, always the same.
    Rsa,
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// A key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    kind: KeyKind,
    pair: KeyPair,
}

impl SigningKey {
    /// A new key of this kind.
    pub fn new(kind: KeyKind) -> SigningKey {
        let pair = match kind {
            KeyKind::Rsa => KeyPair::from_pem(RSA_KEY),
            KeyKind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyKind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyKind::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        };
        SigningKey { kind, pair: pair.expect("ring makes such keys") }
    }

    /// The algorithm that fits the key best.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            KeyKind::Rsa => "RS256",
            KeyKind::P256 => "ES256",
            KeyKind::P384 => "ES384",
            KeyKind::Ed25519 => "EdDSA",
        }
    }

    /// The encoded public key.
    pub fn public_der(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The key as a JSON web key, with an id.
    pub fn jwk(&self, id: &str) -> Value {
        let mut jwk = self.members();
        jwk["kid"] = json!(id);
        jwk
    }

    /// The members that make the key.
    pub fn members(&self) -> Value {
        let raw = self.pair.public_key_raw();
        match self.kind {
            KeyKind::Rsa => {
                let pair = self.rsa();
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encode(&public.n), "e": encode(&public.e)})
            }
            KeyKind::P256 => {
                json!({"kty": "EC", "crv": "P-256", "x": encode(&raw[1..33]), "y": encode(&raw[33..])})
            }
            KeyKind::P384 => {
                json!({"kty": "EC", "crv": "P-384", "x": encode(&raw[1..49]), "y": encode(&raw[49..])})
            }
            KeyKind::Ed25519 => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(raw)}),
        }
    }

    fn rsa(&self) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(self.pair.serialized_der()).expect("it is a key of RSA")
    }

    /// Signs a text by an algorithm that fits the key.
    fn sign(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let der = self.pair.serialized_der();
        match self.kind {
            KeyKind::Rsa => {
                let (pair, padding) = (self.rsa(), rsa_padding(algorithm));
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, text, &mut signature).expect("ring signs");
                signature
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(der).expect("it is a key of Ed25519");
                pair.sign(text).as_ref().to_vec()
            }
            KeyKind::P256 | KeyKind::P384 => {
                let algorithm = match self.kind {
                    KeyKind::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                    _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
                };
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, &random).expect("it is a key of ECDSA");
                pair.sign(&random, text).expect("ring signs").as_ref().to_vec()
            }
        }
    }

    /// A token with this head and these claims. `alg` in the head says how it is signed, if the key can do that.
    pub fn token(&self, head: &Value, claims: &Value) -> String {
        self.token_of_text(head, &claims.to_string())
    }
}

impl SigningKey {
    /// A token whose claims are this text, whatever it is.
    pub fn token_of_text(&self, head: &Value, claims: &str) -> String {
        let text = format!("{}.{}", encode(head.to_string()), encode(claims));
        let algorithm = head["alg"].as_str().unwrap_or_default();
        let signature = self.sign(algorithm, text.as_bytes());
        format!("{text}.{}", encode(signature))
    }

    /// A token that is signed by a shared secret.
    pub fn by_secret(secret: &[u8], head: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", encode(head.to_string()), encode(claims.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        format!("{text}.{}", encode(hmac::sign(&key, text.as_bytes())))
    }

    /// The thumbprint of RFC 7638.
    pub fn thumbprint(&self) -> String {
        // The members of an object are in order.
        encode(digest::digest(&digest::SHA256, self.members().to_string().as_bytes()))
    }

    /// The id that libtrust gives the key, and with it version 2 of the Go registry.
    pub fn libtrust_id(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.public_der());
        let bits: String = hash.as_ref()[..30].iter().map(|byte| format!("{byte:08b}")).collect();
        let letter = |at: usize| {
            let value = usize::from_str_radix(&bits[at..at + 5], 2).expect("they are bits");
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[value])
        };
        let group = |at: usize| (at..at + 20).step_by(5).map(letter).collect::<String>();
        (0..bits.len()).step_by(20).map(group).collect::<Vec<_>>().join(":")
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_padding(algorithm: &str) -> &'static dyn ring::signature::RsaEncoding {
    match algorithm {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

/// A certificate that is to be made.
#[derive(Clone, Debug)]
pub struct CertificateOptions {
    /// Its subject.
    pub name: String,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// From when on and until when it is valid, in seconds from now.
    pub valid_secs: std::ops::Range<i64>,
    /// What the key may be used for; nothing in particular, if empty.
    pub usages: Vec<ExtendedKeyUsage>,
}

impl CertificateOptions {
    /// One that is valid for a day, and signs no other.
    pub fn new(name: &str) -> CertificateOptions {
        CertificateOptions {
            name: name.to_owned(),
            is_authority: false,
            valid_secs: -86400..86400,
            usages: Vec::new(),
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.name.clone());
        let at = |secs: i64| {
            let offset = Duration::from_secs(secs.unsigned_abs());
            let now = SystemTime::now();
            if secs < 0 { now - offset } else { now + offset }.into()
        };
        (params.not_before, params.not_after) = (at(self.valid_secs.start), at(self.valid_secs.end));
        params.extended_key_usages.clone_from(&self.usages);
        if self.is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        }
        params
    }
}

/// A key and its certificate.
#[derive(Debug)]
pub struct Certified {
    /// The key.
    pub key: SigningKey,
    /// The certificate.
    pub der: Vec<u8>,
    params: CertificateParams,
}

impl Certified {
    /// A certificate that is signed by its own key.
    pub fn by_itself(kind: KeyKind, options: &CertificateOptions) -> Certified {
        let (key, params) = (SigningKey::new(kind), options.params());
        let certificate = params.self_signed(&key.pair).expect("a certificate can be made");
        Certified { der: certificate.der().to_vec(), key, params }
    }

    /// A certificate that this one signs.
    pub fn issue(&self, kind: KeyKind, options: &CertificateOptions) -> Certified {
        let (key, params) = (SigningKey::new(kind), options.params());
        let issuer = Issuer::from_params(&self.params, &self.key.pair);
        let certificate = params.signed_by(&key.pair, &issuer).expect("a certificate can be made");
        Certified { der: certificate.der().to_vec(), key, params }
    }

    /// In base64, as it stands in the head of a token.
    pub fn text(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// In PEM, as it stands in a bundle.
    pub fn pem(&self) -> String {
        let lines = self.text();
        let lines: Vec<&str> =
            (0..lines.len()).step_by(64).map(|at| &lines[at..lines.len().min(at + 64)]).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }
}

/// Seconds since 1970.
pub fn now_secs() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

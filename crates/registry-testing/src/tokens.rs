//! Keys, certificates and signed tokens, as a token's server has them: also such as no server would make.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use p521::{
    ecdsa::{Signature, SigningKey as P521Key, signature::Signer},
    pkcs8::{DecodePrivateKey, EncodePublicKey},
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
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    },
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};

/// A key of RSA that is no secret: ring makes none.
const RSA_KEY: &str = include_str!("tokens/rsa.pem");

/// A key of P-521, and certificates with it: rcgen makes none over ring.
const P521_KEY: &str = include_str!("tokens/p521.pem");
const P521_OWN: &str = include_str!("tokens/p521-own.pem");
const P521_ROOT: &str = include_str!("tokens/p521-root.pem");
const P521_LEAVES: &str = include_str!("tokens/p521-leaves.pem");

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2,048 bits, always the same.
    Rsa,
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
    /// ECDSA over P-521, always the same.
    P521,
    /// Ed25519.
    Ed25519,
}

/// A key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    kind: KeyKind,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rcgen(KeyPair),
    P521(P521Key),
}

impl SigningKey {
    /// A new key of this kind.
    pub fn new(kind: KeyKind) -> SigningKey {
        let pair = match kind {
            KeyKind::Rsa => KeyPair::from_pem(RSA_KEY),
            KeyKind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyKind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyKind::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            KeyKind::P521 => {
                let key = P521Key::from_pkcs8_pem(P521_KEY).expect("it is a key of P-521");
                return SigningKey { kind, pair: Pair::P521(key) };
            }
        };
        SigningKey { kind, pair: Pair::Rcgen(pair.expect("ring makes such keys")) }
    }

    fn rcgen(&self) -> &KeyPair {
        match &self.pair {
            Pair::Rcgen(pair) => pair,
            Pair::P521(_) => panic!("rcgen has no keys of P-521"),
        }
    }

    /// The algorithm that fits the key best.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            KeyKind::Rsa => "RS256",
            KeyKind::P256 => "ES256",
            KeyKind::P384 => "ES384",
            KeyKind::P521 => "ES512",
            KeyKind::Ed25519 => "EdDSA",
        }
    }

    /// The encoded public key.
    pub fn public_der(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rcgen(pair) => pair.subject_public_key_info(),
            Pair::P521(key) => {
                let encoded = key.verifying_key().to_public_key_der();
                encoded.expect("the key can be encoded").into_vec()
            }
        }
    }

    /// The key as a JSON web key, with an id.
    pub fn jwk(&self, id: &str) -> Value {
        let mut jwk = self.members();
        jwk["kid"] = json!(id);
        jwk
    }

    /// The members that make the key.
    pub fn members(&self) -> Value {
        let raw = match &self.pair {
            Pair::Rcgen(pair) => pair.public_key_raw().to_vec(),
            Pair::P521(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
        };
        let ec = |curve: &str, bytes: usize| {
            let (x, y) = raw[1..].split_at(bytes);
            json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
        };
        match self.kind {
            KeyKind::Rsa => {
                let pair = self.rsa();
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encode(&public.n), "e": encode(&public.e)})
            }
            KeyKind::P256 => ec("P-256", 32),
            KeyKind::P384 => ec("P-384", 48),
            KeyKind::P521 => ec("P-521", 66),
            KeyKind::Ed25519 => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&raw)}),
        }
    }

    fn rsa(&self) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(self.rcgen().serialized_der()).expect("it is a key of RSA")
    }

    /// Signs a text by an algorithm that fits the key.
    fn sign(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        match self.kind {
            KeyKind::Rsa => {
                let (pair, padding) = (self.rsa(), rsa_padding(algorithm));
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &SystemRandom::new(), text, &mut signature).expect("ring signs");
                signature
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(self.rcgen().serialized_der());
                pair.expect("it is a key of Ed25519").sign(text).as_ref().to_vec()
            }
            KeyKind::P256 => self.ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, text),
            KeyKind::P384 => self.ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, text),
            KeyKind::P521 => {
                let Pair::P521(key) = &self.pair else { panic!("it is a key of P-521") };
                let signature: Signature = key.sign(text);
                signature.to_bytes().to_vec()
            }
        }
    }

    fn ecdsa(&self, algorithm: &'static EcdsaSigningAlgorithm, text: &[u8]) -> Vec<u8> {
        let (random, der) = (SystemRandom::new(), self.rcgen().serialized_der());
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, &random).expect("it is a key of ECDSA");
        pair.sign(&random, text).expect("ring signs").as_ref().to_vec()
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
    /// Of none that was read from a file.
    params: Option<CertificateParams>,
}

impl Certified {
    /// The key of P-521 with the certificate that it signed itself.
    pub fn of_p521() -> Certified {
        certified(P521_OWN).remove(0)
    }

    /// The key of P-521 with certificates that an authority of P-521 signed by SHA-256, SHA-384 and SHA-512.
    pub fn of_p521_by_root() -> Vec<Certified> {
        certified(P521_LEAVES)
    }

    /// That authority, in PEM.
    pub fn p521_root() -> &'static str {
        P521_ROOT
    }

    /// A certificate that is signed by its own key.
    pub fn by_itself(kind: KeyKind, options: &CertificateOptions) -> Certified {
        let (key, params) = (SigningKey::new(kind), options.params());
        let certificate = params.self_signed(key.rcgen()).expect("a certificate can be made");
        Certified { der: certificate.der().to_vec(), key, params: Some(params) }
    }

    /// A certificate that this one signs.
    pub fn issue(&self, kind: KeyKind, options: &CertificateOptions) -> Certified {
        let (key, params) = (SigningKey::new(kind), options.params());
        let ours = self.params.as_ref().expect("the certificate was made here");
        let issuer = Issuer::from_params(ours, self.key.rcgen());
        let certificate = params.signed_by(key.rcgen(), &issuer).expect("a certificate can be made");
        Certified { der: certificate.der().to_vec(), key, params: Some(params) }
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

/// The key of P-521 with each certificate of a text.
fn certified(pem: &str) -> Vec<Certified> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    let certified = certificates.map(|certificate| Certified {
        key: SigningKey::new(KeyKind::P521),
        der: certificate.expect("the PEM text is well-formed").to_vec(),
        params: None,
    });
    certified.collect()
}

/// Seconds since 1970.
pub fn now_secs() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

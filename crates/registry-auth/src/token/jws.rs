//! A token's form: a JWS in its compact form, as RFC 7515 has it.
//!
//! It is read here, and not by `jsonwebtoken`, which does not know ES512.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::error::Refusal;
use super::jwk::Jwk;

/// The only member of the head that may be critical, and what it must say: that the claims are encoded, as they always are.
const CRITICAL: &str = "b64";

/// A token whose signature was not looked at yet.
pub(super) struct Jws<'a> {
    pub(super) head: Head,
    /// What is signed: the head and the claims, as they were sent.
    pub(super) signed: &'a [u8],
    /// The claims, decoded.
    pub(super) claims: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What a token's head says of its signature. Other members are not looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Head {
    pub(super) alg: String,
    /// The id of the key.
    pub(super) kid: Option<String>,
    /// The key itself.
    pub(super) jwk: Option<Jwk>,
    /// A chain of certificates, in base64. The first one's key signs.
    pub(super) x5c: Option<Vec<String>>,
    crit: Option<Vec<String>>,
    b64: Option<bool>,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Jws<'a>, Refusal> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Form("it has no signature"))?;
        let (head, claims) = signed.split_once('.').ok_or(Refusal::Form("it has no claims"))?;
        let head: Head = serde_json::from_slice(&decoded(head)?).map_err(Refusal::Head)?;
        head.check_critical()?;
        Ok(Jws { head, signed: signed.as_bytes(), claims: decoded(claims)?, signature: decoded(signature)? })
    }
}

impl Head {
    /// Spec: RFC 7515, section 4.1.11, and RFC 7797.
    fn check_critical(&self) -> Result<(), Refusal> {
        let is_understood = match &self.crit {
            None => true,
            Some(critical) => critical.as_slice() == [CRITICAL] && self.b64.is_some(),
        };
        if is_understood && self.b64 != Some(false) {
            Ok(())
        } else {
            Err(Refusal::Form("its head asks for what is not known here"))
        }
    }
}

/// A dot is none of the letters, so that a fourth part is refused.
fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Form("it is not encoded in base64 for URLs"))
}

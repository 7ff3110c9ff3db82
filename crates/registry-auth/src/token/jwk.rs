//! JSON web keys, as RFC 7517 has them.

use serde::Deserialize;
use serde_json::Value;

/// A key. What is not said of its kind is absent; other members are not looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Jwk {
    pub(super) kty: Option<String>,
    pub(super) crv: Option<String>,
    pub(super) n: Option<String>,
    pub(super) e: Option<String>,
    pub(super) x: Option<String>,
    pub(super) y: Option<String>,
    /// Its id.
    pub(super) kid: Option<String>,
    /// A chain of certificates, in base64.
    pub(super) x5c: Option<Vec<String>>,
}

/// A set of keys, each of which may be of any kind.
#[derive(Deserialize)]
pub(super) struct JwkSet {
    pub(super) keys: Vec<Value>,
}

impl Jwk {
    /// A key of a set. One whose members are no texts is like one of an unknown kind.
    pub(super) fn of_value(value: &Value) -> Jwk {
        Jwk::deserialize(value).unwrap_or_default()
    }
}

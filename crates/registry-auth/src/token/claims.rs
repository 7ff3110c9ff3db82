//! What a token says.

use std::collections::HashMap;

use registry_types::RepositoryName;
use serde::{Deserialize, Deserializer};

use crate::access::{Action, ActionSet};
use crate::caller::{Caller, Grant, Scopes, UserName, Who};

use super::error::Refusal;

/// The claims that the Go registry reads, and as it reads them: what is absent or `null` is empty, and a time is a whole number.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    sub: Option<String>,
    iss: String,
    aud: Audience,
    /// Seconds since 1970.
    pub(super) exp: i64,
    /// The like. `null` is no number.
    #[serde(default, deserialize_with = "some")]
    nbf: Option<i64>,
    #[serde(default)]
    #[expect(dead_code, reason = "only its form is looked at: what is no whole number is refused")]
    iat: Option<i64>,
    #[serde(default)]
    #[expect(dead_code, reason = "only its form is looked at: it is a text")]
    jti: Option<String>,
    #[serde(default)]
    access: Option<Vec<Option<ResourceActions>>>,
}

/// What may be done to one resource.
#[derive(Deserialize)]
struct ResourceActions {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    actions: Option<Vec<Option<String>>>,
}

/// The services that a token is for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, service: &str) -> bool {
        match self {
            Audience::One(one) => one == service,
            Audience::Many(many) => many.iter().any(|one| one == service),
        }
    }
}

impl Claims {
    /// Reads the claims of a token whose signature is good, and refuses those of another issuer, for another service, or of
    /// another time: `now` and the leeway are in seconds.
    pub(super) fn judged(
        bytes: &[u8],
        issuer: &str,
        service: &str,
        now: i64,
        leeway: i64,
    ) -> Result<Claims, Refusal> {
        let claims: Claims = serde_json::from_slice(bytes).map_err(Refusal::Claims)?;
        if claims.iss != issuer {
            return Err(Refusal::Issuer);
        }
        if !claims.aud.has(service) {
            return Err(Refusal::Audience);
        }
        if claims.exp < now.saturating_sub(leeway) {
            return Err(Refusal::Ended);
        }
        if claims.nbf.is_some_and(|begin| begin > now.saturating_add(leeway)) {
            return Err(Refusal::NotBegun);
        }
        Ok(claims)
    }

    /// The caller. Without a subject it is anonymous, and may use what the token says all the same.
    pub(super) fn caller(self) -> Result<Caller, crate::ParseUserNameError> {
        let who = match self.sub.as_deref() {
            None | Some("") => Who::Anonymous,
            Some(subject) => Who::User(UserName::of_subject(subject)?),
        };
        let scopes = scopes(self.access.unwrap_or_default().into_iter().flatten());
        Ok(Caller { who, grant: Grant::Scopes(scopes.into()) })
    }
}

/// What is there and is not `null`.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    i64::deserialize(deserializer).map(Some)
}

/// Types and names are compared letter by letter: `repository(plugin)` is another type.
fn scopes(access: impl Iterator<Item = ResourceActions>) -> Scopes {
    let mut repositories: HashMap<RepositoryName, ActionSet> = HashMap::new();
    let mut catalog = false;
    for ResourceActions { kind, name, actions } in access {
        let actions: Vec<String> = actions.unwrap_or_default().into_iter().flatten().collect();
        match (kind.as_deref(), name.as_deref()) {
            (Some("registry"), Some("catalog")) => catalog |= actions.iter().any(|action| action == "*"),
            (Some("repository"), Some(name)) => {
                // What is no repository's name can not be asked for.
                if let Ok(name) = name.parse() {
                    let known = repositories.entry(name).or_default();
                    *known = known.union(set(&actions));
                }
            }
            _ => {}
        }
    }
    Scopes { repositories, catalog }
}

/// A server that knows three actions means by `push` that tags may be moved as well.
fn set(words: &[String]) -> ActionSet {
    let actions = words.iter().map(|word| match word.as_str() {
        "*" => ActionSet::ALL,
        "pull" => ActionSet::of(&[Action::Pull]),
        "push" => ActionSet::of(&[Action::Push, Action::Tag]),
        "delete" => ActionSet::of(&[Action::Delete]),
        _ => ActionSet::NONE,
    });
    actions.fold(ActionSet::NONE, ActionSet::union)
}
